package netsnmp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

const (
	web     = `"tcp:192.0.2.1:80"` // has two servers
	every   = `"tcp:192.0.2.1:0"`  // takes every port, with persistence
	names   = `"udp:192.0.2.1:53"` // is volatile
	first   = web + `."10.0.0.11:80"`
	second  = web + `."10.0.0.12:80"`
	newcome = web + `."10.0.0.13:80"`
)

// cluster is what the refused SETs are aimed at.
var cluster = []string{
	`lcmsServiceRowStatus.` + web + ` i createAndGo`,
	`lcmsServerRowStatus.` + first + ` i createAndGo`, `lcmsServerWeight.` + first + ` u 11`,
	`lcmsServerUpperThreshold.` + first + ` u 100`, `lcmsServerLowerThreshold.` + first + ` u 50`,
	`lcmsServerRowStatus.` + second + ` i createAndGo`, `lcmsServerForwarding.` + second + ` i directRoute`,
	`lcmsServiceRowStatus.` + every + ` i createAndGo`, `lcmsServicePersistenceTimeout.` + every + ` u 300`,
	`lcmsServiceRowStatus.` + names + ` i createAndGo`, `lcmsServiceStorageType.` + names + ` i volatile`,
	`lcmsSyncDaemonRowStatus.master i createAndGo`, `lcmsSyncDaemonInterface.master s ` + director.Interface,
}

// fault is a bad SET. The last varbind is the one that is at fault.
type fault struct {
	set    []string
	status string
	words  string // a part of lcmsRequestReason
}

// one is a fault of a single varbind.
func one(status, words, varbind string) fault { return fault{[]string{varbind}, status, words} }

var faults = map[string][]fault{
	"reports": {
		one("inconsistentName", "createAndGo", `lcmsServerHealth.`+web+`."10.1.1.1:80" i up`),
		one("wrongValue", "unknown(1)", `lcmsServerHealth.`+first+` i 4`),
		one("wrongValue", "0 to 65535", `lcmsServerAdvisedWeight.`+first+` u 65536`),
		one("notWritable", "read-only", `lcmsServerHealthAge.`+first+` u 1`),
	},
	"wrong type": {
		one("wrongType", "is of type", `lcmsServerWeight.`+first+` i 5`),
		one("wrongType", "is of type", `lcmsServerWeight.`+first+` s 5`),
		one("wrongType", "is of type", `lcmsServerWeight.`+first+` t 5`),
		one("wrongType", "is of type", `lcmsServerWeight.`+first+` a 10.0.0.1`),
		one("wrongType", "is of type", `lcmsServerWeight.`+first+` o 1.3.6.1`),
		one("wrongType", "is of type", `lcmsServiceName.`+web+` i 5`),
		one("wrongType", "is of type", `lcmsServiceScheduler.`+web+` u 5`),
		one("wrongType", "is of type", `lcmsServiceSchedulerFlags.`+web+` i 1`),
		one("wrongType", "is of type", `lcmsServiceOnePacket.`+web+` u 1`),
		one("wrongType", "is of type", `lcmsServiceRowStatus.`+web+` u 1`),
		one("wrongType", "is of type", `lcmsServerAdminStatus.`+first+` s up`),
		one("wrongType", "is of type", `lcmsServiceStorageType.`+web+` u 3`),
		one("wrongType", "is of type", `lcmsDirectorTcpTimeout.0 i 900`),
		one("wrongType", "is of type", `lcmsDirectorConfigLock.0 u 1`),
		one("wrongType", "is of type", `lcmsSyncDaemonGroup.master a 224.0.0.1`),
	},
	"wrong length": {
		one("wrongLength", "0 octets", `lcmsServiceScheduler.`+web+` s `),
		one("wrongLength", "16 octets", `lcmsServiceScheduler.`+web+` s abcdefghijklmnop`),
		one("wrongLength", "65 octets", `lcmsServiceName.`+web+` s `+strings.Repeat("n", 65)),
		one("wrongLength", "16 octets", `lcmsServicePersistenceEngine.`+web+` s abcdefghijklmnop`),
		one("wrongLength", "0 octets", `lcmsSyncDaemonInterface.master s `),
		one("wrongLength", "16 octets", `lcmsSyncDaemonInterface.master s abcdefghijklmnop`),
		one("wrongLength", "5 octets", `lcmsSyncDaemonGroup.master x E000000101`),
	},
	"out of range": {
		one("wrongValue", "use 0 to 65535", `lcmsServerWeight.`+first+` u 65536`),
		one("wrongValue", "use 0 to 65535", `lcmsServerWeight.`+first+` u 4294967295`),
		one("wrongValue", "use 0 to 65535", `lcmsServerTunnelPort.`+first+` u 65536`),
		one("wrongValue", "use 0 to 2147483", `lcmsServicePersistenceTimeout.`+every+` u 2147484`),
		one("wrongValue", "use 0 to 128", `lcmsServicePersistenceNetmask.`+every+` u 129`),
		one("wrongValue", "use 1 to 32", `lcmsServicePersistenceNetmask.`+every+` u 33`),
		one("wrongValue", "use 1 to 2147483", `lcmsDirectorTcpTimeout.0 u 0`),
		one("wrongValue", "use 1 to 2147483", `lcmsDirectorTcpFinTimeout.0 u 2147484`),
		one("wrongValue", "use 1 to 2147483", `lcmsDirectorUdpTimeout.0 u 4294967295`),
		one("wrongValue", "use 0 to 2147483647", `lcmsDirectorConfigLock.0 i -1`),
		one("wrongValue", "use 0 to 255", `lcmsSyncDaemonSyncId.master u 256`),
		one("wrongValue", "use 0 to 255", `lcmsSyncDaemonTtl.master u 256`),
		one("wrongValue", "use 0 to 65535", `lcmsSyncDaemonMaxLength.master u 65536`),
		one("wrongValue", "use 0 to 65535", `lcmsSyncDaemonPort.master u 65536`),
	},
	"no such value": {
		one("wrongValue", "use masquerade(1)", `lcmsServerForwarding.`+first+` i 0`),
		one("wrongValue", "use masquerade(1)", `lcmsServerForwarding.`+first+` i bypass`),
		one("wrongValue", "use masquerade(1)", `lcmsServerForwarding.`+first+` i 6`),
		one("wrongValue", "use ipip(1)", `lcmsServerTunnelType.`+first+` i 0`),
		one("wrongValue", "use ipip(1)", `lcmsServerTunnelType.`+first+` i 4`),
		one("wrongValue", "use up(1)", `lcmsServerAdminStatus.`+first+` i 0`),
		one("wrongValue", "use up(1)", `lcmsServiceAdminStatus.`+web+` i 4`),
		one("wrongValue", "use up(1)", `lcmsServiceAdminStatus.`+web+` i -2147483648`),
		one("wrongValue", "true(1)", `lcmsServiceOnePacket.`+web+` i 3`),
		one("wrongValue", "bit 3", `lcmsServiceSchedulerFlags.`+web+` x 10`),
		one("wrongValue", "bit 8", `lcmsServiceSchedulerFlags.`+web+` x 0080`),
		one("wrongValue", "bit 2", `lcmsServerTunnelFlags.`+first+` x 20`),
		one("wrongValue", "cannot be asked for", `lcmsServiceStorageType.`+web+` i other`),
		one("wrongValue", "cannot be asked for", `lcmsServerStorageType.`+first+` i permanent`),
		one("wrongValue", "cannot be asked for", `lcmsSyncDaemonStorageType.master i readOnly`),
		one("wrongValue", "6: use volatile(2) or nonVolatile(3)", `lcmsServiceStorageType.`+web+` i 6`),
		one("wrongValue", "use active(1)", `lcmsServiceRowStatus.`+web+` i 0`),
		one("wrongValue", "cannot be set", `lcmsServiceRowStatus.`+web+` i notReady`),
		one("wrongValue", "use active(1)", `lcmsServerRowStatus.`+first+` i 7`),
		one("wrongValue", "use active(1)", `lcmsServerRowStatus.`+first+` i -1`),
		one("wrongValue", "unknown(0)", `lcmsSyncDaemonGroupType.master i 16`),
		one("wrongValue", "UTF-8", `lcmsServiceName.`+web+` x FF`),
		one("wrongValue", "control", `lcmsServiceName.`+web+` x 410A42`),
		one("wrongValue", "no scheduler", `lcmsServiceScheduler.`+web+` s nope`),
		one("wrongValue", "no scheduler", `lcmsServiceScheduler.`+web+` s WLC`),
		one("wrongValue", "no module name", `lcmsServiceScheduler.`+web+` s ../wlc`),
		{[]string{`lcmsServicePersistenceTimeout.` + web + ` u 60`, `lcmsServicePersistenceEngine.` + web + ` s nope`}, "wrongValue", "no persistence engine"},
	},
	"against each other": {
		one("inconsistentValue", "lower threshold", `lcmsServerLowerThreshold.`+first+` u 101`),
		one("inconsistentValue", "lower threshold", `lcmsServerUpperThreshold.`+first+` u 49`),
		one("inconsistentValue", "lower threshold", `lcmsServerLowerThreshold.`+second+` u 1`),
		{[]string{`lcmsServerUpperThreshold.` + second + ` u 5`, `lcmsServerLowerThreshold.` + second + ` u 6`}, "inconsistentValue", "lower threshold"},
		one("inconsistentValue", "persistence timeout or name a port", `lcmsServiceRowStatus."tcp:192.0.2.2:0" i createAndGo`),
		one("inconsistentValue", "persistence timeout or name a port", `lcmsServicePersistenceTimeout.`+every+` u 0`),
		one("inconsistentValue", "UDP port", `lcmsServerTunnelType.`+first+` i gue`),
		{[]string{`lcmsServerTunnelType.` + newcome + ` i gue`, `lcmsServerForwarding.` + newcome + ` i tunnel`, `lcmsServerRowStatus.` + newcome + ` i createAndGo`}, "inconsistentValue", "UDP port"},
		one("inconsistentValue", "needs a persistence timeout", `lcmsServicePersistenceEngine.`+web+` s sip`),
		one("inconsistentValue", "one-packet", `lcmsServiceOnePacket.`+web+` i true`),
		{[]string{`lcmsServerRowStatus.` + web + `."10.0.0.13:81" i createAndGo`, `lcmsServerForwarding.` + web + `."10.0.0.13:81" i directRoute`}, "inconsistentValue", "leaves the port"},
		one("inconsistentValue", "tunnel only", `lcmsServerRowStatus.`+web+`."[2001:db8::13]:80" i createAndGo`),
		one("inconsistentValue", "stands for any address", `lcmsServerRowStatus.`+web+`."0.0.0.0:80" i createAndGo`),
		one("inconsistentValue", "is a multicast address", `lcmsServerRowStatus.`+web+`."224.0.0.1:80" i createAndGo`),
		one("inconsistentValue", "exists already", `lcmsServiceRowStatus.`+web+` i createAndGo`),
		one("inconsistentValue", "exists already", `lcmsServerRowStatus.`+first+` i createAndWait`),
		one("inconsistentValue", "no such row", `lcmsServiceRowStatus."tcp:192.0.2.2:80" i active`),
		one("inconsistentValue", "outlive its service", `lcmsServerRowStatus.`+names+`."10.0.0.11:53" i createAndGo`),
		one("inconsistentValue", "do not fit", `lcmsSyncDaemonGroup.master x E0000001`),
		{[]string{`lcmsSyncDaemonGroupType.master i ipv4`, `lcmsSyncDaemonGroup.master x 0A000001`}, "inconsistentValue", "no multicast group"},
		{[]string{`lcmsServerRowStatus.` + first + ` i destroy`, `lcmsServerWeight.` + first + ` u 5`}, "inconsistentValue", "destroys the row and writes to it"},
	},
	"no such row": {
		one("inconsistentName", "create it", `lcmsServerRowStatus."tcp:192.0.2.2:80"."10.0.0.11:80" i createAndGo`),
		one("inconsistentName", "create it", `lcmsServiceName."tcp:192.0.2.2:80" s new`),
		one("inconsistentName", "create it", `lcmsServerWeight.`+newcome+` u 5`),
		one("inconsistentName", "create it", `lcmsSyncDaemonSyncId.backup u 5`),
	},
	"key of a service": {
		one("noCreation", "service key", `lcmsServiceRowStatus."tcp:192.0.02.1:80" i createAndGo`),
		one("noCreation", `write "tcp:192.0.2.1:80"`, `lcmsServiceRowStatus."tcp:192.0.2.1:080" i createAndGo`),
		one("noCreation", `write "tcp:192.0.2.1:80"`, `lcmsServiceRowStatus."TCP:192.0.2.1:80" i createAndGo`),
		one("noCreation", `write "tcp:[2001:db8::1]:80"`, `lcmsServiceRowStatus."tcp:[2001:DB8::1]:80" i createAndGo`),
		one("noCreation", `write "tcp:[2001:db8::1]:80"`, `lcmsServiceRowStatus."tcp:[2001:db8:0:0::1]:80" i createAndGo`),
		one("noCreation", `write 192.0.2.1`, `lcmsServiceRowStatus."tcp:[::ffff:192.0.2.1]:80" i createAndGo`),
		one("noCreation", "zone", `lcmsServiceRowStatus."tcp:[fe80::1%eth0]:80" i createAndGo`),
		one("noCreation", "service key", `lcmsServiceRowStatus."tcp:192.0.2.1" i createAndGo`),
		one("noCreation", "service key", `lcmsServiceRowStatus."tcp:192.0.2.1:65536" i createAndGo`),
		one("noCreation", "service key", `lcmsServiceRowStatus."tcp:2001:db8::1:80" i createAndGo`),
		one("noCreation", "no kind of service", `lcmsServiceRowStatus."icmp:192.0.2.1:80" i createAndGo`),
		one("noCreation", "mark 0", `lcmsServiceRowStatus."fwm4:0" i createAndGo`),
		one("noCreation", `write "fwm4:7"`, `lcmsServiceRowStatus."fwm4:07" i createAndGo`),
		one("noCreation", "firewall mark", `lcmsServiceRowStatus."fwm4:4294967296" i createAndGo`),
		one("noCreation", "firewall mark", `lcmsServiceRowStatus."fwm4:192.0.2.1:80" i createAndGo`),
		one("noCreation", "no kind of service", `lcmsServiceRowStatus."fwm5:7" i createAndGo`),
		one("noCreation", "service key", `lcmsServiceName."TCP:192.0.2.9:80" s x`),
		one("noCreation", "service key", `.1.3.6.1.4.1.8072.9999.9999.5267.1.4.1.1.36 i 4`),
		one("noCreation", "service key", `.1.3.6.1.4.1.8072.9999.9999.5267.1.4.1.1.36.3.97 i 4`),
		one("noCreation", "service key", `.1.3.6.1.4.1.8072.9999.9999.5267.1.4.1.1.36.1.256 i 4`),
		one("noCreation", "goes on", `.1.3.6.1.4.1.8072.9999.9999.5267.1.4.1.1.36.6.102.119.109.52.58.55.0 i 4`),
	},
	"key of a server": {
		one("noCreation", "server key", `lcmsServerRowStatus.`+web+`."10.0.0.013:80" i createAndGo`),
		one("noCreation", `write "10.0.0.13:80"`, `lcmsServerRowStatus.`+web+`."10.0.0.13:080" i createAndGo`),
		one("noCreation", `write "[2001:db8::d]:80"`, `lcmsServerRowStatus.`+web+`."[2001:db8::D]:80" i createAndGo`),
		one("noCreation", "write 10.0.0.13", `lcmsServerRowStatus.`+web+`."[::ffff:10.0.0.13]:80" i createAndGo`),
		one("noCreation", "zone", `lcmsServerRowStatus.`+web+`."[fe80::1%2]:80" i createAndGo`),
		one("noCreation", "server key", `lcmsServerRowStatus.`+web+`."10.0.0.13" i createAndGo`),
		one("noCreation", "service key", `lcmsServerRowStatus."tcp:192.0.2.1:080"."10.0.0.13:80" i createAndGo`),
		one("noCreation", "server key", `.1.3.6.1.4.1.8072.9999.9999.5267.1.5.1.1.27.6.102.119.109.52.58.55 i 4`),
		one("noCreation", "server key", `.1.3.6.1.4.1.8072.9999.9999.5267.1.5.1.1.27.6.102.119.109.52.58.55.2.49 i 4`),
	},
	"other indexes": {
		one("noCreation", "master(1) or backup(2)", `.1.3.6.1.4.1.8072.9999.9999.5267.1.6.1.1.10.3 i 4`),
		one("noCreation", "master(1) or backup(2)", `.1.3.6.1.4.1.8072.9999.9999.5267.1.6.1.1.10.1.1 i 4`),
		one("noCreation", "no such instance", `.1.3.6.1.4.1.8072.9999.9999.5267.1.1.8.1 u 900`),
		one("noCreation", "no such instance", `.1.3.6.1.4.1.8072.9999.9999.5267.1.1.8 u 900`),
	},
	"read-only": {
		one("notWritable", "read-only", `lcmsDirectorVersion.0 s x`),
		one("notWritable", "read-only", `lcmsDirectorConfigGeneration.0 u 1`),
		one("notWritable", "read-only", `lcmsServicePort.`+web+` u 80`),
		one("notWritable", "read-only", `lcmsServiceProtocol.`+web+` i tcp`),
		one("notWritable", "read-only", `lcmsServiceOperStatus.`+web+` i up`),
		one("notWritable", "read-only", `lcmsServiceStatsConnections.`+web+` u 0`),
		one("notWritable", "read-only", `lcmsServerAddress.`+first+` x 0A000001`),
		one("notWritable", "read-only", `lcmsServerOperWeight.`+first+` u 1`),
		one("notWritable", "read-only", `lcmsServerOperWeight.`+newcome+` u 1`),
		one("notWritable", "read-only", `lcmsServerStatsInBytes.`+first+` u 0`),
		one("notWritable", "read-only", `lcmsRequestReason.1 s x`),
		one("notWritable", "read-only", `lcmsAgentRequests.0 u 0`),
		one("notWritable", "no column", `.1.3.6.1.4.1.8072.9999.9999.5267.1.4.1.1.1.6.102.119.109.52.58.55 s fwm4:7`),
		one("notWritable", "no column", `.1.3.6.1.4.1.8072.9999.9999.5267.1.4.1.1.37.6.102.119.109.52.58.55 s x`),
		one("notWritable", "no object", `.1.3.6.1.4.1.8072.9999.9999.5267.0.1 i 1`),
		one("notWritable", "no object", `.1.3.6.1.4.1.8072.9999.9999.5267 i 1`),
	},
	"twice": {
		{[]string{`lcmsServerWeight.` + first + ` u 1`, `lcmsServerWeight.` + first + ` u 2`}, "inconsistentValue", "twice (varbinds 2 and 3)"},
		{[]string{`lcmsServerWeight.` + first + ` u 1`, `lcmsServiceScheduler.` + web + ` s rr`, `lcmsServerWeight.` + first + ` u 1`}, "inconsistentValue", "twice (varbinds 2 and 4)"},
		{[]string{`lcmsServiceRowStatus."fwm4:7" i createAndGo`, `lcmsServiceRowStatus."fwm4:7" i createAndGo`}, "inconsistentValue", "twice"},
		{[]string{`lcmsServerRowStatus.` + first + ` i notInService`, `lcmsServerRowStatus.` + first + ` i active`}, "inconsistentValue", "twice"},
		{[]string{`lcmsDirectorUdpTimeout.0 u 60`, `lcmsDirectorUdpTimeout.0 u 60`}, "inconsistentValue", "twice"},
		{[]string{`lcmsSyncDaemonTtl.master u 6`, `lcmsSyncDaemonTtl.master u 7`}, "inconsistentValue", "twice"},
	},
}

// TestRefuse sends each bad varbind between good ones.
func TestRefuse(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	// The guest of the real kernel is slow: there it is looked at in the end.
	closely := d.Kernel() == director.Memory
	before := capture(t, d)
	for name, group := range faults {
		t.Run(name, func(t *testing.T) {
			at := lastRequest(t, d)
			for _, f := range group {
				vbs := append([]string{`lcmsServiceName.` + every + ` s changed`}, f.set...)
				vbs = append(vbs, `lcmsServiceRowStatus."fwm6:9" i createAndGo`)
				_, err := d.Set(vbs...)
				var refusal *director.Refusal
				if !errors.As(err, &refusal) {
					t.Errorf("%q: %v, want %s", f.set, err, f.status)
					at = lastRequest(t, d)
					continue
				}
				if refusal.Status != f.status || !sameObject(refusal.Object, objectOf(f.set[len(f.set)-1])) {
					t.Errorf("%q: %s of %s, want %s of the last", f.set, refusal.Status, refusal.Object, f.status)
				}
				at++
				if closely {
					explained(t, d, at, refusal, f.words)
					before.sameFile(t, d)
				}
			}
		})
	}
	before.sameFile(t, d)
}

// TestRefuseHuge sends a value that only just fits into a message. What
// lcmsRequestTable says of it must fit into one with all else, or no walk comes past
// it.
func TestRefuseHuge(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	before := capture(t, d)
	const name = ".1.3.6.1.4.1.8072.9999.9999.5267.1.4.1.1.2.6.102.119.109.52.58.55" // of fwm4:7
	for octet, says := range map[string]string{"61": "a", "ff": "ff "} {
		at := lastRequest(t, d)
		_, err := d.Set(name + ` x ` + strings.Repeat(octet, 60_000))
		var refusal *director.Refusal
		if !errors.As(err, &refusal) || refusal.Status != "wrongLength" {
			t.Fatalf("%v, want wrongLength", err)
		}
		got, err := d.Get(fmt.Sprintf("lcmsRequestNewValue.%d", at+1), fmt.Sprintf("lcmsRequestReason.%d", at+1))
		if err != nil {
			t.Fatal(err)
		}
		if v := got[0].Value; !strings.HasPrefix(v, strings.Repeat(says, 40)) || !strings.HasSuffix(v, "...") || len(v) > 255 {
			t.Errorf("lcmsRequestNewValue has %d octets: %s", len(v), v)
		}
		if !strings.Contains(got[1].Value, "60000 octets: use 0 to 64") {
			t.Errorf("lcmsRequestReason says %s", got[1].Value)
		}
	}
	walk(t, d, "lcmsRequestTable", "-Cr50")
	before.sameFile(t, d)
}

// sameObject compares an object as it was printed with one as it was given:
// what is no instance of LCMS-MIB comes back in some other spelling.
func sameObject(printed, given string) bool {
	return printed == given || strings.HasPrefix(given, ".")
}

// lastRequest returns the highest index of lcmsRequestTable, 0 if it is empty.
func lastRequest(t *testing.T, d *director.Director) int {
	t.Helper()
	vbs, err := d.BulkWalk("lcmsRequestOutcome")
	if err != nil {
		t.Fatal(err)
	}
	last := vbs[len(vbs)-1]
	if last.Type != "INTEGER" {
		return 0
	}
	at, err := strconv.Atoi(last.Name[strings.LastIndexByte(last.Name, '.')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// explained fails unless a row of lcmsRequestTable tells of a refusal.
func explained(t *testing.T, d *director.Director, at int, refusal *director.Refusal, words string) {
	t.Helper()
	row := func(column string) string { return fmt.Sprintf("lcmsRequest%s.%d", column, at) }
	got, err := d.Get(row("Outcome"), row("Source"), row("Object"), row("Reason"))
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Value != "2" || got[1].Value != "1" || got[2].Value != refusal.Object || !strings.HasPrefix(got[3].Value, refusal.Status+": ") || !strings.Contains(got[3].Value, words) {
		t.Errorf("of %s, lcmsRequestTable says %v, want refused(2) by snmp(1) with %q", refusal.Object, got, words)
	}
}

// mustRefuse sends a SET that has to be refused as inconsistentValue.
func mustRefuse(t *testing.T, d *director.Director, words string, varbinds ...string) {
	t.Helper()
	_, err := d.Set(varbinds...)
	var refusal *director.Refusal
	if !errors.As(err, &refusal) || refusal.Status != "inconsistentValue" {
		t.Errorf("%q: %v, want inconsistentValue", varbinds, err)
		return
	}
	explained(t, d, lastRequest(t, d), refusal, words)
}
