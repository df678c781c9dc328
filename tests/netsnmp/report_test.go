package netsnmp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// TestReportsOfAMonitor has a monitor report of as many servers in one SET as
// snmpset takes (SNMP_MAX_CMDLINE_OIDS of net-snmp is 128): the
// weights are in the kernel when it is answered, and it is no configuration.
func TestReportsOfAMonitor(t *testing.T) {
	d := director.Start(t, director.Options{})
	const servers = 120
	key := func(n int) string { return fmt.Sprintf("10.9.%d.%d:80", n/250, n%250+1) }
	object := func(column string, n int) string {
		return fmt.Sprintf(`lcmsServer%s."tcp:192.0.2.1:80"."%s"`, column, key(n))
	}
	mustSet(t, d, `lcmsServiceRowStatus."tcp:192.0.2.1:80" i createAndGo`, `lcmsServiceCheckType."tcp:192.0.2.1:80" i tcp`,
		`lcmsServiceWeightPolicy."tcp:192.0.2.1:80" i capacity`)
	for n := 0; n < servers; n += 60 {
		var vbs []string
		for i := n; i < n+60; i++ {
			vbs = append(vbs, object("RowStatus", i)+" i createAndGo", object("Weight", i)+" u 100")
		}
		mustSet(t, d, vbs...)
	}
	generation, requests := value(t, d, "lcmsDirectorConfigGeneration.0"), lastRequest(t, d)
	report := func(down ...int) (vbs []string) {
		for n := range servers {
			health := "up"
			for _, dead := range down {
				if n == dead {
					health = "down"
				}
			}
			vbs = append(vbs, object("Health", n)+" i "+health)
		}
		return vbs
	}
	began := time.Now()
	mustSet(t, d, report(3, 119)...)
	t.Logf("a SET of %d reports took %s", servers, time.Since(began).Round(time.Millisecond))
	mustSet(t, d, object("HealthDetail", 3)+" s tcp connect refused", object("AdvisedWeight", 4)+" u 40")
	for object, want := range map[string]string{
		object("OperWeight", 2): "100", object("OperWeight", 3): "0", object("OperWeight", 4): "40", object("OperWeight", 119): "0",
		object("OperStatus", 3): "2", object("Health", 3): "3", object("Health", 2): "2",
		object("WeightReason", 4):                     "advised 40 by the monitor (capacity)",
		object("WeightReason", 3):                     "health down: tcp connect refused",
		`lcmsServiceServersUp."tcp:192.0.2.1:80"`:     fmt.Sprint(servers - 2),
		`lcmsServiceQuorumState."tcp:192.0.2.1:80"`:   "1",
		"lcmsDirectorConfigGeneration.0":              generation,
		"lcmsDriftCount.0":                            "0",
		`lcmsServiceWeightPolicy."tcp:192.0.2.1:80"`:  "2",
		`lcmsServiceCheckInterval."tcp:192.0.2.1:80"`: "5000",
	} {
		if got := value(t, d, object); strings.Trim(got, "'") != want {
			t.Errorf("%s is %q, want %q", object, got, want)
		}
	}
	if now := lastRequest(t, d); now != requests {
		t.Errorf("reports are in the record of changes: %d entries after %d", now, requests)
	}
	mustSet(t, d, report()...)
	if got := value(t, d, object("OperWeight", 3)); got != "100" {
		t.Errorf("after recovery the weight is %s", got)
	}
}

// TestSorryServer loses the quorum and has it met again, by reports and by the
// administrator.
func TestSorryServer(t *testing.T) {
	d := director.Start(t, director.Options{})
	const service, sorry = "tcp:192.0.2.1:80", "10.0.0.99:80"
	column := func(name, server string) string { return fmt.Sprintf(`lcmsServer%s."%s"."%s"`, name, service, server) }
	mustRefuse(t, d, "create it first", `lcmsServiceRowStatus."`+service+`" i createAndGo`, `lcmsServiceSorryServer."`+service+`" s `+sorry)
	mustSet(t, d, `lcmsServiceRowStatus."`+service+`" i createAndGo`, `lcmsServiceSorryServer."`+service+`" s `+sorry,
		column("RowStatus", sorry)+" i createAndGo", column("RowStatus", "10.0.0.11:80")+" i createAndGo", column("RowStatus", "10.0.0.12:80")+" i createAndGo")
	is := func(quorum, status, first, second, last string) {
		t.Helper()
		for object, want := range map[string]string{
			`lcmsServiceQuorumState."` + service + `"`: quorum, `lcmsServiceOperStatus."` + service + `"`: status,
			column("OperWeight", "10.0.0.11:80"): first, column("OperWeight", "10.0.0.12:80"): second, column("OperWeight", sorry): last,
		} {
			if got := value(t, d, object); got != want {
				t.Errorf("%s is %s, want %s", object, got, want)
			}
		}
	}
	is("1", "1", "1", "1", "0")
	mustSet(t, d, column("Health", "10.0.0.11:80")+" i down", column("AdminStatus", "10.0.0.12:80")+" i drain")
	is("2", "2", "0", "0", "1")
	mustSet(t, d, column("Health", "10.0.0.11:80")+" i up")
	is("1", "1", "1", "0", "0")
	mustSet(t, d, `lcmsServiceSorryServer."`+service+`" s `)
	is("1", "1", "1", "0", "1")
}

// value returns the value of one object.
func value(t *testing.T, d *director.Director, object string) string {
	t.Helper()
	v, err := d.Get(object)
	if err != nil {
		t.Fatal(err)
	}
	return v[0].Value
}
