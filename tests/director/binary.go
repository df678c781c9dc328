package director

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const (
	binaryVariable = "LCMS_SUBAGENT_BIN"
	mibsVariable   = "LCMS_BASE_MIBS"
	command        = "github.com/lcms-project/lcms/cmd/lcms-subagent"
)

// Main runs the tests of a package with the subagent built once, and returns
// the status to exit with. Packages without it build for each director.
func Main(m *testing.M) int {
	if os.Getenv(binaryVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "lcms-subagent")
	if err == nil {
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "lcms-subagent")
		if err = Build(path, command); err == nil {
			err = os.Setenv(binaryVariable, path)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Binary returns the path of the subagent.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(binaryVariable); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "lcms-subagent")
	if err := Build(path, command); err != nil {
		t.Fatal(err)
	}
	return path
}

// Fallible builds the subagent with the points of internal/failpoint, and returns
// its path.
func Fallible(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lcms-subagent")
	if err := Build(path, "-tags=failpoint", command); err != nil {
		t.Fatal(err)
	}
	return path
}

// Build builds what the last arguments of `go build` name: one program, or with a
// path that ends in / several. It is done without C, as the Makefile does it, so that
// the cache has nearly all of it, and without what only a debugger wants.
func Build(path string, arguments ...string) error {
	build := exec.Command("go", append([]string{"build", "-ldflags=-s -w", "-o", path}, arguments...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s(where go cannot run, name a built lcms-subagent in %s)", build, err, out, binaryVariable)
	}
	return nil
}

// Need ends a test that lacks a program: in CI it has failed.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(tool(name)); err != nil {
			missing(t, "%s is not installed: run `make deps`", name)
		}
	}
}

func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// tool returns the path of a program. Daemons are often not in the PATH of an
// ordinary user.
func tool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/sbin", name)
}

// modules gathers in a folder what the tools need to know LCMS-MIB as the
// subagent serves it, and nothing else: they read all of it at each start.
func modules(t testing.TB, dir, binary, root string) {
	t.Helper()
	base := os.Getenv(mibsVariable)
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		base = filepath.Join(cache, "lcms", "mibs")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files := []string{"/usr/share/snmp/mibs/NET-SNMP-MIB.txt"}
	for _, name := range []string{"SNMPv2-SMI", "SNMPv2-TC", "SNMPv2-CONF", "SNMPv2-MIB", "INET-ADDRESS-MIB", "SNMP-FRAMEWORK-MIB"} {
		files = append(files, filepath.Join(base, name+".txt"))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			missing(t, "%v: run `make deps`", err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := printed(binary, root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LCMS-MIB.txt"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// texts are those of LCMS-MIB that subagents have printed, by printing.
var texts sync.Map

type printing struct{ binary, root string }

// printed returns LCMS-MIB as a subagent prints it. It is asked once.
func printed(binary, root string) ([]byte, error) {
	if text, ok := texts.Load(printing{binary, root}); ok {
		return text.([]byte), nil
	}
	args := []string{"mib"}
	if root != "" {
		args = append(args, "--root-oid", root)
	}
	text, err := exec.Command(binary, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("lcms-subagent mib: %w", err)
	}
	texts.Store(printing{binary, root}, text)
	return text, nil
}
