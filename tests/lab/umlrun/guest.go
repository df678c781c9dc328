package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// guestVariable carries the launch's folder into the guest: what a kernel does
// not know on its command line becomes its first process's environment.
const guestVariable = "UMLRUN_FOLDER"

// sharedDir is where the guest sees the launch's folder.
const sharedDir = "/run/umlrun"

// systemPath is searched beside the command's own PATH.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// guest is process 1. It never returns: the guest ends with it.
func guest(dir string) {
	if err := enter(dir); err != nil {
		fmt.Println("umlrun: guest:", err) // on the console
		halt()
	}
	status, err := work()
	if err != nil {
		fmt.Println("umlrun: guest:", err)
		halt()
	}
	unix.Sync()
	draft := filepath.Join(sharedDir, statusFile+".draft")
	if err := os.WriteFile(draft, []byte(strconv.Itoa(status)), 0o600); err != nil {
		fmt.Println("umlrun: guest:", err)
	}
	if err := os.Rename(draft, filepath.Join(sharedDir, statusFile)); err != nil {
		fmt.Println("umlrun: guest:", err)
	}
	halt()
}

func halt() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// enter makes a root out of the host's files, which are kept, and a layer of
// memory above them, which takes every write. /tmp is of that root, too: test
// binaries are there.
func enter(dir string) error {
	var release unix.Utsname
	if err := unix.Uname(&release); err != nil {
		return err
	}
	modules := "/usr/lib/uml/modules/" + unix.ByteSliceToString(release.Release[:])
	const root = "/run/root"
	s := steps{}
	s.mount("proc", "/proc", "proc", "")
	s.mount("run", "/run", "tmpfs", "mode=755")
	// modprobe looks below a folder that has lib/modules; the host's has none
	// for this kernel.
	s.mkdir("/run/kernel/lib/modules", "/run/memory", root)
	s.link(modules, "/run/kernel/lib/modules/"+filepath.Base(modules))
	s.run("modprobe", "-d", "/run/kernel", "overlay")
	s.mount("memory", "/run/memory", "tmpfs", "mode=755")
	s.mkdir("/run/memory/upper", "/run/memory/work")
	s.mount("root", root, "overlay", "lowerdir=/,upperdir=/run/memory/upper,workdir=/run/memory/work")
	s.do(func() error { return unix.Chdir(root) })
	s.do(func() error { return unix.Chroot(".") })
	s.mount("proc", "/proc", "proc", "")
	s.mount("sys", "/sys", "sysfs", "")
	s.mount("dev", "/dev", "devtmpfs", "")
	s.mkdir("/dev/pts", "/dev/shm", "/lib/modules")
	s.mount("pts", "/dev/pts", "devpts", "newinstance,ptmxmode=666")
	s.mount("shm", "/dev/shm", "tmpfs", "mode=1777")
	s.mount("run", "/run", "tmpfs", "mode=755")
	s.link("/proc/self/fd", "/dev/fd")
	s.link("fd/0", "/dev/stdin")
	s.link("fd/1", "/dev/stdout")
	s.link("fd/2", "/dev/stderr")
	s.link(modules, "/lib/modules/"+filepath.Base(modules))
	s.mkdir(sharedDir, "/run/netns", "/run/lock")
	s.mount("shared", sharedDir, "hostfs", dir)
	s.do(hosts)
	s.run("modprobe", "ipv6") // a module here, unlike on most machines
	s.run("ip", "link", "set", "lo", "up")
	return s.err
}

// hosts gives the guest a name, and makes sure that no program waits for a
// name server that is not there.
func hosts() error {
	const name = "guest"
	if err := unix.Sethostname([]byte(name)); err != nil {
		return err
	}
	f, err := os.OpenFile("/etc/hosts", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n127.0.0.1 localhost\n127.0.1.1 " + name + "\n")
	_ = os.Remove("/etc/resolv.conf") // often a link to elsewhere
	return errors.Join(err, f.Close(), os.WriteFile("/etc/resolv.conf", nil, 0o644))
}

// work runs the command and returns its status as a shell would. An error
// means that there was nobody to tell about it.
func work() (status int, err error) {
	j, err := readJob(sharedDir)
	if err != nil {
		return 0, err
	}
	stdout, err := os.OpenFile(filepath.Join(sharedDir, stdoutFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	stderr, err := os.OpenFile(filepath.Join(sharedDir, stderrFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	os.Clearenv()
	for _, v := range j.Env {
		name, value, _ := strings.Cut(v, "=")
		_ = os.Setenv(name, value)
	}
	_ = os.Setenv("PATH", os.Getenv("PATH")+":"+systemPath)
	var s steps
	for _, w := range j.Writable {
		s.mount("writable", w, "hostfs", w)
	}
	s.do(func() error { return os.Chdir(j.Dir) })
	path, err := exec.LookPath(j.Args[0])
	if err = errors.Join(s.err, err); err != nil {
		fmt.Fprintln(stderr, "umlrun:", err)
		return exitNotStarted, nil
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	p, err := os.StartProcess(path, j.Args, &os.ProcAttr{Files: []*os.File{null, stdout, stderr}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		fmt.Fprintln(stderr, "umlrun:", err)
		return exitNotStarted, nil
	}
	// Process 1 inherits every orphan and must take its status.
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case pid == p.Pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case pid == p.Pid:
			return ws.ExitStatus(), nil
		}
	}
}

// steps are done one after the other until one fails.
type steps struct{ err error }

func (s *steps) do(f func() error) {
	if s.err == nil {
		s.err = f()
	}
}

func (s *steps) mount(source, target, kind, options string) {
	s.do(func() error {
		if err := unix.Mount(source, target, kind, 0, options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", kind, target, err)
		}
		return nil
	})
}

func (s *steps) mkdir(paths ...string) {
	for _, p := range paths {
		s.do(func() error { return os.MkdirAll(p, 0o755) })
	}
}

func (s *steps) link(old, new string) {
	s.do(func() error {
		if err := os.Symlink(old, new); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		return nil
	})
}

func (s *steps) run(name string, args ...string) {
	s.do(func() error {
		_ = os.Setenv("PATH", systemPath)
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
		}
		return nil
	})
}
