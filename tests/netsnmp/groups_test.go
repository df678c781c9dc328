package netsnmp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// shop is a whole cluster in one SET, what is named after what names it.
var shop = []string{
	`lcmsServerHost.` + first + ` s rs1`, `lcmsServerRowStatus.` + first + ` i createAndGo`,
	`lcmsServerHost.` + second + ` s rs2`, `lcmsServerRowStatus.` + second + ` i createAndGo`,
	`lcmsServiceCluster.` + web + ` s shop`, `lcmsServiceRowStatus.` + web + ` i createAndGo`,
	`lcmsMemberRowStatus."shop"."rs1" i createAndGo`,
	`lcmsMemberRowStatus."shop"."rs2" i createAndGo`, `lcmsMemberPriority."shop"."rs2" u 50`,
	`lcmsMemberRowStatus."shop"."lb9" i createAndGo`, `lcmsMemberRole."shop"."lb9" i loadBalancer`,
	`lcmsHostRowStatus."rs1" i createAndGo`, `lcmsHostAddressType."rs1" i ipv4`, `lcmsHostAddress."rs1" x C000020B`,
	`lcmsHostRowStatus."rs2" i createAndGo`, `lcmsHostSnmpUri."rs2" s snmp://192.0.2.12`, `lcmsHostRolePotential."rs2" b 2`,
	`lcmsHostRowStatus."lb9" i createAndGo`, `lcmsHostMemorySize."lb9" u 2048`,
	`lcmsClusterRowStatus."shop" i createAndGo`, `lcmsClusterVirtualAddresses."shop" s ` + vips, `lcmsClusterDriftPolicy."shop" i alert`,
}

const vips = "192.0.2.1"

// shown is what is read of shop.
var shown = map[string]string{
	`lcmsClusterDescription."shop"`: "", `lcmsClusterVirtualAddresses."shop"`: vips, `lcmsClusterAdminStatus."shop"`: "1",
	`lcmsClusterOperStatus."shop"`: "1", `lcmsClusterOperReason."shop"`: "takes new connections: all of its 1 services do",
	`lcmsClusterActiveDirector."shop"`: "lb9", `lcmsClusterServices."shop"`: "1", `lcmsClusterServers."shop"`: "2", `lcmsClusterServersUp."shop"`: "2",
	`lcmsClusterDriftPolicy."shop"`: "2", `lcmsClusterExpectedServices."shop"`: "0", `lcmsClusterAutoReconfigure."shop"`: "1",
	`lcmsClusterGeneration."shop"`: "1", `lcmsClusterStorageType."shop"`: "3", `lcmsClusterRowStatus."shop"`: "1",
	`lcmsMemberRole."shop"."rs1"`: "3", `lcmsMemberPriority."shop"."rs1"`: "100", `lcmsMemberOperStatus."shop"."rs1"`: "1",
	`lcmsMemberOperReason."shop"."rs1"`: "takes new connections: all of its 1 servers do", `lcmsMemberTransitions."shop"."rs1"`: "0",
	`lcmsMemberPriority."shop"."rs2"`: "50", `lcmsMemberRole."shop"."lb9"`: "1", `lcmsMemberOperStatus."shop"."lb9"`: "6",
	`lcmsMemberStorageType."shop"."lb9"`: "3", `lcmsMemberRowStatus."shop"."lb9"`: "1",
	`lcmsHostAddressType."rs1"`: "1", `lcmsHostAddress."rs1"`: "C0 00 02 0B", `lcmsHostRoleStatus."rs1"`: "20 2", `lcmsHostRoleStatus."lb9"`: "80 0",
	`lcmsHostRolePotential."rs2"`: "20 2", `lcmsHostSnmpUri."rs2"`: "snmp://192.0.2.12", `lcmsHostMemorySize."lb9"`: "2048",
	`lcmsHostCpuLoad."rs1"`: "0", `lcmsHostReportAge."rs1"`: "4294967295", `lcmsHostRowStatus."rs1"`: "1",
	`lcmsServiceCluster.` + web: "shop", `lcmsServerHost.` + second: "rs2",
	`lcmsDirectoryState.0`: "1", `lcmsDirectoryStaleness.0`: "0", `lcmsDirectoryHoldId.0`: "0", `lcmsDirectoryHoldRelease.0`: "0", `lcmsDirectoryFaults.0`: "0",
}

// reads compares objects with what is read.
func reads(t *testing.T, d *director.Director, want map[string]string) {
	t.Helper()
	var objects []string
	for object := range want {
		objects = append(objects, object)
	}
	slices.Sort(objects)
	got, err := d.Get(objects...)
	if err != nil || len(got) != len(objects) {
		t.Fatalf("%d varbinds, %v", len(got), err)
	}
	for i, v := range got {
		if v.Name != objects[i] || v.Value != want[objects[i]] {
			t.Errorf("%s is %q (%s), want %q", objects[i], v.Value, v.Type, want[objects[i]])
		}
	}
}

// TestOneSetMakesACluster makes a cluster with all that is in it by one SET, finds
// it after a restart as it was, and destroys it by one SET.
func TestOneSetMakesACluster(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, shop...)
	reads(t, d, shown)
	expectRules(t, d, "-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.0.11:80 -m -w 1", "-a -t 192.0.2.1:80 -r 10.0.0.12:80 -m -w 1")
	for object, rows := range map[string]int{"lcmsClusterTable": 17, "lcmsMemberTable": 3 * 8, "lcmsHostTable": 3 * 15} {
		if w := walk(t, d, object); len(w.vbs) != rows {
			t.Errorf("%s has %d objects, want %d", object, len(w.vbs), rows)
		}
	}

	// A report is read at once, is no change, and is gone with the agent.
	mustSet(t, d, `lcmsHostCpuLoad."rs1" u 42`, `lcmsHostLoadAverage."rs1" u 150`, `lcmsHostMemoryAvailable."rs2" u 512`)
	reads(t, d, map[string]string{
		`lcmsHostCpuLoad."rs1"`: "42", `lcmsHostLoadAverage."rs1"`: "150", `lcmsHostMemoryAvailable."rs2"`: "512",
		`lcmsDirectorConfigGeneration.0`: "1", fmt.Sprintf("lcmsRequestOutcome.%d", len(shop)): "1",
	})
	if at := lastRequest(t, d); at != len(shop) {
		t.Errorf("lcmsRequestTable has %d rows, want %d", at, len(shop))
	}
	d.StopSubagent()
	d.StartSubagent()
	d.WaitReady()
	lasting := make(map[string]string)
	for object, value := range shown {
		if object != `lcmsClusterGeneration."shop"` {
			lasting[object] = value
		}
	}
	reads(t, d, lasting)

	mustSet(t, d, `lcmsClusterAdminStatus."shop" i down`)
	expectRules(t, d)
	reads(t, d, map[string]string{`lcmsClusterOperStatus."shop"`: "6", `lcmsMemberOperReason."shop"."rs1"`: "its cluster is down by its administrator", `lcmsClusterActiveDirector."shop"`: ""})
	mustSet(t, d, `lcmsClusterRowStatus."shop" i destroy`, `lcmsServiceRowStatus.`+web+` i destroy`,
		`lcmsHostRowStatus."rs1" i destroy`, `lcmsHostRowStatus."rs2" i destroy`, `lcmsHostRowStatus."lb9" i destroy`)
	gone(t, d)
	if w, err := d.BulkWalk("lcmsHostRowStatus"); err != nil || len(w) != 1 || w[0].Type == "INTEGER" {
		t.Errorf("hosts are left: %v, %v", w, err)
	}
}

// TestRefuseGroups sends each bad varbind between good ones.
func TestRefuseGroups(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, shop...)
	before := capture(t, d)
	for _, f := range []fault{
		one("wrongType", "is of type", `lcmsClusterDescription."shop" u 1`),
		one("wrongType", "is of type", `lcmsHostCpuLoad."rs1" i 1`),
		one("wrongLength", "65 octets", `lcmsClusterServiceType."shop" s `+strings.Repeat("t", 65)),
		one("wrongLength", "5 octets", `lcmsHostAddress."rs1" x C000020B01`),
		one("wrongLength", "33 octets", `lcmsServiceCluster.`+web+` s `+strings.Repeat("c", 33)),
		one("wrongValue", "director(4)", `lcmsClusterDriftPolicy."shop" i 5`),
		one("wrongValue", "0 to 255", `lcmsMemberPriority."shop"."rs1" u 256`),
		one("wrongValue", "0 to 100", `lcmsHostCpuLoad."rs1" u 101`),
		one("wrongValue", "RFC 4088", `lcmsHostSnmpUri."rs1" s http://rs1`),
		one("wrongValue", `"nowhere" is no IP address`, `lcmsClusterVirtualAddresses."shop" s nowhere`),
		one("wrongValue", "bit 3", `lcmsHostRolePotential."rs1" x 10`),
		one("noCreation", `write "web"`, `lcmsClusterRowStatus."Web" i createAndGo`),
		one("noCreation", "1 to 64", `lcmsHostRowStatus."" i createAndGo`),
		one("inconsistentName", "no cluster nil", `lcmsMemberRowStatus."nil"."rs1" i createAndGo`),
		one("inconsistentName", "createAndGo", `lcmsHostCpuLoad."rs9" u 1`),
		one("inconsistentValue", "no host rs9", `lcmsMemberRowStatus."shop"."rs9" i createAndGo`),
		one("inconsistentValue", "no host rs9", `lcmsServerHost.`+first+` s rs9`),
		one("inconsistentValue", "no cluster nil", `lcmsServiceCluster.`+web+` s nil`),
		one("inconsistentValue", "still names it", `lcmsHostRowStatus."rs1" i destroy`),
		one("inconsistentValue", "still names it", `lcmsClusterRowStatus."shop" i destroy`),
		one("inconsistentValue", "must be kept too", `lcmsClusterStorageType."shop" i volatile`),
		one("inconsistentValue", "together", `lcmsHostAddressType."rs1" i ipv6`),
		one("inconsistentValue", "exists already", `lcmsMemberRowStatus."shop"."rs1" i createAndGo`),
		one("inconsistentValue", "no directory is configured", `lcmsDirectoryHoldRelease.0 u 1`),
		one("notWritable", "read-only", `lcmsMemberOperStatus."shop"."rs1" i 1`),
		one("notWritable", "read-only", `lcmsHostReportAge."rs1" u 1`),
		one("notWritable", "read-only", `lcmsDirectoryHoldId.0 u 1`),
	} {
		vbs := append([]string{`lcmsHostCpuType."rs2" s changed`}, f.set...)
		vbs = append(vbs, `lcmsHostRowStatus."new" i createAndGo`)
		at := lastRequest(t, d)
		_, err := d.Set(vbs...)
		var refusal *director.Refusal
		if !errors.As(err, &refusal) || refusal.Status != f.status || refusal.Object != objectOf(f.set[0]) {
			t.Errorf("%q: %v, want %s", f.set, err, f.status)
			continue
		}
		explained(t, d, at+1, refusal, f.words)
	}
	before.sameFile(t, d)
	reads(t, d, shown)
}

// TestManyHosts makes a thousand hosts, reports of all of them, and walks them.
func TestManyHosts(t *testing.T) {
	d := director.Start(t, director.Options{})
	hosts := 1000
	if d.Kernel() == director.Real || testing.Short() {
		hosts = 100
	}
	each := func(columns ...string) {
		t.Helper()
		began := time.Now()
		var vbs []string
		for i := range hosts {
			for _, c := range columns {
				column, value, _ := strings.Cut(c, " ")
				key := fmt.Sprintf(`"h%d"`, i)
				if strings.HasPrefix(column, "lcmsMember") {
					key = `"many".` + key
				}
				vbs = append(vbs, column+"."+key+" "+value)
			}
			if len(vbs) >= 60 || i == hosts-1 {
				mustSet(t, d, vbs...)
				vbs = nil
			}
		}
		t.Logf("%v of %d hosts took %s", columns, hosts, time.Since(began).Round(time.Millisecond))
	}
	mustSet(t, d, `lcmsClusterRowStatus."many" i createAndGo`)
	each("lcmsHostRowStatus i createAndGo", "lcmsHostMemorySize u 1024", "lcmsMemberRowStatus i createAndGo")
	each("lcmsHostCpuLoad u 7", "lcmsHostMemoryAvailable u 512", "lcmsHostLoadAverage u 33")
	for object, want := range map[string]int{"lcmsHostTable": hosts * 15, "lcmsMemberTable": hosts * 8} {
		began := time.Now()
		w := walk(t, d, object, "-Cr50")
		t.Logf("%s: %d objects were walked in %s", object, len(w.vbs), time.Since(began).Round(time.Millisecond))
		if len(w.vbs) != want {
			t.Errorf("%s has %d objects, want %d", object, len(w.vbs), want)
		}
	}
	for _, v := range walk(t, d, "lcmsHostCpuLoad", "-Cr50").vbs {
		if v.Value != "7" {
			t.Fatalf("%v", v)
		}
	}
	reads(t, d, map[string]string{fmt.Sprintf(`lcmsHostLoadAverage."h%d"`, hosts-1): "33", `lcmsClusterServices."many"`: "0"})
}
