package poller

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/config"
	"github.com/lcms-project/lcms/internal/poller/director"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/snmp/snmptest"
	"github.com/lcms-project/lcms/internal/poller/status"
)

// TestEveryTypeOfCheck has a server checked by each type that there is, twice and
// after a change.
func TestEveryTypeOfCheck(t *testing.T) {
	agent := snmptest.Start(t, "127.0.0.1", snmp.Varbind{Name: snmp.MustOID("1.3.6.1.2.1.1.3.0"), Value: snmp.Value{Type: snmp.TypeTimeTicks, Num: 5267}})
	folder := filepath.Join(t.TempDir(), "scripts")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "good"), []byte("#!/bin/sh\necho said $3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	// The targets of those that need one; any other is checked without.
	targets := map[lvs.CheckType]string{
		lvs.CheckDNS: "example.org", lvs.CheckSNMP: fmt.Sprintf("1.3.6.1.2.1.1.3.0 port=%d", agent.Address.Port()), lvs.CheckScript: "good once",
	}
	changed := map[lvs.CheckType]string{
		lvs.CheckDNS: "example.net", lvs.CheckSNMP: targets[lvs.CheckSNMP] + " is=5267", lvs.CheckScript: "good twice",
	}
	p := newPoller(t, func(c *config.Config) {
		c.Checks.Scripts = folder
		c.Hosts = []config.Hosts{{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Port: 9, Credentials: &snmp.Credentials{Community: "public"}}}
	})
	t.Cleanup(p.toHosts.Close)
	run(t, p)

	v := &director.View{Services: make(map[lvs.ServiceKey]*director.Service)}
	server, err := lvs.ParseServerKey("127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	for kind := lvs.CheckNone + 1; !strings.HasPrefix(kind.String(), "value"); kind++ {
		key, err := lvs.ParseServiceKey(fmt.Sprintf("udp:192.0.2.1:%d", kind))
		if err != nil {
			t.Fatal(err)
		}
		v.Services[key] = &director.Service{
			Key:     key,
			Check:   lvs.HealthCheck{CheckType: kind, CheckTarget: targets[kind], CheckInterval: 100, CheckTimeout: 100, CheckRise: 1, CheckFall: 1},
			Policy:  lvs.WeightStatic,
			Servers: []*director.Server{{ID: lvs.ServerID{Service: key, Server: server}, Weight: 1}},
		}
	}
	// Each server has been checked anew since the plan that it had before.
	checked := func(what string) {
		t.Helper()
		p.viewed(0, v)
		first := make(map[string]status.Server)
		eventually(t, p, what, func(s status.Status) bool {
			twice := 0
			for _, r := range s.Servers {
				if strings.Contains(r.Detail, "cannot be checked") {
					t.Fatalf("%s: %s: give it a target in this test", r.Check, r.Detail)
				}
				one, seen := first[r.Check]
				if !seen && !r.Checked.IsZero() {
					first[r.Check] = r
				}
				if seen && r.Checked.After(one.Checked) {
					twice++
				}
			}
			return twice == len(v.Services)
		})
	}
	checked("all are checked twice")
	for _, s := range v.Services {
		s.Check.CheckInterval, s.Check.CheckTimeout = 1000, 1000 // leaves a busy machine the time to answer
		if c := changed[s.Check.CheckType]; c != "" {
			s.Check.CheckTarget = c
		}
	}
	checked("all are checked twice when their checks have changed")
	eventually(t, p, "snmp and script are up", func(s status.Status) bool {
		found := make(map[string]string)
		for _, r := range s.Servers {
			found[r.Check] = r.Health + ": " + r.Detail
		}
		return found["snmp"] == "up: value 5267" && found["script"] == "up: said twice"
	})
}
