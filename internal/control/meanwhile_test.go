package control_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
)

// asked is a kernel that tells of each reading and operation, and may spoil a
// reading.
type asked struct {
	control.Kernel
	times, applied atomic.Int64
	absent         atomic.Bool

	mu    sync.Mutex
	spoil func(*lvs.Actual) // done once
}

func (k *asked) Apply(ctx context.Context, op lvs.Op) error {
	k.applied.Add(1)
	return k.Kernel.Apply(ctx, op)
}

func (k *asked) Read(ctx context.Context) (*lvs.Actual, error) {
	if k.absent.Load() {
		return nil, fmt.Errorf("%w: load it", lvs.ErrNotFound)
	}
	a, err := k.Kernel.Read(ctx)
	k.mu.Lock()
	spoil := k.spoil
	k.spoil = nil
	k.mu.Unlock()
	if spoil != nil && err == nil {
		spoil(a)
	}
	k.times.Add(1)
	return a, err
}

func (k *asked) spoilNext(f func(*lvs.Actual)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spoil = f
}

// newAskedRig is a rig with such a kernel.
func newAskedRig(t *testing.T, edit ...func(*control.Options)) (*rig, *asked) {
	t.Helper()
	k := new(asked)
	edit = append(edit, func(o *control.Options) { k.Kernel, o.Kernel = o.Kernel, k })
	return newRigOptions(t, edit...), k
}

// read waits until a whole reading has been made from now on.
func (r *rig) read(k *asked) {
	r.t.Helper()
	n := k.times.Load()
	r.eventually("the kernel is read", func() bool { return k.times.Load() > n+2 })
}

// lose takes IPVS away from the director, and back gives it back.
func (r *rig) lose(k *asked) {
	r.t.Helper()
	k.absent.Store(true)
	r.eventually("the kernel is lost", func() bool { return r.Snapshot().Director.Kernel == control.KernelAbsent })
}

func (r *rig) back(k *asked) {
	r.t.Helper()
	k.absent.Store(false)
	r.eventually("the kernel is back", func() bool { return r.Snapshot().Director.Kernel == control.KernelOK })
}

// TestDoneAfterTheKernelWasLost ends changes of which the kernel knows nothing any
// more when they become final.
func TestDoneAfterTheKernelWasLost(t *testing.T) {
	web := service(t, "tcp:10.0.0.1:80")
	for _, c := range []struct {
		name   string
		change lvs.Change
		holds  string
	}{
		{"a server is added", lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.13:80", 3)}}, clusterText + "\ntcp:10.0.0.1:80 10.0.0.13:80 masquerade 3"},
		{"a server is edited", lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.12:80", 7)}}, "tcp:10.0.0.1:80 10.0.0.11:80 masquerade 1\ntcp:10.0.0.1:80 10.0.0.12:80 masquerade 7\ntcp:10.0.0.1:80 wlc 0"},
		{"the service is deleted", lvs.Change{DeleteServices: []lvs.ServiceKey{web.Key}}, ""},
	} {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, back %t", c.name, back), func(t *testing.T) {
				r, k := newAskedRig(t)
				r.change(cluster(t))
				tx := r.prepare(c.change)
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				r.lose(k)
				if back {
					r.back(k)
					r.read(k)
				}
				tx.Done()
				r.back(k)
				r.holds(slicesSorted(c.holds))
				r.read(k)
				if s := r.Snapshot(); len(s.Alarms)+len(s.Drifts) > 0 {
					t.Errorf("alarms %v, drifts %v", alarmsOf(s), driftsOf(s))
				}
			})
		}
	}
}

// TestServiceInTheMaking: a service is shown when it has become final, whatever is
// read meanwhile, and one that was taken back never.
func TestServiceInTheMaking(t *testing.T) {
	r, k := newAskedRig(t)
	for _, keep := range []bool{false, true} {
		tx := r.prepare(cluster(t))
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		r.read(k)
		if n := len(r.Snapshot().Services); n != 0 {
			t.Errorf("%d services are shown while the first is being made", n)
		}
		want := 0
		if keep {
			tx.Done()
			want = 1
		} else if err := tx.Undo(); err != nil {
			t.Fatal(err)
		}
		if n := len(r.Snapshot().Services); n != want {
			t.Errorf("%d services are shown at the end, want %d", n, want)
		}
	}
	for _, e := range r.seen() {
		if e[0] == '1' || e[0] == '2' {
			t.Errorf("told %s", e)
		}
	}
}

// TestReadingGoesOnDuringAChange: a slow start whose next step is due in a service
// that is part of a change neither holds up readings nor the limit of the change.
func TestReadingGoesOnDuringAChange(t *testing.T) {
	r, k := newAskedRig(t, func(o *control.Options) { o.Abandoned = 500 * time.Millisecond })
	web := service(t, "tcp:10.0.0.1:80")
	web.CheckType, web.SlowStart = lvs.CheckTCP, 2 // a step each 100 ms
	at := server(t, web, "10.0.0.11:80", 100)
	r.change(lvs.Change{PutServices: []lvs.Service{web}, PutServers: []lvs.ServerAt{at}})
	for _, health := range []lvs.Health{lvs.HealthDown, lvs.HealthUp} {
		r.change(lvs.Change{Reports: []lvs.Report{{ServerID: lvs.ServerID{Service: web.Key, Server: at.Server.Key}, Health: &health}}})
	}
	heavier := at
	heavier.Server.UpperThreshold = 7
	tx := r.prepare(lvs.Change{PutServers: []lvs.ServerAt{heavier}})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	threshold := func() uint32 { return r.Snapshot().Services[0].Servers[0].Actual.UpperThreshold }
	kernel := func() uint32 {
		a, err := r.kernel.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return a.Services[0].Servers[0].UpperThreshold
	}
	r.read(k)
	r.eventually("the change is taken back", func() bool { return kernel() == 0 && threshold() == 0 })
	r.eventually("the slow start ends", func() bool { return r.Snapshot().Services[0].Servers[0].Actual.Weight == 100 })
	if tx.GivenUp() == nil {
		t.Error("nobody says that the change was given up")
	}
}

// TestStepAfterAChange: what was due meanwhile is done when the change is over.
func TestStepAfterAChange(t *testing.T) {
	watch(t, lvs.DriftAlert, 1, func(s *lvs.Service) { s.SlowStart = 10 }, func(w *watched) {
		w.tell(1, 1)
		w.tell(1)
		w.want("10")
		heavier := server(w.t, w.service, w.key(1), 200)
		tx := w.prepare(lvs.Change{PutServers: []lvs.ServerAt{heavier}})
		if err := tx.Commit(); err != nil {
			w.t.Fatal(err)
		}
		w.want("20")
		w.pass(5 * time.Second)
		w.want("20")
		tx.Done()
		w.pass(100 * time.Millisecond)
		w.want("100")
	})
}

// TestSnapshotsOfARefusedDelete: what the kernel refuses again and again is not
// written into what others read.
func TestSnapshotsOfARefusedDelete(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	for range 1000 {
		r.kernel.FailNext(lvs.DeleteService, fmt.Errorf("%w: busy", lvs.ErrUnavailable))
	}
	r.change(lvs.Change{DeleteServices: []lvs.ServiceKey{service(t, "tcp:10.0.0.1:80").Key}})
	seen := make(map[*control.ServiceRow]string)
	r.eventually("the row says why", func() bool {
		for _, row := range r.Snapshot().Services {
			if was, ok := seen[row]; ok && was != row.LastError {
				t.Fatalf("a row that was shown changes from %q to %q", was, row.LastError)
			}
			seen[row] = row.LastError
			if row.LastError != "" {
				return true
			}
		}
		return false
	})
}

// TestOlderReading: a reading that began before another one, and ends after it,
// tells nothing.
func TestOlderReading(t *testing.T) {
	r, k := newAskedRig(t)
	r.change(cluster(t))
	web, other := service(t, "tcp:10.0.0.1:80"), service(t, "tcp:10.0.0.9:80")
	r.foreign(lvs.Op{Do: lvs.AddService, Service: &other.ServiceSpec})
	r.eventually("it is seen", func() bool { return len(r.Snapshot().Services) == 2 })
	taken, release := make(chan struct{}), make(chan struct{})
	k.spoilNext(func(*lvs.Actual) { close(taken); <-release })
	<-taken
	r.kernel.SetConnections(web.Key, server(t, web, "10.0.0.11:80", 1).Server.Key, 5, 0)
	r.change(lvs.Change{Adopt: []lvs.ServiceKey{other.Key}}) // reads too
	find := func() *control.ServiceRow {
		i, _ := r.Snapshot().Find("tcp:10.0.0.1:80")
		return r.Snapshot().Services[i]
	}
	newer := find()
	if newer.ActiveConnections != 5 {
		t.Fatalf("%d connections, want 5", newer.ActiveConnections)
	}
	close(release)
	for range 100 {
		if row := find(); row.ActiveConnections != 5 || row.Discontinuity != newer.Discontinuity {
			t.Fatalf("%d connections, discontinuity %v: the older reading is shown", row.ActiveConnections, row.Discontinuity)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTornReading: what one reading leaves out, because the kernel was changed
// meanwhile, has not gone.
func TestTornReading(t *testing.T) {
	for name, tear := range map[string]func(*lvs.Actual){
		"a service": func(a *lvs.Actual) { a.Services = a.Services[1:] },
		"a server": func(a *lvs.Actual) {
			torn := *a.Services[0]
			torn.Servers = torn.Servers[1:]
			a.Services[0] = &torn
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, k := newAskedRig(t)
			r.change(cluster(t))
			r.read(k)
			before, told := r.Snapshot().Services[0], len(r.seen())
			k.spoilNext(tear)
			r.read(k)
			after := r.Snapshot().Services[0]
			if got := r.seen()[told:]; len(got) > 0 || before.Transitions != after.Transitions || before.Discontinuity != after.Discontinuity {
				t.Errorf("told %q; transitions %d to %d, discontinuity %v to %v", got, before.Transitions, after.Transitions, before.Discontinuity, after.Discontinuity)
			}
		})
	}
}

// TestDriftDuringAChange: what is not looked at has not ended.
func TestDriftDuringAChange(t *testing.T) {
	web := service(t, "tcp:10.0.0.1:80")
	for name, c := range map[string]struct {
		before, change lvs.Change
		foreign        lvs.Op
	}{
		"of settings": {
			lvs.Change{Timeouts: &lvs.Timeouts{TCP: 77, TCPFin: 120, UDP: 300}},
			lvs.Change{PutServices: []lvs.Service{service(t, "udp:10.0.0.1:53")}},
			lvs.Op{Do: lvs.SetTimeouts, Timeouts: lvs.Timeouts{TCP: 99, TCPFin: 120, UDP: 300}},
		},
		"of the service": {
			cluster(t),
			lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.12:80", 9)}},
			editWeight(t, "10.0.0.11:80", 50),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, k := newAskedRig(t, func(o *control.Options) { o.Drift = lvs.DriftAlert })
			r.change(c.before)
			r.foreign(c.foreign)
			r.eventually("drift", func() bool { return len(r.Snapshot().Drifts) == 1 })
			first, told := *r.Snapshot().Drifts[0], len(r.seen())
			tx := r.prepare(c.change)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			r.read(k)
			if n := len(r.Snapshot().Drifts); n != 1 {
				t.Errorf("%d drifts while a change is made", n)
			}
			tx.Done()
			r.read(k)
			if d := r.Snapshot().Drifts; len(d) != 1 || *d[0] != first {
				t.Errorf("drifts %v, want %v", driftsOf(r.Snapshot()), first)
			}
			for _, e := range r.seen()[told:] {
				if e[0] == '7' || e[0] == '8' {
					t.Errorf("told %s", e)
				}
			}
		})
	}
}

// TestClustersAfterARollBack: an interrupted change that also deleted a cluster, and
// that the kernel refuses, is taken back whole.
func TestClustersAfterARollBack(t *testing.T) {
	r := newRig(t)
	c := cluster(t)
	c.PutClusters = []lvs.Cluster{lvs.NewCluster("spare"), lvs.NewCluster("other")}
	c.PutHosts = []lvs.Host{lvs.NewHost("h1")}
	c.PutServices[0].Cluster = "other"
	r.change(c)
	r.stop()
	store, err := localstore.Open(r.path)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	stored.Rows.Dangling = true
	before, err := new(lvs.Config).Apply(&stored.Rows)
	if err != nil {
		t.Fatal(err)
	}
	// What a Commit leaves that is killed when the store has the change.
	dns := service(t, "udp:10.0.0.1:53")
	dns.Cluster = "other"
	change := lvs.Change{DeleteClusters: []lvs.ClusterID{"spare"}, DeleteHosts: []lvs.HostName{"h1"}, PutServices: []lvs.Service{dns}}
	if err := store.Save(lvs.Record{
		Change: change.Durable(before), Journal: lvs.Journal{Inverse: change.Inverse(before), Added: []lvs.ServiceKey{dns.Key}},
		Generation: 2, ChangedAt: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	store.Close()
	for range 3 {
		r.kernel.FailNext(lvs.AddService, fmt.Errorf("%w: not me", lvs.ErrInvalid))
	}
	r.start()
	r.eventually("the change is taken back", func() bool {
		s := r.Snapshot()
		return len(s.Requests) > 0 && s.Requests[len(s.Requests)-1].Outcome == control.Undone && len(s.Services) == 1
	})
	if s := r.Snapshot(); len(s.Clusters) != 2 || len(s.Hosts) != 1 {
		t.Errorf("%d clusters and %d hosts, want 2 and 1", len(s.Clusters), len(s.Hosts))
	}
}
