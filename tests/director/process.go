package director

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a daemon that can be started again after its end. Its output is
// gathered in a file.
type process struct {
	log    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd is over; nil before the first start
}

// start runs a command that is to go on. It dies with the test binary.
func (p *process) start(env []string, name string, args ...string) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = env
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

// kill ends the process as kill -9 does, and waits for its end.
func (p *process) kill() {
	if p.running() {
		_ = p.cmd.Process.Kill() // it may just have ended
		<-p.exited
	}
}

// stop asks the process to end, and returns its exit status.
func (p *process) stop(limit time.Duration) (int, error) {
	if !p.running() {
		return 0, fmt.Errorf("%s does not run: %s", p.log, p.said())
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(limit):
		p.kill()
		return 0, fmt.Errorf("it did not end within %s of SIGTERM", limit)
	}
}

// said returns all that the process has printed.
func (p *process) said() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
