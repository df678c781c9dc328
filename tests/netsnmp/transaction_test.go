package netsnmp

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// sixty is a SET of 60 varbinds upon the cluster: it creates, changes and
// destroys services, servers and a daemon, and sets timeouts.
func sixty(t *testing.T) []string {
	t.Helper()
	vbs := []string{
		`lcmsServiceName.` + web + ` s changed`, `lcmsServiceScheduler.` + web + ` s sh`, `lcmsServiceSchedulerFlags.` + web + ` b 1`,
		`lcmsServerWeight.` + first + ` u 65535`, `lcmsServerUpperThreshold.` + first + ` u 0`, `lcmsServerLowerThreshold.` + first + ` u 0`,
		`lcmsServerRowStatus.` + second + ` i destroy`,
		`lcmsServiceRowStatus.` + every + ` i notInService`,
		`lcmsServiceRowStatus.` + names + ` i destroy`,
		`lcmsSyncDaemonSyncId.master u 9`,
		`lcmsDirectorTcpTimeout.0 u 1000`, `lcmsDirectorUdpTimeout.0 u 1001`,
	}
	for i := range 6 {
		key := fmt.Sprintf(`"tcp:198.51.100.%d:443"`, i+1)
		for j := range 3 {
			server := fmt.Sprintf(`%s."10.0.%d.%d:443"`, key, i, j+1)
			vbs = append(vbs, `lcmsServerWeight.`+server+` u 7`, `lcmsServerRowStatus.`+server+` i createAndGo`)
		}
		vbs = append(vbs, `lcmsServiceScheduler.`+key+` s wrr`, `lcmsServiceRowStatus.`+key+` i createAndGo`)
	}
	if len(vbs) != 60 {
		t.Fatalf("%d varbinds", len(vbs))
	}
	return vbs
}

// TestRefuseOfSixty puts one bad varbind among sixty; whatever is wrong with
// it, nothing may come of the others.
func TestRefuseOfSixty(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	good := sixty(t)
	before := capture(t, d)
	for name, bad := range map[string]struct{ status, varbind string }{
		"a wrong type":             {"wrongType", `lcmsServerWeight.` + first + ` s five`},
		"an unknown scheduler":     {"wrongValue", `lcmsServiceScheduler."tcp:198.51.100.3:443" s nope`},
		"a missing service":        {"inconsistentName", `lcmsServerRowStatus."tcp:198.51.100.7:443"."10.0.0.1:443" i createAndGo`},
		"a key that is not proper": {"noCreation", `lcmsServiceRowStatus."tcp:198.51.100.07:443" i createAndGo`},
		"a read-only object":       {"notWritable", `lcmsServerOperWeight.` + first + ` u 1`},
		"crossed thresholds":       {"inconsistentValue", `lcmsServerLowerThreshold.` + first + ` u 1`},
		"an object of the master":  {"wrongType", `.1.3.6.1.2.1.1.4.0 i 1`},
		"an object of nobody":      {"notWritable", `.1.3.6.1.4.1.8072.9999.9999.1.0 i 1`},
	} {
		t.Run(name, func(t *testing.T) {
			vbs := slices.DeleteFunc(slices.Clone(good), func(v string) bool { return objectOf(v) == objectOf(bad.varbind) })
			vbs = slices.Insert(vbs, 30, bad.varbind)
			_, err := d.Set(vbs...)
			var refusal *director.Refusal
			if !errors.As(err, &refusal) || refusal.Status != bad.status || !sameObject(refusal.Object, objectOf(bad.varbind)) {
				t.Errorf("%v, want %s of %s", err, bad.status, bad.varbind)
			}
			before.sameFile(t, d)
		})
	}

	// Without the bad one all of it is done.
	mustSet(t, d, good...)
	expect(t, d,
		row{want: "Services 8; Servers 19; ServersUp 19; TcpTimeout 1000; UdpTimeout 1001"},
		row{service: "tcp:192.0.2.1:80", want: "Name changed; Scheduler sh; SchedulerFlags 40 1; Servers 1"},
		row{service: "tcp:192.0.2.1:80", server: "10.0.0.11:80", want: "OperWeight 65535; UpperThreshold 0"},
		row{service: "tcp:192.0.2.1:0", want: "RowStatus 2; OperStatus 6"},
		row{service: "udp:192.0.2.1:53", want: "RowStatus noSuchInstance"},
		row{daemon: "master", want: "SyncId 9; RowStatus 1"},
		row{service: "tcp:198.51.100.6:443", server: "10.0.5.3:443", want: "OperWeight 7; OperStatus 1"},
	)
	if d.Kernel() == director.Real {
		if rules := d.Rules(); len(rules) != 2+6*4 {
			t.Errorf("the kernel holds %d rules, want 26: %q", len(rules), rules)
		}
	}
}

// TestCommitFailed has the kernel refuse what cannot be known before: next to a
// sync daemon it takes no server of the other IP version. All that was done of
// the SET by then is taken back.
func TestCommitFailed(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	before := capture(t, d)
	at := lastRequest(t, d)
	_, err := d.Set(
		`lcmsServiceScheduler.`+web+` s rr`, `lcmsServerWeight.`+first+` u 77`, `lcmsServerRowStatus.`+second+` i destroy`,
		`lcmsDirectorTcpTimeout.0 u 1000`,
		`lcmsServiceRowStatus."tcp:198.51.100.1:80" i createAndGo`,
		`lcmsServerRowStatus."tcp:198.51.100.1:80"."10.0.0.1:80" i createAndGo`,
		`lcmsServerRowStatus."tcp:198.51.100.1:80"."[2001:db8::1]:80" i createAndGo`,
		`lcmsServerForwarding."tcp:198.51.100.1:80"."[2001:db8::1]:80" i tunnel`,
	)
	var refusal *director.Refusal
	if !errors.As(err, &refusal) || refusal.Status != "commitFailed" {
		t.Fatalf("%v, want commitFailed", err)
	}
	before.same(t, d)
	row := func(column string) string { return fmt.Sprintf("lcmsRequest%s.%d", column, at+1) }
	got, err := d.Get(row("Outcome"), row("Reason"))
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Value != "3" || !strings.Contains(got[1].Value, "a sync daemon runs") {
		t.Errorf("lcmsRequestTable says %v, want failed(3) and that a sync daemon runs", got)
	}
	// What comes next is not held up.
	mustSet(t, d, `lcmsServerWeight.`+first+` u 78`)
	expect(t, d, row2(first, "Weight 78; OperWeight 78"))
}

// TestOtherObjects sets objects of snmpd itself beside ours.
func TestOtherObjects(t *testing.T) {
	const contact = ".1.3.6.1.2.1.1.4.0" // sysContact
	d := director.Start(t, director.Options{})
	mustSet(t, d, `lcmsServiceRowStatus.`+web+` i createAndGo`, contact+` s operator`, `lcmsServiceName.`+web+` s both`)
	got, err := d.Get(contact, `lcmsServiceName.`+web)
	if err != nil || got[0].Value != `"operator"` || got[1].Value != "both" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := d.Set(contact+` s nobody`, `lcmsServiceScheduler.`+web+` s nope`); err == nil {
		t.Error("the SET is accepted")
	}
	got, err = d.Get(contact, `lcmsServiceScheduler.`+web)
	if err != nil || got[0].Value != `"operator"` || got[1].Value != "wlc" {
		t.Errorf("after a refusal of ours: %v %v", got, err)
	}
}

func TestConfigLock(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	lock := func() int {
		t.Helper()
		v, err := d.Get("lcmsDirectorConfigLock.0")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(v[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	value := lock()
	// The right value, wherever it stands in the SET, and with it a change.
	mustSet(t, d, `lcmsServerWeight.`+first+` u 5`, fmt.Sprintf("lcmsDirectorConfigLock.0 i %d", value), `lcmsServiceName.`+web+` s locked`)
	expect(t, d, row2(first, "Weight 5"), row{want: fmt.Sprintf("ConfigLock %d", (value+1)%(1<<31))})

	// A stale one.
	before := capture(t, d)
	_, err := d.Set(`lcmsServerWeight.`+first+` u 6`, fmt.Sprintf("lcmsDirectorConfigLock.0 i %d", value), `lcmsServiceName.`+web+` s stale`)
	var refusal *director.Refusal
	if !errors.As(err, &refusal) || refusal.Status != "inconsistentValue" || refusal.Object != "lcmsDirectorConfigLock.0" {
		t.Errorf("a stale lock: %v, want inconsistentValue of lcmsDirectorConfigLock.0", err)
	}
	explained(t, d, lastRequest(t, d), refusal, "read again")
	before.sameFile(t, d)

	// Without it a SET is not affected, and does not count it up.
	value = lock()
	mustSet(t, d, `lcmsServerWeight.`+first+` u 7`)
	if now := lock(); now != value {
		t.Errorf("the lock went from %d to %d", value, now)
	}
	// A refused SET does not count it up either; alone it is a change of nothing.
	if _, err := d.Set(fmt.Sprintf("lcmsDirectorConfigLock.0 i %d", value), `lcmsServerWeight.`+first+` u 65536`); err == nil {
		t.Error("weight 65536 is accepted")
	}
	if now := lock(); now != value {
		t.Errorf("a refused SET took the lock from %d to %d", value, now)
	}
	mustSet(t, d, fmt.Sprintf("lcmsDirectorConfigLock.0 i %d", value))
	if now := lock(); now != (value+1)%(1<<31) {
		t.Errorf("the lock is %d after a SET of %d", now, value)
	}
}

// row2 is the row of a server of which the two keys are given as in an index.
func row2(index, want string) row {
	service, server, _ := strings.Cut(index, ".\"")
	return row{service: strings.Trim(service, `"`), server: strings.Trim(server, `"`), want: want}
}
