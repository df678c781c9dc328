package weight

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func key(t testing.TB, i int) lvs.ServerKey {
	t.Helper()
	k, err := lvs.ParseServerKey(fmt.Sprintf("10.0.0.%d:80", i+1))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// group is a service whose servers a test sets up.
type group struct {
	t       *testing.T
	b       *Balancer
	now     time.Time
	servers []Server
}

func newGroup(t *testing.T, p Policy, params Params, weights ...uint32) *group {
	t.Helper()
	if err := params.Check(); err != nil {
		t.Fatal(err)
	}
	g := &group{t: t, b: New(p, params), now: start}
	for i, w := range weights {
		g.servers = append(g.servers, Server{Key: key(t, i), Weight: w})
	}
	return g
}

// measure gives a server a load of this moment.
func (g *group) measure(i int, rate, busy float64) {
	g.servers[i].Load = Load{At: g.now, Rate: rate, Utilisation: busy}
}

// step lets an interval pass and returns the advice.
func (g *group) step() Result {
	g.now = g.now.Add(g.b.params.Interval)
	return g.b.Step(g.now, g.servers)
}

// steady repeats loads until nothing moves any more.
func (g *group) steady(loads ...[2]float64) Result {
	var r Result
	for range 60 {
		for i, l := range loads {
			g.measure(i, l[0], l[1])
		}
		r = g.step()
	}
	return r
}

func (g *group) want(r Result, i int, weight uint32, reason string) {
	g.t.Helper()
	if a := r.Advice[i]; a.Key != g.servers[i].Key || a.Weight != weight || !strings.Contains(a.Reason, reason) {
		g.t.Errorf("server %d: %v, want weight %d because of %q", i, a, weight, reason)
	}
}

// wantNear is want for a weight that may have stopped short of its aim, by the
// dead band.
func (g *group) wantNear(r Result, i int, aim uint32, reason string) {
	g.t.Helper()
	if w := float64(r.Advice[i].Weight); math.Abs(float64(aim)-w) > 1+g.b.params.DeadBand*w {
		g.t.Errorf("server %d: weight %v, want about %d", i, w, aim)
	}
	g.want(r, i, r.Advice[i].Weight, reason)
}

func TestStaticIsAsConfigured(t *testing.T) {
	g := newGroup(t, Static, Default(), 1, 3)
	r := g.steady([2]float64{10, 0.9}, [2]float64{10, 0.1})
	g.want(r, 0, 1, "as configured")
	g.want(r, 1, 3, "as configured")
}

func TestCapacity(t *testing.T) {
	t.Run("weights follow what a server can do", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 1, 1)
		r := g.steady([2]float64{100, 0.25}, [2]float64{100, 0.75}) // can do 400 and 133
		g.want(r, 0, 150, "100.0 connections/s at 25% busy")
		g.want(r, 1, 50, "0.50 x configured")
	})
	t.Run("errors count against a server", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 100, 100)
		for range 60 {
			g.measure(0, 100, 0.5)
			g.measure(1, 100, 0.5)
			g.servers[1].Load.Errors = 50
			g.step()
		}
		r := g.step()
		g.wantNear(r, 0, 133, "")
		g.wantNear(r, 1, 67, "")
	})
	t.Run("steps are short", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 100, 100)
		g.measure(0, 300, 0.1)
		g.measure(1, 100, 0.9)
		r := g.step()
		g.want(r, 0, 125, "on the way")
		g.want(r, 1, 75, "on the way")
		g.now = g.now.Add(-g.b.params.Interval + time.Second) // too early for the next
		r = g.step()
		g.want(r, 0, 125, "on the way")
	})
	t.Run("small differences are ignored", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 100, 100)
		r := g.steady([2]float64{100, 0.5}, [2]float64{100, 0.58})
		g.want(r, 0, 100, "capacity")
		g.want(r, 1, 100, "capacity")
	})
	t.Run("a server without data has the mean", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 1, 1, 1)
		r := g.steady([2]float64{100, 0.25}, [2]float64{100, 0.75})
		g.want(r, 0, 150, "")
		g.want(r, 1, 50, "")
		g.want(r, 2, 100, "no load known yet")
	})
	t.Run("an idle service stays as configured", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 2, 4)
		r := g.steady([2]float64{0, 0}, [2]float64{0.1, 0.9})
		g.want(r, 0, 50, "too idle")
		g.want(r, 1, 100, "too idle")
	})
	t.Run("one that goes does not move the others", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 1, 1, 1)
		g.steady([2]float64{100, 0.25}, [2]float64{100, 0.5}, [2]float64{100, 0.5})
		g.servers[2].Down = true
		r := g.steady([2]float64{150, 0.375}, [2]float64{150, 0.75})
		g.want(r, 0, 150, "")
		g.want(r, 1, 75, "")
		g.want(r, 2, 75, "down")
	})
	t.Run("configured weight 0 stays 0", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 0, 10)
		r := g.steady([2]float64{100, 0.25}, [2]float64{100, 0.75})
		g.want(r, 0, 0, "configured weight 0")
		g.want(r, 1, 100, "")
	})
	t.Run("the largest weights", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), MaxWeight, 1)
		r := g.steady([2]float64{1000, 0.1}, [2]float64{1, 1})
		g.want(r, 0, MaxWeight, "")
		g.wantNear(r, 1, 6, "")
	})
}

func TestStaleLoads(t *testing.T) {
	loads := [][2]float64{{100, 0.25}, {100, 0.75}, {100, 0.75}}
	t.Run("one decays to the configured weight", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 1, 1, 1)
		g.steady(loads...)
		old := g.servers[0].Load
		for range 60 {
			g.measure(1, 100, 0.75)
			g.measure(2, 100, 0.75)
			g.servers[0].Load = old
			g.step()
		}
		r := g.step()
		g.wantNear(r, 0, 100, "old: back to the configured weight")
		if w := r.Advice[1].Weight; w < 55 || w > 66 {
			t.Errorf("the others have weight %d, want that of before", w)
		}
	})
	t.Run("most hold all, for some time", func(t *testing.T) {
		g := newGroup(t, Capacity, Default(), 1, 1, 1)
		before := g.steady(loads...)
		for range 12 { // two minutes
			g.measure(0, 100, 0.25)
			g.step()
		}
		r := g.step()
		for i := range loads {
			g.want(r, i, before.Advice[i].Weight, "held: no fresh load of 2 of 3 servers")
		}
		for range 90 {
			g.step()
		}
		r = g.step()
		for i := range loads {
			g.wantNear(r, i, 100, "old: back to the configured weight")
		}
	})
}

func TestPanic(t *testing.T) {
	p := Default()
	p.Panic = 0.5
	g := newGroup(t, Capacity, p, 1, 1, 1, 0)
	g.steady([2]float64{100, 0.25}, [2]float64{100, 0.75}, [2]float64{100, 0.75})
	g.servers[2].Down = true
	if r := g.step(); r.Panic {
		t.Error("two of three are healthy and it panics")
	}
	g.servers[1].Down = true
	r := g.step()
	if !r.Panic {
		t.Error("one of three is healthy and it does not panic")
	}
	g.want(r, 0, r.Advice[0].Weight, "held: too few")
	p.Panic = 0
	for i := range g.servers {
		g.servers[i].Down = true
	}
	if New(Static, p).Step(start, g.servers).Panic {
		t.Error("it panics though it must not")
	}
}

// TestComesBack has a server come back, whose load tells nothing for a while.
func TestComesBack(t *testing.T) {
	g := newGroup(t, Capacity, Default(), 1, 1)
	g.steady([2]float64{100, 0.25}, [2]float64{100, 0.75})
	g.servers[0].Back = g.now
	for i := range 6 {
		g.measure(0, 1, 0.9)
		g.measure(1, 100, 0.75)
		r := g.step()
		if i < 2 {
			g.want(r, 0, 150, "held: it came back a moment ago")
		} else if strings.Contains(r.Advice[0].Reason, "held") {
			t.Errorf("after %s: %v", g.now.Sub(g.servers[0].Back), r.Advice[0])
		}
	}
}

// TestGoesOn has another monitor go on where one was.
func TestGoesOn(t *testing.T) {
	for policy, want := range map[Policy]uint32{Capacity: 50, Feedback: 100} {
		g := newGroup(t, policy, Default(), 1, 1, 1)
		g.servers[0].Advised, g.servers[1].Advised = 150, 50
		r := g.step()
		g.want(r, 0, 150, "as advised before")
		g.want(r, 1, want, "as advised before")
		g.want(r, 2, 100, "no load known yet")
		for i := range g.servers {
			g.servers[i].Advised = 0
		}
		for range 20 {
			r = g.step()
		}
		g.wantNear(r, 0, 100, "no load known yet")
	}
}

// TestAnotherMonitorAdvisesToo has the weight go on from what the other advises.
func TestAnotherMonitorAdvisesToo(t *testing.T) {
	g := newGroup(t, Capacity, Default(), 1, 1)
	busy := func(advised uint32) Result {
		g.servers[0].Advised = advised
		g.measure(0, 100, 0.25)
		g.measure(1, 100, 0.75)
		return g.step()
	}
	for range 60 {
		busy(0)
	}
	g.want(busy(0), 0, 150, "capacity")
	g.want(busy(100), 0, 100, "as another monitor advises") // which is a move, the only one of this time
	g.want(busy(0), 0, 125, "on the way to 1.50 x")
	g.want(busy(0), 0, 125, "capacity") // what the two measure may differ by as much
	for range 60 {
		busy(0)
	}
	g.want(busy(0), 0, 150, "capacity") // the other has gone

	// Who has just come and sees too few connections to judge leaves what the other
	// may have had a reason for.
	g = newGroup(t, Capacity, Default(), 1, 1)
	idle := func(advised uint32) Result {
		g.servers[0].Advised = advised
		g.measure(0, 0.1, 1)
		g.measure(1, 100, 0.75)
		return g.step()
	}
	idle(18)
	for range 59 {
		g.want(idle(0), 0, 18, "as advised before, too idle to judge")
	}
	for range 20 {
		idle(0)
	}
	g.wantNear(idle(0), 0, 100, "too idle to judge (0.1 connections/s): configured weight")
}

func TestFeedback(t *testing.T) {
	g := newGroup(t, Feedback, Default(), 10, 10, 10)
	r := g.steady([2]float64{10, 0.2}, [2]float64{10, 0.95}, [2]float64{10, 1})
	g.wantNear(r, 0, 400, "feedback: 20% busy")
	g.want(r, 1, 100, "feedback: 95% busy")
	g.want(r, 2, 100, "feedback: 100% busy")
}

func TestParams(t *testing.T) {
	if err := Default().Check(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*Params){
		"interval":  func(p *Params) { p.Interval = 0 },
		"forget":    func(p *Params) { p.Forget = p.Stale - 1 },
		"dead band": func(p *Params) { p.DeadBand = math.NaN() },
		"step":      func(p *Params) { p.Step = 1 },
		"factors":   func(p *Params) { p.Low = 0 },
		"penalty":   func(p *Params) { p.Penalty = -1 },
		"feedback":  func(p *Params) { p.Scale = 0.5 },
		"panic":     func(p *Params) { p.Panic = 2 },
	} {
		p := Default()
		edit(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBounds gives a balancer anything at all: weights stay in their bounds,
// none moves by more than a step, and only who is drained gets 0.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Default()
		p.DeadBand = rapid.Float64Range(0, 0.5).Draw(t, "band")
		p.Step = rapid.Float64Range(0.01, 0.9).Draw(t, "step")
		policy := rapid.SampledFrom([]Policy{Capacity, Feedback}).Draw(t, "policy")
		n := rapid.IntRange(1, 6).Draw(t, "servers")
		weights := rapid.SliceOfN(rapid.Uint32Range(0, MaxWeight), n, n).Draw(t, "weights")
		b := New(policy, p)
		now := start
		number := rapid.OneOf(rapid.Float64Range(0, 1000), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), -1, 1e-300, 1e300}))
		servers := make([]Server, n)
		for i := range servers {
			k, err := lvs.ParseServerKey(fmt.Sprintf("10.0.0.%d:80", i+1))
			if err != nil {
				t.Fatal(err)
			}
			servers[i] = Server{Key: k, Weight: weights[i]}
		}
		var before []float64
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*p.Stale)).Draw(t, "pause")))
			for i := range servers {
				servers[i].Down = rapid.Bool().Draw(t, "down")
				servers[i].Load = Load{
					At:   now.Add(-time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "age"))),
					Rate: number.Draw(t, "rate"), Errors: number.Draw(t, "errors"), Utilisation: number.Draw(t, "busy"),
				}
			}
			r := b.Step(now, servers)
			scale := scaleOf(servers)
			for i, a := range r.Advice {
				m := b.known[a.Key]
				low, high := p.Low, p.High
				if policy == Feedback {
					low, high = 1, p.Scale
				}
				switch {
				case a.Key != servers[i].Key || a.Reason == "":
					t.Fatalf("advice %+v for %s", a, servers[i].Key)
				case weights[i] == 0 && a.Weight != 0:
					t.Fatalf("a server without weight is advised %d", a.Weight)
				case weights[i] > 0 && (a.Weight < 1 || a.Weight > MaxWeight):
					t.Fatalf("weight %d is out of bounds", a.Weight)
				case !(m.factor >= low && m.factor <= high):
					t.Fatalf("factor %v is not within %v and %v", m.factor, low, high)
				case math.Abs(float64(a.Weight)-min(MaxWeight, float64(weights[i])*float64(scale)*m.factor)) > 1 && weights[i] > 0:
					t.Fatalf("weight %d for factor %v of %d", a.Weight, m.factor, weights[i])
				case before != nil && math.Abs(m.factor-before[i]) > p.Step*before[i]*(1+1e-9):
					t.Fatalf("factor went from %v to %v, more than %v of it", before[i], m.factor, p.Step)
				}
			}
			before = before[:0]
			for _, s := range servers {
				before = append(before, b.known[s.Key].factor)
			}
		}
	})
}
