package lab

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Options say how a command runs in the lab.
type Options struct {
	Dir    string        // working folder; "" = that of the test
	Env    []string      // added to the environment
	Limit  time.Duration // 0 = 15 minutes
	Memory string        // of the guest, "1G"; "" = 512M
}

// Run runs a command on the lab's kernel and returns its standard output. Any
// other exit status than 0 fails the test.
func Run(t testing.TB, o Options, command ...string) string {
	t.Helper()
	args := []string{"-t", cmp.Or(o.Limit, 15*time.Minute).String()}
	if o.Memory != "" {
		args = append(args, "-m", o.Memory)
	}
	cmd := exec.Command(filepath.Join(Build(t, "./tests/lab/umlrun"), "umlrun"), append(append(args, "--"), command...)...)
	cmd.Dir = o.Dir
	cmd.Env = append(os.Environ(), o.Env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, t.Output()), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("in the lab, %s: %v", strings.Join(command, " "), err)
	}
	return out.String()
}

// Build builds commands of the module, named like ./cmd/lcms-subagent, and
// returns the folder they are in.
func Build(t testing.TB, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	golang(t, append([]string{"build", stripped, "-o", dir + "/"}, packages...)...)
	return dir
}

// BuildTest builds the test binary of a package with the tests for the lab.
func BuildTest(t testing.TB, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg)+".test")
	golang(t, "test", "-c", stripped, "-tags", "lab", "-o", path, pkg)
	return path
}

// Root returns the folder of the module.
func Root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("go env GOMOD: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// stripped is for what nobody debugs.
const stripped = "-ldflags=-s -w"

// golang calls the go command. Without C the programs need nothing of the
// machine, and the race detector, which the lab's kernel has no room for, is
// off.
func golang(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
