package lcmsmib

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// value is a varbind of the object with this name and index.
func (r *rig) value(t *testing.T, v smi.Value, name string, keys ...string) smi.Varbind {
	t.Helper()
	return smi.Varbind{Name: r.oid(t, name, keys...), Value: v}
}

// wholeCluster makes a cluster with everything in it, in an order in which each
// row comes before what it names.
func (r *rig) wholeCluster(t *testing.T) []smi.Varbind {
	create := smi.Integer(4)
	return []smi.Varbind{
		r.value(t, smi.Text("rs1"), "lcmsServerHost", web, rs1),
		r.value(t, create, "lcmsServerRowStatus", web, rs1),
		r.value(t, smi.Text("rs2"), "lcmsServerHost", web, rs2),
		r.value(t, create, "lcmsServerRowStatus", web, rs2),
		r.value(t, smi.Text("shop"), "lcmsServiceCluster", web),
		r.value(t, create, "lcmsServiceRowStatus", web),
		r.value(t, create, "lcmsMemberRowStatus", "shop", "rs1"),
		r.value(t, create, "lcmsMemberRowStatus", "shop", "rs2"),
		r.value(t, smi.Integer(1), "lcmsMemberRole", "shop", "d1"),
		r.value(t, create, "lcmsMemberRowStatus", "shop", "d1"),
		r.value(t, create, "lcmsHostRowStatus", "rs1"),
		r.value(t, create, "lcmsHostRowStatus", "rs2"),
		r.value(t, smi.Integer(1), "lcmsHostAddressType", "d1"),
		r.value(t, smi.OctetString([]byte{192, 0, 2, 1}), "lcmsHostAddress", "d1"),
		r.value(t, create, "lcmsHostRowStatus", "d1"),
		r.value(t, smi.Text("192.0.2.1 2001:db8::1"), "lcmsClusterVirtualAddresses", "shop"),
		r.value(t, create, "lcmsClusterRowStatus", "shop"),
	}
}

func TestOneSetMakesACluster(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.wholeCluster(t)...)
	for _, want := range []struct {
		name  string
		keys  []string
		value string
	}{
		{"lcmsClusterOperStatus", []string{"shop"}, "1"},
		{"lcmsClusterActiveDirector", []string{"shop"}, "d1"},
		{"lcmsClusterServices", []string{"shop"}, "1"},
		{"lcmsClusterServersUp", []string{"shop"}, "2"},
		{"lcmsClusterDriftPolicy", []string{"shop"}, "4"},
		{"lcmsClusterAutoReconfigure", []string{"shop"}, "1"},
		{"lcmsClusterGeneration", []string{"shop"}, "1"},
		{"lcmsMemberOperStatus", []string{"shop", "rs1"}, "1"},
		{"lcmsMemberOperReason", []string{"shop", "d1"}, "this director: it balances the cluster"},
		{"lcmsMemberPriority", []string{"shop", "d1"}, "100"},
		{"lcmsHostReportAge", []string{"rs1"}, "4294967295"},
		{"lcmsServerHost", []string{web, rs2}, "rs2"},
		{"lcmsServiceCluster", []string{web}, "shop"},
	} {
		if got := r.get(t, want.name, want.keys...); got.String() != want.value {
			t.Errorf("%s of %v is %v, want %s", want.name, want.keys, got, want.value)
		}
	}
	for host, want := range map[string]byte{"d1": 0x80, "rs1": 0x20} {
		if got := r.get(t, "lcmsHostRoleStatus", host); !slices.Equal(got.Bytes, []byte{want}) {
			t.Errorf("the roles of %s are % x, want %x", host, got.Bytes, want)
		}
	}
	r.mustSet(t, r.value(t, smi.Integer(6), "lcmsServiceRowStatus", web), r.value(t, smi.Integer(6), "lcmsClusterRowStatus", "shop"))
	if s := r.control.Snapshot(); len(s.Clusters)+len(s.Members)+len(s.Services) != 0 || len(s.Hosts) != 3 {
		t.Errorf("after destroy there are %d clusters, %d members, %d hosts", len(s.Clusters), len(s.Members), len(s.Hosts))
	}
}

func TestGroupRefusals(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.wholeCluster(t)...)
	create, destroy := smi.Integer(4), smi.Integer(6)
	for name, c := range map[string]struct {
		vbs    []smi.Varbind
		status smi.ErrorStatus
		index  int
		reason string
	}{
		"name in upper case":        {[]smi.Varbind{r.value(t, create, "lcmsClusterRowStatus", "Web")}, smi.NoCreation, 1, `write "web"`},
		"host without a name":       {[]smi.Varbind{r.value(t, create, "lcmsHostRowStatus", "")}, smi.NoCreation, 1, "1 to 64"},
		"member of two names":       {[]smi.Varbind{r.value(t, create, "lcmsMemberRowStatus", "shop")}, smi.NoCreation, 1, "no name of a host"},
		"member of no cluster":      {[]smi.Varbind{r.value(t, create, "lcmsMemberRowStatus", "nil", "rs1")}, smi.InconsistentName, 1, "no cluster nil"},
		"member on no host":         {[]smi.Varbind{r.value(t, create, "lcmsMemberRowStatus", "shop", "rs9")}, smi.InconsistentValue, 1, "no host rs9"},
		"service of no cluster":     {[]smi.Varbind{r.value(t, smi.Text("x"), "lcmsServiceName", web), r.value(t, smi.Text("nil"), "lcmsServiceCluster", web)}, smi.InconsistentValue, 2, "no cluster nil"},
		"server on no host":         {[]smi.Varbind{r.value(t, smi.Text("rs9"), "lcmsServerHost", web, rs1)}, smi.InconsistentValue, 1, "no host rs9"},
		"cluster still named":       {[]smi.Varbind{r.value(t, destroy, "lcmsClusterRowStatus", "shop")}, smi.InconsistentValue, 1, "service " + web},
		"host still named":          {[]smi.Varbind{r.value(t, smi.Text("x"), "lcmsServiceName", web), r.value(t, destroy, "lcmsHostRowStatus", "rs1")}, smi.InconsistentValue, 2, "still names it"},
		"addresses not canonical":   {[]smi.Varbind{r.value(t, smi.Text("2001:db8::1 192.0.2.1"), "lcmsClusterVirtualAddresses", "shop")}, smi.WrongValue, 1, `write "192.0.2.1 2001:db8::1"`},
		"no role":                   {[]smi.Varbind{r.value(t, smi.Integer(4), "lcmsMemberRole", "shop", "rs1")}, smi.WrongValue, 1, "realServer(3)"},
		"priority":                  {[]smi.Varbind{r.value(t, smi.Unsigned32(256), "lcmsMemberPriority", "shop", "rs1")}, smi.WrongValue, 1, "0 to 255"},
		"drift policy":              {[]smi.Varbind{r.value(t, smi.Integer(5), "lcmsClusterDriftPolicy", "shop")}, smi.WrongValue, 1, "director(4)"},
		"address without its type":  {[]smi.Varbind{r.value(t, smi.OctetString([]byte{192, 0, 2, 9}), "lcmsHostAddress", "rs1")}, smi.InconsistentValue, 1, "together"},
		"no SNMP URI":               {[]smi.Varbind{r.value(t, smi.Text("http://rs1"), "lcmsHostSnmpUri", "rs1")}, smi.WrongValue, 1, "RFC 4088"},
		"kept member of a volatile": {[]smi.Varbind{r.value(t, smi.Integer(2), "lcmsClusterStorageType", "shop")}, smi.InconsistentValue, 1, "must be kept too"},
		"what is computed":          {[]smi.Varbind{r.value(t, smi.Integer(1), "lcmsMemberOperStatus", "shop", "rs1")}, smi.NotWritable, 1, "read-only"},
		"load above all":            {[]smi.Varbind{r.value(t, smi.Unsigned32(101), "lcmsHostCpuLoad", "rs1")}, smi.WrongValue, 1, "0 to 100"},
		"report of no host":         {[]smi.Varbind{r.value(t, smi.Unsigned32(1), "lcmsHostCpuLoad", "rs1"), r.value(t, smi.Unsigned32(1), "lcmsHostCpuLoad", "rs9")}, smi.InconsistentName, 2, "createAndGo"},
		"release without directory": {[]smi.Varbind{r.value(t, smi.Unsigned32(1), "lcmsDirectoryHoldRelease")}, smi.InconsistentValue, 1, "no directory is configured"},
		"sync without directory":    {[]smi.Varbind{r.value(t, r.get(t, "lcmsDirectorySyncNow"), "lcmsDirectorySyncNow")}, smi.InconsistentValue, 1, "no directory is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.control.Snapshot()
			err := r.set(c.vbs...)
			var got *smi.SetError
			if !errors.As(err, &got) || got.Status != c.status || got.Index != c.index || !strings.Contains(got.Reason, c.reason) {
				t.Fatalf("got %v, want %s of varbind %d with %q", err, c.status, c.index, c.reason)
			}
			after := r.control.Snapshot()
			last := after.Requests[len(after.Requests)-1]
			if last.Outcome != control.Refused || !strings.Contains(last.Reason, c.reason) || !c.vbs[c.index-1].Name.Equal(last.Object) {
				t.Errorf("recorded as %+v", last)
			}
			if after.Director.Generation != before.Director.Generation || !slices.Equal(after.Clusters, before.Clusters) || !slices.Equal(after.Members, before.Members) || !slices.Equal(after.Hosts, before.Hosts) {
				t.Error("something changed")
			}
		})
	}
}

// TestReportsOfHosts: a report is no change of the configuration, is not
// recorded, counts though the values are the same, and is forgotten.
func TestReportsOfHosts(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.wholeCluster(t)...)
	before := r.control.Snapshot()
	load := r.value(t, smi.Unsigned32(42), "lcmsHostCpuLoad", "rs1")
	r.mustSet(t, load, r.value(t, smi.Unsigned32(7), "lcmsHostMemoryAvailable", "rs2"))
	r.mustSet(t, r.value(t, smi.Unsigned32(150), "lcmsHostLoadAverage", "rs1"))
	after := r.control.Snapshot()
	if after.Director.Generation != before.Director.Generation || len(after.Requests) != len(before.Requests) {
		t.Errorf("generation %d after %d, %d requests after %d", after.Director.Generation, before.Director.Generation, len(after.Requests), len(before.Requests))
	}
	for _, c := range []struct {
		name, host string
		want       uint64
	}{{"lcmsHostCpuLoad", "rs1", 42}, {"lcmsHostLoadAverage", "rs1", 150}, {"lcmsHostMemoryAvailable", "rs1", 0}, {"lcmsHostMemoryAvailable", "rs2", 7}, {"lcmsHostReportAge", "d1", 1<<32 - 1}} {
		if got := r.get(t, c.name, c.host); got.Num != c.want {
			t.Errorf("%s of %s is %v, want %d", c.name, c.host, got, c.want)
		}
	}
	if got := r.get(t, "lcmsHostReportAge", "rs1"); got.Num > 60 {
		t.Errorf("the report is %v old", got)
	}
	first := reportOf(r, "rs1")
	r.mustSet(t, load)
	if again := reportOf(r, "rs1"); again.At <= first.At || again.CpuLoad != 42 || again.LoadAverage != 150 {
		t.Errorf("%+v was reported again as %+v", first, again)
	}
	// With a change of the host it is both.
	r.mustSet(t, load, r.value(t, smi.Text("4 x"), "lcmsHostCpuType", "rs1"))
	if s := r.control.Snapshot(); s.Director.Generation != before.Director.Generation+1 {
		t.Errorf("generation %d", s.Director.Generation)
	}
}

func reportOf(r *rig, name lvs.HostName) control.HostReport {
	s := r.control.Snapshot()
	i := slices.IndexFunc(s.Hosts, func(h *control.HostRow) bool { return h.Host.Name == name })
	return s.Hosts[i].Report(time.Now())
}

func TestReportIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.mustSet(t, r.value(t, smi.Integer(4), "lcmsHostRowStatus", "rs1"), r.value(t, smi.Unsigned32(42), "lcmsHostCpuLoad", "rs1"))
		time.Sleep(5*time.Minute - time.Second)
		if got := r.get(t, "lcmsHostCpuLoad", "rs1"); got.Num != 42 {
			t.Errorf("before it is forgotten the load is %v", got)
		}
		time.Sleep(time.Second)
		if load, age := r.get(t, "lcmsHostCpuLoad", "rs1"), r.get(t, "lcmsHostReportAge", "rs1"); load.Num != 0 || age.Num != 1<<32-1 {
			t.Errorf("after five minutes the load is %v, its age %v", load, age)
		}
	})
}

// steered is a directory that notes what it is asked for. It tells at once what
// has become of a release, as one that can need not wait.
type steered struct {
	control  *control.Control
	released []uint32
	resynced int
}

func (*steered) Writable() error { return nil }
func (*steered) Write(context.Context, *lvs.Change, *lvs.Config, lvs.Requester) error {
	return nil
}
func (d *steered) Resync() { d.resynced++ }
func (d *steered) Release(id uint32) error {
	d.released = append(d.released, id)
	d.control.SetDirectory(lvs.DirectoryStatus{State: lvs.DirectoryInSync})
	return nil
}

func TestDirectoryIsSteered(t *testing.T) {
	d := new(steered)
	r := newRig(t, nil, func(o *control.Options) { o.Directory = d })
	d.control = r.control
	if got := r.get(t, "lcmsDirectoryState"); got.Int() != int32(lvs.DirectoryConnecting) {
		t.Errorf("at first the state is %v", got)
	}
	release := func(id uint32) error {
		return r.set(r.value(t, smi.Unsigned32(id), "lcmsDirectoryHoldRelease"))
	}
	if err := release(1); err == nil || !strings.Contains(err.Error(), "nothing is held") {
		t.Errorf("a release of nothing: %v", err)
	}
	fault := "cn=x: " + strings.Repeat("ä", 600)
	r.control.SetDirectory(lvs.DirectoryStatus{State: lvs.DirectoryHeld, Held: 12, HoldID: 7, HeldText: "12 of 20 services", Faults: []string{fault}})
	if got := r.get(t, "lcmsDirectoryHeld"); got.Num != 12 {
		t.Errorf("held are %v", got)
	}
	view, _ := r.View("")
	if got := view.Get(r.Root().Child(1, 7, 1, 1, 2, 1)); len(got.Bytes) > 1024 || len(got.Bytes) < 1020 || !strings.HasSuffix(string(got.Bytes), "ä...") {
		t.Errorf("the fault is shown as %v", got)
	}
	var refused *smi.SetError
	if err := release(6); !errors.As(err, &refused) || refused.Status != smi.InconsistentValue || !strings.Contains(err.Error(), "the id 7, not 6") {
		t.Errorf("a release of another hold: %v", err)
	}
	if err := release(0); err != nil || len(d.released) > 0 {
		t.Errorf("0 released %v, %v", d.released, err)
	}
	generation := r.get(t, "lcmsDirectorConfigGeneration")
	if err := release(7); err != nil || !slices.Equal(d.released, []uint32{7}) {
		t.Errorf("released were %v, %v", d.released, err)
	}
	lock := r.get(t, "lcmsDirectorySyncNow")
	sync := r.value(t, lock, "lcmsDirectorySyncNow")
	r.mustSet(t, sync)
	if now := r.get(t, "lcmsDirectorySyncNow"); d.resynced != 1 || now.Int() == lock.Int() {
		t.Errorf("read anew %d times, the lock went from %v to %v", d.resynced, lock, now)
	}
	if err := r.set(sync); err == nil || !strings.Contains(err.Error(), "read again") {
		t.Errorf("with an old lock: %v", err)
	}
	if now := r.get(t, "lcmsDirectorConfigGeneration"); now.Num != generation.Num {
		t.Errorf("the generation went from %v to %v", generation, now)
	}
	// What is taken back is not asked of the directory.
	p, err := r.Prepare("", []smi.Varbind{r.value(t, r.get(t, "lcmsDirectorySyncNow"), "lcmsDirectorySyncNow")})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Commit(), p.Undo()); err != nil {
		t.Fatal(err)
	}
	p.Done()
	if d.resynced != 1 {
		t.Error("a SET that was taken back reached the directory")
	}
}

// TestEveryFieldHasItsColumn holds the model of clusters, members and hosts
// against the columns.
func TestEveryFieldHasItsColumn(t *testing.T) {
	r := newRig(t, nil)
	objects := r.Objects()
	index := []string{"ID", "Cluster", "Host", "Name"} // in the index
	for prefix, row := range map[string]any{"lcmsCluster": lvs.Cluster{}, "lcmsMember": lvs.Member{}, "lcmsHost": lvs.Host{}} {
		for f := range fields(row) {
			column := columnOf(prefix, f)
			has := slices.IndexFunc(objects, func(o mib.Object) bool { return o.Name == column })
			if slices.Contains(index, f) {
				continue
			}
			if has < 0 || objects[has].Access.String() != "read-create" {
				t.Errorf("%T.%s has no column %s that can be written", row, f, column)
			}
		}
	}
}

func fields(row any) func(func(string) bool) {
	return func(yield func(string) bool) {
		typ := reflect.TypeOf(row)
		for i := range typ.NumField() {
			if !yield(typ.Field(i).Name) {
				return
			}
		}
	}
}
