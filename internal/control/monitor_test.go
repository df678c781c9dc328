package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
)

// watched is a director in a bubble of synctest with a service of servers
// 10.0.0.11:80 and on, of weight 100.
type watched struct {
	*rig
	service lvs.Service
}

// watch runs f on a director with a service that is checked.
func watch(t *testing.T, policy lvs.DriftPolicy, servers int, edit func(*lvs.Service), f func(*watched)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigOptions(t, func(o *control.Options) { o.Drift, o.ReadBusy, o.ReadIdle = policy, time.Second, 2*time.Second })
		w := &watched{rig: r, service: service(t, "tcp:10.0.0.1:80")}
		w.service.CheckType = lvs.CheckTCP
		if edit != nil {
			edit(&w.service)
		}
		change := lvs.Change{PutServices: []lvs.Service{w.service}}
		for n := range servers {
			change.PutServers = append(change.PutServers, server(t, w.service, w.key(n+1), 100))
		}
		w.change(change)
		f(w)
	})
}

func (w *watched) key(n int) string { return fmt.Sprintf("10.0.0.%d:80", 10+n) }

func (w *watched) report(n int, health lvs.Health, detail string, advised uint32) lvs.Report {
	key, err := lvs.ParseServerKey(w.key(n))
	if err != nil {
		w.t.Fatal(err)
	}
	return lvs.Report{ServerID: lvs.ServerID{Service: w.service.Key, Server: key}, Health: &health, Detail: &detail, Advised: &advised}
}

// tell has the monitor report that servers are up, but those in down.
func (w *watched) tell(servers int, down ...int) {
	w.t.Helper()
	change := lvs.Change{Source: lvs.SourceMonitor}
	for n := range servers {
		r := w.report(n+1, lvs.HealthUp, "", 0)
		for _, d := range down {
			if d == n+1 {
				r = w.report(d, lvs.HealthDown, "tcp connect refused", 0)
			}
		}
		change.Reports = append(change.Reports, r)
	}
	w.change(change)
}

// weights are those in the kernel, by server, - where it is not there.
func (w *watched) weights(servers int) string {
	w.t.Helper()
	a, err := w.kernel.Read(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	out := make([]string, servers)
	for n := range out {
		out[n] = "-"
		for _, s := range a.Services[0].Servers {
			if s.Key.String() == w.key(n+1) {
				out[n] = fmt.Sprint(s.Weight)
			}
		}
	}
	return strings.Join(out, " ")
}

func (w *watched) want(weights string) {
	w.t.Helper()
	if got := w.weights(len(strings.Fields(weights))); got != weights {
		w.t.Errorf("weights %s, want %s", got, weights)
	}
}

func (w *watched) row() *control.ServiceRow { return w.Snapshot().Services[0] }

// pass lets time pass and what is due be done.
func (w *watched) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// told counts events of a kind, and forgets all.
func (w *watched) told(kind control.EventKind) (n int, last control.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			n++
			last = e
		}
	}
	return n, last
}

func (w *watched) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = nil
}

// TestReportsReachTheKernelAtOnce: when Commit has returned, and back with Undo;
// they are no configuration.
func TestReportsReachTheKernelAtOnce(t *testing.T) {
	watch(t, lvs.DriftAlert, 3, func(s *lvs.Service) { s.WeightPolicy = lvs.WeightCapacity }, func(w *watched) {
		before := w.Snapshot()
		tx := w.prepare(lvs.Change{Reports: []lvs.Report{w.report(1, lvs.HealthDown, "tcp connect refused", 0), w.report(2, lvs.HealthUp, "cpu 0.7", 40)}})
		w.want("100 100 100")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		w.want("0 40 100")
		if err := tx.Undo(); err != nil {
			t.Fatal(err)
		}
		w.want("100 100 100")
		if s := w.row().Servers[0]; s.Told != nil {
			t.Errorf("after Undo it is still known: %+v", s.Told)
		}
		w.forget()
		w.change(lvs.Change{Reports: []lvs.Report{w.report(1, lvs.HealthDown, "tcp connect refused", 0), w.report(2, lvs.HealthUp, "cpu 0.7", 40)}})
		w.want("0 40 100")
		w.pass(5 * time.Second)
		w.want("0 40 100")
		row, after := w.row(), w.Snapshot()
		if s := row.Servers[0]; s.Oper.Status != control.OperDown || s.Reason != "health down: tcp connect refused" || row.WeightReason(s.ServerState) != s.Reason {
			t.Errorf("%v %q", s.Oper.Status, s.Reason)
		}
		if got := row.WeightReason(row.Servers[1].ServerState); got != "advised 40 by the monitor (capacity): cpu 0.7" {
			t.Errorf("reason %q", got)
		}
		if row.ServersUp != 2 || row.Oper.Status != control.OperUp {
			t.Errorf("%d servers are up, the service is %v", row.ServersUp, row.Oper.Status)
		}
		if after.Director.Generation != before.Director.Generation || len(after.Requests) != len(before.Requests) || len(after.Drifts) > 0 {
			t.Errorf("generation %d to %d, %d requests to %d, drifts %v", before.Director.Generation, after.Director.Generation, len(before.Requests), len(after.Requests), after.Drifts)
		}
		if n, e := w.told(control.ServerStateChange); n != 1 || e.State != control.OperDown || e.Weight != 0 || e.Text != "health down: tcp connect refused" {
			t.Errorf("told %d times: %+v", n, e)
		}
		if n, _ := w.told(control.ConfigChange); n != 0 {
			t.Error("a report is told as a change of the configuration")
		}
		w.kernel.FailNext(lvs.EditServer, fmt.Errorf("%w: out of luck", lvs.ErrInvalid))
		failing := w.prepare(lvs.Change{Reports: []lvs.Report{w.report(1, lvs.HealthUp, "", 0)}})
		if err := failing.Commit(); err == nil {
			t.Error("the kernel refused, and the report did not")
		}
		failing.Done()
		w.want("0 40 100")
		if told := w.row().Servers[0].Told; told.Health != lvs.HealthDown {
			t.Errorf("%+v", told)
		}
		w.stop()
		if stored := w.stored(); len(stored.Rows.PutServices) != 1 || stored.Generation != before.Director.Generation || stored.Journal != nil {
			t.Errorf("stored %+v", stored)
		}
	})
}

func (w *watched) stored() lvs.Stored {
	w.t.Helper()
	store, err := localstore.Open(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	stored, err := store.Load()
	if err != nil {
		w.t.Fatal(err)
	}
	return stored
}

func TestReportsOfWhatIsNotThere(t *testing.T) {
	watch(t, lvs.DriftEnforce, 1, nil, func(w *watched) {
		for _, n := range []int{2, 99} {
			if _, err := w.Prepare(lvs.Change{Reports: []lvs.Report{w.report(n, lvs.HealthUp, "", 0)}}); !errors.Is(err, lvs.ErrNotFound) {
				t.Errorf("server %d: %v", n, err)
			}
		}
		bad := w.report(1, 7, "", 0)
		if _, err := w.Prepare(lvs.Change{Reports: []lvs.Report{bad}}); !errors.Is(err, lvs.ErrInvalid) {
			t.Errorf("health 7: %v", err)
		}
		// A server that is made by the same change may be reported of.
		w.change(lvs.Change{PutServers: []lvs.ServerAt{server(t, w.service, w.key(2), 100)}, Reports: []lvs.Report{w.report(2, lvs.HealthDown, "not yet", 0)}})
		w.want("100 0")
		w.change(lvs.Change{DeleteServers: []lvs.ServerID{w.report(2, lvs.HealthDown, "", 0).ServerID}})
		w.change(lvs.Change{PutServers: []lvs.ServerAt{server(t, w.service, w.key(2), 100)}})
		w.want("100 100")
	})
}

// TestMonitorDies: nothing is emptied, nothing that was down comes back, and one
// alarm tells it.
func TestMonitorDies(t *testing.T) {
	watch(t, lvs.DriftAlert, 3, func(s *lvs.Service) { s.WeightPolicy = lvs.WeightFeedback }, func(w *watched) {
		w.tell(3, 1)
		w.change(lvs.Change{Reports: []lvs.Report{w.report(2, lvs.HealthUp, "", 12)}})
		w.want("0 12 100")
		for range 10 {
			w.pass(10 * time.Second)
			w.tell(3, 1)
			w.change(lvs.Change{Reports: []lvs.Report{w.report(2, lvs.HealthUp, "", 12)}})
		}
		if n, _ := w.told(control.MonitorLost); n != 0 {
			t.Error("the monitor was lost while it reported")
		}
		w.pass(lvs.MinReportLife - time.Millisecond)
		w.want("0 12 100")
		w.pass(time.Millisecond)
		w.want("0 20 100")
		n, e := w.told(control.MonitorLost)
		if n != 1 || !strings.Contains(e.Text, "the last report of 3 of 3 servers is too old") {
			t.Errorf("told %d times: %q", n, e.Text)
		}
		if told := w.row().Servers[0].Told; told.Told(time.Now(), w.service.ReportLife()) != lvs.HealthUnknown {
			t.Errorf("%+v", told)
		}
		w.pass(lvs.MinReportLife)
		w.want("0 100 100")
		w.pass(time.Hour)
		w.want("0 100 100")
		if s := w.row().Servers[0]; s.Oper.Status != control.OperDown || !strings.Contains(s.Reason, "it stays out until it is reported again") {
			t.Errorf("%v %q", s.Oper.Status, s.Reason)
		}
		if drifts := w.Snapshot().Drifts; len(drifts) > 0 {
			t.Errorf("drift: %+v", drifts[0])
		}
		if alarms := w.alarms(control.MonitorLost); alarms != 1 {
			t.Errorf("%d alarms", alarms)
		}
		w.tell(3)
		w.want("100 100 100")
		if n, _ := w.told(control.MonitorRestored); n != 1 || w.alarms(control.MonitorLost) != 0 {
			t.Errorf("restored %d times, %d alarms", n, w.alarms(control.MonitorLost))
		}
		// Given up for good, it is not missed.
		w.pass(time.Hour)
		if w.alarms(control.MonitorLost) != 1 {
			t.Error("the monitor is not missed")
		}
		unchecked := w.service
		unchecked.CheckType = lvs.CheckNone
		w.change(lvs.Change{PutServices: []lvs.Service{unchecked}})
		w.pass(5 * time.Second)
		if w.alarms(control.MonitorLost) != 0 {
			t.Error("the monitor is missed where nothing is checked")
		}
	})
}

func (w *watched) alarms(kind control.EventKind) (n int) {
	for _, a := range w.Snapshot().Alarms {
		if a.Kind == kind {
			n++
		}
	}
	return n
}

// TestSlowStart ramps under a policy that does not mend, with nothing to be seen
// as drift, and wakes the loop in time.
func TestSlowStart(t *testing.T) {
	watch(t, lvs.DriftAlert, 2, func(s *lvs.Service) { s.SlowStart = 10 }, func(w *watched) {
		w.tell(2)
		w.want("100 100")
		w.tell(2, 1)
		w.want("0 100")
		w.tell(2)
		w.want("10 100")
		for _, step := range []string{"10 100", "20 100", "30 100", "40 100", "50 100", "60 100", "70 100", "80 100", "90 100", "100 100"} {
			w.pass(time.Second)
			w.want(step)
			if step == "30 100" {
				if got := w.row().WeightReason(w.row().Servers[0].ServerState); got != "slow start: 30 % of 100" {
					t.Errorf("reason %q", got)
				}
			}
			if len(w.Snapshot().Drifts) > 0 {
				t.Errorf("drift: %+v", w.Snapshot().Drifts[0])
			}
		}
		w.pass(time.Minute)
		w.want("100 100")
	})
}

// TestQuorumAndSorryServer: lost and regained, told each time.
func TestQuorumAndSorryServer(t *testing.T) {
	watch(t, lvs.DriftAlert, 4, func(s *lvs.Service) { s.Quorum = 2 }, func(w *watched) {
		w.service.SorryServer = w.key(4)
		w.change(lvs.Change{PutServices: []lvs.Service{w.service}})
		w.want("100 100 100 -")
		w.forget()
		w.tell(4, 1, 2)
		w.want("0 0 0 1")
		n, e := w.told(control.ServiceStateChange)
		if n != 1 || e.State != control.OperDown || !e.QuorumLost || !strings.Contains(e.Text, "the quorum is lost, 1 of at least 2 servers are usable: the sorry server serves") {
			t.Errorf("told %d times: %+v", n, e)
		}
		if w.alarms(control.ServiceStateChange) != 1 || w.row().ServersUp != 0 {
			t.Errorf("%d alarms, %d up", w.alarms(control.ServiceStateChange), w.row().ServersUp)
		}
		w.pass(5 * time.Second)
		if len(w.Snapshot().Drifts) > 0 {
			t.Errorf("drift: %+v", w.Snapshot().Drifts[0])
		}
		w.tell(4, 1)
		w.want("0 100 100 -")
		if n, e := w.told(control.ServiceStateChange); n != 2 || e.State != control.OperUp || e.QuorumLost || !strings.Contains(e.Text, "met again") {
			t.Errorf("told %d times: %+v", n, e)
		}
		w.pass(5 * time.Second)
		if w.alarms(control.ServiceStateChange) != 0 || len(w.Snapshot().Drifts) > 0 {
			t.Errorf("alarms and drifts are left: %+v", w.Snapshot())
		}
		// Without a sorry server those that are left go on, and it is told too.
		w.service.SorryServer = ""
		w.change(lvs.Change{PutServices: []lvs.Service{w.service}})
		w.want("0 100 100 100")
		w.forget()
		w.tell(4, 1, 2, 3)
		w.want("0 0 0 100")
		if n, e := w.told(control.ServiceStateChange); n != 1 || e.State != control.OperUp || !e.QuorumLost || !strings.Contains(e.Text, "takes new connections, but the quorum is lost") {
			t.Errorf("told %d times: %+v", n, e)
		}
		// The administrator's own drain counts too, in the same transaction.
		w.tell(4, 1)
		drained := server(t, w.service, w.key(2), 100)
		drained.Server.AdminStatus = lvs.AdminDrain
		other := server(t, w.service, w.key(3), 100)
		other.Server.AdminStatus = lvs.AdminDrain
		w.service.SorryServer = w.key(4)
		w.change(lvs.Change{PutServices: []lvs.Service{w.service}})
		w.want("0 100 100 -")
		tx := w.prepare(lvs.Change{PutServers: []lvs.ServerAt{drained, other}})
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		w.want("0 0 0 1")
		if err := tx.Undo(); err != nil {
			t.Fatal(err)
		}
		w.want("0 100 100 -")
	})
}

// TestRestartKeepsWhatWasDecided: no flap, no slow start, and the monitor's word
// is taken as soon as it comes.
func TestRestartKeepsWhatWasDecided(t *testing.T) {
	for _, policy := range []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt} {
		watch(t, policy, 4, func(s *lvs.Service) { s.WeightPolicy, s.SlowStart = lvs.WeightCapacity, 60 }, func(w *watched) {
			w.tell(4, 1)
			w.change(lvs.Change{Reports: []lvs.Report{w.report(2, lvs.HealthUp, "", 40)}})
			w.want("0 40 100 100")
			w.stop()
			w.start()
			w.want("0 40 100 100")
			w.pass(10 * time.Second)
			w.want("0 40 100 100")
			if len(w.Snapshot().Drifts) > 0 {
				t.Errorf("policy %v: drift: %+v", policy, w.Snapshot().Drifts[0])
			}
			w.tell(4, 1)
			w.want("0 100 100 100")
			w.tell(4)
			w.want("10 100 100 100")
			w.pass(time.Hour)
			if got := w.row().Servers[1].Server.Weight; got != 100 {
				t.Errorf("policy %v: the configured weight has become %d", policy, got)
			}
		})
	}
}

// TestDriftIsMeasuredAgainstWhatIsDecided: what somebody changes is drift, and is
// mended or adopted, but a weight that is decided here cannot be adopted.
func TestDriftIsMeasuredAgainstWhatIsDecided(t *testing.T) {
	for _, policy := range []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt} {
		watch(t, policy, 2, nil, func(w *watched) {
			w.tell(2, 1)
			op := editWeight(t, w.key(1), 55)
			op.OldServer, op.Server.Forwarding = op.Server, lvs.Masquerade
			if err := w.kernel.Apply(context.Background(), op); err != nil {
				t.Fatal(err)
			}
			w.pass(10 * time.Second)
			switch n := len(w.Snapshot().Drifts); {
			case policy == lvs.DriftAlert:
				w.want("55 100")
				if n != 1 {
					t.Errorf("%d drifts", n)
				}
			default:
				w.want("0 100")
				if n != 0 {
					t.Errorf("policy %v: drift %+v", policy, w.Snapshot().Drifts[0])
				}
			}
			if got := w.row().Servers[0].Server.Weight; got != 100 {
				t.Errorf("policy %v: the configured weight has become %d", policy, got)
			}
		})
	}
}
