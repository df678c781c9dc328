package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const bootArgument = "-boot-guest"

// boot runs the guest's kernel until it ends or the launcher is gone, which
// its standard input tells: then it kills what is left and removes the
// launch's folder.
//
// It stands between the two because the kernel must not be process 1 of a
// namespace (it could not abort there), and because somebody has to clean up
// when the launcher is killed.
func boot(dir string, command []string) int {
	// Orphans of the kernel become children of this process.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "umlrun:", err)
		return exitGuest
	}
	alone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(alone)
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			fmt.Fprintf(os.Stderr, "umlrun: %s: %v\n", command[0], err)
			return exitGuest
		}
	case <-alone:
		if os.Getpid() == 1 {
			_ = unix.Kill(-1, unix.SIGKILL) // everything in the namespace
		} else {
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		}
		<-ended
		os.RemoveAll(dir)
	}
	return 0
}
