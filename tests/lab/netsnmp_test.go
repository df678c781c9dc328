//go:build lab

package lab

import (
	"path/filepath"
	"testing"
	"time"
)

// TestNetSNMP runs the cases of tests/netsnmp, which pass on the kernel in
// memory too, on the real one: the longest in a guest of their own. The record
// of changes is the same over any kernel.
func TestNetSNMP(t *testing.T) {
	t.Parallel()
	programs := Build(t, "./cmd/lcms-subagent")
	binary := BuildTest(t, "./tests/netsnmp")
	const longest = "^Test(Refuse|RowStatus|LargeTable)$"
	for name, which := range map[string]string{"longest": "-test.run=" + longest, "others": "-test.skip=" + longest + "|^TestRecordOfChanges$"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Run(t, Options{
				Dir:   filepath.Join(Root(t), "tests/netsnmp"),
				Limit: 30 * time.Minute,
				// In CI nothing may be skipped; in the lab there is never a reason to.
				Env: []string{"LCMS_TEST_KERNEL=real", "LCMS_SUBAGENT_BIN=" + filepath.Join(programs, "lcms-subagent"), "CI=true"},
			}, binary, which, "-test.v", "-test.short", "-test.timeout=29m")
		})
	}
}
