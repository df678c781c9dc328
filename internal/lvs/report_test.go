package lvs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// farm is a service with servers of weight 100, 10.0.0.1:80 and on, and what a
// monitor has told of them.
type farm struct {
	t       testing.TB
	service Service
	servers []*Server
	around  Circumstances
}

func newFarm(t testing.TB, servers int, edit func(*Service)) *farm {
	f := &farm{t: t, service: serviceOf(t, "tcp:10.0.0.1:80", edit), around: Circumstances{Now: noon}}
	for i := range servers {
		s := serverOf(t, fmt.Sprintf("10.0.0.%d:80", i+1), func(s *Server) { s.Weight = 100 })
		f.servers = append(f.servers, &s)
	}
	return f
}

// tell has the monitor report of server n, counted from 1.
func (f *farm) tell(n int, health Health, detail string, advised uint32) {
	conditions := make(map[ServerKey]*Condition)
	for k, c := range f.around.Conditions {
		conditions[k] = c
	}
	key := f.servers[n-1].Key
	var c Condition
	if old := conditions[key]; old != nil {
		c = *old
	}
	r := Report{ServerID: ServerID{f.service.Key, key}, Detail: &detail, Advised: &advised}
	if health != 0 {
		r.Health = &health
	}
	if refusal := r.Check(); refusal != nil {
		f.t.Fatal(refusal)
	}
	c = c.After(&r, f.around.Now)
	conditions[key] = &c
	f.around.Conditions = conditions
}

// weights are those in the kernel in the order of the servers, - for one that is
// not there.
func (f *farm) weights() string {
	f.around.Weigh(&f.service, f.servers)
	var out []string
	for _, s := range f.servers {
		if spec, ok := EffectiveServer(&f.service, s, &f.around); ok {
			out = append(out, fmt.Sprint(spec.Weight))
		} else {
			out = append(out, "-")
		}
	}
	return strings.Join(out, " ")
}

func (f *farm) reason(n int) string { return WeightReason(&f.service, f.servers[n-1], &f.around) }

// want compares the weights, and the reason of server n.
func (f *farm) want(weights string, n int, reason string) {
	f.t.Helper()
	if got := f.weights(); got != weights {
		f.t.Errorf("weights %s, want %s", got, weights)
	}
	if got := f.reason(n); !strings.Contains(got, reason) {
		f.t.Errorf("the reason of server %d is %q, want %q", n, got, reason)
	}
}

func (f *farm) pass(d time.Duration) { f.around.Now = f.around.Now.Add(d) }

func TestHealthDecides(t *testing.T) {
	f := newFarm(t, 3, nil)
	f.want("100 100 100", 1, "as configured")
	f.tell(1, HealthDown, "tcp connect refused", 0)
	f.tell(2, HealthUp, "", 0)
	f.want("0 100 100", 1, "health down: tcp connect refused")
	f.tell(3, HealthUnknown, "panic: too few healthy, all are used", 0)
	f.want("0 100 100", 3, "as configured; the monitor does not know its health: panic: too few healthy, all are used")
	f.tell(1, HealthUp, "", 0)
	f.want("100 100 100", 1, "as configured")
	for n := range 3 {
		f.tell(n+1, HealthDown, "no route", 0)
	}
	f.want("0 0 0", 1, "health down: no route")
	if !f.around.QuorumLost || f.around.Usable != 0 {
		t.Errorf("%+v", f.around)
	}
}

// TestDeadMonitor: it neither empties a service nor brings back what was down,
// but where nothing else is left.
func TestDeadMonitor(t *testing.T) {
	f := newFarm(t, 3, nil)
	f.tell(1, HealthDown, "timeout", 0)
	f.tell(2, HealthUp, "", 0)
	f.pass(MinReportLife - 1)
	f.want("0 100 100", 1, "health down: timeout")
	f.pass(1)
	f.want("0 100 100", 1, "health down when last reported, 2026-01-02T12:00:00Z: timeout; it stays out")
	if f.around.Stale != 2 {
		t.Errorf("%d reports have grown old, want 2", f.around.Stale)
	}
	f.tell(2, HealthDown, "timeout", 0)
	f.servers[2].AdminStatus = AdminDrain
	f.want("100 0 0", 1, "used because no other server is: health down when last reported")
	f.pass(24 * time.Hour)
	f.want("100 100 0", 2, "used because no other server is")
	f.servers[2].AdminStatus = AdminUp
	f.want("0 0 100", 2, "it stays out")
	f.tell(1, HealthUnknown, "", 0) // an operator gives up
	f.want("100 0 100", 1, "as configured")
}

func TestAdviceAndItsEnd(t *testing.T) {
	f := newFarm(t, 2, func(s *Service) { s.WeightPolicy = WeightCapacity })
	f.tell(1, HealthUp, "cpu 0.7", 40)
	f.want("40 100", 1, "advised 40 by the monitor (capacity): cpu 0.7")
	f.service.WeightPolicy = WeightStatic
	f.want("100 100", 1, "weight policy static, the advised 40 is not used")
	f.service.WeightPolicy = WeightFeedback
	f.pass(MinReportLife)
	f.want("45 100", 1, "the monitor is silent: from the advised 40 back")
	last, moments := uint32(40), 0
	for !f.around.Next.IsZero() {
		f.around.Now = f.around.Next
		f.weights()
		now, _ := EffectiveServer(&f.service, f.servers[0], &f.around)
		if now.Weight < last {
			t.Errorf("the weight goes from %d to %d", last, now.Weight)
		}
		last = now.Weight
		if moments++; moments > 100 {
			t.Fatal("time does not end")
		}
	}
	f.want("100 100", 1, "as configured")
	if passed := f.around.Now.Sub(noon); passed != 2*MinReportLife {
		t.Errorf("after %s", passed)
	}
	f.tell(1, HealthUp, "", 65535)
	f.want("65535 100", 1, "advised 65535")
	f.servers[0].Weight = 0
	f.want("0 100", 1, "as configured")
}

func TestSlowStart(t *testing.T) {
	f := newFarm(t, 2, func(s *Service) { s.SlowStart = 100 })
	f.tell(1, HealthUp, "", 0) // the first report is no recovery
	f.want("100 100", 1, "as configured")
	f.tell(1, HealthDown, "", 0)
	f.tell(1, HealthUp, "", 0)
	f.want("10 100", 1, "slow start: 10 % of 100")
	for range 3 { // what is told again is no recovery
		f.pass(10 * time.Second)
		f.tell(1, HealthUp, "", 0)
	}
	f.want("30 100", 1, "slow start: 30 % of 100")
	for i := 0; i < 100 && f.reason(1) != "as configured"; i++ {
		f.tell(1, HealthUp, "", 0)
		f.around.Now = f.around.Next
		f.weights()
	}
	f.want("100 100", 1, "as configured")
	if passed := f.around.Now.Sub(noon); passed != 100*time.Second {
		t.Errorf("after %s", passed)
	}
	f.servers[0].Weight = 1
	f.tell(1, HealthDown, "", 0)
	f.tell(1, HealthUp, "", 0)
	f.want("1 100", 1, "slow start: 10 % of 1")
}

func TestSorryServerAndQuorum(t *testing.T) {
	f := newFarm(t, 4, func(s *Service) { s.Quorum, s.SorryServer = 2, "10.0.0.4:80" })
	f.want("100 100 100 -", 4, "sorry server: not needed")
	f.tell(1, HealthDown, "", 0)
	f.want("0 100 100 -", 4, "sorry server: not needed")
	f.tell(2, HealthDown, "", 0)
	f.want("0 0 0 1", 4, "sorry server: the quorum is lost, 1 of at least 2 servers are usable")
	f.want("0 0 0 1", 3, "the sorry server serves")
	f.tell(1, HealthUp, "", 0)
	f.want("100 0 100 -", 4, "not needed")
	f.servers[0].AdminStatus, f.servers[2].AdminStatus = AdminDrain, AdminDown
	f.want("0 0 - 1", 4, "0 of at least 2")
	f.tell(4, HealthDown, "dead too", 0) // then those that are left go on
	f.servers[2].AdminStatus = AdminUp
	f.want("0 0 100 -", 3, "as configured")
	f.want("0 0 100 -", 4, "health down: dead too")
	f.servers[3].AdminStatus = AdminDrain
	f.want("0 0 100 -", 4, "drained by the administrator")
	f.servers[3].AdminStatus = AdminUp
	f.tell(4, HealthUp, "", 0)
	f.service.AdminStatus = AdminDrain
	f.want("0 0 0 -", 3, "service drained")
	f.want("0 0 0 -", 4, "service drained")
	f.service.AdminStatus, f.around.Cluster = AdminUp, AdminDrain
	f.want("0 0 0 -", 3, "cluster drained")
	f.around.Cluster = AdminDown
	f.want("- - - -", 3, "cluster is down")
	f.around.Cluster, f.servers[3].AdminStatus = AdminUp, AdminDown
	f.want("0 0 100 -", 4, "down by the administrator")
	f.service.SorryServer = "10.0.0.99:80" // of which there is no row
	f.servers[3].AdminStatus = AdminUp
	f.want("0 0 100 100", 4, "as configured")
}

// TestQuorumHasHysteresis: a quarter of it, and never more than there are.
func TestQuorumHasHysteresis(t *testing.T) {
	f := newFarm(t, 10, func(s *Service) { s.Quorum = 4 })
	down := func(n int) bool {
		for i := range 10 {
			h := HealthUp
			if i < n {
				h = HealthDown
			}
			f.tell(i+1, h, "", 0)
		}
		f.weights()
		return f.around.QuorumLost
	}
	for _, step := range []struct {
		down int
		lost bool
	}{{6, false}, {7, true}, {6, true}, {5, false}, {6, false}, {10, true}, {0, false}} {
		if got := down(step.down); got != step.lost {
			t.Errorf("with %d down it is lost: %v", step.down, got)
		}
	}
	down(10)
	f.servers = f.servers[:4]
	if f.weights(); !f.around.QuorumLost {
		t.Error("none of four is up, and the quorum of four is met")
	}
	if down4 := func() bool { f.tell(1, HealthUp, "", 0); f.weights(); return f.around.QuorumLost }(); !down4 {
		t.Error("one of four is up, and the quorum of four is met")
	}
	for n := range 4 {
		f.tell(n+1, HealthUp, "", 0)
	}
	if f.weights(); f.around.QuorumLost {
		t.Error("all of four are up, and the quorum of four is lost")
	}
}

func TestReportCheck(t *testing.T) {
	bad, long, heavy := Health(4), strings.Repeat("x", 256), uint32(65536)
	for field, r := range map[string]Report{"Health": {Health: &bad}, "HealthDetail": {Detail: &long}, "AdvisedWeight": {Advised: &heavy}} {
		if got := r.Check(); got == nil || got.Field != field || !got.Value {
			t.Errorf("%s: %v", field, got)
		}
	}
	for interval, want := range map[uint32]time.Duration{100: 30 * time.Second, 20000: time.Minute, 3600000: 5 * time.Minute} {
		if s := (&Service{HealthCheck: HealthCheck{CheckInterval: interval}}); s.ReportLife() != want {
			t.Errorf("with an interval of %d ms reports live for %s", interval, s.ReportLife())
		}
	}
}

// TestWeightsStayInBounds tries everything at once.
func TestWeightsStayInBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFarm(t, rapid.IntRange(1, 6).Draw(rt, "servers"), func(s *Service) {
			s.Quorum = rapid.Uint32Range(1, 5).Draw(rt, "quorum")
			s.SlowStart = rapid.Uint32Range(0, 90).Draw(rt, "slow start")
			s.WeightPolicy = WeightPolicy(rapid.IntRange(1, 3).Draw(rt, "policy"))
			s.CheckInterval = rapid.Uint32Range(2000, 50000).Draw(rt, "interval")
			if rapid.Bool().Draw(rt, "sorry") {
				s.SorryServer = "10.0.0.1:80"
			}
		})
		admin := []AdminStatus{AdminUp, AdminUp, AdminUp, AdminDrain, AdminDown}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			n := rapid.IntRange(1, len(f.servers)).Draw(rt, "server")
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 0:
				f.servers[n-1].AdminStatus = rapid.SampledFrom(admin).Draw(rt, "admin")
			case 1:
				f.servers[n-1].Weight = rapid.Uint32Range(0, MaxWeight).Draw(rt, "weight")
			case 2:
				f.service.AdminStatus = rapid.SampledFrom(admin).Draw(rt, "service")
			case 3:
				f.around.Cluster = rapid.SampledFrom(admin).Draw(rt, "cluster")
			case 4:
				f.pass(time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(rt, "time")))
			default:
				f.tell(n, Health(rapid.IntRange(0, 3).Draw(rt, "health")), "", rapid.Uint32Range(0, MaxWeight).Draw(rt, "advice"))
			}
			before := f.weights()
			if again := f.weights(); again != before {
				rt.Fatalf("weighing again makes %s of %s", again, before)
			}
			next := f.around.Next
			if !next.IsZero() && !next.After(f.around.Now) {
				rt.Fatalf("the next moment %s is not after %s", next, f.around.Now)
			}
			inUse := 0
			for _, s := range f.servers {
				v := Judge(&f.service, s, &f.around)
				told := f.around.Condition(s.Key)
				down := told != nil && told.Health == HealthDown
				drained := f.around.Cluster == AdminDrain || f.service.AdminStatus == AdminDrain || s.AdminStatus == AdminDrain
				switch {
				case v.Weight > MaxWeight:
					rt.Fatalf("weight %d", v.Weight)
				case v.Reason() == "":
					rt.Fatal("no reason")
				case v.Held && v.Weight == 0 && !drained && !down && !f.around.Sorry && s.Weight != 0:
					rt.Fatalf("weight 0 without a cause: %s", v.Reason())
				case v.Weight > 0 && (drained || f.around.Sorry && !f.service.IsSorry(s)):
					rt.Fatalf("weight %d: %s", v.Weight, v.Reason())
				case v.Weight > 0 && down && !f.around.LastResort:
					rt.Fatalf("weight %d though down: %s", v.Weight, v.Reason())
				case !v.Held && v.Weight != 0:
					rt.Fatalf("not held with weight %d", v.Weight)
				}
				if v.Weight > 0 {
					inUse++
				}
			}
			if f.around.LastResort && !slices.Contains([]AdminStatus{f.service.AdminStatus, f.around.Cluster}, AdminDrain) && Wanted(&f.service, &f.around) && inUse == 0 {
				rt.Fatal("the last resort is empty")
			}
		}
	})
}
