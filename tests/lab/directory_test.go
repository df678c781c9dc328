//go:build lab

package lab

import (
	"path/filepath"
	"testing"
	"time"
)

// TestDirectory runs those cases of tests/directory that say what the real kernel
// holds.
func TestDirectory(t *testing.T) {
	programs := Build(t, "./cmd/lcms-subagent")
	binary := BuildTest(t, "./tests/directory")
	Run(t, Options{
		Dir:    filepath.Join(Root(t), "tests/directory"),
		Limit:  20 * time.Minute,
		Memory: "1G",
		Env:    []string{"LCMS_TEST_KERNEL=real", "LCMS_SUBAGENT_BIN=" + filepath.Join(programs, "lcms-subagent"), "CI=true"},
	}, binary, "-test.v", "-test.run=^Test(DirectoryReachesMIBAndKernel|SetIsInTheDirectoryBeforeItIsAnswered|HoldIsReleased|Observe|FirstContact|Outage|Queue)", "-test.timeout=19m")
}
