package weight

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// machine is a server in the simulation: a queue before some cores.
type machine struct {
	cores    int
	speed    float64 // of a core; 1 = a job as drawn
	hogged   int     // cores that something else keeps busy
	running  int
	queue    []job
	inactive int     // connections that are over and not forgotten, as wlc counts them
	taken    int     // connections
	busy     float64 // core seconds
	since    float64 // when busy was brought up to date
	weight   float64
}

type job struct{ at, size float64 }

func (m *machine) account(now float64) {
	used := m.running + min(m.hogged, m.cores)
	m.busy += float64(min(used, m.cores)) * (now - m.since)
	m.since = now
}

type eventKind int

const (
	arrival eventKind = iota
	departure
	forgotten
	reading
	action
)

type event struct {
	at   float64
	kind eventKind
	m    *machine
	job  job
	do   func()

	monitor *watcher
}

// events are a heap, the next first. container/heap would put each into an
// interface, which takes half of the time of these tests.
type events []event

func (e *events) push(x event) {
	*e = append(*e, x)
	h := *e
	for i := len(h) - 1; i > 0 && h[i].at < h[(i-1)/2].at; i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
}

func (e *events) pop() event {
	h := *e
	first := h[0]
	h[0] = h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; 2*i+1 < len(h); {
		next := 2*i + 1
		if next+1 < len(h) && h[next+1].at < h[next].at {
			next++
		}
		if h[i].at <= h[next].at {
			break
		}
		h[i], h[next] = h[next], h[i]
		i = next
	}
	*e = h
	return first
}

const (
	jobSize     = 0.05 // seconds of a core of speed 1, exponentially distributed
	forgetAfter = 60.0 // seconds after which the kernel forgets a closed connection
	every       = 10.0 // seconds between readings of the load
	delay       = 5.0  // seconds that a load is old when it is used
)

// world is a director that balances by wlc, its machines, and monitors that
// read their load late and advise weights.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	now      float64
	rate     float64 // of arrivals
	machines []*machine
	pending  events
	response []struct{ at, took float64 }
	weights  [][]float64 // whenever a monitor has advised
}

// watcher is a monitor of a world.
type watcher struct {
	balancer *Balancer
	servers  []Server
	taken    []int     // of the machines, when it last read
	busy     []float64 // the same
	told     []float64 // weights that it has advised last; nil: none yet
}

// newWorld has one monitor, or none if the policy is 0.
func newWorld(t *testing.T, policy Policy, rate float64, machines ...*machine) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(5267, 1)), rate: rate, machines: machines}
	for _, m := range machines {
		m.weight = 1
	}
	w.push(event{at: 0, kind: arrival})
	if policy != 0 {
		w.watch(policy, 0)
	}
	return w
}

// watch has a monitor begin at a time.
func (w *world) watch(policy Policy, begin float64) {
	n := len(w.machines)
	one := &watcher{balancer: New(policy, Default()), taken: make([]int, n), busy: make([]float64, n)}
	for i := range w.machines {
		one.servers = append(one.servers, Server{Key: key(w.t, i), Weight: 1})
	}
	w.at(begin, func() { w.load(one) })
	w.push(event{at: begin + every, kind: reading, monitor: one})
}

func (w *world) push(e event) { w.pending.push(e) }

// at has something happen later.
func (w *world) at(seconds float64, do func()) { w.push(event{at: seconds, kind: action, do: do}) }

// run lets the world turn until a time.
func (w *world) run(until float64) {
	for w.pending[0].at < until {
		e := w.pending.pop()
		w.now = e.at
		switch e.kind {
		case arrival:
			w.dispatch(job{w.now, w.rng.ExpFloat64() * jobSize})
			w.push(event{at: w.now + w.rng.ExpFloat64()/w.rate, kind: arrival})
		case departure:
			e.m.account(w.now)
			e.m.running--
			e.m.inactive++
			w.response = append(w.response, struct{ at, took float64 }{e.job.at, w.now - e.job.at})
			w.push(event{at: w.now + forgetAfter, kind: forgotten, m: e.m})
			w.serve(e.m)
		case forgotten:
			e.m.inactive--
		case reading:
			w.read(e.monitor)
			w.push(event{at: w.now + every, kind: reading, monitor: e.monitor})
		case action:
			e.do()
		}
	}
}

// dispatch chooses as ip_vs_wlc does: the least (active * 256 + inactive) /
// weight.
func (w *world) dispatch(j job) {
	var best *machine
	least := math.Inf(1)
	for _, m := range w.machines {
		if m.weight == 0 {
			continue
		}
		if overhead := float64((m.running+len(m.queue))*256+m.inactive) / m.weight; overhead < least {
			best, least = m, overhead
		}
	}
	best.taken++
	best.queue = append(best.queue, j)
	w.serve(best)
}

func (w *world) serve(m *machine) {
	for m.running < max(1, m.cores-m.hogged) && len(m.queue) > 0 {
		j := m.queue[0]
		m.queue = m.queue[1:]
		m.account(w.now)
		m.running++
		w.push(event{at: w.now + j.size/m.speed, kind: departure, m: m, job: j})
	}
}

func instant(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// load returns the load of every machine since a monitor last read it.
func (w *world) load(one *watcher) []Load {
	loads := make([]Load, len(w.machines))
	for i, m := range w.machines {
		m.account(w.now)
		loads[i] = Load{At: instant(w.now), Rate: float64(m.taken-one.taken[i]) / every, Utilisation: min(1, (m.busy-one.busy[i])/every/float64(m.cores))}
		one.taken[i], one.busy[i] = m.taken, m.busy
	}
	return loads
}

// read reads the load of every machine; later that is handed over, and the advised
// weights are set. Before, the monitor looks what another has advised.
func (w *world) read(one *watcher) {
	loads := w.load(one)
	w.at(w.now+delay, func() {
		for i, m := range w.machines {
			one.servers[i].Load, one.servers[i].Advised = loads[i], 0
			if advised := len(w.weights) > 0; advised && (one.told == nil || one.told[i] != m.weight) {
				one.servers[i].Advised = uint32(m.weight)
			}
		}
		r := one.balancer.Step(instant(w.now), one.servers)
		weights := make([]float64, len(w.machines))
		for i, a := range r.Advice {
			w.machines[i].weight = float64(a.Weight)
			weights[i] = float64(a.Weight)
		}
		one.told = weights
		w.weights = append(w.weights, weights)
	})
}

// p99 returns the response time that one in a hundred requests exceeds which
// came between two times.
func (w *world) p99(from, to float64) float64 {
	var took []float64
	for _, r := range w.response {
		if r.at >= from && r.at < to {
			took = append(took, r.took)
		}
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// flips returns how often the weight of any machine has turned from growing to
// falling or back, between two times.
func (w *world) flips(from, to float64) int {
	return w.turns(max(1, int(from/every)), min(int(to/every), len(w.weights)))
}

// turns is flips from one step to before another, each of which has one before it.
func (w *world) turns(from, to int) int {
	worst := 0
	for i := range w.machines {
		turns, last := 0, 0.0
		for n := from; n < to; n++ {
			change := w.weights[n][i] - w.weights[n-1][i]
			if change*last < 0 {
				turns++
			}
			if change != 0 {
				last = change
			}
		}
		worst = max(worst, turns)
	}
	return worst
}

// converged returns when the shares of all machines have come within a quarter
// of what they can do, to stay there until a time.
func (w *world) converged(from, to float64) (at float64, ok bool) {
	at = math.NaN()
	can := make([]float64, len(w.machines))
	all := 0.0
	for i, m := range w.machines {
		can[i] = float64(m.cores-m.hogged) * m.speed
		all += can[i]
	}
	for n := int(from / every); n < min(int(to/every), len(w.weights)); n++ {
		sum, near := 0.0, true
		for _, weight := range w.weights[n] {
			sum += weight
		}
		for i, weight := range w.weights[n] {
			share := weight / sum / (can[i] / all)
			near = near && share > 0.75 && share < 1.25
		}
		switch {
		case !near:
			at = math.NaN()
		case math.IsNaN(at):
			at = float64(n+1) * every
		}
	}
	return at, !math.IsNaN(at)
}

// unequal are machines of very different size, 180 requests/s in all.
func unequal() []*machine {
	return []*machine{{cores: 4, speed: 1}, {cores: 2, speed: 1}, {cores: 2, speed: 1}, {cores: 1, speed: 1}}
}

// TestSimulationUnequalServers begins with equal weights on machines of 4, 2, 2
// and 1 cores, at three quarters of what they can do together.
func TestSimulationUnequalServers(t *testing.T) {
	const load, warm, end = 0.75 * 180, 300.0, 1200.0
	static := newWorld(t, Static, load, unequal()...)
	static.run(end)
	dynamic := newWorld(t, Capacity, load, unequal()...)
	dynamic.run(end)

	at, ok := dynamic.converged(0, end)
	t.Logf("converged after %.0f s, %d turns after that; weights %v; p99 %.0f ms, static %.0f ms",
		at, dynamic.flips(warm, end), dynamic.weights[len(dynamic.weights)-1], 1000*dynamic.p99(warm, end), 1000*static.p99(warm, end))
	if !ok || at > 150 {
		t.Errorf("weights converged after %v s, want at most 150: %v", at, dynamic.weights)
	}
	if n := dynamic.flips(warm, end); n > 4 {
		t.Errorf("weights turned %d times in 15 minutes of steady load: they oscillate: %v", n, dynamic.weights)
	}
	if s, d := static.p99(warm, end), dynamic.p99(warm, end); d > 0.7*s {
		t.Errorf("p99 is %v s, with static weights %v s: not better by 30 %%", d, s)
	}
}

// TestSimulationSlowServer has half of a machine taken away by another program,
// and given back.
func TestSimulationSlowServer(t *testing.T) {
	const load, hog, back, end = 0.7 * 160, 600.0, 1200.0, 1800.0
	equal := func() []*machine {
		return []*machine{{cores: 2, speed: 1}, {cores: 2, speed: 1}, {cores: 2, speed: 1}, {cores: 2, speed: 1}}
	}
	run := func(p Policy) (w *world, slow float64) {
		w = newWorld(t, p, load, equal()...)
		w.at(hog, func() { w.machines[0].account(w.now); w.machines[0].hogged = 1 })
		w.run(back)
		at, ok := w.converged(hog, back)
		if p == Capacity && (!ok || at-hog > 180) {
			t.Errorf("weights followed the slow server at %v s: %v", at-hog, w.weights[int(hog/every)-1:])
		}
		w.machines[0].account(w.now)
		w.machines[0].hogged = 0
		w.run(end)
		at, ok = w.converged(back, end)
		if p == Capacity && (!ok || at-back > 180) {
			t.Errorf("weights followed its recovery at %v s: %v", at-back, w.weights[int(back/every)-1:])
		}
		return w, w.p99(hog+180, back)
	}
	static, slowStatic := run(Static)
	dynamic, slow := run(Capacity)
	t.Logf("p99 while one is slow %.0f ms, static %.0f ms; turns %d; in all %.0f ms, static %.0f ms",
		1000*slow, 1000*slowStatic, dynamic.flips(hog, back), 1000*dynamic.p99(hog, end), 1000*static.p99(hog, end))
	if slow > 0.8*slowStatic {
		t.Errorf("p99 is %v s while one server is slow, with static weights %v s", slow, slowStatic)
	}
	for _, phase := range [][2]float64{{100, hog}, {hog, back}, {back, end}} {
		if n := dynamic.flips(phase[0], phase[1]); n > 4 {
			t.Errorf("weights turned %d times between %v and %v s: %v", n, phase[0], phase[1], dynamic.weights)
		}
	}
}

// TestSimulationFlashCrowd multiplies the load from one moment to the next.
func TestSimulationFlashCrowd(t *testing.T) {
	const crowd, gone, end = 600.0, 900.0, 1500.0
	run := func(p Policy) *world {
		w := newWorld(t, p, 0.25*180, unequal()...)
		w.at(crowd, func() { w.rate = 0.85 * 180 })
		w.at(gone, func() { w.rate = 0.25 * 180 })
		w.run(end)
		return w
	}
	static, dynamic := run(Static), run(Capacity)
	t.Logf("p99 in the crowd %.0f ms, static %.0f ms; turns %d", 1000*dynamic.p99(crowd, gone), 1000*static.p99(crowd, gone), dynamic.flips(300, end))
	if s, d := static.p99(crowd, gone), dynamic.p99(crowd, gone); d > 0.5*s {
		t.Errorf("p99 in the crowd is %v s, with static weights %v s", d, s)
	}
	if n := dynamic.flips(300, end); n > 4 {
		t.Errorf("weights turned %d times: %v", n, dynamic.weights)
	}
}

// TestSimulationFeedback shows that the classic policy does not swing either.
func TestSimulationFeedback(t *testing.T) {
	const load, end = 0.9 * 180, 2400.0
	w := newWorld(t, Feedback, load, unequal()...)
	w.run(end)
	static := newWorld(t, Static, load, unequal()...)
	static.run(end)
	t.Logf("weights %v, turns %d, p99 %.0f ms, static %.0f ms", w.weights[len(w.weights)-1], w.flips(1200, end), 1000*w.p99(600, end), 1000*static.p99(600, end))
	if n := w.flips(1200, end); n > 4 {
		t.Errorf("weights turned %d times in 20 minutes: %v", n, w.weights)
	}
	if s, d := static.p99(600, end), w.p99(600, end); d > s {
		t.Errorf("p99 is %v s, with static weights %v s", d, s)
	}
}

// TestSimulationTwoMonitors has two monitors take turns. One of the servers is always
// busy, whatever it gets: what it can do seems to follow its weight, and with a small
// one it serves too few to be judged by who has just come.
func TestSimulationTwoMonitors(t *testing.T) {
	const end = 1800.0
	run := func(servers int, rate float64, second float64) *world {
		var machines []*machine
		for range servers {
			machines = append(machines, &machine{cores: 2, speed: 1})
		}
		machines[1].hogged = 2
		w := newWorld(t, Capacity, rate, machines...)
		if second > 0 {
			w.watch(Capacity, second)
		}
		w.run(end)
		return w
	}
	turns := func(w *world) int { return w.turns(1, len(w.weights)) }
	for _, c := range []struct {
		servers int
		rate    float64
	}{{4, 5}, {4, 8}, {18, 18}, {18, 300}} {
		one := run(c.servers, c.rate, 0)
		alone := one.weights[len(one.weights)-1]
		for _, second := range []float64{3, 305, 1001} {
			two := run(c.servers, c.rate, second)
			both := two.weights[len(two.weights)-1]
			t.Logf("%d servers, %v requests/s, the second from %v s on: weights %v, alone %v; turns %d, alone %d", c.servers, c.rate, second, both[:4], alone[:4], turns(two), turns(one))
			for n := 1; n < len(two.weights); n++ {
				for i, weight := range two.weights[n] {
					if before := two.weights[n-1][i]; math.Abs(weight-before) > Default().Step*before+1 {
						t.Fatalf("the weight of server %d went from %v to %v in one go", i, before, weight)
					}
				}
			}
			if turns(two) > 2*turns(one)+2 { // two measure, and each has chance of its own
				t.Errorf("a weight turned %d times, with one monitor %d times", turns(two), turns(one))
			}
			for i := range alone {
				if math.Abs(both[i]-alone[i]) > 0.2*alone[i]+1 {
					t.Errorf("the weight of server %d is %v in the end, with one monitor %v", i, both[i], alone[i])
				}
			}
		}
	}
}
