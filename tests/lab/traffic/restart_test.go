//go:build lab

package traffic

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// TestSnmpdRestart kills snmpd under clients, who notice nothing; when it is
// back, so are the rows.
func TestSnmpdRestart(t *testing.T) {
	d := begin(t)
	set(t, d, append(service(web, "Scheduler s rr"), reals(web, "Weight u 300")...)...)
	rules := d.Rules()
	d.KillSnmpd()
	expectShares(t, webURL, shares{"real1": 2, "real2": 2, "real3": 2})
	d.StartSnmpd()
	d.WaitReady()
	for n := 1; n <= 3; n++ {
		if got := get(t, d, ofServer(web, real(n), "OperWeight")); got != "300" {
			t.Errorf("real%d has the weight %s", n, got)
		}
	}
	if got := get(t, d, "lcmsAgentReconnects.0"); got != "1" {
		t.Errorf("the agent has opened its session anew %s times", got)
	}
	holds(t, d, rules...)
	sameCounters(t, d, 6)
	destroy(t, d, web)
}

// TestSubagentKilled kills the subagent under a connection, which goes on; the
// kernel stays as it is, and the rows come back as they were.
func TestSubagentKilled(t *testing.T) {
	d := begin(t)
	set(t, d, append(service(web, "Scheduler s rr", "Name s shop"), reals(web, "Weight u 300")...)...)
	held := connect(t, "tcp", "10.0.1.100:80")
	name := held.name(t)
	rules, store := d.Rules(), d.SettledStore()
	columns := []string{ofService(web, "Name"), ofService(web, "Owner"), ofService(web, "StorageType"), ofService(web, "RowStatus"),
		ofServer(web, real(1), "Weight"), ofServer(web, real(2), "StorageType"), ofServer(web, real(3), "RowStatus"), "lcmsDirectorServers.0"}
	rows, err := d.Get(columns...)
	if err != nil {
		t.Fatal(err)
	}

	d.KillSubagent()
	holds(t, d, slices.Clone(rules)...)
	expectShares(t, webURL, shares{"real1": 2, "real2": 2, "real3": 2})
	d.StartSubagent()
	d.WaitReady()

	holds(t, d, slices.Clone(rules)...)
	if got := d.SettledStore(); !maps.Equal(got.Rows, store.Rows) {
		t.Errorf("the store was\n%v\nand is\n%v", store.Rows, got.Rows)
	}
	if got, err := d.Get(columns...); err != nil || !slices.Equal(got, rows) {
		t.Errorf("the rows were\n%v\nand are\n%v (%v)", rows, got, err)
	}
	if got := held.name(t); got != name {
		t.Errorf("the connection to %s goes on with %s", name, got)
	}
	sameCounters(t, d, 7)
	destroy(t, d, web)
}

// TestOtherNamespace manages director2 from director1, whose own kernel stays
// empty.
func TestOtherNamespace(t *testing.T) {
	const key, url = "tcp:10.0.1.200:80", "http://10.0.1.200:80"
	d := director.Start(t, director.Options{Kernel: director.Real, Netns: "/run/netns/director2"})
	varbinds := service(key, "Scheduler s rr")
	rules := []string{"-A -t 10.0.1.200:80 -s rr"}
	for n := 1; n <= 3; n++ {
		s := fmt.Sprintf("10.0.1.1%d:80", n)
		varbinds = append(varbinds, server(key, s, "Forwarding i directRoute")...)
		rules = append(rules, "-a -t 10.0.1.200:80 -r "+s+" -g -w 1")
	}
	set(t, d, varbinds...)
	holds(t, d, rules...)
	if own := run(t, "ipvsadm", "-S", "-n"); own != "" {
		t.Errorf("the kernel of the agent's own namespace holds %s", own)
	}
	expectShares(t, url, shares{"real1": 2, "real2": 2, "real3": 2})
	sameCounters(t, d, 6)
	destroy(t, d, key)
}
