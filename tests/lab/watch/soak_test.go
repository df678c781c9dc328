//go:build lab && soak

package watch

import (
	"os"
	"testing"
	"time"
)

// TestSoak has somebody use the processor of one host, under traffic, and stop
// again, and looks on for ten minutes, or for LCMS_SOAK if that is shorter. It is
// not in make test: how busy the guest is by itself changes with the machine.
func TestSoak(t *testing.T) {
	calm, err := time.ParseDuration(os.Getenv("LCMS_SOAK"))
	if err != nil {
		t.Fatalf("LCMS_SOAK says how long: %v", err)
	}
	followLoad(t, min(calm, 10*time.Minute))
}
