package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that the bench started.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan error
}

// start runs a program whose output goes to a file. It does not outlive the
// bench, whatever ends that.
func start(log string, env []string, name string, args ...string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		f.Close()
		return nil, err
	}
	p := &process{cmd, f, make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// stop ends the program.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
	p.log.Close()
}

// exited returns an error with the last words of a program that has ended by
// itself.
func (p *process) exited() error {
	select {
	case err := <-p.done:
		p.done <- err
		said, _ := os.ReadFile(p.log.Name())
		said = said[max(0, len(said)-500):]
		return fmt.Errorf("%s ended by itself: %v: %s", p.cmd.Path, err, said)
	default:
		return nil
	}
}

// cpu returns the processor time that the program has used, user and system,
// by its CPU clock (clock_getcpuclockid(3)).
func (p *process) cpu() (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED, user and system in nanoseconds
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|scheduler), &t); err != nil {
		return 0, errors.Join(fmt.Errorf("CPU clock of %s: %w", p.cmd.Path, err), p.exited())
	}
	return time.Duration(t.Nano()), nil
}

// memory is what a program has in memory, in octets (proc(5)).
type memory struct {
	anonymous int // RssAnon: heap and stacks
	resident  int // VmRSS: mapped files too
}

func (p *process) memory() (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "RssAnon:":
			m.anonymous = n << 10
		case "VmRSS:":
			m.resident = n << 10
		}
	}
	return m, nil
}

// within calls f until it succeeds or the time is over.
func within(d time.Duration, f func() error) error {
	end := time.Now().Add(d)
	for {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
