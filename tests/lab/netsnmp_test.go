//go:build lab

package lab

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sameOverAnyKernel are the tests of tests/netsnmp that see nothing of it, or
// what package faults or package traffic sees in the lab.
var sameOverAnyKernel = []string{
	"BadConfig", "CommandLine", "ConfigLock", "Drift", "Garbage", "ManyHosts", "MovedRoot", "Order", "OtherObjects", "OwnCost",
	"RecordOfChanges", "RefuseGroups", "RefuseHuge", "ReportsOfAMonitor", "RowStatus", "SnmpdRestart", "StoreInUse", "Tree",
}

// TestNetSNMP runs the cases of tests/netsnmp, which pass on the kernel in
// memory too, on the real one.
func TestNetSNMP(t *testing.T) {
	t.Parallel()
	programs := Build(t, "./cmd/lcms-subagent")
	Run(t, Options{
		Dir:   filepath.Join(Root(t), "tests/netsnmp"),
		Limit: 30 * time.Minute,
		// In CI nothing may be skipped; in the lab there is never a reason to.
		Env: []string{"LCMS_TEST_KERNEL=real", "LCMS_SUBAGENT_BIN=" + filepath.Join(programs, "lcms-subagent"), "CI=true"},
	}, BuildTest(t, "./tests/netsnmp"), "-test.skip=^Test("+strings.Join(sameOverAnyKernel, "|")+")$", "-test.v", "-test.timeout=29m")
}
