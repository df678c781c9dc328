package rules

import (
	"strings"
	"syscall"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// TestNameInCapitals suggests the name that the kernel may have.
func TestNameInCapitals(t *testing.T) {
	op := func(scheduler, engine string) error {
		service := lvs.ServiceSpec{Scheduler: scheduler, PersistenceEngine: engine}
		return Translate(lvs.Op{Do: lvs.AddService, Service: &service}, syscall.ENOENT)
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{Missing("Scheduler", "WLC"), `no scheduler "WLC": names are in lower case, write "wlc"; or install the module ip_vs_WLC`},
		{Missing("Scheduler", "turbo"), `no scheduler "turbo": install the module ip_vs_turbo or choose another`},
		{Missing("PersistenceEngine", "SIP"), `no persistence engine "SIP": names are in lower case, write "sip"; or install the module ip_vs_pe_SIP`},
		{op("WLC", ""), `names are in lower case, write "wlc"; or install`},
		{op("wlc", "SIP"), `names are in lower case, write "sip"; or install`},
		{op("wlc", "sip"), "no persistence engine sip: install the module"},
	} {
		if !strings.Contains(tc.err.Error(), tc.want) {
			t.Errorf("%v, want %s", tc.err, tc.want)
		}
	}
}
