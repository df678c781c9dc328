package lcmsmib

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/mibs"
)

// rig is the MIB over a kernel in memory and a store in a file.
type rig struct {
	*Module
	kernel *memory.Kernel
}

func newRig(t *testing.T, prepare func(*memory.Kernel), refine ...func(*control.Options)) *rig {
	t.Helper()
	store, err := localstore.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	kernel := memory.New(memory.Options{})
	if prepare != nil {
		prepare(kernel)
	}
	o := control.Options{
		Kernel: kernel, Store: store, Log: slog.New(slog.DiscardHandler), Host: "d1",
		ReadBusy: 20 * time.Millisecond, ReadIdle: 50 * time.Millisecond,
	}
	for _, f := range refine {
		f(&o)
	}
	ctl := control.New(o)
	module, err := New(Options{Root: mibs.DefaultRoot(), Control: ctl, Version: "1", HostName: "d1", Agent: func() Agent { return Agent{Requests: 7} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ctl.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		store.Close()
	})
	<-ctl.Ready()
	return &rig{module, kernel}
}

func newModule(t *testing.T) *Module { return newRig(t, nil).Module }

// oid returns the OID of an instance, written as name.index with the index of
// services and servers as canonical text.
func (r *rig) oid(t *testing.T, name string, keys ...string) smi.OID {
	t.Helper()
	for _, o := range r.Objects() {
		if o.Name != name {
			continue
		}
		oid := o.OID
		for _, k := range keys {
			oid = smi.AppendIndexString(oid.Clone(), k)
		}
		if len(keys) == 0 {
			oid = oid.Child(0)
		}
		return oid
	}
	t.Fatalf("no object %s", name)
	return nil
}

func (r *rig) get(t *testing.T, name string, keys ...string) smi.Value {
	t.Helper()
	view, ok := r.View("")
	if !ok {
		t.Fatal("no view")
	}
	return view.Get(r.oid(t, name, keys...))
}

// set makes a whole SET, as the master does with CommitSet and CleanupSet.
func (r *rig) set(vbs ...smi.Varbind) error {
	p, err := r.Prepare("", vbs)
	if err != nil {
		return err
	}
	if err := p.Commit(); err != nil {
		return errors.Join(err, p.Undo())
	}
	p.Done()
	return nil
}

func (r *rig) mustSet(t *testing.T, vbs ...smi.Varbind) {
	t.Helper()
	if err := r.set(vbs...); err != nil {
		t.Fatal(err)
	}
}

const (
	web = "tcp:10.0.0.1:80"
	rs1 = "10.0.0.11:80"
	rs2 = "10.0.0.12:80"
)

// create returns the varbinds that make a service with one server.
func (r *rig) create(t *testing.T) []smi.Varbind {
	return []smi.Varbind{
		{Name: r.oid(t, "lcmsServerWeight", web, rs1), Value: smi.Unsigned32(300)},
		{Name: r.oid(t, "lcmsServerRowStatus", web, rs1), Value: smi.Integer(4)},
		{Name: r.oid(t, "lcmsServiceScheduler", web), Value: smi.Text("wrr")},
		{Name: r.oid(t, "lcmsServiceRowStatus", web), Value: smi.Integer(4)},
	}
}

// TestTreeTwice walks everything with GETNEXT, and holds each step against the
// GET of the instance and the GETNEXT from just before it.
func TestTreeTwice(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.create(t)...)
	for i := range 30 {
		service := fmt.Sprintf("udp:10.0.1.%d:53", i+1)
		r.mustSet(t,
			smi.Varbind{Name: r.oid(t, "lcmsServiceRowStatus", service), Value: smi.Integer(4)},
			smi.Varbind{Name: r.oid(t, "lcmsServerRowStatus", service, "[2001:db8::1]:53"), Value: smi.Integer(4)},
			smi.Varbind{Name: r.oid(t, "lcmsServerForwarding", service, "[2001:db8::1]:53"), Value: smi.Integer(3)},
			smi.Varbind{Name: r.oid(t, "lcmsServerRowStatus", service, "10.9.0.1:5353"), Value: smi.Integer(4)},
		)
	}
	for i := range 12 {
		cluster, host := fmt.Sprintf("c%d", i*i), fmt.Sprintf("h%d", i*i)
		r.mustSet(t,
			smi.Varbind{Name: r.oid(t, "lcmsClusterRowStatus", cluster), Value: smi.Integer(4)},
			smi.Varbind{Name: r.oid(t, "lcmsHostRowStatus", host), Value: smi.Integer(4)},
			smi.Varbind{Name: r.oid(t, "lcmsMemberRowStatus", cluster, host), Value: smi.Integer(4)},
		)
		if i > 0 {
			r.mustSet(t, smi.Varbind{Name: r.oid(t, "lcmsMemberRowStatus", "c0", host), Value: smi.Integer(4)})
		}
	}
	r.control.SetDirectory(lvs.DirectoryStatus{State: lvs.DirectoryHeld, Faults: []string{"cn=a: wrong", "cn=b: wrong too"}, HoldID: 3})
	view, _ := r.View("")
	var names []smi.OID
	at := mibs.DefaultRoot()
	for {
		var vb smi.Varbind
		if !view.Next(&vb, at, false, nil) {
			break
		}
		if vb.Name.Compare(at) <= 0 {
			t.Fatalf("%s does not come after %s", vb.Name, at)
		}
		if got := view.Get(vb.Name); !got.Equal(vb.Value) && !strings.Contains(vb.Name.String(), ".5267.1.1.17.") {
			t.Errorf("GET of %s is %v, GETNEXT gave %v", vb.Name, got, vb.Value)
		}
		var again smi.Varbind
		if !view.Next(&again, vb.Name, true, nil) || !again.Name.Equal(vb.Name) {
			t.Errorf("GETNEXT from %s with include gives %s", vb.Name, again.Name)
		}
		names = append(names, vb.Name)
		at = vb.Name
	}
	want := 31*(20+15) + (1+60)*(17+15) + 12*17 + 23*8 + 12*15 + 14 + 2 // columns of services, servers, clusters, members, hosts, the directory and its faults
	if len(names) < want {
		t.Fatalf("%d instances, want at least %d", len(names), want)
	}
	for i, name := range names[:len(names)-1] {
		for _, from := range []smi.OID{name, name.Child(0), name.Child(1<<32 - 1)} {
			var vb smi.Varbind
			if !view.Next(&vb, from, false, nil) || !vb.Name.Equal(names[i+1]) {
				t.Fatalf("after %s comes %s, not %s", from, vb.Name, names[i+1])
			}
		}
	}
	var vb smi.Varbind
	if view.Next(&vb, names[3], false, names[4]) {
		t.Errorf("GETNEXT goes beyond the end of its range to %s", vb.Name)
	}
}

func TestSetIsOneTransaction(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.create(t)...)
	actual, err := r.kernel.Read(t.Context())
	if err != nil || len(actual.Services) != 1 || len(actual.Services[0].Servers) != 1 || actual.Services[0].Servers[0].Weight != 300 {
		t.Fatalf("kernel holds %+v, %v", actual, err)
	}
	if got := r.get(t, "lcmsServerOperWeight", web, rs1); got.Num != 300 {
		t.Errorf("OperWeight is %v", got)
	}
	if got := r.get(t, "lcmsDirectorConfigGeneration"); got.Num != 1 {
		t.Errorf("ConfigGeneration is %v", got)
	}
	r.mustSet(t, smi.Varbind{Name: r.oid(t, "lcmsServiceRowStatus", web), Value: smi.Integer(6)})
	if actual, _ := r.kernel.Read(t.Context()); len(actual.Services) != 0 {
		t.Errorf("after destroy the kernel holds %+v", actual.Services)
	}
	if got := r.get(t, "lcmsServerWeight", web, rs1); got.Type != smi.TypeNoSuchInstance {
		t.Errorf("the server is still there: %v", got)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.create(t)...)
	other := "tcp:10.0.0.2:80"
	create := smi.Integer(4)
	weight := func(v smi.Value) smi.Varbind {
		return smi.Varbind{Name: r.oid(t, "lcmsServerWeight", web, rs1), Value: v}
	}
	vb := func(v smi.Value, name string, keys ...string) smi.Varbind {
		return smi.Varbind{Name: r.oid(t, name, keys...), Value: v}
	}
	for name, c := range map[string]struct {
		vbs    []smi.Varbind
		status smi.ErrorStatus
		index  int
		reason string
	}{
		"wrong type":              {[]smi.Varbind{weight(smi.Integer(3))}, smi.WrongType, 1, "Unsigned32"},
		"out of range":            {[]smi.Varbind{weight(smi.Unsigned32(65536))}, smi.WrongValue, 1, "0 to 65535"},
		"second of two":           {[]smi.Varbind{weight(smi.Unsigned32(1)), vb(smi.Unsigned32(129), "lcmsServicePersistenceNetmask", web)}, smi.WrongValue, 2, "0 to 128"},
		"netmask of the family":   {[]smi.Varbind{vb(smi.Unsigned32(33), "lcmsServicePersistenceNetmask", web)}, smi.WrongValue, 1, "1 to 32"},
		"too long":                {[]smi.Varbind{vb(smi.Text(strings.Repeat("x", 16)), "lcmsServiceScheduler", web)}, smi.WrongLength, 1, "1 to 15"},
		"no such scheduler":       {[]smi.Varbind{vb(smi.Text("turbo"), "lcmsServiceScheduler", web)}, smi.WrongValue, 1, "turbo"},
		"control character":       {[]smi.Varbind{vb(smi.Text("a\nb"), "lcmsServiceName", web)}, smi.WrongValue, 1, "UTF-8"},
		"read-only":               {[]smi.Varbind{vb(smi.Gauge32(1), "lcmsServicePort", web)}, smi.NotWritable, 1, "read-only"},
		"no such object":          {[]smi.Varbind{{Name: mibs.DefaultRoot().Child(1, 99, 0), Value: smi.Integer(1)}}, smi.NotWritable, 1, "no object"},
		"key not canonical":       {[]smi.Varbind{vb(create, "lcmsServiceRowStatus", "tcp:10.0.0.01:80")}, smi.NoCreation, 1, "service key"},
		"key upper case":          {[]smi.Varbind{vb(create, "lcmsServiceRowStatus", "tcp:[2001:DB8::1]:80")}, smi.NoCreation, 1, `write "tcp:[2001:db8::1]:80"`},
		"mark with an address":    {[]smi.Varbind{vb(create, "lcmsServiceRowStatus", "fwm4:10.0.0.1:80")}, smi.NoCreation, 1, "firewall mark"},
		"server of no service":    {[]smi.Varbind{vb(create, "lcmsServerRowStatus", other, rs1)}, smi.InconsistentName, 1, "create it first"},
		"column of no row":        {[]smi.Varbind{vb(smi.Text("rr"), "lcmsServiceScheduler", other)}, smi.InconsistentName, 1, "createAndGo"},
		"twice":                   {[]smi.Varbind{weight(smi.Unsigned32(1)), weight(smi.Unsigned32(2))}, smi.InconsistentValue, 2, "twice"},
		"row status twice":        {[]smi.Varbind{vb(create, "lcmsServiceRowStatus", other), vb(create, "lcmsServiceRowStatus", other)}, smi.InconsistentValue, 2, "twice"},
		"create what exists":      {[]smi.Varbind{vb(create, "lcmsServiceRowStatus", web)}, smi.InconsistentValue, 1, "exists already"},
		"activate what is not":    {[]smi.Varbind{vb(smi.Integer(1), "lcmsServiceRowStatus", other)}, smi.InconsistentValue, 1, "no such row"},
		"notReady":                {[]smi.Varbind{vb(smi.Integer(3), "lcmsServiceRowStatus", web)}, smi.WrongValue, 1, "notReady"},
		"thresholds crossed":      {[]smi.Varbind{vb(smi.Unsigned32(5), "lcmsServerUpperThreshold", web, rs1), vb(smi.Unsigned32(9), "lcmsServerLowerThreshold", web, rs1)}, smi.InconsistentValue, 2, "above the upper"},
		"port 0":                  {[]smi.Varbind{vb(create, "lcmsServiceRowStatus", "tcp:10.0.0.3:0")}, smi.InconsistentValue, 1, "persistence"},
		"gue without a port":      {[]smi.Varbind{vb(smi.Integer(2), "lcmsServerTunnelType", web, rs1), vb(smi.Integer(3), "lcmsServerForwarding", web, rs1)}, smi.InconsistentValue, 1, "UDP port"},
		"one packet over tcp":     {[]smi.Varbind{vb(smi.Integer(1), "lcmsServiceOnePacket", web)}, smi.InconsistentValue, 1, "udp"},
		"bypass":                  {[]smi.Varbind{vb(smi.Integer(5), "lcmsServerForwarding", web, rs1)}, smi.WrongValue, 1, "masquerade(1)"},
		"storage":                 {[]smi.Varbind{vb(smi.Integer(4), "lcmsServiceStorageType", web)}, smi.WrongValue, 1, "nonVolatile(3)"},
		"server outlives service": {[]smi.Varbind{vb(smi.Integer(2), "lcmsServiceStorageType", web)}, smi.InconsistentValue, 1, "outlive"},
		"sorry server of none":    {[]smi.Varbind{vb(smi.Text("10.0.0.99:80"), "lcmsServiceSorryServer", web)}, smi.InconsistentValue, 1, "create it first"},
		"sorry server by name":    {[]smi.Varbind{vb(smi.Text("sorry"), "lcmsServiceSorryServer", web)}, smi.WrongValue, 1, "sorry server"},
		"check target":            {[]smi.Varbind{vb(smi.Integer(3), "lcmsServiceCheckType", web), vb(smi.Text("health"), "lcmsServiceCheckTarget", web)}, smi.InconsistentValue, 2, "a path such as /health"},
		"check timeout":           {[]smi.Varbind{vb(smi.Unsigned32(6000), "lcmsServiceCheckTimeout", web)}, smi.InconsistentValue, 1, "must end before"},
		"bits":                    {[]smi.Varbind{vb(smi.OctetString([]byte{0x10}), "lcmsServiceSchedulerFlags", web)}, smi.WrongValue, 1, "bit 3"},
		"destroy and write":       {[]smi.Varbind{vb(smi.Text("x"), "lcmsServiceName", web), vb(smi.Integer(6), "lcmsServiceRowStatus", web)}, smi.InconsistentValue, 1, "destroys"},
		"destroy and add to it":   {[]smi.Varbind{vb(smi.Integer(6), "lcmsServiceRowStatus", web), vb(create, "lcmsServerRowStatus", web, rs2)}, smi.InconsistentName, 2, "the same request destroys the service"},
		"stale lock":              {[]smi.Varbind{vb(smi.Integer(r.get(t, "lcmsDirectorConfigLock").Int()-1), "lcmsDirectorConfigLock"), weight(smi.Unsigned32(1))}, smi.InconsistentValue, 1, "read again"},
		"sync daemon, no link":    {[]smi.Varbind{{Name: mibs.DefaultRoot().Child(1, 6, 1, 1, 10, 1), Value: create}}, smi.InconsistentValue, 1, "interface"},
		"sync daemon, index":      {[]smi.Varbind{{Name: mibs.DefaultRoot().Child(1, 6, 1, 1, 10, 3), Value: create}}, smi.NoCreation, 1, "master(1)"},
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
			if after.Director.Generation != before.Director.Generation || len(after.Services) != len(before.Services) || after.Services[0].Service != before.Services[0].Service {
				t.Error("something changed")
			}
		})
	}
}

func TestAdoption(t *testing.T) {
	key, _ := lvs.ParseServiceKey(web)
	server, _ := lvs.NewServerKey(netip.MustParseAddrPort(rs1))
	foreign := lvs.NewService(key).ServiceSpec
	foreign.Scheduler = "sh"
	r := newRig(t, func(k *memory.Kernel) {
		for _, op := range []lvs.Op{
			{Do: lvs.AddService, Service: new(foreign)},
			{Do: lvs.AddServer, Service: new(foreign), Server: &lvs.ServerSpec{Key: server, Weight: 9}},
		} {
			if err := k.Apply(context.Background(), op); err != nil {
				t.Fatal(err)
			}
		}
	})
	if owner, storage := r.get(t, "lcmsServiceOwner", web), r.get(t, "lcmsServiceStorageType", web); owner.Int() != 2 || storage.Int() != 1 {
		t.Fatalf("owner %v, storage %v", owner, storage)
	}
	status := func(v int32) smi.Varbind {
		return smi.Varbind{Name: r.oid(t, "lcmsServiceRowStatus", web), Value: smi.Integer(v)}
	}
	weight := smi.Varbind{Name: r.oid(t, "lcmsServerWeight", web, rs1), Value: smi.Unsigned32(4)}
	for name, vb := range map[string]smi.Varbind{"destroy": status(6), "notInService": status(2), "server": weight,
		"new server": {Name: r.oid(t, "lcmsServerRowStatus", web, rs2), Value: smi.Integer(4)}} {
		var refused *smi.SetError
		if err := r.set(vb); !errors.As(err, &refused) || refused.Status != smi.InconsistentValue || !strings.Contains(refused.Reason, "take it over") {
			t.Errorf("%s of what is not ours: %v", name, err)
		}
	}
	r.mustSet(t, weight, status(1))
	if owner, storage := r.get(t, "lcmsServiceOwner", web), r.get(t, "lcmsServerStorageType", web, rs1); owner.Int() != 1 || storage.Int() != 3 {
		t.Errorf("adopted: owner %v, storage of the server %v", owner, storage)
	}
	if got := r.get(t, "lcmsServerOperWeight", web, rs1); got.Num != 4 {
		t.Errorf("weight in the kernel is %v", got)
	}
	if got := r.get(t, "lcmsServiceScheduler", web); got.String() != "sh" {
		t.Errorf("scheduler is %v", got)
	}
}

func TestLockIsOneStepFurther(t *testing.T) {
	r := newRig(t, nil)
	lock := r.get(t, "lcmsDirectorConfigLock")
	r.mustSet(t, append(r.create(t), smi.Varbind{Name: r.oid(t, "lcmsDirectorConfigLock"), Value: lock})...)
	if got := r.get(t, "lcmsDirectorConfigLock"); got.Int() != lock.Int()+1 && got.Int() != 0 {
		t.Errorf("the lock went from %v to %v", lock, got)
	}
}

func TestUndoIsRecorded(t *testing.T) {
	r := newRig(t, nil)
	p, err := r.Prepare("", r.create(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prepare("", r.create(t)); err == nil || !strings.Contains(err.Error(), "another change") {
		t.Errorf("a second transaction: %v", err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := p.Undo(); err != nil {
		t.Fatal(err)
	}
	p.Done()
	if actual, _ := r.kernel.Read(t.Context()); len(actual.Services) != 0 {
		t.Errorf("the kernel holds %+v", actual.Services)
	}
	requests := r.control.Snapshot().Requests
	if last := requests[len(requests)-1]; last.Outcome != control.Undone {
		t.Errorf("recorded as %+v", last)
	}
}

var _ agentx.Writer = (*Module)(nil)
