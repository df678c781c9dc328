package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// asNobody makes the rest of the test one that has to ask for permission, also if root
// runs it.
func asNobody(t *testing.T) {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	be := func(user int) { syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(user), 0, 0) } // of this thread
	t.Cleanup(func() { be(os.Geteuid()) })
	be(65534)
}

// TestCausesHaveTheirMend are faults that a sound store must not be moved away for.
func TestCausesHaveTheirMend(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // nobody may pass
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	inside := func(name string) string { return filepath.Join(dir, name) }
	sound := inside("sound.db")
	s := open(t, sound)
	if err := errors.Join(
		s.Save(everything(t)), s.Close(), os.Chmod(sound, 0),
		os.Mkdir(inside("folder.db"), 0o700), os.Mkdir(inside("shut"), 0o500),
		os.Symlink("nowhere.db", inside("link.db")), syscall.Mkfifo(inside("pipe.db"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	file, folder := "give it mode 0600", "give the folder "+inside("shut")+" mode 0750"
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chown(sound, 4711, -1), os.Chown(inside("shut"), 4711, -1)); err != nil {
			t.Fatal(err)
		}
		file = "it belongs to user 4711: run as that, or let user root own it, with mode 0600"
		folder = "the folder " + inside("shut") + " belongs to user 4711: run as that, or let user root own it, with mode 0750"
	}
	asNobody(t)
	for _, tc := range []struct{ name, want string }{
		{"sound.db", "cannot be opened: permission denied: " + file},
		{"shut/new.db", "permission denied: " + folder},
		{"shut/below/new.db", "there is no folder " + inside("shut/below") + " (permission denied): create the folder and let " + runner() + " own it"},
		{"folder.db", "cannot be opened: it is a folder: set store.path to a file in it"},
		{"link.db", "cannot be opened: it is a link to nowhere.db, which is not there: mount or restore that"},
		{"pipe.db", "it is no regular file: set store.path to one"},
	} {
		path := inside(tc.name)
		_, err := Open(path)
		if err == nil || !strings.HasPrefix(err.Error(), "store "+path) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s:\n got %v\nwant %s", tc.name, err, tc.want)
			continue
		}
		if strings.Contains(err.Error(), "move it away") || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	for _, name := range []string{"sound.db", "folder.db", "link.db"} {
		if _, err := Read(inside(name)); err == nil || strings.Count(err.Error(), inside(name)) != 1 {
			t.Errorf("read %s: %v", name, err)
		}
	}
}

// The causes that a test cannot bring about everywhere.
func TestSystemFaults(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EROFS:  "read-only file system: mount its file system writable",
		syscall.ENOSPC: "no space left on device: make room",
		syscall.EDQUOT: "disk quota exceeded: make room",
		syscall.EPERM:  "operation not permitted: take off what protects it",
		syscall.EIO:    "input/output error: the disk fails",
		syscall.EMFILE: "too many open files: raise the limit",
		syscall.ELOOP:  "too many levels of symbolic links: set store.path",
	} {
		err := explain("/x/y", fmt.Errorf("twice: %w", &fs.PathError{Op: "write", Path: "/x/y", Err: errno}))
		if !strings.HasPrefix(err.Error(), want) || !errors.Is(err, errno) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// alone reports whether this is a process of its own, whose limits are nobody else's; if
// not, it runs the test in one.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "LOCALSTORE_TEST"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), variable+"="+t.Name())
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limit lets no file grow beyond so many octets, as a full disk does, until the
// function is called that it returns.
func limit(t *testing.T, octets uint64) (lift func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	set := func(to syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &to); err != nil {
			t.Fatal(err)
		}
	}
	set(syscall.Rlimit{Cur: octets, Max: old.Max})
	return func() { set(old) }
}

// TestUnfinishedIsMadeAnew has no room at the first start, for nothing, for a part of
// the file, and for all but its last page.
func TestUnfinishedIsMadeAnew(t *testing.T) {
	if !alone(t) {
		return
	}
	page := uint64(os.Getpagesize())
	for octets := uint64(0); octets <= 8*page; octets += page / 2 {
		dir := t.TempDir()
		path := filepath.Join(dir, "lcms.db")
		lift := limit(t, octets)
		s, err := Open(path)
		lift()
		if err == nil {
			s.Close()
		} else if !strings.Contains(err.Error(), "cannot be made: file too large: raise the limit") {
			t.Errorf("%d octets: %v", octets, err)
		} else if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%d octets: left is %v, %v", octets, left, err)
		}
		open(t, path).Close()
	}
	dir := t.TempDir()
	for _, name := range []string{"lcms.db", "lcms.db.new"} { // an empty file, and what a killed start left
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", 100*len(name[7:]))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, filepath.Join(dir, "lcms.db"))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left is %v, %v", left, err)
	}
}

func TestNoRoomForAChange(t *testing.T) {
	if !alone(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "lcms.db")
	s := open(t, path)
	record := everything(t)
	if err := s.Save(record); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	large := lvs.Record{Change: lvs.Change{PutHosts: []lvs.Host{lvs.NewHost("a")}}}
	large.Change.PutHosts[0].CpuType = strings.Repeat("x", int(info.Size()))
	lift := limit(t, uint64(info.Size()))
	err = s.Save(large)
	lift()
	if err == nil || err.Error() != path+": file too large: raise the limit of the size of files (LimitFSIZE= of the systemd unit)" {
		t.Errorf("%v", err)
	}
	if err := s.Save(large); err != nil {
		t.Errorf("with room: %v", err)
	}
	if got, err := s.Load(); err != nil || len(got.Rows.PutHosts) != 2 || len(got.Rows.PutServices) != 1 {
		t.Errorf("%+v, %v", got.Rows, err)
	}
}
