package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/lvs"
)

// foreign does what somebody else does to the kernel.
func (r *rig) foreign(ops ...lvs.Op) {
	r.t.Helper()
	for _, op := range ops {
		if err := r.kernel.Apply(context.Background(), op); err != nil {
			r.t.Fatal(err)
		}
	}
}

func editWeight(t *testing.T, text string, weight uint32) lvs.Op {
	web := service(t, "tcp:10.0.0.1:80")
	return lvs.Op{Do: lvs.EditServer, Service: new(web.ServiceSpec), Server: new(server(t, web, text, weight).Server.ServerSpec)}
}

// driftsOf lists the drifts as text.
func driftsOf(s *control.Snapshot) []string {
	var out []string
	for _, d := range s.Drifts {
		out = append(out, fmt.Sprintf("%d %s %s %s: %s / %s", d.Kind, d.Service, d.Server, d.Attribute, d.Desired, d.Actual))
	}
	return out
}

func TestAlertOnlyTells(t *testing.T) {
	r := newRigWith(t, lvs.DriftAlert)
	r.change(cluster(t))
	web := service(t, "tcp:10.0.0.1:80")
	edited := web.ServiceSpec
	edited.Scheduler = "sh"
	r.foreign(
		editWeight(t, "10.0.0.11:80", 50),
		lvs.Op{Do: lvs.DeleteServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.12:80", 2).Server.ServerSpec)},
		lvs.Op{Do: lvs.AddServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.99:80", 7).Server.ServerSpec)},
		lvs.Op{Do: lvs.EditService, Service: new(edited)},
	)
	want := []string{
		"2 tcp:10.0.0.1:80  scheduler: scheduler wlc / scheduler sh",
		"4 tcp:10.0.0.1:80 10.0.0.12:80 presence: masquerade, weight 2 / absent",
		"5 tcp:10.0.0.1:80 10.0.0.11:80 weight: weight 1 / weight 50",
		"6 tcp:10.0.0.1:80 10.0.0.99:80 presence: absent / masquerade, weight 7",
	}
	r.eventually("the drift is listed", func() bool { return slices.Equal(driftsOf(r.Snapshot()), want) })
	drifted := r.kernelText()
	time.Sleep(50 * time.Millisecond) // some readings go by
	if now := r.kernelText(); now != drifted {
		t.Errorf("the kernel was changed to\n%s", now)
	}
	alarms := 0
	for _, a := range r.Snapshot().Alarms {
		if a.Kind == control.DriftDetected {
			alarms++
			if a.Severity != control.Minor || !strings.Contains(a.Text, "should be") {
				t.Errorf("%+v", a)
			}
		}
	}
	if alarms != 4 {
		t.Errorf("%d alarms of drift", alarms)
	}
	// A restart of the agent changes nothing either: the kernel holds our
	// service, so it is no new one.
	r.stop()
	r.start()
	r.eventually("the drift is listed again", func() bool { return slices.Equal(driftsOf(r.Snapshot()), want) })
	r.holds(drifted)
	// But a kernel that holds nothing of ours is filled.
	r.stop()
	r.kernel.Flush()
	r.start()
	r.holds(clusterText)
	r.eventually("no drift is left", func() bool { return len(r.Snapshot().Drifts) == 0 })
}

func TestAdoptMakesItDesired(t *testing.T) {
	r := newRigWith(t, lvs.DriftAdopt)
	r.change(cluster(t))
	web := service(t, "tcp:10.0.0.1:80")
	r.foreign(
		editWeight(t, "10.0.0.11:80", 50),
		lvs.Op{Do: lvs.DeleteServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.12:80", 2).Server.ServerSpec)},
		lvs.Op{Do: lvs.AddServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.99:80", 7).Server.ServerSpec)},
	)
	adopted := "tcp:10.0.0.1:80 10.0.0.11:80 masquerade 50\ntcp:10.0.0.1:80 10.0.0.99:80 masquerade 7\ntcp:10.0.0.1:80 wlc 0"
	r.eventually("it is desired", func() bool {
		s := r.Snapshot().Services
		return len(s[0].Servers) == 2 && s[0].Servers[0].Server.Weight == 50 && s[0].Servers[1].Server.Weight == 7 && !s[0].Servers[1].External
	})
	r.eventually("no drift is left", func() bool { return len(r.Snapshot().Drifts) == 0 })
	r.holds(adopted)
	r.stop()
	r.kernel.Flush()
	r.start()
	r.holds(adopted)
}

// TestEachAdoptionIsTold changes the same service again as soon as the last
// change is adopted.
func TestEachAdoptionIsTold(t *testing.T) {
	r := newRigWith(t, lvs.DriftAdopt)
	r.change(cluster(t))
	for i := range uint32(20) {
		r.foreign(editWeight(t, "10.0.0.11:80", 50+i))
		r.eventually("it is desired", func() bool { return r.Snapshot().Services[0].Servers[0].Server.Weight == 50+i })
	}
	r.eventually("each is told in a pair", func() bool {
		told := make(map[string]int)
		for _, e := range r.seen() {
			told[e]++
		}
		return told["7 tcp:10.0.0.1:80 10.0.0.11:80 0"] == 20 && told["8 tcp:10.0.0.1:80 10.0.0.11:80 0"] == 20
	})
}

// TestServiceThatIsDownIsUnwanted has somebody put a service into the kernel that
// its administrator has taken down.
func TestServiceThatIsDownIsUnwanted(t *testing.T) {
	const drift = "3 tcp:10.0.0.1:80  presence: absent / scheduler wlc"
	for policy, want := range map[lvs.DriftPolicy]string{lvs.DriftEnforce: "", lvs.DriftAlert: "tcp:10.0.0.1:80 wlc 0", lvs.DriftAdopt: "tcp:10.0.0.1:80 wlc 0"} {
		r := newRigWith(t, policy)
		web := service(t, "tcp:10.0.0.1:80")
		web.AdminStatus = lvs.AdminDown
		r.change(lvs.Change{PutServices: []lvs.Service{web}})
		r.foreign(lvs.Op{Do: lvs.AddService, Service: new(web.ServiceSpec)})
		r.eventually("it is told", func() bool { return slices.Contains(r.seen(), "7 tcp:10.0.0.1:80  0") })
		if policy == lvs.DriftAlert {
			r.eventually("it is listed", func() bool { return slices.Equal(driftsOf(r.Snapshot()), []string{drift}) })
		} else {
			r.eventually("it is over", func() bool { return slices.Contains(r.seen(), "8 tcp:10.0.0.1:80  0") })
		}
		r.holds(want)
		if up := r.Snapshot().Services[0].Service.AdminStatus == lvs.AdminUp; up != (policy == lvs.DriftAdopt) {
			t.Errorf("policy %d: up %t", policy, up)
		}
	}
}

// TestFlushIsNotAdopted flushes a kernel that holds one of two services: the other is
// out of service, and nobody can miss it there.
func TestFlushIsNotAdopted(t *testing.T) {
	r := newRigWith(t, lvs.DriftAdopt)
	change := cluster(t)
	down := service(t, "tcp:10.0.0.9:80")
	down.AdminStatus = lvs.AdminDown
	change.PutServices = append(change.PutServices, down)
	r.change(change)
	r.kernel.Flush()
	r.eventually("the drift is held", func() bool {
		d := r.Snapshot().Drifts
		return len(d) == 1 && d[0].Kind == control.ServiceMissing && strings.Contains(d[0].Held, "1 of 1 services")
	})
	if n := len(r.Snapshot().Services); n != 2 {
		t.Fatalf("%d services are left of 2", n)
	}
	r.stop()
	r.start()
	r.holds(clusterText)
}

// TestContestedObjectIsLeftLongerAndLonger: somebody changes the same weight
// again and again.
func TestContestedObjectIsLeftLongerAndLonger(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	contested := func() bool {
		for _, a := range r.Snapshot().Alarms {
			if a.Kind == control.DriftDetected && a.Severity == control.Major && strings.Contains(a.Text, "somebody else manages it too") {
				return true
			}
		}
		return false
	}
	for range 3 {
		r.foreign(editWeight(t, "10.0.0.11:80", 50))
		r.holds(clusterText)
	}
	r.foreign(editWeight(t, "10.0.0.11:80", 50))
	r.eventually("the alarm is major", contested)
	if s := r.Snapshot(); s.Director.DriftRepairs != 3 || s.Drifts[0].Repairs != 3 {
		t.Errorf("%d repairs, drift %+v", s.Director.DriftRepairs, s.Drifts[0])
	}
	if !strings.Contains(r.kernelText(), "masquerade 50") {
		t.Error("it was mended at once")
	}
	// What is not contested is still mended.
	r.foreign(editWeight(t, "10.0.0.11:80", 1), lvs.Op{Do: lvs.DeleteService, Service: new(service(t, "tcp:10.0.0.1:80").ServiceSpec)})
	r.holds(clusterText)
}

func TestRaiseAndClearComeInPairs(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	if n := len(r.Snapshot().Alarms); n != 0 {
		t.Fatalf("%d alarms at the start: %+v", n, r.Snapshot().Alarms[0])
	}
	r.foreign(lvs.Op{Do: lvs.DeleteService, Service: new(service(t, "tcp:10.0.0.1:80").ServiceSpec)})
	r.holds(clusterText)
	r.eventually("all alarms are cleared", func() bool { return len(r.Snapshot().Alarms) == 0 })
	want := []string{
		"7 tcp:10.0.0.1:80  0",             // drift detected
		"8 tcp:10.0.0.1:80  0",             // drift cleared
		"2 tcp:10.0.0.1:80  7",             // service failed
		"2 tcp:10.0.0.1:80  1",             // service up
		"1 tcp:10.0.0.1:80 10.0.0.11:80 7", // its servers
		"1 tcp:10.0.0.1:80 10.0.0.11:80 1",
	}
	r.eventually("the events are told", func() bool {
		got := r.seen()
		return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(got, w) })
	})
}

func TestAlarmOfAServiceThatServesNobody(t *testing.T) {
	r := newRig(t)
	web := service(t, "tcp:10.0.0.1:80")
	r.change(lvs.Change{PutServices: []lvs.Service{web}})
	r.eventually("it is alarmed", func() bool {
		a := r.Snapshot().Alarms
		return len(a) == 1 && a[0].Kind == control.ServiceStateChange && a[0].Severity == control.Critical && strings.Contains(a[0].Text, "no servers")
	})
	index := r.Snapshot().Alarms[0].Index
	r.change(lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 1)}})
	if a := r.Snapshot().Alarms; len(a) != 0 {
		t.Errorf("%+v", a[0])
	}
	r.change(lvs.Change{DeleteServers: []lvs.ServerID{{Service: web.Key, Server: server(t, web, "10.0.0.11:80", 1).Server.Key}}})
	if a := r.Snapshot().Alarms; len(a) != 1 || a[0].Index <= index {
		t.Errorf("%+v", a)
	}
	r.change(lvs.Change{DeleteServices: []lvs.ServiceKey{web.Key}})
	if a := r.Snapshot().Alarms; len(a) != 0 {
		t.Errorf("of a service that is gone: %+v", a[0])
	}
}

// drain starts a drain of the first server while it has connections.
func drain(t *testing.T, r *rig, text string, edit func(*lvs.Server)) lvs.ServerAt {
	t.Helper()
	k, err := lvs.ParseServiceKey(text)
	if err != nil {
		t.Fatal(err)
	}
	s := lvs.NewService(k)
	first := server(t, s, fmt.Sprintf("10.0.0.11:%d", k.Port()), 3)
	r.change(lvs.Change{PutServices: []lvs.Service{s}, PutServers: []lvs.ServerAt{first, server(t, s, fmt.Sprintf("10.0.0.12:%d", k.Port()), 3)}})
	r.kernel.SetConnections(k, first.Server.Key, 4, 2)
	first.Server.AdminStatus = lvs.AdminDrain
	edit(&first.Server)
	r.change(lvs.Change{PutServers: []lvs.ServerAt{first}})
	r.eventually("it drains", func() bool {
		status := r.Look().Services[0].Servers[0].Oper.Status
		return status == control.OperDraining || first.Server.DrainTimeout > 0 && status == control.OperDrained // on a busy machine already
	})
	return first
}

func TestDrainEndsWithItsConnections(t *testing.T) {
	for action, want := range map[lvs.DrainAction]string{
		lvs.DrainKeep:    "tcp:10.0.0.1:80 10.0.0.11:80 masquerade 0\ntcp:10.0.0.1:80 10.0.0.12:80 masquerade 3\ntcp:10.0.0.1:80 wlc 0",
		lvs.DrainDown:    "tcp:10.0.0.1:80 10.0.0.12:80 masquerade 3\ntcp:10.0.0.1:80 wlc 0",
		lvs.DrainDestroy: "tcp:10.0.0.1:80 10.0.0.12:80 masquerade 3\ntcp:10.0.0.1:80 wlc 0",
	} {
		t.Run(action.String(), func(t *testing.T) {
			r := newRig(t)
			s := drain(t, r, "tcp:10.0.0.1:80", func(s *lvs.Server) { s.DrainAction = action })
			r.kernel.SetConnections(s.Service, s.Server.Key, 0, 2) // inactive ones of TCP are over
			r.holds(want)
			r.eventually("it is told once", func() bool {
				n := 0
				for _, e := range r.seen() {
					if e == "3 tcp:10.0.0.1:80 10.0.0.11:80 4" {
						n++
					}
				}
				return n == 1
			})
			servers := 2
			if action == lvs.DrainDestroy {
				servers = 1
			}
			r.eventually("the row is as it should be", func() bool {
				rows := r.Look().Services[0].Servers
				return len(rows) == servers && (action != lvs.DrainDown || rows[0].Server.AdminStatus == lvs.AdminDown && rows[0].Oper.Status == control.OperAbsent)
			})
		})
	}
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	r := newRig(t)
	drain(t, r, "tcp:10.0.0.1:80", func(s *lvs.Server) { s.DrainTimeout = 1 })
	r.eventually("the time is over", func() bool {
		s := r.Look().Services[0].Servers[0]
		return s.Oper.Status == control.OperDrained && strings.Contains(s.Reason, "1s for draining are over")
	})
}

func TestUDPDrainsByTime(t *testing.T) {
	r := newRig(t)
	s := drain(t, r, "udp:10.0.0.1:53", func(*lvs.Server) {})
	r.kernel.SetConnections(s.Service, s.Server.Key, 0, 2)
	r.eventually("the reading is new", func() bool { return r.Look().Services[0].Servers[0].Actual.ActiveConnections == 0 })
	if status := r.Look().Services[0].Servers[0].Oper.Status; status != control.OperDraining {
		t.Errorf("status %d with flows that have not timed out", status)
	}
	r.kernel.SetConnections(s.Service, s.Server.Key, 0, 0)
	r.eventually("it is drained", func() bool { return r.Look().Services[0].Servers[0].Oper.Status == control.OperDrained })
}

func TestKernelLossIsToldInAPair(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	r.kernel.FailRead(fmt.Errorf("%w: load it", lvs.ErrNotFound))
	r.eventually("the loss is alarmed", func() bool {
		a := r.Snapshot().Alarms
		return len(a) > 0 && slices.ContainsFunc(a, func(a *control.Alarm) bool { return a.Kind == control.KernelLost && a.Severity == control.Critical })
	})
	r.kernel.FailRead(nil)
	r.eventually("the alarm is cleared", func() bool { return len(r.Snapshot().Alarms) == 0 })
	got := r.seen()
	lost, back := slices.Index(got, "9   0"), slices.Index(got, "10   0")
	if lost < 0 || back < lost {
		t.Errorf("told %v", got)
	}
	for _, e := range got[max(lost, 0):] {
		if strings.HasPrefix(e, "1 ") || strings.HasPrefix(e, "2 ") {
			t.Errorf("the rows are told too: %s", e)
		}
	}
}

// TestClustersHaveTheirOwnPolicy lets somebody change four services at once: three
// of clusters with a policy of their own, and one of none.
func TestClustersHaveTheirOwnPolicy(t *testing.T) {
	policies := []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt, 0}
	for _, general := range []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt} {
		t.Run(fmt.Sprint(general), func(t *testing.T) {
			r := newRigWith(t, general)
			var change lvs.Change
			var foreign []lvs.Op
			for i, policy := range policies {
				s := service(t, fmt.Sprintf("tcp:10.0.0.%d:80", i+1))
				if policy != 0 {
					c := lvs.NewCluster(lvs.ClusterID(policy.String()))
					c.DriftPolicy = policy
					change.PutClusters = append(change.PutClusters, c)
					s.Cluster = c.ID
				}
				change.PutServices = append(change.PutServices, s)
				drifted := s.ServiceSpec
				drifted.Scheduler = "sh"
				foreign = append(foreign, lvs.Op{Do: lvs.EditService, Service: new(drifted)})
			}
			r.change(change)
			r.foreign(foreign...)
			want := []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt, general}
			r.eventually("each is as its policy says", func() bool {
				s := r.Snapshot()
				listed := 0
				for i, policy := range want {
					kernel, desired := "wlc", "wlc" // mended
					switch policy {
					case lvs.DriftAlert:
						kernel = "sh"
						listed++
					case lvs.DriftAdopt:
						kernel, desired = "sh", "sh"
					}
					if s.Services[i].Service.Scheduler != desired || !strings.Contains(r.kernelText(), fmt.Sprintf("tcp:10.0.0.%d:80 %s 0", i+1, kernel)) {
						return false
					}
				}
				return len(s.Drifts) == listed
			})
			for _, d := range r.Snapshot().Drifts {
				if d.Policy != lvs.DriftAlert {
					t.Errorf("%+v", d)
				}
			}
			// With another policy what is left is mended.
			change = lvs.Change{PutClusters: slices.Clone(change.PutClusters)}
			for i := range change.PutClusters {
				change.PutClusters[i].DriftPolicy = lvs.DriftEnforce
			}
			r.change(change)
			r.eventually("what is left is mended", func() bool {
				return !slices.ContainsFunc(r.Snapshot().Drifts, func(d *control.Drift) bool { return d.Service != service(t, "tcp:10.0.0.4:80").Key })
			})
		})
	}
}

// unnoted is a store that refuses once to note that a kernel is being filled.
type unnoted struct {
	control.Store
	refused bool
	settled atomic.Bool
}

func (s *unnoted) Save(r lvs.Record) error {
	if r.Journal.Filling && !s.refused {
		s.refused = true
		return errors.New("no space left on device")
	}
	return s.Store.Save(r)
}

func (s *unnoted) Settle(generation uint64, at time.Time) error {
	err := s.Store.Settle(generation, at)
	s.settled.Store(err == nil)
	return err
}

// TestFillingOutlivesAChange starts on an empty kernel that is not filled at once,
// and takes back a change that was made meanwhile: what the kernel held before it
// is nothing that anybody wants.
func TestFillingOutlivesAChange(t *testing.T) {
	store, pause := &unnoted{}, 5*time.Millisecond
	r := newRigOptions(t, func(o *control.Options) {
		store.Store, o.Store = o.Store, store
		o.Drift, o.ReadBusy, o.ReadIdle = lvs.DriftAlert, pause, pause
	})
	daemon := func(id uint8) lvs.SyncDaemon {
		d := lvs.NewSyncDaemon(lvs.DaemonMaster)
		d.Interface, d.SyncID = "eth0", id
		return d
	}
	whole := cluster(t)
	whole.PutDaemons, whole.Timeouts = []lvs.SyncDaemon{daemon(1)}, &lvs.Timeouts{TCP: 77}
	r.change(whole)
	r.eventually("the change is final", store.settled.Load)
	r.stop()
	r.kernel, pause = memory.New(memory.Options{}), 500*time.Millisecond
	r.start()
	tx := r.prepare(lvs.Change{PutDaemons: []lvs.SyncDaemon{daemon(3)}, Timeouts: &lvs.Timeouts{TCP: 99}})
	if !store.refused || r.kernelText() != "" {
		t.Fatal("the kernel is filled already")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	r.holds(clusterText)
	if err := tx.Undo(); err != nil {
		t.Fatal(err)
	}
	r.eventually("daemon and timeouts are back", func() bool {
		a, err := r.kernel.Read(t.Context())
		return err == nil && a.Timeouts.TCP == 77 && len(a.Daemons) == 1 && a.Daemons[0].SyncID == 1
	})
}

// TestRefusedRepair: what the kernel does not take has not been mended, and that is
// recorded once.
func TestRefusedRepair(t *testing.T) {
	r, k := newAskedRig(t)
	r.change(cluster(t))
	before := r.Snapshot()
	for range 1000 {
		r.kernel.FailNext(lvs.AddService, fmt.Errorf("%w: not me", lvs.ErrInvalid))
	}
	done := k.applied.Load()
	r.kernel.Flush()
	failed := func() (n int) {
		for _, q := range r.Snapshot().Requests[len(before.Requests):] {
			if q.Outcome != control.Failed || !strings.Contains(q.Reason, "not me") {
				t.Errorf("recorded: outcome %d, %s", q.Outcome, q.Reason)
			}
			n++
		}
		return n
	}
	r.eventually("it is recorded", func() bool { return failed() > 0 })
	r.eventually("it is tried again", func() bool { return k.applied.Load() >= done+2 })
	if n := failed(); n != 1 || r.Snapshot().Director.DriftRepairs != before.Director.DriftRepairs {
		t.Errorf("%d lines, %d repairs", n, r.Snapshot().Director.DriftRepairs-before.Director.DriftRepairs)
	}
}

// TestAlarmsEndWithWhatTheyAreAbout: also while the kernel is away, and what was
// wrong before is forgotten when it comes back.
func TestAlarmsEndWithWhatTheyAreAbout(t *testing.T) {
	web := service(t, "tcp:10.0.0.1:80")
	web.CheckType = lvs.CheckTCP
	first, second := server(t, web, "10.0.0.11:80", 1), server(t, web, "10.0.0.12:80", 1)
	health := func(at lvs.ServerAt, h lvs.Health) lvs.Report {
		return lvs.Report{ServerID: lvs.ServerID{Service: web.Key, Server: at.Server.Key}, Health: &h}
	}
	for name, meanwhile := range map[string]func(*rig, *book){
		"the service is deleted": func(r *rig, b *book) {
			b.edit(t, lvs.Change{DeleteServices: []lvs.ServiceKey{web.Key}})
			r.follow(b)
		},
		"a server is deleted": func(r *rig, b *book) {
			b.edit(t, lvs.Change{DeleteServers: []lvs.ServerID{{Service: web.Key, Server: first.Server.Key}}})
			r.follow(b)
		},
		"a server is up": func(r *rig, _ *book) { r.change(lvs.Change{Reports: []lvs.Report{health(first, lvs.HealthUp)}}) },
	} {
		t.Run(name, func(t *testing.T) {
			k := new(asked)
			r, b := newBookRig(t, func(o *control.Options) { k.Kernel, o.Kernel = o.Kernel, k })
			r.change(lvs.Change{PutServices: []lvs.Service{web}, PutServers: []lvs.ServerAt{first, second}})
			r.change(lvs.Change{Reports: []lvs.Report{health(first, lvs.HealthDown), health(second, lvs.HealthUp)}})
			r.eventually("the alarm", func() bool { return len(r.Snapshot().Alarms) == 1 })
			r.lose(k)
			meanwhile(r, b)
			r.back(k)
			r.eventually("no alarm is left", func() bool { return len(r.Snapshot().Alarms) == 0 })
		})
	}
}

// TestDrainOfASorryServer: one that is not needed has nothing to wait for.
func TestDrainOfASorryServer(t *testing.T) {
	r := newRig(t)
	c := cluster(t)
	sorry := server(t, c.PutServices[0], "10.0.0.99:80", 1)
	sorry.Server.DrainAction = lvs.DrainDestroy
	c.PutServices[0].SorryServer = "10.0.0.99:80"
	c.PutServers = append(c.PutServers, sorry)
	r.change(c)
	r.holds(clusterText)
	sorry.Server.AdminStatus = lvs.AdminDrain
	r.change(lvs.Change{PutServers: []lvs.ServerAt{sorry}})
	r.eventually("it is drained and gone", func() bool {
		row := r.Snapshot().Services[0]
		return len(row.Servers) == 2 && row.Service.SorryServer == ""
	})
	if n := len(slices.DeleteFunc(r.seen(), func(e string) bool { return !strings.HasPrefix(e, "3 ") })); n != 1 {
		t.Errorf("told %d times that it is drained: %v", n, r.seen())
	}
}

// TestSorryServerThatIsAdoptedAway: somebody took it from the kernel and changed the
// service, which is made the desired state.
func TestSorryServerThatIsAdoptedAway(t *testing.T) {
	r := newRigWith(t, lvs.DriftAdopt)
	c := cluster(t)
	sorry := server(t, c.PutServices[0], "10.0.0.99:80", 1)
	c.PutServices[0].SorryServer, c.PutServices[0].Quorum = "10.0.0.99:80", 3
	c.PutServers = append(c.PutServers, sorry)
	r.change(c)
	r.eventually("it serves", func() bool { return strings.Contains(r.kernelText(), "10.0.0.99:80 masquerade 1") })
	other := c.PutServices[0].ServiceSpec
	other.Scheduler = "rr"
	r.foreign(
		lvs.Op{Do: lvs.DeleteServer, Service: new(c.PutServices[0].ServiceSpec), Server: new(sorry.Server.ServerSpec)},
		lvs.Op{Do: lvs.EditService, Service: &other},
	)
	r.eventually("it is adopted", func() bool {
		row := r.Snapshot().Services[0]
		return len(row.Servers) == 2 && row.Service.SorryServer == "" && len(r.Snapshot().Drifts) == 0
	})
}

// TestDaemonsAndServersOfBothVersions: the kernel runs no sync daemon beside a server
// of the other IP version. One SET may replace one by the other.
func TestDaemonsAndServersOfBothVersions(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	daemon := lvs.NewSyncDaemon(lvs.DaemonMaster)
	daemon.Interface, daemon.SyncID, daemon.Status = "lo", 1, lvs.Active
	mixed := server(t, service(t, "tcp:10.0.0.1:80"), "[2001:db8::9]:80", 1)
	mixed.Server.Forwarding = lvs.Tunnel
	mixedText := "tcp:10.0.0.1:80 [2001:db8::9]:80 tunnel 1"
	runs := func() bool {
		a, err := r.kernel.Read(t.Context())
		return err == nil && len(a.Daemons) == 1
	}
	r.change(lvs.Change{PutDaemons: []lvs.SyncDaemon{daemon}})
	for name, stop := range map[string]lvs.Change{
		"stopped": {DeleteDaemons: []lvs.DaemonState{lvs.DaemonMaster}},
		"idle":    {PutDaemons: []lvs.SyncDaemon{func() lvs.SyncDaemon { d := daemon; d.Status = lvs.NotInService; return d }()}},
	} {
		stop.PutServers = []lvs.ServerAt{mixed}
		tx := r.prepare(stop)
		if err := tx.Commit(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := tx.Undo(); err != nil || !runs() || strings.Contains(r.kernelText(), mixedText) {
			t.Errorf("%s: undone: %v, the daemon runs: %t, the kernel holds\n%s", name, err, runs(), r.kernelText())
		}
		r.change(stop)
		if runs() || !strings.Contains(r.kernelText(), mixedText) {
			t.Errorf("%s: the daemon runs: %t, the kernel holds\n%s", name, runs(), r.kernelText())
		}
		start := lvs.Change{PutDaemons: []lvs.SyncDaemon{daemon}, DeleteServers: []lvs.ServerID{{Service: mixed.Service, Server: mixed.Server.Key}}}
		tx = r.prepare(start)
		if err := tx.Commit(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := tx.Undo(); err != nil || runs() || !strings.Contains(r.kernelText(), mixedText) {
			t.Errorf("%s: undone: %v, the daemon runs: %t, the kernel holds\n%s", name, err, runs(), r.kernelText())
		}
		r.change(start)
		r.holds(clusterText)
		if !runs() {
			t.Errorf("%s: no daemon runs", name)
		}
	}
}
