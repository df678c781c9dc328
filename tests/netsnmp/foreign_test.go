//go:build lab

package netsnmp

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// startReal starts a director on the real kernel. Nobody but the subagent can
// reach the one in memory, so these tests are built for the lab only.
func startReal(t *testing.T) *director.Director {
	t.Helper()
	if director.Env(t) != director.Real {
		t.Fatal("nobody else can write to the in-memory kernel: `make lab-test` runs this on a real one")
	}
	return director.Start(t, director.Options{})
}

// ipvsadm changes the kernel behind the subagent's back.
func ipvsadm(t *testing.T, d *director.Director, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := d.Ipvsadm(strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignService shows a service of somebody else, leaves it alone, and
// adopts it when it is told to.
func TestForeignService(t *testing.T) {
	d := startReal(t)
	mustSet(t, d, `lcmsServiceRowStatus."tcp:192.0.2.1:80" i createAndGo`)
	ipvsadm(t, d,
		"-A -t 203.0.113.1:80 -s sh -p 60 -M 255.255.255.0",
		"-a -t 203.0.113.1:80 -r 10.0.0.11:80 -m -w 5 -x 20 -y 10",
		"-a -t 203.0.113.1:80 -r 10.0.0.12:80 -i -w 0 --tun-type gre --tun-csum")
	service := row{
		service: "tcp:203.0.113.1:80",
		want:    "Owner 2; StorageType 1; RowStatus 1; Scheduler sh; PersistenceTimeout 60; PersistenceNetmask 24; Servers 2; ServersUp 1; OperStatus 1",
	}
	server := row{
		service: "tcp:203.0.113.1:80", server: "10.0.0.11:80",
		want: "StorageType 1; RowStatus 1; Weight 5; OperWeight 5; UpperThreshold 20; LowerThreshold 10; OperStatus 1; WeightReason set by somebody else",
	}
	eventually(t, d, service, server,
		row{service: "tcp:203.0.113.1:80", server: "10.0.0.12:80", want: "Weight 0; OperStatus 4; Forwarding 3; TunnelType 3; TunnelFlags 80 0"},
		row{service: "tcp:192.0.2.1:80", want: "Owner 1"}, row{want: "Services 2; Servers 2"})

	before := capture(t, d)
	for _, vbs := range [][]string{
		{service.varbind("Scheduler s rr")},
		{service.varbind("Name s mine")},
		{service.varbind("StorageType i nonVolatile")},
		{service.varbind("RowStatus i notInService")},
		{service.varbind("RowStatus i destroy")},
		{server.varbind("Weight u 6")},
		{server.varbind("AdminStatus i drain")},
		{server.varbind("RowStatus i destroy")},
		{server.varbind("RowStatus i active")}, // without its service
		{`lcmsServerRowStatus."tcp:203.0.113.1:80"."10.0.0.13:80" i createAndGo`},
	} {
		mustRefuse(t, d, "somebody else", vbs...)
	}
	mustRefuse(t, d, "exists already", service.varbind("RowStatus i createAndGo"))
	before.sameFile(t, d)

	rules := d.Rules()
	mustSet(t, d, service.varbind("RowStatus i active"))
	service.want = "Owner 1; StorageType 3; RowStatus 1; Scheduler sh; PersistenceTimeout 60; Servers 2; OperStatus 1"
	server.want = "StorageType 3; RowStatus 1; Weight 5; UpperThreshold 20; OperStatus 1; WeightReason as configured"
	expect(t, d, service, server)
	expectRules(t, d, rules...)

	// It is ours now: it can be changed, and is kept.
	mustSet(t, d, server.varbind("Weight u 256"))
	d.KillSubagent()
	d.StartSubagent()
	d.WaitReady()
	server.want = "StorageType 3; RowStatus 1; Weight 256; OperWeight 256"
	expect(t, d, service, server)
	for i := range rules {
		rules[i] = strings.Replace(rules[i], "-w 5", "-w 256", 1)
	}
	expectRules(t, d, rules...)
	mustSet(t, d, service.varbind("RowStatus i destroy"))
	expectRules(t, d, "-A -t 192.0.2.1:80 -s wlc")
}

// TestAdoptAndChange adopts a service and changes it in the same SET.
func TestAdoptAndChange(t *testing.T) {
	d := startReal(t)
	ipvsadm(t, d, "-A -f 7 -s rr", "-a -f 7 -r 10.0.0.11:0 -g -w 5", "-a -f 7 -r 10.0.0.12:0 -g -w 6", "-A -f 8 -s rr", "-a -f 8 -r 10.0.0.11:0 -g -w 5")
	eventually(t, d, row{service: "fwm4:7", want: "Owner 2; Servers 2"}, row{service: "fwm4:8", want: "Owner 2; Servers 1"})
	mustSet(t, d,
		`lcmsServerWeight."fwm4:7"."10.0.0.11:0" u 300`, `lcmsServiceName."fwm4:7" s adopted`, `lcmsServiceRowStatus."fwm4:7" i active`,
		`lcmsServerRowStatus."fwm4:7"."10.0.0.12:0" i destroy`,
		`lcmsServiceStorageType."fwm4:8" i volatile`, `lcmsServiceRowStatus."fwm4:8" i active`,
		`lcmsServerStorageType."fwm4:8"."10.0.0.11:0" i volatile`, `lcmsServerRowStatus."fwm4:8"."10.0.0.11:0" i active`)
	expect(t, d,
		row{service: "fwm4:7", want: "Owner 1; Name adopted; StorageType 3; Servers 1"},
		row{service: "fwm4:7", server: "10.0.0.11:0", want: "StorageType 3; Weight 300; OperWeight 300; Forwarding 4"},
		row{service: "fwm4:8", want: "Owner 1; StorageType 2; Servers 1"},
		row{service: "fwm4:8", server: "10.0.0.11:0", want: "StorageType 2; Weight 5"})
	expectRules(t, d, "-A -f 7 -s rr", "-a -f 7 -r 10.0.0.11:0 -g -w 300", "-A -f 8 -s rr", "-a -f 8 -r 10.0.0.11:0 -g -w 5")
	stored := d.SettledStore().Rows
	if stored["servers/fwm4:7 10.0.0.11:0"] == "" || stored["services/fwm4:8"] != "" {
		t.Errorf("the store holds %q", lines(stored))
	}
}

// TestForeignDaemon shows a sync daemon of somebody else and adopts it.
func TestForeignDaemon(t *testing.T) {
	d := startReal(t)
	ipvsadm(t, d, "--start-daemon master --mcast-interface "+director.Interface+" --syncid 42")
	daemon := row{daemon: "master", want: "Interface " + director.Interface + "; SyncId 42; Port 8848; Ttl 1; GroupType 1; Group E0 00 00 51; StorageType 1; RowStatus 1"}
	eventually(t, d, daemon)
	mustRefuse(t, d, "somebody else", daemon.varbind("SyncId u 43"))
	mustRefuse(t, d, "somebody else", daemon.varbind("RowStatus i destroy"))
	mustSet(t, d, daemon.varbind("RowStatus i active"))
	eventually(t, d, row{daemon: "master", want: "SyncId 42; StorageType 3; RowStatus 1"})
	mustSet(t, d, daemon.varbind("SyncId u 43"))
	if out, err := d.Ipvsadm("-L", "--daemon"); err != nil || !strings.Contains(out, "syncid=43") {
		t.Errorf("ipvsadm -L --daemon: %v: %s", err, out)
	}
	mustSet(t, d, daemon.varbind("RowStatus i destroy"))
	if out, err := d.Ipvsadm("-L", "--daemon"); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("ipvsadm -L --daemon: %v: %s", err, out)
	}
}

// TestDrift changes what is ours behind the subagent's back: it is mended.
// What is not ours stays as it is.
func TestDrift(t *testing.T) {
	d := startReal(t)
	tc := creations[0]
	mustSet(t, d, varbinds(tc.rows)...)
	expectRules(t, d, tc.rules...)
	foreign := []string{"-A -t 203.0.113.1:80 -s rr", "-a -t 203.0.113.1:80 -r 10.0.0.11:80 -m -w 5"}
	ipvsadm(t, d, foreign...)
	ipvsadm(t, d,
		"-E -t 192.0.2.1:80 -s rr -p 60",
		"-e -t 192.0.2.1:80 -r 10.0.0.11:8080 -m -w 99",
		"-d -t 192.0.2.1:80 -r 10.0.0.12:8080")
	awaitRules(t, d, append(foreign, tc.rules...))
	ipvsadm(t, d, "-C")
	awaitRules(t, d, tc.rules)
}

func awaitRules(t *testing.T, d *director.Director, want []string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	err := director.Poll(d.Limit(), func() error {
		if got := d.Rules(); !slices.Equal(got, want) {
			return errors.New("the kernel differs:\n" + diff(want, got))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
