package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
)

// programsVariable says inside where the programs are; on the host it is not
// set.
const programsVariable = "PROGRAMS"

// Inside reports whether this process runs in the lab, under Main.
func Inside() bool { return os.Getenv(programsVariable) != "" }

// Program returns the path of a program that Main has built.
func Program(name string) string { return filepath.Join(os.Getenv(programsVariable), name) }

// Main runs the tests of a package in the lab, all in one guest, and returns the
// status to exit with. On the host it builds programs, named like
// ./cmd/lcms-subagent, and runs a script of scenarios in the guest, which calls
// this same test binary when all is prepared: it gets the call as its arguments.
func Main(m *testing.M, scenario string, programs ...string) int {
	if Inside() {
		return m.Run()
	}
	status, err := enter(scenario, programs)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func enter(scenario string, programs []string) (status int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return 0, fmt.Errorf("go env GOMOD: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	dir, err := os.MkdirTemp("", "lcms-lab")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", append([]string{"build", stripped, "-o", dir + "/", "./tests/lab/umlrun"}, programs...)...)
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	// The limit of go test ends the tests inside; this one is for the rest.
	args := append([]string{"-t", "45m", "--", "sh", filepath.Join("scenarios", scenario), self}, os.Args[1:]...)
	cmd := exec.Command(filepath.Join(dir, "umlrun"), args...)
	cmd.Dir, cmd.Env = filepath.Join(root, "tests", "lab"), append(os.Environ(), programsVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Ctrl-C reaches umlrun too, which ends the guest.
	signal.Ignore(os.Interrupt)
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}
