package ldaptest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a slapd that can be started again after its end. Its output is
// gathered in a file.
type process struct {
	log    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd is over; nil before the first start
}

// start runs a command that is to go on. It dies with the program that started
// it.
func (p *process) start(name string, args ...string) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(exited)
	}()
	p.cmd, p.exited = cmd, exited
	return nil
}

// running reports whether the process is there.
func (p *process) running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// died reports whether a signal that was not ours ended the process, as when
// slapd breaks down.
func (p *process) died() bool {
	if p.exited == nil || p.running() {
		return false
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() != syscall.SIGKILL
}

// signal sends a signal to a process that runs.
func (p *process) signal(s syscall.Signal) error {
	if !p.running() {
		return fmt.Errorf("slapd does not run: %s", p.said())
	}
	return p.cmd.Process.Signal(s)
}

// stopped waits until a signal has stopped the process.
func (p *process) stopped() error {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return os.NewSyscallError("waitid", err)
		}
	}
}

// kill ends the process as kill -9 does, and waits for its end.
func (p *process) kill() {
	if p.running() {
		_ = p.cmd.Process.Kill() // it may just have ended
		<-p.exited
	}
}

// stop asks the process to end and waits for it, also if it hangs.
func (p *process) stop(limit time.Duration) error {
	if !p.running() {
		return nil
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.signal(syscall.SIGCONT); err != nil {
		<-p.exited // it was quick
		return nil
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(limit):
		p.kill()
		return fmt.Errorf("slapd did not end within %s of SIGTERM", limit)
	}
}

// said returns all that the process has printed.
func (p *process) said() string {
	b, err := os.ReadFile(p.log)
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing: it never ran"
	}
	if err != nil {
		return err.Error()
	}
	return string(b)
}
