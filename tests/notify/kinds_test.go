package notify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

const (
	web = "tcp:192.0.2.1:80"
	rs1 = "10.0.0.11:80"
	rs2 = "10.0.0.12:80"
)

// start returns a director that tells a receiver everything, without a limit.
func start(t *testing.T, version string, inform bool, o director.Options) (*director.Director, *director.Receiver) {
	t.Helper()
	r := director.NewReceiver(t)
	o.Snmpd = append(o.Snmpd, r.Sink(version, inform)...)
	d := director.New(t, o)
	r.Start(d)
	d.StartSnmpd()
	d.StartSubagent()
	d.WaitReady()
	return d, r
}

func set(t *testing.T, d *director.Director, varbinds ...string) {
	t.Helper()
	if _, err := d.Set(varbinds...); err != nil {
		t.Fatal(err)
	}
}

// get returns the value of one object.
func get(t *testing.T, d *director.Director, object string) string {
	t.Helper()
	v, err := d.Get(object)
	if err != nil {
		t.Fatal(err)
	}
	return v[0].Value
}

// number returns an unsigned number.
func number(t *testing.T, d *director.Director, object string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(get(t, d, object), &n); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	return n
}

func service(column string) string { return fmt.Sprintf("lcmsService%s.%q", column, web) }

func server(column, key string) string { return fmt.Sprintf("lcmsServer%s.%q.%q", column, web, key) }

// create makes a service with two servers.
func create(t *testing.T, d *director.Director) {
	t.Helper()
	set(t, d, service("RowStatus")+" i createAndGo", server("RowStatus", rs1)+" i createAndGo", server("RowStatus", rs2)+" i createAndGo")
}

// expect waits for a notification with these values, each OBJECT=TEXT where the
// value holds the text. Meanwhile it looks at the director, as a manager that
// polls: then the kernel is read every second.
func expect(t *testing.T, d *director.Director, r *director.Receiver, name string, values ...string) director.Notification {
	t.Helper()
	var looked time.Time
	return r.Wait(d.Limit(), name+" with "+strings.Join(values, ", "), func(n *director.Notification) bool {
		if time.Since(looked) > time.Second {
			looked = time.Now()
			get(t, d, "lcmsDirectorKernelState.0")
		}
		return n.Name == name && !slices.ContainsFunc(values, func(v string) bool { return !holds(n, v) })
	})
}

// holds reports whether a notification has an object with this text. Without
// an index any instance will do.
func holds(n *director.Notification, value string) bool {
	object, text, _ := strings.Cut(value, "=")
	return slices.ContainsFunc(n.Varbinds, func(vb director.Varbind) bool {
		column, _, _ := strings.Cut(vb.Name, ".")
		return (vb.Name == object || column == object) && strings.Contains(vb.Value, text)
	})
}

// TestEveryWayToAReceiver sends the same as traps and informs of both versions.
func TestEveryWayToAReceiver(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		version string
		inform  bool
		want    string
	}{
		{"2c", false, "SNMP v2c, community public"},
		{"2c", true, "SNMP v2c, community public"},
		{"3", false, "SNMP v3, user lcms-notify, context"},
		{"3", true, "SNMP v3, user lcms-notify, context"},
	} {
		t.Run(fmt.Sprintf("v%s inform %t", way.version, way.inform), func(t *testing.T) {
			t.Parallel()
			d, r := start(t, way.version, way.inform, director.Options{})
			create(t, d)
			set(t, d, server("AdminStatus", rs1)+" i drain")
			n := expect(t, d, r, "lcmsServerDrained", server("OperStatus", rs1)+"=4", server("OperWeight", rs1)+"=0")
			if n.Inform != way.inform || n.Security != way.want {
				t.Errorf("inform %t with %q, want %q", n.Inform, n.Security, way.want)
			}
		})
	}
}

// TestEachKind provokes what can be provoked from outside on the in-memory
// kernel, each with its clear, and holds the alarms against it.
func TestEachKind(t *testing.T) {
	t.Parallel()
	d, r := start(t, "2c", true, director.Options{Traffic: 20})
	before := time.Now().Add(-time.Second)

	// A service without servers is down and an alarm; with them it is up.
	set(t, d, service("RowStatus")+" i createAndGo")
	expect(t, d, r, "lcmsConfigChange", "lcmsRequestObject="+service("RowStatus"), "lcmsRequestSource=1", "lcmsRequestNewValue=createAndGo(4)")
	alarms(t, d, 1, "lcmsServiceStateChange", service("Name"), "1")
	set(t, d, server("RowStatus", rs1)+" i createAndGo", server("RowStatus", rs2)+" i createAndGo", server("Weight", rs2)+" u 3")
	expect(t, d, r, "lcmsConfigChange", "lcmsNotificationText=2 more objects in the same change", "lcmsRequestObject="+server("RowStatus", rs1))
	n := expect(t, d, r, "lcmsServiceStateChange", service("OperStatus")+"=1", service("ServersUp")+"=2", "lcmsNotificationText=takes new connections")
	alarms(t, d, 0, "", "", "")
	if at := when(t, &n); at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("lcmsNotificationTime is %s", at)
	}

	// A member is as its servers are: it fails nobody while one of them is left.
	const member = `"shop"."rs1"`
	set(t, d, `lcmsClusterRowStatus."shop" i createAndGo`, `lcmsHostRowStatus."rs1" i createAndGo`, `lcmsMemberRowStatus.`+member+` i createAndGo`,
		service("Cluster")+" s shop", server("Host", rs1)+" s rs1")
	set(t, d, server("AdminStatus", rs1)+" i down")
	expect(t, d, r, "lcmsMemberStateChange", "lcmsMemberOperStatus."+member+"=6", "lcmsMemberRole."+member+"=3", "lcmsNotificationText=server "+rs1+" of service "+web+": down by the administrator")
	set(t, d, server("AdminStatus", rs1)+" i up")
	expect(t, d, r, "lcmsMemberStateChange", "lcmsMemberOperStatus."+member+"=1", "lcmsNotificationText=takes new connections")

	// Weights.
	set(t, d, server("Weight", rs1)+" u 7")
	expect(t, d, r, "lcmsConfigChange", "lcmsRequestObject="+server("Weight", rs1), "lcmsRequestOldValue=1", "lcmsRequestNewValue=7")

	// Health, and with it the quorum: reports of a monitor are no change.
	set(t, d, server("Health", rs1)+" i down", server("HealthDetail", rs1)+" s no answer")
	expect(t, d, r, "lcmsServerStateChange", server("OperStatus", rs1)+"=2", server("OperWeight", rs1)+"=0", "lcmsNotificationText=health down: no answer")
	set(t, d, server("Health", rs2)+" i down")
	expect(t, d, r, "lcmsServiceStateChange", service("OperStatus")+"=2", service("ServersUp")+"=0", service("QuorumState")+"=2")
	set(t, d, server("Health", rs1)+" i up", server("Health", rs2)+" i up")
	expect(t, d, r, "lcmsServiceStateChange", service("OperStatus")+"=1", service("QuorumState")+"=1", "lcmsNotificationText=takes new connections; the quorum is met again")
	alarms(t, d, 0, "", "", "")

	// Thresholds: twenty connections in a second are too many for one.
	set(t, d, server("UpperThreshold", rs1)+" u 2", server("LowerThreshold", rs1)+" u 1")
	expect(t, d, r, "lcmsServerOverload", server("OperStatus", rs1)+"=5", "lcmsNotificationText=threshold")
	set(t, d, server("UpperThreshold", rs1)+" u 0", server("LowerThreshold", rs1)+" u 0")
	expect(t, d, r, "lcmsServerOverloadClear", server("OperStatus", rs1)+"=1", server("OperWeight", rs1)+"=7")

	// Drain: connections end, then the deadline is short, then the row goes.
	set(t, d, server("AdminStatus", rs1)+" i drain", server("DrainAction", rs1)+" i down")
	expect(t, d, r, "lcmsServerStateChange", server("OperStatus", rs1)+"=3", server("OperWeight", rs1)+"=0")
	expect(t, d, r, "lcmsServerDrained", server("OperStatus", rs1)+"=4")
	expect(t, d, r, "lcmsConfigChange", "lcmsRequestSource=6", "lcmsRequestObject="+server("RowStatus", rs1), "lcmsRequestOldValue=drain", "lcmsRequestNewValue=down")
	expect(t, d, r, "lcmsServerStateChange", server("OperStatus", rs1)+"=6")
	set(t, d, server("AdminStatus", rs2)+" i drain", server("DrainAction", rs2)+" i destroy", server("DrainTimeout", rs2)+" u 1")
	expect(t, d, r, "lcmsServerDrained", server("OperStatus", rs2)+"=4")
	expect(t, d, r, "lcmsConfigChange", "lcmsRequestObject="+server("RowStatus", rs2), "lcmsRequestNewValue=destroy")
	expect(t, d, r, "lcmsServiceStateChange", service("OperStatus")+"=2", service("ServersUp")+"=0")
	alarms(t, d, 1, "lcmsServiceStateChange", service("Name"), "1")

	// Nothing was lost, and nothing came twice.
	sequence(t, r, true)
	if lost := number(t, d, "lcmsAgentNotificationsDropped.0"); lost != 0 {
		t.Errorf("%d notifications were dropped", lost)
	}
}

// when returns lcmsNotificationTime, which is in UTC.
func when(t *testing.T, n *director.Notification) time.Time {
	t.Helper()
	text, _, _ := strings.Cut(n.Object("lcmsNotificationTime"), ",+0:0")
	at, err := time.Parse("2006-1-2,15:4:5.0", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// alarms waits until there are so many, and holds the last against what it
// should be.
func alarms(t *testing.T, d *director.Director, count int, notification, object, severity string) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		vbs, err := d.BulkWalk("lcmsAlarmTable")
		if err != nil {
			return director.Final{Err: err}
		}
		if count == 0 {
			vbs = nil
			if n := get(t, d, "lcmsAlarmCount.0"); n != "0" {
				return fmt.Errorf("there are %s alarms", n)
			}
		}
		if len(vbs) != 5*count {
			return fmt.Errorf("%d objects of alarms, want %d: %v", len(vbs), 5*count, vbs)
		}
		if count == 0 {
			return nil
		}
		got := []string{vbs[count-1].Value, vbs[2*count-1].Value, vbs[3*count-1].Value}
		if got[0] != notification || got[1] != object || got[2] != severity {
			return fmt.Errorf("the last alarm is %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sequence checks that no notification came twice and, with all, that none is
// missing. Each death of snmpd, told by how many had come before it, permits
// one copy: that of the last before it, which snmpd may have sent without
// living to tell the agent so.
func sequence(t *testing.T, r *director.Receiver, all bool, deaths ...int) {
	t.Helper()
	received := r.Received()
	first := make(map[int]*director.Notification)
	last, copies := 0, 0
	for i := range received {
		n := &received[i]
		number := numberOf(t, n)
		last = max(last, number)
		old := first[number]
		if old == nil {
			first[number] = n
			continue
		}
		death := slices.IndexFunc(deaths, func(before int) bool {
			return 0 < before && before <= i && numberOf(t, &received[before-1]) == number
		})
		if death < 0 {
			t.Errorf("notification %d came twice", number)
			continue
		}
		deaths = slices.Delete(slices.Clone(deaths), death, death+1)
		copies++
		if n.Name != old.Name || !slices.Equal(n.Varbinds, old.Varbinds) {
			t.Errorf("notification %d was %v and came again as %v", number, old, n)
		}
	}
	if copies > 0 {
		t.Logf("%d on their way when snmpd died came again", copies)
	}
	if all && len(first) != last {
		t.Errorf("%d of %d notifications came", len(first), last)
	}
}

// numberOf returns the sequence number of a notification.
func numberOf(t *testing.T, n *director.Notification) (number int) {
	t.Helper()
	if _, err := fmt.Sscan(n.Object("lcmsNotificationSequence"), &number); err != nil {
		t.Fatalf("%v: %v", n, err)
	}
	return number
}
