package control_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Control that runs on a kernel in memory and a store in a file.
type rig struct {
	t      *testing.T
	kernel *memory.Kernel
	path   string
	*control.Control
	stop func()
	edit []func(*control.Options)

	mu     sync.Mutex
	events []control.Event
}

// seen lists the events so far as text: kind, service, server, state.
func (r *rig) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		out = append(out, fmt.Sprintf("%d %s %s %d", e.Kind, e.Service, e.Server, e.State))
	}
	return out
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigWith(t, lvs.DriftEnforce)
}

func newRigWith(t *testing.T, policy lvs.DriftPolicy) *rig {
	t.Helper()
	return newRigOptions(t, func(o *control.Options) { o.Drift = policy })
}

func newRigOptions(t *testing.T, edit ...func(*control.Options)) *rig {
	t.Helper()
	r := &rig{t: t, edit: edit, kernel: memory.New(memory.Options{}), path: filepath.Join(t.TempDir(), "store.db")}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start runs a new Control on the same kernel and store.
func (r *rig) start() {
	r.t.Helper()
	store, err := localstore.Open(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	options := control.Options{
		Kernel: r.kernel, Store: store, Log: slog.New(slog.DiscardHandler),
		Host: "d1",
		Observe: func(e control.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
		ReadBusy: 5 * time.Millisecond, ReadIdle: 10 * time.Millisecond,
	}
	for _, edit := range r.edit {
		edit(&options)
	}
	r.Control = control.New(options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		store.Close()
		r.stop = func() {}
	}
	select {
	case <-r.Ready():
	case err := <-done:
		r.stop = func() { store.Close() }
		r.t.Fatal(err)
	}
}

// kernelText renders what the kernel holds, in order and without counters.
func (r *rig) kernelText() string {
	r.t.Helper()
	a, err := r.kernel.Read(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for _, s := range a.Services {
		lines = append(lines, fmt.Sprintf("%s %s %d", s.Key, s.Scheduler, s.PersistenceTimeout))
		for _, d := range s.Servers {
			lines = append(lines, fmt.Sprintf("%s %s %s %d", s.Key, d.Key, d.Forwarding, d.Weight))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// eventually polls until the condition holds.
func (r *rig) eventually(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s; the kernel holds\n%s", what, r.kernelText())
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *rig) holds(want string) {
	r.t.Helper()
	r.eventually("the kernel holds\n"+want, func() bool { return r.kernelText() == want })
}

func (r *rig) prepare(c lvs.Change) *control.Transaction {
	r.t.Helper()
	tx, err := r.Prepare(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return tx
}

func (r *rig) change(c lvs.Change) {
	r.t.Helper()
	tx := r.prepare(c)
	if err := tx.Commit(); err != nil {
		r.t.Fatal(err)
	}
	tx.Done()
}

func service(t *testing.T, text string) lvs.Service {
	t.Helper()
	k, err := lvs.ParseServiceKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return lvs.NewService(k)
}

func server(t *testing.T, at lvs.Service, text string, weight uint32) lvs.ServerAt {
	t.Helper()
	k, err := lvs.ParseServerKey(text)
	if err != nil {
		t.Fatal(err)
	}
	s := lvs.NewServer(k)
	s.Weight = weight
	return lvs.ServerAt{Service: at.Key, Server: s}
}

// cluster is a service with two servers.
func cluster(t *testing.T) lvs.Change {
	web := service(t, "tcp:10.0.0.1:80")
	return lvs.Change{
		PutServices: []lvs.Service{web},
		PutServers:  []lvs.ServerAt{server(t, web, "10.0.0.11:80", 1), server(t, web, "10.0.0.12:80", 2)},
	}
}

const clusterText = `tcp:10.0.0.1:80 10.0.0.11:80 masquerade 1
tcp:10.0.0.1:80 10.0.0.12:80 masquerade 2
tcp:10.0.0.1:80 wlc 0`

// bigChange edits the service, edits one server, deletes the other, adds a
// third, and adds a second service.
func bigChange(t *testing.T) lvs.Change {
	web, dns := service(t, "tcp:10.0.0.1:80"), service(t, "udp:10.0.0.1:53")
	web.Scheduler = "rr"
	return lvs.Change{
		PutServices:   []lvs.Service{web, dns},
		PutServers:    []lvs.ServerAt{server(t, web, "10.0.0.11:80", 9), server(t, web, "10.0.0.13:80", 3), server(t, dns, "10.0.0.11:53", 1)},
		DeleteServers: []lvs.ServerID{{Service: web.Key, Server: server(t, web, "10.0.0.12:80", 0).Server.Key}},
		Timeouts:      &lvs.Timeouts{TCP: 77},
	}
}

const bigText = `tcp:10.0.0.1:80 10.0.0.11:80 masquerade 9
tcp:10.0.0.1:80 10.0.0.13:80 masquerade 3
tcp:10.0.0.1:80 rr 0
udp:10.0.0.1:53 10.0.0.11:53 masquerade 1
udp:10.0.0.1:53 wlc 0`

func TestChangeReachesKernelStoreAndSnapshot(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	r.holds(clusterText)
	r.change(bigChange(t))
	r.holds(bigText)
	s := r.Snapshot()
	if s.Director.Generation != 2 || s.Director.Services != 2 || s.Director.Servers != 3 || s.Director.Timeouts.TCP != 77 {
		t.Errorf("%+v", s.Director)
	}
	for range 2 { // a restart, and a restart on an empty kernel as after a reboot
		r.stop()
		r.start()
		r.holds(bigText)
		if s := r.Snapshot(); s.Director.Generation != 2 || len(s.Services) != 2 {
			t.Errorf("after a restart: %+v", s.Director)
		}
		r.kernel.Flush()
	}
}

func TestDeletesWaitForDone(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	tx := r.prepare(lvs.Change{DeleteServices: []lvs.ServiceKey{service(t, "tcp:10.0.0.1:80").Key}})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	r.holds(strings.NewReplacer("masquerade 1", "masquerade 0", "masquerade 2", "masquerade 0").Replace(clusterText))
	if err := tx.Undo(); err != nil {
		t.Fatal(err)
	}
	r.holds(clusterText)
	r.change(lvs.Change{DeleteServices: []lvs.ServiceKey{service(t, "tcp:10.0.0.1:80").Key}})
	r.holds("")
	if n := len(r.Snapshot().Services); n != 0 {
		t.Errorf("%d services in the snapshot", n)
	}
}

// TestEveryRefusalOfTheKernelIsTakenBack fails each operation of a large
// change in turn: kernel, store and snapshot are as before.
func TestEveryRefusalOfTheKernelIsTakenBack(t *testing.T) {
	for _, kind := range []lvs.Operation{lvs.EditService, lvs.AddService, lvs.AddServer, lvs.EditServer, lvs.SetTimeouts} {
		t.Run(kind.String(), func(t *testing.T) {
			r := newRig(t)
			r.change(cluster(t))
			r.kernel.FailNext(kind, fmt.Errorf("%w: out of luck", lvs.ErrUnavailable))
			tx := r.prepare(bigChange(t))
			err := tx.Commit()
			if err == nil || !strings.Contains(err.Error(), "out of luck") {
				t.Fatalf("Commit: %v", err)
			}
			if again := tx.Commit(); again == nil || again.Error() != err.Error() {
				t.Errorf("a second Commit: %v", again)
			}
			if err := tx.Undo(); err != nil {
				t.Errorf("Undo: %v", err)
			}
			tx.Done()
			r.holds(clusterText)
			if s := r.Snapshot(); s.Director.Generation != 1 || len(s.Services) != 1 || len(s.Services[0].Servers) != 2 {
				t.Errorf("%+v", s.Director)
			}
			r.stop()
			r.kernel.Flush()
			r.start()
			r.holds(clusterText)
			r.change(bigChange(t))
			r.holds(bigText)
		})
	}
}

func TestUndoAfterCommit(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	tx := r.prepare(bigChange(t))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := tx.Undo(); err != nil {
			t.Fatal(err)
		}
	}
	tx.Done()
	r.holds(clusterText)
	r.stop()
	r.kernel.Flush()
	r.start()
	r.holds(clusterText)
}

// TestUndoAfterTheKernelWasLost takes back the deletion of a service that the
// kernel does not hold, after everything had to be taken for gone.
func TestUndoAfterTheKernelWasLost(t *testing.T) {
	r := newRig(t)
	idle := service(t, "tcp:10.0.0.2:80")
	idle.Status = lvs.NotInService
	change := cluster(t)
	change.PutServices = append(change.PutServices, idle)
	r.change(change)
	tx := r.prepare(lvs.Change{DeleteServices: []lvs.ServiceKey{idle.Key, service(t, "tcp:10.0.0.1:80").Key}})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	r.eventually("the kernel is lost", func() bool {
		r.kernel.FailRead(fmt.Errorf("%w: no answer", lvs.ErrUnavailable))
		return r.Snapshot().Director.Kernel == control.KernelFailed
	})
	if err := tx.Undo(); err != nil {
		t.Fatal(err)
	}
	r.eventually("the kernel is back", func() bool { return r.Snapshot().Director.Kernel == control.KernelOK })
	r.holds(clusterText)
	if n := len(r.Snapshot().Services); n != 2 {
		t.Errorf("%d services are shown, want 2", n)
	}
}

func TestOneTransactionAtATime(t *testing.T) {
	r := newRig(t)
	tx := r.prepare(cluster(t))
	if _, err := r.Prepare(cluster(t)); !errors.Is(err, lvs.ErrUnavailable) {
		t.Fatalf("%v", err)
	}
	tx.Done()
	r.change(cluster(t))
}

func TestAbandonedChangeIsTakenBack(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	r.stop()
	r.edit = append(r.edit, func(o *control.Options) { o.Abandoned = 200 * time.Millisecond })
	r.start()
	var tx *control.Transaction
	r.eventually("a change is made in time", func() bool {
		tx = r.prepare(bigChange(t))
		return tx.Commit() == nil // on a busy machine it may be too late
	})
	r.holds(clusterText)
	tx.Done()
	if s := r.Snapshot(); s.Director.Generation != 1 {
		t.Errorf("generation %d", s.Director.Generation)
	}
	late := r.prepare(bigChange(t))
	r.eventually("the way is free again", func() bool {
		tx, err := r.Prepare(cluster(t))
		if err == nil {
			tx.Done()
		}
		return err == nil
	})
	if err := late.Commit(); !errors.Is(err, lvs.ErrUnavailable) {
		t.Errorf("a late Commit: %v", err)
	}
}

func TestForeignEditsAreMended(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	web := service(t, "tcp:10.0.0.1:80")
	edited := web.ServiceSpec
	edited.Scheduler = "sh"
	for name, op := range map[string]lvs.Op{
		"service edited": {Do: lvs.EditService, Service: new(edited)},
		"service gone":   {Do: lvs.DeleteService, Service: new(web.ServiceSpec)},
		"server edited":  {Do: lvs.EditServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.11:80", 50).Server.ServerSpec)},
		"server gone":    {Do: lvs.DeleteServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.11:80", 1).Server.ServerSpec)},
		"server added":   {Do: lvs.AddServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.99:80", 1).Server.ServerSpec)},
	} {
		t.Run(name, func(t *testing.T) {
			if err := r.kernel.Apply(t.Context(), op); err != nil {
				t.Fatal(err)
			}
			r.holds(clusterText)
		})
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	foreign := service(t, "tcp:10.9.9.9:80")
	for _, op := range []lvs.Op{
		{Do: lvs.AddService, Service: new(foreign.ServiceSpec)},
		{Do: lvs.AddServer, Service: new(foreign.ServiceSpec), Server: new(server(t, foreign, "10.0.0.11:80", 5).Server.ServerSpec)},
	} {
		if err := r.kernel.Apply(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	foreignText := "tcp:10.9.9.9:80 10.0.0.11:80 masquerade 5\ntcp:10.9.9.9:80 wlc 0"
	r.eventually("the foreign service is shown", func() bool {
		s := r.Snapshot()
		return len(s.Services) == 2 && s.Services[1].External && len(s.Services[1].Servers) == 1
	})
	r.change(bigChange(t))
	r.holds(slicesSorted(bigText + "\n" + foreignText))
	r.change(lvs.Change{DeleteServices: []lvs.ServiceKey{service(t, "tcp:10.0.0.1:80").Key, service(t, "udp:10.0.0.1:53").Key}})
	r.holds(foreignText)
	r.stop()
	r.start()
	r.holds(foreignText)
	r.change(lvs.Change{Adopt: []lvs.ServiceKey{foreign.Key}})
	r.stop()
	r.kernel.Flush()
	r.start()
	r.holds(foreignText)
}

// TestAdoptsWhatTheKernelHolds adopts what somebody changed since the last
// reading: his servers as they are now, and a service only as it was shown.
func TestAdoptsWhatTheKernelHolds(t *testing.T) {
	r := newRig(t)
	foreign := service(t, "tcp:10.9.9.9:80")
	target := server(t, foreign, "10.0.0.11:80", 1).Server.ServerSpec
	r.kernel.DelayReads(3 * time.Millisecond)
	for i := range uint32(50) {
		target.Weight = 1
		r.foreign(
			lvs.Op{Do: lvs.AddService, Service: new(foreign.ServiceSpec)},
			lvs.Op{Do: lvs.AddServer, Service: new(foreign.ServiceSpec), Server: new(target)},
		)
		r.eventually("the foreign service is shown", func() bool {
			s := r.Snapshot().Services
			return len(s) == 1 && len(s[0].Servers) == 1
		})
		target.Weight = 2 + i
		r.foreign(lvs.Op{Do: lvs.EditServer, Service: new(foreign.ServiceSpec), Server: new(target)})
		r.change(lvs.Change{Adopt: []lvs.ServiceKey{foreign.Key}})
		if got := r.Look().Services[0].Servers[0]; got.Server.Weight != target.Weight || got.Actual.Weight != target.Weight {
			t.Fatalf("round %d: configured %d, in the kernel %d, want %d", i, got.Server.Weight, got.Actual.Weight, target.Weight)
		}
		r.change(lvs.Change{DeleteServices: []lvs.ServiceKey{foreign.Key}})
	}
	if got := r.Snapshot().Director.DriftRepairs; got != 0 {
		t.Errorf("%d repairs", got)
	}
}

func slicesSorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestVolatileRowsAreNotStored(t *testing.T) {
	r := newRig(t)
	c := cluster(t)
	c.PutServices[0].Storage = lvs.Volatile
	for i := range c.PutServers {
		c.PutServers[i].Server.Storage = lvs.Volatile
	}
	r.change(c)
	r.holds(clusterText)
	r.stop()
	r.start()
	r.holds(clusterText)
	if row := r.Snapshot().Services[0]; !row.External || row.Service.Storage != lvs.Other {
		t.Errorf("after a restart: %+v", row.Service)
	}
}

func TestKernelLostAndBack(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	r.kernel.FailRead(fmt.Errorf("%w: load it with modprobe ip_vs", lvs.ErrNotFound))
	r.eventually("the kernel is absent", func() bool { return r.Snapshot().Director.Kernel == control.KernelAbsent })
	s := r.Snapshot()
	if !strings.Contains(s.Director.KernelError, "modprobe") || s.Services[0].Oper.Status != control.OperFailed {
		t.Errorf("%+v, %+v", s.Director, s.Services[0].Oper)
	}
	if _, err := r.Prepare(bigChange(t)); !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), "modprobe") {
		t.Errorf("%v", err)
	}
	r.kernel.Flush()
	r.kernel.FailRead(nil)
	r.eventually("the kernel is back", func() bool { return r.Snapshot().Director.Kernel == control.KernelOK })
	r.holds(clusterText)
	r.eventually("the service is up", func() bool { return r.Snapshot().Services[0].Oper.Status == control.OperUp })
}

// TestKernelThatFailsIsNotAbsent: one failure may pass, several in a row are a
// state of their own.
func TestKernelThatFailsIsNotAbsent(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	for range 30 {
		r.kernel.FailRead(errors.New("out of buffers"))
	}
	r.eventually("the kernel fails", func() bool { return r.Snapshot().Director.Kernel == control.KernelFailed })
	r.eventually("it answers", func() bool { return r.Snapshot().Director.Kernel == control.KernelOK })
	for range 30 {
		r.kernel.FailRead(fmt.Errorf("%w: no capability", fs.ErrPermission))
	}
	r.eventually("it is denied", func() bool { return r.Snapshot().Director.Kernel == control.KernelDenied })
}

// TestRepairThatFailsIsShown: what the kernel refuses when it is mended stands
// in the row, and goes away when it is taken.
func TestRepairThatFailsIsShown(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	r.kernel.FailNext(lvs.AddServer, fmt.Errorf("%w: no room", lvs.ErrUnavailable))
	web := service(t, "tcp:10.0.0.1:80")
	if err := r.kernel.Apply(t.Context(), lvs.Op{Do: lvs.DeleteServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.11:80", 1).Server.ServerSpec)}); err != nil {
		t.Fatal(err)
	}
	row := func() control.ServerRow { return r.Snapshot().Services[0].Servers[0] }
	r.eventually("the refusal is shown", func() bool { return strings.Contains(row().LastError, "no room") })
	r.holds(clusterText)
	r.eventually("it is gone", func() bool { return row().LastError == "" && row().Oper.Status == control.OperUp })
	if n := row().Transitions; n < 2 {
		t.Errorf("%d transitions", n)
	}
}

func TestOperStates(t *testing.T) {
	r := newRig(t)
	c := cluster(t)
	c.PutServers[1].Server.UpperThreshold, c.PutServers[1].Server.LowerThreshold = 10, 5
	r.change(c)
	web := c.PutServices[0]
	state := func(i int) control.OperStatus { return r.Look().Services[0].Servers[i].Oper.Status }
	connections := func(i int, active uint32) {
		r.kernel.SetConnections(web.Key, c.PutServers[i].Server.Key, active, 0)
	}
	connections(1, 10)
	r.eventually("overloaded at the upper threshold", func() bool { return state(1) == control.OperOverloaded })
	connections(1, 6)
	r.eventually("the reading is new", func() bool { return r.Look().Services[0].Servers[1].Actual.ActiveConnections == 6 })
	if state(1) != control.OperOverloaded {
		t.Error("not overloaded above the lower threshold")
	}
	connections(1, 4)
	r.eventually("up again", func() bool { return state(1) == control.OperUp })
	connections(1, 10)
	r.eventually("overloaded again", func() bool { return state(1) == control.OperOverloaded })
	c.PutServers[1].Server.UpperThreshold = 100
	r.change(lvs.Change{PutServers: c.PutServers[1:2]})
	r.eventually("up with more room", func() bool { return state(1) == control.OperUp })
	if peak := r.Look().Services[0].Servers[1].PeakActive; peak != 10 {
		t.Errorf("peak %d", peak)
	}

	connections(0, 3)
	drain := c.PutServers[0]
	drain.Server.AdminStatus = lvs.AdminDrain
	r.change(lvs.Change{PutServers: []lvs.ServerAt{drain}})
	r.eventually("draining", func() bool { return state(0) == control.OperDraining })
	connections(0, 0)
	r.eventually("drained", func() bool { return state(0) == control.OperDrained })
	drain.Server.AdminStatus = lvs.AdminDown
	r.change(lvs.Change{PutServers: []lvs.ServerAt{drain}})
	if state(0) != control.OperAbsent {
		t.Errorf("state %d", state(0))
	}
	r.holds("tcp:10.0.0.1:80 10.0.0.12:80 masquerade 2\ntcp:10.0.0.1:80 wlc 0")
	web.AdminStatus = lvs.AdminDrain
	r.change(lvs.Change{PutServices: []lvs.Service{web}})
	r.holds("tcp:10.0.0.1:80 10.0.0.12:80 masquerade 0\ntcp:10.0.0.1:80 wlc 0")
	web.AdminStatus = lvs.AdminDown
	r.change(lvs.Change{PutServices: []lvs.Service{web}})
	r.holds("")
	if row := r.Snapshot().Services[0]; row.Oper.Status != control.OperAbsent {
		t.Errorf("%+v", row.Oper)
	}
}

// TestCountersBeginAgain: deleting and adding again shows in the discontinuity
// time, a reading alone does not.
func TestCountersBeginAgain(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	web := service(t, "tcp:10.0.0.1:80")
	r.kernel.SetTraffic(web.Key, memory.Traffic{Connections: 100, Duration: time.Second, InPackets: 1})
	r.kernel.Advance(4 * time.Second)
	r.eventually("counters", func() bool { return r.Look().Services[0].Servers[1].Actual.Connections > 0 })
	first := r.Snapshot().Services[0].Servers[1].Discontinuity
	if err := r.kernel.Zero(t.Context(), web.Key); err != nil {
		t.Fatal(err)
	}
	r.eventually("the counters begin again", func() bool {
		s := r.Look().Services[0].Servers[1]
		return s.Actual.Connections == 0 && s.Discontinuity > first
	})
}

func TestSlowReadingHoldsNobodyUp(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	r.kernel.DelayReads(time.Hour)
	r.eventually("a reading hangs", func() bool { return time.Since(r.Snapshot().Director.ReadAt) > 50*time.Millisecond })
	if len(r.Look().Services) != 1 {
		t.Error("no snapshot")
	}
	r.change(bigChange(t))
	if s := r.Snapshot(); s.Director.Generation != 2 {
		t.Errorf("%+v", s.Director)
	}
	r.kernel.DelayReads(0)
}

// TestChangesDuringReadings drives changes as fast as they go while the kernel
// is read all the time: no old reading may come through.
func TestChangesDuringReadings(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	r.kernel.DelayReads(3 * time.Millisecond)
	web := service(t, "tcp:10.0.0.1:80")
	for i := range 300 {
		weight := uint32(i % 7)
		r.change(lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", weight)}})
		if got := r.Look().Services[0].Servers[0]; got.Server.Weight != weight || got.Actual.Weight != weight {
			t.Fatalf("round %d: configured %d, in the kernel %d, want %d", i, got.Server.Weight, got.Actual.Weight, weight)
		}
	}
}

// TestSnapshotsShareRows holds snapshots to what they were when they were taken,
// and their counts to their rows, while single services change among many.
func TestSnapshotsShareRows(t *testing.T) {
	r := newRig(t)
	var texts []string
	var taken []*control.Snapshot
	describe := func(s *control.Snapshot) string {
		var b strings.Builder
		servers, up := 0, uint32(0)
		for _, row := range s.Services {
			servers, up = servers+len(row.Servers), up+row.ServersUp
			fmt.Fprint(&b, row.Text, row.ServersUp)
			for _, d := range row.Servers {
				fmt.Fprint(&b, " ", d.Text, d.Server.Weight)
			}
			b.WriteByte('\n')
		}
		if d := s.Director; int(d.Services) != len(s.Services) || int(d.Servers) != servers || d.ServersUp != up {
			t.Errorf("counted %d services, %d servers and %d up in\n%s", d.Services, d.Servers, d.ServersUp, b.String())
		}
		if !slices.IsSortedFunc(s.Services, func(a, b *control.ServiceRow) int { return strings.Compare(a.Text, b.Text) }) {
			t.Errorf("not in table order:\n%s", b.String())
		}
		return b.String()
	}
	for i := range 60 {
		web := service(t, fmt.Sprintf("tcp:10.0.0.%d:80", 1+i*7%9))
		put := server(t, web, fmt.Sprintf("10.1.0.%d:80", 1+i%3), uint32(i%4))
		change := lvs.Change{PutServers: []lvs.ServerAt{put}}
		if _, there := r.Snapshot().Find(web.Key.String()); !there {
			change.PutServices = []lvs.Service{web}
		} else if i%13 == 12 {
			change = lvs.Change{DeleteServices: []lvs.ServiceKey{web.Key}}
		}
		r.change(change)
		s := r.Snapshot()
		taken, texts = append(taken, s), append(texts, describe(s))
		if at, there := s.Find(web.Key.String()); there != (len(change.DeleteServices) == 0) {
			t.Errorf("change %d is not in the snapshot:\n%s", i, texts[i])
		} else if there && !slices.ContainsFunc(s.Services[at].Servers, func(d control.ServerRow) bool { return *d.Server == put.Server }) {
			t.Errorf("change %d is not in the snapshot:\n%s", i, texts[i])
		}
	}
	for i, s := range taken {
		if got := describe(s); got != texts[i] {
			t.Errorf("snapshot %d was\n%s\nand is\n%s", i, texts[i], got)
		}
	}
}

func TestRecordKeepsTheLast100(t *testing.T) {
	r := newRig(t)
	for i := range 130 {
		r.Record(control.Request{NewValue: fmt.Sprint(i)}, control.Request{NewValue: "x"})
	}
	got := r.Snapshot().Requests
	if len(got) != 100 || got[0].Index != 161 || got[99].Index != 260 || got[98].NewValue != "129" {
		t.Errorf("%d requests from %+v", len(got), got[0])
	}
	r.Record(make([]control.Request, 250)...)
	if got := r.Snapshot().Requests; len(got) != 100 || got[99].Index != 510 {
		t.Errorf("%d requests to %+v", len(got), got[99])
	}
}

// TestRowThatIsNotTakenAnyMore: one row of the store that an earlier version took
// harms no other, in the kernel neither.
func TestRowThatIsNotTakenAnyMore(t *testing.T) {
	r := newRig(t)
	bad := service(t, "tcp:10.0.0.7:80")
	r.change(cluster(t))
	r.change(lvs.Change{PutServices: []lvs.Service{bad}})
	kernel := r.kernelText()
	r.stop()
	store, err := localstore.Open(r.path)
	if err != nil {
		t.Fatal(err)
	}
	bad.CheckType, bad.CheckTarget = lvs.CheckHTTP, "no target"
	if err := store.Save(lvs.Record{Change: lvs.Change{PutServices: []lvs.Service{bad}}, Generation: 9, ChangedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := store.Settle(9, time.Now()); err != nil {
		t.Fatal(err)
	}
	store.Close()
	r.start()
	r.holds(kernel)
	s := r.Snapshot()
	if q := s.Requests; len(q) != 1 || q[0].Outcome != control.Refused || q[0].Service != bad.Key || !strings.Contains(q[0].Reason, "left aside in the store") {
		t.Errorf("recorded %+v", q)
	}
	r.eventually("it is shown as another's", func() bool {
		s := r.Snapshot()
		i, ok := s.Find("tcp:10.0.0.7:80")
		return ok && s.Services[i].External && len(s.Services) == 2
	})
	r.change(lvs.Change{Adopt: []lvs.ServiceKey{bad.Key}})
	r.stop()
	r.start()
	if n := len(r.Snapshot().Requests); n != 0 {
		t.Errorf("%d lines after it was made anew", n)
	}
}

// full is a store that has no room.
type full struct{ control.Store }

func (full) Save(lvs.Record) error { return errors.New("no space left on device: make room") }

func TestNoRoomInTheStore(t *testing.T) {
	r := newRigOptions(t, func(o *control.Options) { o.Store = full{o.Store} })
	tx := r.prepare(cluster(t))
	if err := tx.Commit(); err == nil || err.Error() != "store: no space left on device: make room; the change was not made" {
		t.Errorf("%v", err)
	}
	if text := r.kernelText(); text != "" {
		t.Errorf("the kernel holds\n%s", text)
	}
}
