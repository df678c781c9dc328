//go:build lab

package notify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// drift is something that somebody does behind our back with ipvsadm, and how
// it is told. Package faults of tests/lab has those of all kinds.
type drift struct {
	name            string
	do, undo        string
	index           string // in lcmsDriftTable
	desired, actual string
}

var drifts = []drift{
	{
		name: "server changed", do: "-e -t 192.0.2.1:80 -r 10.0.0.11:80 -m -w 20", undo: "-e -t 192.0.2.1:80 -r 10.0.0.11:80 -m -w 1",
		index: fmt.Sprintf("serverChanged.%q.%q", web, rs1), desired: "weight 1", actual: "weight 20",
	},
	{
		name: "service changed", do: "-E -t 192.0.2.1:80 -s sh", undo: "-E -t 192.0.2.1:80 -s wlc",
		index: fmt.Sprintf("serviceChanged.%q.%q", web, ""), desired: "scheduler wlc", actual: "scheduler sh",
	},
	{
		name: "timeouts changed", do: "--set 4000 0 0", undo: "--set 1000 0 0",
		index: `timeoutsChanged."".""`, desired: "tcp 1000, ", actual: "tcp 4000, ",
	},
}

// drifting starts a director with a service, two servers and a timeout, for
// whom others can write to the kernel.
func drifting(t *testing.T, policy string) (*director.Director, *director.Receiver) {
	t.Helper()
	if director.Env(t) != director.Real {
		t.Fatal("nobody else can write to the in-memory kernel: `make lab-test` runs this on a real one")
	}
	d, r := start(t, "2c", true, director.Options{Drift: policy})
	create(t, d)
	set(t, d, "lcmsDirectorTcpTimeout.0 u 1000")
	return d, r
}

func ipvsadm(t *testing.T, d *director.Director, args string) {
	t.Helper()
	if _, err := d.Ipvsadm(strings.Fields(args)...); err != nil {
		t.Fatal(err)
	}
}

// told waits until a drift is told: as detected or as cleared, under a policy.
func (c drift) told(t *testing.T, d *director.Director, r *director.Receiver, name, policy, text string) director.Notification {
	t.Helper()
	return expect(t, d, r, name, "lcmsDriftActual."+c.index+"="+c.actual, "lcmsDriftDesired."+c.index+"="+c.desired,
		"lcmsDriftPolicy."+c.index+"="+policy, "lcmsNotificationText.0="+text)
}

// TestDriftIsMended changes a weight again and again: each time it is told,
// listed and mended, until the repair waits and the alarm says that somebody
// else manages it too.
func TestDriftIsMended(t *testing.T) {
	d, r := drifting(t, "enforce")
	c := drifts[0]
	edit := func(weight int) {
		c.actual = fmt.Sprint("weight ", weight)
		ipvsadm(t, d, fmt.Sprint("-e -t 192.0.2.1:80 -r 10.0.0.11:80 -m -w ", weight))
	}
	for i := range 3 {
		edit(20 + i)
		c.told(t, d, r, "lcmsDriftDetected", "1", "the kernel has weight")
		c.told(t, d, r, "lcmsDriftCleared", "1", "over: the kernel has weight")
		expect(t, d, r, "lcmsConfigChange", "lcmsRequestSource=4", "lcmsRequestObject="+server("RowStatus", rs1), "lcmsRequestOldValue="+c.actual)
	}
	// The repair waits now, longer each time: whoever is too slow to see it the
	// first time sees a later one.
	err := director.Poll(d.Limit(), func() error {
		edit(23)
		return stands(d, "lcmsDriftDetected", "lcmsDriftAttribute."+c.index, "2")
	})
	if err != nil {
		t.Error(err)
	}
	c.told(t, d, r, "lcmsDriftDetected", "1", "the kernel has weight")
}

// TestDriftIsOnlyTold does what the policy alert is for: whatever somebody
// does is told and left, until he takes it back.
func TestDriftIsOnlyTold(t *testing.T) {
	d, r := drifting(t, "alert")
	for _, c := range drifts {
		t.Run(c.name, func(t *testing.T) {
			ipvsadm(t, d, c.do)
			drifted := d.Rules()
			detected := c.told(t, d, r, "lcmsDriftDetected", "2", "the kernel has "+c.actual)
			alarm(t, d, "lcmsDriftDetected", "lcmsDriftAttribute."+c.index, "3")
			reread(t, d)
			if now := d.Rules(); strings.Join(now, "\n") != strings.Join(drifted, "\n") {
				t.Errorf("the kernel held %q and holds %q", drifted, now)
			}
			ipvsadm(t, d, c.undo)
			cleared := c.told(t, d, r, "lcmsDriftCleared", "2", "over: the kernel has "+c.actual)
			if numberOf(t, &cleared) <= numberOf(t, &detected) {
				t.Errorf("%v is told before %v", cleared, detected)
			}
			alarms(t, d, 0, "", "", "")
		})
	}
	told := count(r)
	if n := len(drifts); told["lcmsDriftDetected"] != n || told["lcmsDriftCleared"] != n {
		t.Errorf("%v were told of %d drifts", told, n)
	}
	for _, n := range r.Received() {
		if n.Name == "lcmsConfigChange" && n.Object("lcmsRequestSource") == "4" {
			t.Errorf("something was mended: %v", n)
		}
	}
	sequence(t, r, true)
}

// TestDriftIsAdopted does what the policy adopt is for: what somebody does to
// our services is told, and becomes what we want. What is not about services is
// told and left, and a flush is held back.
func TestDriftIsAdopted(t *testing.T) {
	d, r := drifting(t, "adopt")
	for _, c := range drifts {
		t.Run(c.name, func(t *testing.T) {
			ipvsadm(t, d, c.do)
			drifted := d.Rules()
			c.told(t, d, r, "lcmsDriftDetected", "3", "the kernel has "+c.actual)
			if strings.HasPrefix(c.index, "timeouts") {
				reread(t, d)
				alarm(t, d, "lcmsDriftDetected", "lcmsDriftAttribute."+c.index, "3")
				ipvsadm(t, d, c.undo)
			}
			c.told(t, d, r, "lcmsDriftCleared", "3", "over: the kernel has "+c.actual)
			alarms(t, d, 0, "", "", "")
			if now := d.Rules(); strings.Join(now, "\n") != strings.Join(drifted, "\n") {
				t.Errorf("the kernel held %q and holds %q", drifted, now)
			}
		})
	}
	adoptions := 0
	for _, n := range r.Received() {
		if n.Name == "lcmsConfigChange" && n.Object("lcmsRequestSource") == "4" {
			adoptions++
			if n.Object("lcmsRequestObject") != service("RowStatus") || n.Object("lcmsRequestNewValue") != "as in the kernel" {
				t.Errorf("the adoption is told as %v", n)
			}
		}
	}
	if want := len(drifts) - 1; adoptions != want {
		t.Errorf("%d adoptions were told, want %d", adoptions, want)
	}
	if got := get(t, d, server("Weight", rs1)); got != "20" {
		t.Errorf("the weight that was adopted is %s", got)
	}

	ipvsadm(t, d, "-C")
	flush := drift{index: fmt.Sprintf("serviceMissing.%q.%q", web, ""), desired: "scheduler sh", actual: "absent"}
	flush.told(t, d, r, "lcmsDriftDetected", "3", "the kernel has absent")
	alarm(t, d, "lcmsDriftDetected", "lcmsDriftAttribute."+flush.index, "2")
	reread(t, d)
	if rules := d.Rules(); len(rules) > 0 {
		t.Errorf("the kernel holds %q", rules)
	}
	sequence(t, r, true)
}

// reread waits until the kernel has been read twice more.
func reread(t *testing.T, d *director.Director) {
	t.Helper()
	for range 2 {
		last := 0
		err := director.Poll(d.Limit(), func() error {
			age := number(t, d, "lcmsDirectorKernelReadAge.0")
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

// alarm waits until one stands.
func alarm(t *testing.T, d *director.Director, notification, object, severity string) {
	t.Helper()
	if err := director.Poll(d.Limit(), func() error { return stands(d, notification, object, severity) }); err != nil {
		t.Error(err)
	}
}

// stands looks whether an alarm does.
func stands(d *director.Director, notification, object, severity string) error {
	table, err := d.BulkWalk("lcmsAlarmTable")
	if err != nil {
		return director.Final{Err: err}
	}
	rows := make(map[string]string) // what stands in the three columns, by index
	for _, vb := range table {
		column, index, _ := strings.Cut(vb.Name, ".")
		switch column {
		case "lcmsAlarmNotification", "lcmsAlarmObject", "lcmsAlarmSeverity":
			rows[index] += vb.Value + " "
		}
	}
	for _, row := range rows {
		if row == notification+" "+object+" "+severity+" " {
			return nil
		}
	}
	return fmt.Errorf("no %s about %s of severity %s among %v", notification, object, severity, table)
}

// count returns how many of each kind have come.
func count(r *director.Receiver) map[string]int {
	kinds := make(map[string]int)
	for _, n := range r.Received() {
		kinds[n.Name]++
	}
	return kinds
}
