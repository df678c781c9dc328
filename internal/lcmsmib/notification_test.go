package lcmsmib

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/mibs"
)

var notificationTypes = regexp.MustCompile(`(?s)(\w+) NOTIFICATION-TYPE\s+OBJECTS\s+\{(.*?)\}.*?::= \{ lcmsNotifications (\d+) \}`)

// sample is an event of each kind with every field set.
func sample(t *testing.T, kind control.EventKind) control.Event {
	t.Helper()
	service, err := lvs.ParseServiceKey(web)
	if err != nil {
		t.Fatal(err)
	}
	e := control.Event{
		Kind: kind, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Service: service, State: control.OperDown,
		Kernel: control.KernelAbsent, Drift: control.ServerChanged, Weight: 7, Up: 2, Text: "why",
		Request: 12, Source: lvs.SourceSNMP, Object: mibs.DefaultRoot().Child(1, 2, 3), OldValue: "1", NewValue: "2",
	}
	if kind != control.ServiceStateChange {
		if e.Server, err = lvs.ParseServerKey(rs1); err != nil {
			t.Fatal(err)
		}
	}
	e.Member, e.Role = lvs.MemberID{Cluster: "c1", Host: "rs1"}, lvs.RealServer
	e.Directory = &lvs.DirectoryStatus{State: lvs.DirectoryHeld, Provider: "ldap://ldap1", LastError: "none", Held: 3, HoldID: 9}
	e.Drifted = &control.Drift{Kind: e.Drift, Service: service, Server: e.Server, Attribute: "weight", Desired: "weight 1", Actual: "weight 2", Policy: lvs.DriftAlert}
	return e
}

// TestNotificationsAgreeWithTheMIB holds what is sent of each kind against the
// OBJECTS of its definition: names, order, types, and the label of its bit.
func TestNotificationsAgreeWithTheMIB(t *testing.T) {
	text, err := mibs.Text(mibs.DefaultRoot())
	if err != nil {
		t.Fatal(err)
	}
	text = quoted.ReplaceAllString(comments.ReplaceAllString(text, ""), `""`)
	defined, types := readMIB(t)
	module := newModule(t)
	found := notificationTypes.FindAllStringSubmatch(text, -1)
	if len(found) != len(notificationLabels) {
		t.Fatalf("the MIB has %d notifications, there are %d labels", len(found), len(notificationLabels))
	}
	for i, m := range found {
		name, number := m[1], m[3]
		if number != strconv.Itoa(i+1) || !strings.EqualFold(name, "lcms"+notificationLabels[i]) {
			t.Errorf("notification %d is %s(%s), its bit is named %s", i+1, name, number, notificationLabels[i])
		}
		vbs := module.Notification(sample(t, control.EventKind(i+1)), 9)
		if !vbs[0].Name.Equal(snmpTrapOID) || !vbs[0].Value.OID.Equal(mibs.DefaultRoot().Child(0, uint32(i+1))) {
			t.Errorf("%s begins with %v", name, vbs[0])
		}
		objects := strings.Fields(strings.ReplaceAll(m[2], ",", " "))
		if len(objects) != len(vbs)-1 {
			t.Errorf("%s has %d objects, %d are sent", name, len(objects), len(vbs)-1)
			continue
		}
		for j, object := range objects {
			d, vb := defined[object], vbs[j+1]
			if !vb.Name.HasPrefix(d.oid) || len(vb.Name) == len(d.oid) {
				t.Errorf("%s: object %d is %s, sent as %s", name, j+1, object, vb.Name)
			}
			base, _, _ := strings.Cut(d.syntax, " ")
			if own, ok := types[base]; ok {
				base, _, _ = strings.Cut(own, " ")
			}
			if wireTypes[base] != vb.Value.Type {
				t.Errorf("%s: %s is %s, sent as %s", name, object, base, vb.Value.Type)
			}
		}
	}
}

// TestNotificationNamesItsRow: the index of the objects is the key of the row.
func TestNotificationNamesItsRow(t *testing.T) {
	r := newRig(t, nil)
	vbs := r.Notification(sample(t, control.ServerStateChange), 1)
	if want := r.oid(t, "lcmsServerOperStatus", web, rs1); !vbs[4].Name.Equal(want) || vbs[4].Value.Int() != int32(control.OperDown) {
		t.Errorf("got %v, want %s", vbs[4], want)
	}
	vbs = r.Notification(sample(t, control.ServiceStateChange), 1)
	if want := r.oid(t, "lcmsServiceServersUp", web); !vbs[5].Name.Equal(want) || vbs[5].Value.Num != 2 {
		t.Errorf("got %v, want %s", vbs[5], want)
	}
	vbs = r.Notification(sample(t, control.DriftDetected), 1)
	if want := smi.AppendIndexString(smi.AppendIndexString(mibs.DefaultRoot().Child(1, 8, 1, 1, 4, 5), web), rs1); !vbs[4].Name.Equal(want) {
		t.Errorf("got %v, want %s", vbs[4], want)
	}
	vbs = r.Notification(sample(t, control.MemberStateChange), 1)
	if want := r.oid(t, "lcmsMemberOperStatus", "c1", "rs1"); !vbs[4].Name.Equal(want) || vbs[5].Value.Int() != int32(lvs.RealServer) {
		t.Errorf("got %v, want %s", vbs[4:], want)
	}
	change := sample(t, control.ConfigChange)
	change.More = 3
	vbs = r.Notification(change, 1)
	if got := vbs[3].Value.String(); got != "why; 3 more objects in the same change" {
		t.Errorf("text %q", got)
	}
	change.Object = nil
	vbs = r.Notification(change, 1)
	if want := r.oid(t, "lcmsServerRowStatus", web, rs1); !vbs[5].Value.OID.Equal(want) {
		t.Errorf("the object is %v, want %s", vbs[5].Value, want)
	}
}

func TestSettingsAreSetKeptAndUndone(t *testing.T) {
	r := newRig(t, nil)
	enable := func() []byte { return r.get(t, "lcmsAgentNotificationEnable").Bytes }
	if got := enable(); !slices.Equal(got, []byte{0xff, 0xff, 0x80}) {
		t.Errorf("at first % x are enabled", got)
	}
	if got := r.get(t, "lcmsAgentNotificationRate").Num; got != 50 {
		t.Errorf("the rate is %d at first", got)
	}
	set := []smi.Varbind{
		{Name: r.oid(t, "lcmsAgentNotificationEnable"), Value: smi.OctetString([]byte{0x7f, 0xff, 0x80})},
		{Name: r.oid(t, "lcmsAgentNotificationRate"), Value: smi.Unsigned32(0)},
	}
	p, err := r.Prepare("", set)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := p.Undo(); err != nil {
		t.Fatal(err)
	}
	if got := enable(); !slices.Equal(got, []byte{0xff, 0xff, 0x80}) {
		t.Errorf("after undo % x are enabled", got)
	}
	r.mustSet(t, set...)
	want := lvs.Settings{Muted: 1, NotificationRate: 0}
	if got := r.control.Snapshot().Director.Settings; got != want {
		t.Errorf("set to %+v, want %+v", got, want)
	}
	r.mustSet(t, smi.Varbind{Name: set[1].Name, Value: smi.Unsigned32(7)})
	if got := enable(); !slices.Equal(got, []byte{0x7f, 0xff, 0x80}) {
		t.Errorf("a change of the rate leaves % x enabled", got)
	}
	for _, vb := range []smi.Varbind{
		{Name: set[0].Name, Value: smi.OctetString([]byte{0xff, 0xff, 0xc0})},
		{Name: set[1].Name, Value: smi.Unsigned32(lvs.MaxNotificationRate + 1)},
	} {
		if err := r.set(vb); err == nil {
			t.Errorf("%v is accepted", vb)
		}
	}
}

// TestDriftTable walks rows with and without keys in the order that control
// gives them, and finds each by its index.
func TestDriftTable(t *testing.T) {
	long, _ := lvs.ParseServiceKey("udp:[2001:db8::1]:53")
	short, _ := lvs.ParseServiceKey("fwm4:7")
	server, _ := lvs.ParseServerKey(rs1)
	s := &control.Snapshot{Drifts: []*control.Drift{
		{Kind: control.ServiceMissing, Service: short, Attribute: "presence"},
		{Kind: control.ServiceMissing, Service: long},
		{Kind: control.ServerChanged, Service: short, Server: server},
		{Kind: control.DaemonChanged},
		{Kind: control.TimeoutsChanged},
	}}
	table := drift()
	var index smi.OID
	for i, want := range s.Drifts {
		got, ok := table.Next(s, index, false)
		if !ok || got != want {
			t.Fatalf("row %d is %+v", i, got)
		}
		next := table.Index(nil, got)
		if next.Compare(index) <= 0 {
			t.Errorf("%s does not come after %s", next, index)
		}
		index = next
		if got, ok := table.Get(s, index); !ok || got != want {
			t.Errorf("no row has the index %s", index)
		}
		if got, ok := table.Next(s, index, true); !ok || got != want {
			t.Errorf("with include no row is at %s", index)
		}
		if _, ok := table.Get(s, index.Child(0)); ok {
			t.Errorf("there is a row %s.0", index)
		}
	}
	if got, ok := table.Next(s, index, false); ok {
		t.Errorf("after the last row comes %+v", got)
	}
}

func TestAlarmsAreServed(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.create(t)...)
	r.mustSet(t,
		smi.Varbind{Name: r.oid(t, "lcmsServerDrainTimeout", web, rs1), Value: smi.Unsigned32(9)},
		smi.Varbind{Name: r.oid(t, "lcmsServerDrainAction", web, rs1), Value: smi.Integer(2)})
	if got := r.get(t, "lcmsServerDrainAction", web, rs1); got.Int() != 2 {
		t.Errorf("DrainAction is %v", got)
	}
	service := "udp:10.0.0.9:53"
	r.mustSet(t, smi.Varbind{Name: r.oid(t, "lcmsServiceRowStatus", service), Value: smi.Integer(4)})
	s := r.control.Snapshot()
	if len(s.Alarms) != 1 {
		t.Fatalf("%d alarms, want that of the service without servers", len(s.Alarms))
	}
	index := s.Alarms[0].Index
	view, _ := r.View("")
	entry := mibs.DefaultRoot().Child(1, 9, 1, 1)
	if got := view.Get(entry.Child(2, index)); !got.OID.Equal(mibs.DefaultRoot().Child(0, 2)) {
		t.Errorf("lcmsAlarmNotification is %v", got)
	}
	if got := view.Get(entry.Child(3, index)); !got.OID.Equal(r.oid(t, "lcmsServiceName", service)) {
		t.Errorf("lcmsAlarmObject is %v", got)
	}
	if got := view.Get(entry.Child(4, index)); got.Int() != int32(control.Critical) {
		t.Errorf("lcmsAlarmSeverity is %v", got)
	}
	if got := r.get(t, "lcmsAlarmCount"); got.Num != 1 {
		t.Errorf("lcmsAlarmCount is %v", got)
	}
}
