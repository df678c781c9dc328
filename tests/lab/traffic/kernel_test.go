//go:build lab

package traffic

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
	"github.com/lcms-project/lcms/tests/lab"
)

// TestNoModule takes IPVS away from the kernel, so that it cannot come back by
// itself either, starts the subagent, and gives IPVS back.
func TestNoModule(t *testing.T) {
	d := prepare(t)
	giveBack := lab.TakeIPVS(t, func() {})
	d.StartSnmpd()
	d.StartSubagent()
	err := director.Poll(d.Limit(), func() error {
		v, err := d.Get("lcmsDirectorKernelState.0", "lcmsDirectorKernelLastError.0")
		switch {
		case err != nil:
			return err
		case v[0].Value != "4":
			return fmt.Errorf("lcmsDirectorKernelState is %s, not absent(4)", v[0].Value)
		case !strings.Contains(v[1].Value, "modprobe ip_vs"):
			return fmt.Errorf("lcmsDirectorKernelLastError does not say what to do: %s", v[1].Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var refusal *director.Refusal
	if _, err := d.Set(service(web)...); !errors.As(err, &refusal) || refusal.Status != "resourceUnavailable" {
		t.Errorf("a SET without a kernel: %v, want resourceUnavailable", err)
	}
	if n := strings.Count(d.Said(), "level=ERROR"); n != 1 || !strings.Contains(d.Said(), "modprobe ip_vs") {
		t.Errorf("there should be one clear error:\n%s", d.Said())
	}

	giveBack()
	d.WaitReady()
	set(t, d, append(service(web, "Scheduler s rr"), reals(web)...)...)
	expectShares(t, webURL, shares{"real1": 1, "real2": 1, "real3": 1})
	destroy(t, d, web)
}
