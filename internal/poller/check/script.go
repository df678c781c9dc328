package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/internal/lvs"
)

const (
	outputLimit = 4 << 10
	// pipes is how long a process may hold the output open that left its group.
	pipes = time.Second
)

// script runs a program of the operator. Its name comes by SNMP, so it can only
// be a file in the folder that the operator has named, which nobody else may
// write.
type script struct {
	path string
	args []string
	env  []string
}

func newScript(folder string, words []string, service lvs.ServiceKey, server lvs.ServerKey) (Probe, error) {
	if folder == "" {
		return nil, errors.New("the monitor has no folder of scripts: name one in its configuration (checks.scripts)")
	}
	p := script{
		path: filepath.Join(folder, words[0]),
		args: append([]string{server.Addr().String(), strconv.Itoa(int(server.Port()))}, words[1:]...),
		env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
			"LCMS_SERVICE=" + service.String(), "LCMS_SERVER=" + server.String(),
		},
	}
	return p, nil
}

// ScriptFolder says why scripts of a folder must not be run.
func ScriptFolder(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no folder %s: make it, or name another", path)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no folder: name one, and no link", path)
	}
	return ownersAlone(path, info)
}

// usable says why the script must not be run.
func (p script) usable() error {
	if err := ScriptFolder(filepath.Dir(p.path)); err != nil {
		return err
	}
	info, err := os.Lstat(p.path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is no file that can be executed: chmod +x, and no link", p.path)
	}
	return ownersAlone(p.path, info)
}

func ownersAlone(path string, info os.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s may be written by others than its owner: chmod go-w", path)
	}
	return nil
}

// Run implements Probe.
func (p script) Run(ctx context.Context) Result {
	if err := p.usable(); err != nil {
		return unknown("script: %v", err)
	}
	start := time.Now()
	var out output
	cmd := exec.Command(p.path, p.args...)
	cmd.Env, cmd.Dir = p.env, "/"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = pipes
	if err := cmd.Start(); err != nil {
		return unknown("script: %v", err)
	}
	group := -cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { syscall.Kill(group, syscall.SIGKILL) })
	leave(cmd.Process.Pid)
	late := !stop()
	// Until it is waited for, its number is nobody else's: what it has left behind
	// in its group can be ended without harm to others.
	syscall.Kill(group, syscall.SIGKILL)
	err := cmd.Wait()
	first, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
	var exit *exec.ExitError
	switch {
	case late:
		return down("the script did not end in time: %s", first)
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		if first == "" {
			return up("the script ended well after %s", took(start))
		}
		return up("%s", first)
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		if first == "" {
			return down("the script ended with %d", exit.ExitCode())
		}
		return down("%s", first)
	}
	return down("the script ended with %v", err)
}

// leave waits until a child has ended, and does not collect it.
func leave(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// output keeps the beginning of what a script says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Write(p[:min(len(p), outputLimit-min(outputLimit, o.b.Len()))])
	return len(p), nil
}

// String returns what was kept.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
