package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// explain says what is wrong with the file at path and what to do about it. The path
// is left out: it stands before that.
func explain(path string, err error) error {
	switch errno := errnoOf(err); {
	case errno != 0:
		return fmt.Errorf("%w: %s", errno, mendOf(path, errno))
	case errors.Is(err, errDamaged):
		return fmt.Errorf("%w: %s", err, mend)
	}
	return err
}

// damage is the error of reading the file: what is no fault of the system is damage.
func damage(err error) error {
	if errnoOf(err) != 0 || errors.Is(err, errDamaged) {
		return err
	}
	return fmt.Errorf("%w (%w)", errDamaged, err)
}

// errnoOf returns the fault of the system, 0 if it is none. Of a file that cannot grow
// bbolt keeps the words only.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EIO} {
		if strings.HasSuffix(err.Error(), ": "+errno.Error()) {
			return errno
		}
	}
	return 0
}

func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func mendOf(path string, errno syscall.Errno) string {
	switch errno {
	case syscall.EACCES:
		return permission(path)
	case syscall.EPERM:
		return "take off what protects it, such as chattr +i, or a mount or a security module that forbids it"
	case syscall.EROFS:
		return "mount its file system writable, name it in ReadWritePaths= of the systemd unit, or set store.path to a file elsewhere"
	case syscall.ENOSPC, syscall.EDQUOT:
		return "make room on its file system"
	case syscall.EFBIG:
		return "raise the limit of the size of files (LimitFSIZE= of the systemd unit)"
	case syscall.EMFILE, syscall.ENFILE:
		return "raise the limit of open files"
	case syscall.EIO:
		return "the disk fails: see the log of the kernel, and restore the file from a backup on a sound one"
	case syscall.ENOTDIR:
		return "a part of its path is a file: set store.path to a file in a folder"
	}
	return "set store.path to a file that can be made and written"
}

// permission says who may use the file, or its folder where that is in the way.
func permission(path string) string {
	what, mode := "it", 0o600
	info, err := os.Stat(path)
	if err != nil {
		path = filepath.Dir(path)
		what, mode = "the folder "+path, 0o750
		info, err = os.Stat(path)
	}
	if err != nil {
		return fmt.Sprintf("let %s pass the folders above it", runner())
	}
	owner := runner()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = userName(int(stat.Uid))
	}
	if owner == runner() {
		return fmt.Sprintf("give %s mode %04o", what, mode)
	}
	return fmt.Sprintf("%s belongs to %s: run as that, or let %s own it, with mode %04o", what, owner, runner(), mode)
}

// runner is the user that needs the file.
func runner() string { return userName(os.Geteuid()) }

func userName(id int) string {
	text := strconv.Itoa(id)
	if u, err := user.LookupId(text); err == nil {
		return "user " + u.Username
	}
	return "user " + text
}
