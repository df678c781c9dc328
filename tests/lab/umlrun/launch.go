package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const kernel = "linux.uml"

// pollPeriod is how often the guest's output and status are looked for. There
// is no way to wait for them: the files are written by a kernel that has no
// part in the host's notifications of its own files.
const pollPeriod = 20 * time.Millisecond

// launch is one run of a guest.
type launch struct {
	limit   time.Duration
	memory  string
	verbose bool
}

// run returns the exit status of the whole, and an error to be shown when that
// is not the command's.
func (l *launch) run(args []string, writable []string) (status int, err error) {
	path, err := exec.LookPath(kernel)
	if err != nil {
		return exitGuest, fmt.Errorf("no %s: install it with scripts/apt-need user-mode-linux", kernel)
	}
	dir, err := os.MkdirTemp("", "umlrun")
	if err != nil {
		return exitGuest, err
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir, args, writable); err != nil {
		return exitGuest, err
	}
	library, err := preload(dir)
	if err != nil {
		return exitGuest, err
	}
	stdout, err := os.Open(filepath.Join(dir, stdoutFile))
	if err != nil {
		return exitGuest, err
	}
	defer stdout.Close()
	stderr, err := os.Open(filepath.Join(dir, stderrFile))
	if err != nil {
		return exitGuest, err
	}
	defer stderr.Close()

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	cmd, lifeline, err := l.start(dir, path, library)
	if err != nil {
		return exitGuest, fmt.Errorf("start %s: %w", path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		lifeline.Close()
		<-ended
	}

	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	late := time.After(l.limit)
	for {
		over := false
		select {
		case sig := <-signals:
			stop()
			return 128 + int(sig.(syscall.Signal)), fmt.Errorf("stopped by %v", sig)
		case <-late:
			_ = relay(stdout, stderr)
			console := l.console(dir)
			stop()
			return exitTimeLimit, fmt.Errorf("time limit of %v reached%s", l.limit, console)
		case <-ended:
			ended <- nil // for stop
			over = true
		case <-ticker.C:
		}
		// The status is looked for first: it appears after the last output.
		status, done := readStatus(dir)
		if err := relay(stdout, stderr); err != nil {
			stop()
			return exitGuest, fmt.Errorf("pass on the output: %w", err)
		}
		switch {
		case done:
			if l.verbose {
				fmt.Fprint(os.Stderr, l.console(dir))
			}
			stop()
			return status, nil
		case over:
			return exitGuest, fmt.Errorf("the guest ended without a status%s", l.console(dir))
		}
	}
}

func prepare(dir string, args, writable []string) error {
	j, err := newJob(args, writable)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return errors.Join(
		j.write(dir),
		os.WriteFile(filepath.Join(dir, stdoutFile), nil, 0o600),
		os.WriteFile(filepath.Join(dir, stderrFile), nil, 0o600),
		os.Mkdir(filepath.Join(dir, socketDir), 0o700),
		os.Symlink(self, filepath.Join(dir, initLink)),
	)
}

// start starts boot. Closing the lifeline, which the death of this process
// does too, ends everything.
func (l *launch) start(dir, path, library string) (cmd *exec.Cmd, lifeline *os.File, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	console, err := os.Create(filepath.Join(dir, consoleFile))
	if err != nil {
		return nil, nil, err
	}
	defer console.Close()
	guestEnd, lifeline, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer guestEnd.Close()
	// A process namespace ends with its first process, so that nothing of the
	// guest can stay behind. Only root may make one: in a user namespace, the
	// guest would see the files of root as those of nobody.
	err = onOneCPU(func() (err error) {
		for _, flags := range []uintptr{unix.CLONE_NEWPID, 0} {
			cmd = exec.Command(self, bootArgument, dir,
				path, "rootfstype=hostfs", "ro", "mem="+l.memory,
				"init="+filepath.Join(dir, initLink), guestVariable+"="+dir,
				"umid=guest", "uml_dir="+filepath.Join(dir, socketDir)+"/",
				"con=null", "con0=null,fd:1", "noreboot", "quiet")
			cmd.Env = append(os.Environ(), "TMPDIR="+memoryFolder(l.memory), "LD_PRELOAD="+library)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = guestEnd, console, console
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: flags}
			if err = cmd.Start(); err == nil {
				return nil
			}
		}
		return err
	})
	if err != nil {
		lifeline.Close()
		return nil, nil, err
	}
	return cmd, lifeline, nil
}

// memoryFolder returns where the guest's memory, a file that is mapped
// executable, is to be: in memory, if there is room for it.
func memoryFolder(size string) string {
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	if unix.Statfs(shm, &fs) != nil || fs.Flags&unix.ST_NOEXEC != 0 || unix.Access(shm, unix.W_OK) != nil {
		return os.TempDir()
	}
	if need, ok := parseSize(size); !ok || fs.Bavail*uint64(fs.Bsize) < need {
		return os.TempDir()
	}
	return shm
}

// parseSize reads a size as the kernel's mem= has it: 512M, 1G.
func parseSize(s string) (uint64, bool) {
	shift := 0
	if s != "" {
		switch s[len(s)-1] {
		case 'k', 'K':
			shift = 10
		case 'm', 'M':
			shift = 20
		case 'g', 'G':
			shift = 30
		}
	}
	if shift > 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return n << shift, err == nil
}

// relay passes on what the command wrote since the last call.
func relay(stdout, stderr io.Reader) error {
	_, err := io.Copy(os.Stdout, stdout)
	_, err2 := io.Copy(os.Stderr, stderr)
	return errors.Join(err, err2)
}

func readStatus(dir string) (status int, done bool) {
	b, err := os.ReadFile(filepath.Join(dir, statusFile))
	if err != nil {
		return 0, false
	}
	status, err = strconv.Atoi(string(b))
	return status, err == nil
}

// console returns the end of what the guest's kernel said, to follow an error.
func (l *launch) console(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, consoleFile))
	if err != nil || len(b) == 0 {
		return ""
	}
	const lines = 25
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if len(all) > lines && !l.verbose {
		all = all[len(all)-lines:]
	}
	return "; its console:\n" + string(bytes.Join(all, []byte("\n"))) + "\n"
}
