package netsnmp

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// TestSnmpdRestart kills snmpd. The rows are served again within a second of
// its return, which a busy machine may exceed, but not each of ten times, and a
// SET works as before.
func TestSnmpdRestart(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	before := capture(t, d)
	memory := d.Kernel() == director.Memory
	rounds, fastest := 0, time.Hour
	for ; rounds < 3 || rounds < 10 && memory && fastest > time.Second; rounds++ {
		d.KillSnmpd()
		d.StartSnmpd() // returns when it answers
		back := time.Now()
		want := row2(first, "Weight 11; OperWeight 11; OperStatus 1")
		eventually(t, d, want)
		took := time.Since(back)
		fastest = min(fastest, took)
		t.Logf("round %d: rows were back after %s", rounds+1, took.Round(time.Millisecond))
		before.sameFile(t, d)
	}
	if memory && fastest > time.Second {
		t.Errorf("rows were back after %s at the earliest, want at most 1 s", fastest)
	}
	mustSet(t, d, `lcmsServerWeight.`+first+` u 12`)
	expect(t, d, row2(first, "OperWeight 12"))
	v, err := d.Get("lcmsAgentReconnects.0")
	if err != nil || v[0].Value != fmt.Sprint(rounds) {
		t.Errorf("%v %v, want %d", v, err, rounds)
	}
}

// TestSubagentRestart ends the subagent in both ways. The kernel stays as it
// is, and the new one serves the same rows.
func TestSubagentRestart(t *testing.T) {
	d := director.Start(t, director.Options{})
	var kept []string
	for _, v := range cluster {
		if !strings.Contains(v, names) { // which is volatile
			kept = append(kept, v)
		}
	}
	mustSet(t, d, kept...)
	mustSet(t, d, `lcmsDirectorTcpTimeout.0 u 1234`, `lcmsServerAdminStatus.`+second+` i drain`,
		`lcmsServiceRowStatus."fwm4:7" i createAndWait`, `lcmsServiceName."fwm4:7" s waiting`)
	eventually(t, d, row2(second, "OperStatus 4")) // as a reading of the kernel shows
	before := capture(t, d)
	before.objects = lasting(before.objects)
	for name, end := range map[string]func(){"kill -9": d.KillSubagent, "SIGTERM": d.StopSubagent} {
		t.Run(name, func(t *testing.T) {
			file := d.Store().Sum
			end()
			if d.Store().Sum != file {
				t.Error("the store's file has been written")
			}
			if difference := diff(before.rules, d.Rules()); difference != "" {
				t.Errorf("the kernel has changed:\n%s", difference)
			}
			d.StartSubagent()
			d.WaitReady()
			after := capture(t, d)
			if difference := diff(before.objects, lasting(after.objects)); difference != "" {
				t.Errorf("the MIB has changed:\n%s", difference)
			}
			if difference := diff(lines(before.store.Rows), lines(after.store.Rows)); difference != "" {
				t.Errorf("the store has changed:\n%s", difference)
			}
			if difference := diff(before.rules, after.rules); difference != "" {
				t.Errorf("the kernel has changed:\n%s", difference)
			}
		})
	}
}

// lasting leaves out the objects that begin anew when the agent starts.
func lasting(objects []string) []string {
	return slices.DeleteFunc(slices.Clone(objects), func(o string) bool {
		name, _, _ := strings.Cut(o, " ")
		column, _, _ := strings.Cut(name, ".")
		return strings.HasSuffix(column, "LastChange") && column != "lcmsDirectorConfigLastChange" ||
			strings.HasSuffix(column, "DiscontinuityTime") || strings.HasSuffix(column, "Transitions") ||
			strings.HasSuffix(column, "AlarmRaised") || column == "lcmsDirectorConfigLock" || column == "lcmsDirectorySyncNow"
	})
}

// TestKilledInTheMiddle kills the subagent while one SET after the other makes
// a service with three servers. Afterwards every service is there with all of
// them or not at all, and none is missing that was answered.
func TestKilledInTheMiddle(t *testing.T) {
	d := director.Start(t, director.Options{})
	rounds := 5
	if d.Kernel() == director.Real {
		rounds = 2
	}
	answered := make(map[string]bool)
	next := 0
	for range rounds {
		var group sync.WaitGroup
		stop := make(chan struct{})
		made := make(chan struct{}, 1000)
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf(`"tcp:192.0.2.1:%d"`, 1000+next)
				next++
				vbs := []string{`lcmsServiceRowStatus.` + key + ` i createAndGo`}
				for i := range 3 {
					vbs = append(vbs, fmt.Sprintf(`lcmsServerRowStatus.%s."10.0.0.%d:80" i createAndGo`, key, i+1))
				}
				if _, err := d.Set(vbs...); err != nil {
					return // it has been killed
				}
				answered[key] = true
				made <- struct{}{}
			}
		})
		for range 3 { // in the midst of it, not before
			<-made
		}
		d.KillSubagent()
		close(stop)
		group.Wait()
		d.StartSubagent()
		d.WaitReady()
		vbs, err := d.BulkWalk("lcmsServiceServers")
		if err != nil {
			t.Fatal(err)
		}
		found := make(map[string]bool)
		for _, v := range vbs {
			_, key, _ := strings.Cut(v.Name, ".")
			found[key] = true
			if v.Value != "3" {
				t.Errorf("%s: a part of a SET", v)
			}
		}
		for key := range answered {
			if !found[key] {
				t.Errorf("%s is lost, though its SET was answered", key)
			}
		}
		if rules := d.Rules(); rules != nil && len(rules) != 4*len(found) {
			t.Errorf("the kernel holds %d rules for %d services with three servers each", len(rules), len(found))
		}
	}
	t.Logf("%d SETs were answered, of %d", len(answered), next)
}

// TestStorageType restarts the subagent over rows that are kept and rows that
// are not.
func TestStorageType(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d,
		`lcmsServiceRowStatus."fwm4:1" i createAndGo`, `lcmsServiceStorageType."fwm4:1" i nonVolatile`,
		`lcmsServerRowStatus."fwm4:1"."10.0.0.1:0" i createAndGo`,
		`lcmsServerRowStatus."fwm4:1"."10.0.0.2:0" i createAndGo`, `lcmsServerStorageType."fwm4:1"."10.0.0.2:0" i volatile`,
		`lcmsServiceRowStatus."fwm4:2" i createAndGo`, `lcmsServiceStorageType."fwm4:2" i volatile`,
		`lcmsServerRowStatus."fwm4:2"."10.0.0.1:0" i createAndGo`, `lcmsServerStorageType."fwm4:2"."10.0.0.1:0" i volatile`,
		`lcmsServiceRowStatus."fwm4:3" i createAndGo`,
		`lcmsServiceRowStatus."fwm4:4" i createAndGo`, `lcmsServiceStorageType."fwm4:4" i volatile`,
	)
	stored := func(key string) bool {
		_, ok := d.SettledStore().Rows[key]
		return ok
	}
	// A row enters and leaves the store at once while it is active.
	mustSet(t, d, `lcmsServiceStorageType."fwm4:3" i volatile`, `lcmsServiceStorageType."fwm4:4" i nonVolatile`)
	for key, want := range map[string]bool{
		"services/fwm4:1": true, "servers/fwm4:1 10.0.0.1:0": true, "servers/fwm4:1 10.0.0.2:0": false,
		"services/fwm4:2": false, "servers/fwm4:2 10.0.0.1:0": false, "services/fwm4:3": false, "services/fwm4:4": true,
	} {
		if got := stored(key); got != want {
			t.Errorf("%s in the store: %t, want %t", key, got, want)
		}
	}
	expect(t, d, row{service: "fwm4:3", want: "StorageType 2; RowStatus 1"}, row{service: "fwm4:4", want: "StorageType 3; RowStatus 1"})

	d.KillSubagent()
	d.StartSubagent()
	d.WaitReady()
	eventually(t, d,
		row{service: "fwm4:1", want: "Owner 1; StorageType 3; RowStatus 1"},
		row{service: "fwm4:1", server: "10.0.0.1:0", want: "StorageType 3; OperStatus 1"},
		row{service: "fwm4:4", want: "Owner 1; StorageType 3"},
	)
	if d.Kernel() == director.Memory { // which was lost with the agent
		expect(t, d,
			row{service: "fwm4:1", server: "10.0.0.2:0", want: "RowStatus " + absent},
			row{service: "fwm4:2", want: "RowStatus " + absent},
			row{service: "fwm4:3", want: "RowStatus " + absent},
		)
		return
	}
	// What the kernel still holds is shown as somebody else's.
	expect(t, d,
		row{service: "fwm4:2", want: "Owner 2; StorageType 1; RowStatus 1"},
		row{service: "fwm4:2", server: "10.0.0.1:0", want: "StorageType 1; RowStatus 1"},
		row{service: "fwm4:3", want: "Owner 2; StorageType 1; RowStatus 1"},
	)
}
