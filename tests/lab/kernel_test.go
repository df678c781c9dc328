//go:build lab

package lab

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestKernel runs the tests of internal/ipvs on the real kernel, with the
// suite that the kernel in memory passes too.
func TestKernel(t *testing.T) {
	binary := BuildTest(t, "./internal/ipvs")
	out := Run(t, Options{Dir: filepath.Join(Root(t), "internal/ipvs")}, binary, "-test.v", "-test.timeout=14m")
	if !strings.Contains(out, "--- PASS: TestConformance (") {
		t.Error("the conformance suite did not run")
	}
}
