//go:build lab

package faults

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// drift is something that somebody does behind our back, and how it is listed.
type drift struct {
	name            string
	do, undo        []string // of ipvsadm; undo is nil if it is not so easy
	kind            string
	service, server string
	desired, actual string
}

var drifts = []drift{
	{
		name: "server edited", do: []string{"-e -t 192.0.2.1:80 -r 10.0.0.11:80 -m -w 50"}, undo: []string{"-e -t 192.0.2.1:80 -r 10.0.0.11:80 -m -w 1"},
		kind: "serverChanged", service: "tcp:192.0.2.1:80", server: "10.0.0.11:80", desired: "weight 1", actual: "weight 50",
	},
	{
		name: "server deleted", do: []string{"-d -t 192.0.2.1:80 -r 10.0.0.12:80"}, undo: []string{"-a -t 192.0.2.1:80 -r 10.0.0.12:80 -m -w 2"},
		kind: "serverMissing", service: "tcp:192.0.2.1:80", server: "10.0.0.12:80", desired: "masquerade, weight 2", actual: "absent",
	},
	{
		name: "server added", do: []string{"-a -t 192.0.2.1:80 -r 10.0.0.99:80 -m -w 7"}, undo: []string{"-d -t 192.0.2.1:80 -r 10.0.0.99:80"},
		kind: "serverUnwanted", service: "tcp:192.0.2.1:80", server: "10.0.0.99:80", desired: "absent", actual: "masquerade, weight 7",
	},
	{
		name: "service edited", do: []string{"-E -t 192.0.2.1:80 -s sh"}, undo: []string{"-E -t 192.0.2.1:80 -s wlc"},
		kind: "serviceChanged", service: "tcp:192.0.2.1:80", desired: "scheduler wlc", actual: "scheduler sh",
	},
	{
		name: "service deleted", do: []string{"-D -t 192.0.2.1:8080"},
		undo: []string{"-A -t 192.0.2.1:8080 -s wlc", "-a -t 192.0.2.1:8080 -r 10.0.0.11:80 -m -w 5"},
		kind: "serviceMissing", service: "tcp:192.0.2.1:8080", desired: "scheduler wlc", actual: "absent",
	},
	{
		name: "service added", do: []string{"-A -t 192.0.2.1:9090 -s rr"}, undo: []string{"-D -t 192.0.2.1:9090"},
		kind: "serviceUnwanted", service: "tcp:192.0.2.1:9090", desired: "absent", actual: "scheduler rr",
	},
	{
		name: "timeouts set", do: []string{"--set 4000 0 0"}, undo: []string{"--set 1000 0 0"},
		kind: "timeoutsChanged", desired: "tcp 1000, ", actual: "tcp 4000, ",
	},
	{
		name: "daemon stopped", do: []string{"--stop-daemon master"}, undo: []string{"--start-daemon master --mcast-interface " + director.Interface + " --syncid 1"},
		kind: "daemonChanged", desired: "master on " + director.Interface + ", sync id 1", actual: "stopped",
	},
}

// flush is the worst of all. The service of somebody else goes too.
var flush = []string{"-C"}

// row is the index of the drift in lcmsDriftTable.
func (d drift) row() string { return fmt.Sprintf("%s.%q.%q", d.kind, d.service, d.server) }

// drifting is a director with the first state, into whose kernel others write.
func drifting(t *testing.T, policy string) (*director.Director, string) {
	t.Helper()
	d := prepare(t, policy, director.Options{})
	d.StartSnmpd()
	d.StartSubagent()
	d.WaitReady()
	mustSet(t, d, first()...)
	mustSet(t, d, service(`"tcp:192.0.2.1:9090"`, "wlc")[0], `lcmsServiceAdminStatus."tcp:192.0.2.1:9090" i down`)
	// What somebody else does with his own service is not our business.
	ipvsadm(t, d, "-e -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w 4")
	return d, held(t, d)
}

func all(t *testing.T, d *director.Director, commands []string) {
	t.Helper()
	for _, c := range commands {
		ipvsadm(t, d, c)
	}
}

// listed waits until the table of drifts lists this one.
func (d drift) listed(t *testing.T, on *director.Director, policy string) {
	t.Helper()
	row := "." + d.row()
	err := director.Poll(on.Limit(), func() error {
		v, err := on.Get("lcmsDriftDesired"+row, "lcmsDriftActual"+row, "lcmsDriftPolicy"+row)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(v[0].Value, d.desired) || !strings.HasPrefix(v[1].Value, d.actual) || v[2].Value != policy {
			return fmt.Errorf("%v, want %s and %s", v, d.desired, d.actual)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// unlisted waits until the table of drifts is empty.
func unlisted(t *testing.T, d *director.Director) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		v, err := d.Get("lcmsDriftCount.0")
		if err == nil && v[0].Value != "0" {
			table, _ := d.BulkWalk("lcmsDriftActual")
			err = fmt.Errorf("drifts are listed: %v", table)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// told checks that the record of changes says what was found and done.
func (d drift) told(t *testing.T, on *director.Director) {
	t.Helper()
	err := director.Poll(on.Limit(), func() error {
		vbs, err := on.BulkWalk("lcmsRequestTable")
		if err != nil {
			return err
		}
		rows := make(map[string]map[string]string)
		for _, v := range vbs {
			column, index, _ := strings.Cut(v.Name, ".")
			if rows[index] == nil {
				rows[index] = make(map[string]string)
			}
			rows[index][strings.TrimPrefix(column, "lcmsRequest")] = v.Value
		}
		for _, r := range rows {
			if r["Source"] == "4" && strings.HasPrefix(r["OldValue"], d.actual) && strings.HasPrefix(r["NewValue"], d.desired) && r["Outcome"] == "1" {
				return nil
			}
		}
		return fmt.Errorf("lcmsRequestTable does not say that %s became %s: %v", d.actual, d.desired, rows)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDriftEnforce(t *testing.T) {
	d, want := drifting(t, "enforce")
	for _, c := range drifts {
		t.Run(c.name, func(t *testing.T) {
			defer begun(t)()
			all(t, d, c.do)
			if c.service != "" { // what is done about settings is not recorded
				c.told(t, d)
			}
			eventually(t, d, want)
			unlisted(t, d)
		})
	}
	t.Run("flush", func(t *testing.T) {
		all(t, d, flush)
		restored := want
		for _, rule := range []string{foreign[0], "-a -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w 4"} {
			if !strings.Contains(restored, rule+"\n") {
				t.Fatalf("%s is not in\n%s", rule, restored)
			}
			restored = strings.Replace(restored, rule+"\n", "", 1)
		}
		eventually(t, d, restored)
		unlisted(t, d)
	})
}

func TestDriftAlert(t *testing.T) {
	d, want := drifting(t, "alert")
	for _, c := range drifts {
		t.Run(c.name, func(t *testing.T) {
			defer begun(t)()
			all(t, d, c.do)
			drifted := held(t, d)
			c.listed(t, d, "2")
			reread(t, d)
			if now := held(t, d); now != drifted || now == want {
				t.Errorf("the kernel held\n%s\nand holds\n%s", drifted, now)
			}
			all(t, d, c.undo)
			eventually(t, d, want)
			unlisted(t, d)
		})
	}
	t.Run("flush", func(t *testing.T) {
		all(t, d, flush)
		drift{kind: "serviceMissing", service: "tcp:192.0.2.1:80", desired: "scheduler wlc", actual: "absent"}.listed(t, d, "2")
		drift{kind: "serviceMissing", service: "tcp:192.0.2.1:8080", desired: "scheduler wlc", actual: "absent"}.listed(t, d, "2")
		reread(t, d)
		if rules := d.Rules(); len(rules) > 0 {
			t.Errorf("the kernel holds %q", rules)
		}
		// An empty kernel at the start is filled, as after a reboot.
		d.KillSubagent()
		all(t, d, []string{foreign[0], "-a -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w 4"})
		d.StartSubagent()
		d.WaitReady()
		eventually(t, d, want)
		unlisted(t, d)
	})
}

// reread waits until the kernel has been read twice more.
func reread(t *testing.T, d *director.Director) {
	t.Helper()
	for range 2 {
		last := 0
		err := director.Poll(d.Limit(), func() error {
			var age int
			if _, err := fmt.Sscan(get(t, d, "lcmsDirectorKernelReadAge.0"), &age); err != nil {
				return director.Final{Err: err}
			}
			if age >= last {
				last = age
				return fmt.Errorf("the last reading is %d old", age)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDriftAdopt(t *testing.T) {
	d, _ := drifting(t, "adopt")
	for _, c := range drifts {
		if strings.HasPrefix(c.kind, "timeouts") || strings.HasPrefix(c.kind, "daemon") {
			continue // what is not about services is told and left
		}
		t.Run(c.name, func(t *testing.T) {
			defer begun(t)()
			at := get(t, d, "lcmsDriftRepairs.0")
			all(t, d, c.do)
			drifted := held(t, d)
			err := director.Poll(d.Limit(), func() error {
				if now := get(t, d, "lcmsDriftRepairs.0"); now == at {
					return fmt.Errorf("%s drifts were adopted, as before", now)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			unlisted(t, d)
			if now := held(t, d); now != drifted {
				t.Errorf("the kernel held\n%s\nand holds\n%s", drifted, now)
			}
			adopted := look(t, d)
			d.KillSubagent()
			d.StartSubagent()
			d.WaitReady()
			if now := look(t, d); now != adopted || now.kernel != drifted {
				t.Errorf("after a restart\n%+v\nwant\n%+v", now, adopted)
			}
		})
	}
	t.Run("flush", func(t *testing.T) {
		want := held(t, d)
		stored := look(t, d).store
		all(t, d, flush)
		row := `.serviceMissing."tcp:192.0.2.1:80".""`
		err := director.Poll(d.Limit(), func() error {
			v, err := d.Get("lcmsDriftHeld" + row)
			if err == nil && !strings.Contains(v[0].Value, "held back") {
				err = fmt.Errorf("%v, want that it is held back", v)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		reread(t, d)
		if now := look(t, d); now.store != stored || len(d.Rules()) > 0 {
			t.Errorf("the store holds\n%s\nwant\n%s\nthe kernel %q", now.store, stored, d.Rules())
		}
		d.KillSubagent()
		all(t, d, []string{foreign[0], "-a -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w 4"})
		d.StartSubagent()
		d.WaitReady()
		eventually(t, d, want)
	})
}

// TestContest has somebody set a weight again whenever it is mended.
func TestContest(t *testing.T) {
	d, want := drifting(t, "enforce")
	c := drifts[0]
	alarm := func() string {
		vbs, err := d.BulkWalk("lcmsAlarmSeverity")
		if err != nil {
			t.Fatal(err)
		}
		if len(vbs) == 0 || vbs[0].Type == director.NoSuchInstance || vbs[0].Type == director.NoSuchObject {
			return ""
		}
		return vbs[0].Value
	}
	err := director.Poll(d.Limit(), func() error {
		all(t, d, c.do)
		if severity := alarm(); severity != "2" {
			return fmt.Errorf("the alarm's severity is %q, want major(2)", severity)
		}
		// On a slow machine it may have been mended since.
		v, err := d.Get("lcmsDriftRecentRepairs."+c.row(), "lcmsDriftRepairs.0")
		if err == nil && (v[0].Value < "3" || len(v[0].Value) > 1) {
			err = fmt.Errorf("%v, want some 3 repairs", v)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// He has given up: in the end it is as it should be.
	eventually(t, d, want)
	unlisted(t, d)
	if severity := alarm(); severity != "" {
		t.Errorf("an alarm of severity %s is left", severity)
	}
}

// TestAdoptForeign makes the service of somebody else ours by its RowStatus.
func TestAdoptForeign(t *testing.T) {
	d, want := drifting(t, "enforce")
	key := `"tcp:198.51.100.9:80"`
	if owner := get(t, d, "lcmsServiceOwner."+key); owner != "2" {
		t.Errorf("its owner is %s, want external(2)", owner)
	}
	mustSet(t, d, "lcmsServiceRowStatus."+key+" i active")
	if owner := get(t, d, "lcmsServiceOwner."+key); owner != "1" {
		t.Errorf("its owner is %s, want 1", owner)
	}
	d.SettledStore()
	d.KillSubagent()
	d.StartSubagent()
	d.WaitReady()
	if now := held(t, d); now != want {
		t.Errorf("the kernel holds\n%s\nwant\n%s", now, want)
	}
	ipvsadm(t, d, "-e -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w 44")
	eventually(t, d, want)
}

// TestZero sets counters to zero behind our back.
func TestZero(t *testing.T) {
	d := director.New(t, director.Options{Kernel: director.Real, Netns: director.Own})
	for _, args := range []string{"link add zero0 type dummy", "addr add 198.51.100.1/24 dev zero0", "link set zero0 up", "route add 192.0.2.0/24 dev zero0", "route add 10.0.0.0/24 dev zero0"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		ipvsadm(t, d, "-C")
		_ = exec.Command("ip", "link", "del", "zero0").Run()
	})
	d.StartSnmpd()
	d.StartSubagent()
	d.WaitReady()
	mustSet(t, d, join(service(dns, "rr"), server(dns, dn1, 1))...)
	for range 3 {
		c, err := net.Dial("udp", "192.0.2.1:53")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	objects := []string{"lcmsServiceStatsConnections." + dns, "lcmsServerStatsConnections." + dns + "." + dn1, "lcmsServiceStatsDiscontinuityTime." + dns, "lcmsServerStatsDiscontinuityTime." + dns + "." + dn1}
	counted := func(n string) (times [2]string) {
		err := director.Poll(d.Limit(), func() error {
			v, err := d.Get(objects...)
			if err != nil {
				return err
			}
			if v[0].Value != n || v[1].Value != n {
				return fmt.Errorf("%v, want %s connections", v[:2], n)
			}
			times = [2]string{v[2].Value, v[3].Value}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return times
	}
	before := counted("3")
	rules := held(t, d)
	ipvsadm(t, d, "-Z")
	after := counted("0")
	if after[0] == before[0] || after[1] == before[1] {
		t.Errorf("the counters began at %q, and after zero at %q", before, after)
	}
	if now := held(t, d); now != rules {
		t.Errorf("the kernel held\n%s\nand holds\n%s", rules, now)
	}
}
