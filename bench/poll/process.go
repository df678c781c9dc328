package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that the bench started; it does not outlive the bench.
type process struct {
	cmd *exec.Cmd
	log string
}

func start(log, name string, args ...string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MIBS=", "MIBDIRS=/nonexistent")
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return &process{cmd, log}, cmd.Start()
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// said returns the last of what it said.
func (p *process) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-1000):])
}

// cpu returns the time that it has used, user and system, by its CPU clock
// (clock_getcpuclockid(3)).
func (p *process) cpu() time.Duration {
	const scheduler = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|scheduler), &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// anonymous returns its heap and stacks in octets (RssAnon of proc(5)).
func (p *process) anonymous() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "RssAnon:" {
			n, err := strconv.Atoi(f[1])
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s: no RssAnon in its status", p.cmd.Path)
}

// within calls f, with a rest between, until it succeeds or the time is over.
func within(d, rest time.Duration, f func() error) error {
	end := time.Now().Add(d)
	for {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(rest)
	}
}
