//go:build lab

package lab

import (
	"path/filepath"
	"testing"
	"time"
)

// TestNotify runs those cases of tests/notify that need somebody who changes
// the kernel behind the agent's back, or takes it away.
func TestNotify(t *testing.T) {
	programs := Build(t, "./cmd/lcms-subagent")
	binary := BuildTest(t, "./tests/notify")
	Run(t, Options{
		Dir:   filepath.Join(Root(t), "tests/notify"),
		Limit: 30 * time.Minute,
		Env:   []string{"LCMS_TEST_KERNEL=real", "LCMS_SUBAGENT_BIN=" + filepath.Join(programs, "lcms-subagent"), "CI=true"},
	}, binary, "-test.v", "-test.run=^Test(Drift|Kernel)", "-test.timeout=29m")
}
