//go:build lab

package notify

import (
	"errors"
	"slices"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
	"github.com/lcms-project/lcms/tests/lab"
)

// TestKernelIsLost takes IPVS away under an agent that runs, and gives it back:
// both are told, the alarm stands in between, and in the end the kernel holds
// again what it should.
func TestKernelIsLost(t *testing.T) {
	d, r := start(t, "2c", true, director.Options{})
	create(t, d)
	alarms(t, d, 0, "", "", "")
	want := d.Rules()

	giveBack := lab.TakeIPVS(t, func() { _, _ = d.Ipvsadm("-C") })
	lost := expect(t, d, r, "lcmsKernelLost", "lcmsDirectorKernelState.0=4", "lcmsDirectorKernelLastError.0=modprobe ip_vs", "lcmsNotificationText.0=modprobe ip_vs")
	alarm(t, d, "lcmsKernelLost", "lcmsDirectorKernelState.0", "1")

	giveBack()
	restored := expect(t, d, r, "lcmsKernelRestored", "lcmsDirectorKernelState.0=2", "lcmsNotificationText.0=IPVS ")
	if text := restored.Object("lcmsDirectorKernelLastError"); text != "" {
		t.Errorf("after its return the kernel's last error is %q", text)
	}
	if at := when(t, &lost); !when(t, &restored).After(at) {
		t.Errorf("lost at %s, restored at %s", at, when(t, &restored))
	}
	err := director.Poll(d.Limit(), func() error {
		if now := d.Rules(); !slices.Equal(now, want) {
			return errors.New("the kernel is not as before")
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v: %q, want %q", err, d.Rules(), want)
	}
	alarms(t, d, 0, "", "", "")
	for kind, n := range count(r) {
		if n != 1 && (kind == "lcmsKernelLost" || kind == "lcmsKernelRestored") {
			t.Errorf("%s was told %d times", kind, n)
		}
	}
	sequence(t, r, true)
}
