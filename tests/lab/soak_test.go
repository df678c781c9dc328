//go:build soak

package lab

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSoak runs the soaks of packages faults and watch, in a guest each.
func TestSoak(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("LCMS_SOAK"))
	if err != nil {
		t.Fatalf("LCMS_SOAK says how long: %v", err)
	}
	programs := Build(t, "./cmd/lcms-subagent", "./cmd/lcms-poller", "./tests/lab/webserver", "./tests/lab/webclient", "./tests/lab/hostload")
	for _, name := range []string{"watch", "faults"} {
		t.Run(name, func(t *testing.T) {
			binary := filepath.Join(programs, name+".test")
			golang(t, "test", "-c", "-tags", "lab soak", "-o", binary, "./tests/lab/"+name)
			Run(t, Options{
				Dir:   filepath.Join(Root(t), "tests/lab"),
				Env:   []string{"PROGRAMS=" + programs, "CI=true"},
				Limit: limit + 15*time.Minute,
			}, "sh", "scenarios/"+name+".sh", binary, "-test.v", "-test.run=TestSoak", "-test.timeout=0")
		})
	}
}
