//go:build lab

package lab

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDemo has the demonstration run at a terminal, where it takes commands at
// its end.
func TestDemo(t *testing.T) {
	t.Parallel()
	programs := Build(t, "./cmd/lcms-subagent")
	cmd := exec.Command("script", "--quiet", "--return", "--command", filepath.Join(Root(t), "scripts/lab-demo"), "/dev/null")
	cmd.Env = append(cmd.Environ(), "LCMS_SUBAGENT_BIN="+filepath.Join(programs, "lcms-subagent"))
	cmd.Stdin = strings.NewReader("ip netns exec client webclient -n 6 http://10.0.1.100/\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A port of the client that comes again takes the place of a connection that is
	// over: how many are inactive is not sure.
	want := []string{
		"lcmsDirectorKernelState.0 = INTEGER: ok",
		`30 real1\s+20 real2\s+10 real3`,
		`10\.0\.2\.11:8080 +Masq +3 .*\| 10\.0\.2\.11:8080 +3 +up +0 +\d+ +30`,
		`40 real2\s+20 real3`,
		`10\.0\.2\.11:8080 +Masq +0 .*\| 10\.0\.2\.11:8080 +0 +drain\w+ +0 +\d+ +30`,
		`4 real2\s+2 real3`,
		`InActConn\s+$`,
	}
	if !regexp.MustCompile("(?s)" + strings.Join(want, ".*")).Match(out) {
		t.Errorf("this is not in the demonstration, in this order:\n%s\n%s", strings.Join(want, "\n"), out)
	}
}
