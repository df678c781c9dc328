//go:build lab

package watch

import (
	"fmt"
	"testing"

	"github.com/lcms-project/lcms/tests/lab"
)

// TestWrongAgents has a monitor ask agents that do not answer as they should, and
// one that does.
func TestWrongAgents(t *testing.T) {
	d := begin(t, 1)
	vbs := service([]int{1, 2, 3, 4})
	for n := 1; n <= 4; n++ {
		vbs = append(vbs, host(n)...)
	}
	for n := 1; n <= 3; n++ {
		serve(t, n)
	}
	agent(t, 1, "rocommunity another")
	agent(t, 2, `createUser lcms-monitor SHA-256 "another pass phrase" AES "another pass phrase"`, "rouser lcms-monitor priv")
	// Whatever this one is asked, it answers its name.
	start(t, "real3", lab.Program("webserver"), "-name", "real3", "-udp", "10.0.2.13:161")
	busy(t, 4)
	vbs = append(vbs, `lcmsHostRowStatus."dead" i createAndGo`, `lcmsHostSnmpUri."dead" s snmp://10.0.2.99`)
	d.set(vbs...)
	m := watch(t, `
hosts:
- {networks: 10.0.2.12, user: lcms-monitor, auth: SHA-256, auth-file: FILE/phrase, privacy: AES, privacy-file: FILE/phrase}
- {networks: 10.0.2.0/24, community-file: FILE/`+forHosts+`}
load: {interval: 2s, timeout: 1s}
`, 1)
	m.shows("10.0.2.11:161", "real1", "no answer", "is the community right?")
	m.shows("10.0.2.12:161", "real2", "wrong authentication key of user lcms-monitor")
	m.shows("10.0.2.13:161", "real3", "answers with something else")
	m.shows("10.0.2.99:161", "dead", "no answer", "the host may be down")
	for n := 1; n <= 4; n++ {
		d.want(ofServer(real(n), "Health"), up)
	}
	answers(t, "real1", "real2", "real3", "real4")
	// The one that answers is asked all the same.
	eventually(t, func() error {
		if age := d.get(`lcmsHostReportAge."real4"`); age == "4294967295" {
			return fmt.Errorf("the load of real4 was never reported")
		}
		return nil
	})
	for _, name := range []string{"real1", "real2", "real3", "dead"} {
		if age := d.get(fmt.Sprintf("lcmsHostReportAge.%q", name)); age != "4294967295" {
			t.Errorf("the load of %s was reported %s s ago", name, age)
		}
	}
}
