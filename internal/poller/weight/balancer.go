package weight

import (
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// resolution is the least weight that the heaviest server of a service has in
// advice: configured weights such as 1 and 2 leave no room between them.
const resolution = 100

// Server is what is known of a server at the moment.
type Server struct {
	Key    lvs.ServerKey
	Weight uint32 // as configured
	Down   bool   // found to be unhealthy
	// Back is when it came back from being down; zero: it has been there for
	// longer than anybody remembers.
	Back time.Time
	// Advised is what somebody else has advised since the last Step, another monitor
	// or the one that watched before; 0: nobody has. The weight goes on from there.
	Advised uint32
	Load    Load
}

// Advice is the weight of a server, and why.
type Advice struct {
	Key    lvs.ServerKey
	Weight uint32
	Reason string
}

// Result is the advice for all servers of a service, in the order in which they
// were given.
type Result struct {
	Advice []Advice
	// Panic says that too few are healthy to carry the load alone: it is better
	// to use those too that seem to be down.
	Panic bool
}

// Balancer advises one service. Its zero value is not usable.
type Balancer struct {
	policy Policy
	params Params
	moved  time.Time // when weights last could move
	known  map[lvs.ServerKey]*memory
}

// memory is what is remembered of a server.
type memory struct {
	load     Load      // the average
	capacity float64   // connections per second that would make it fully busy; 0: not known
	judged   time.Time // when capacity was known last
	factor   float64   // of the advice
	adopted  time.Time // when the factor was last taken over from another monitor
	want     float64   // Feedback: the sum of what was added
	why      string
}

// New returns the balancer of a service. The params must satisfy Check.
func New(policy Policy, params Params) *Balancer {
	return &Balancer{policy: policy, params: params, known: make(map[lvs.ServerKey]*memory)}
}

// Step takes in what was measured and advises weights. It is meant to be called
// every Interval; called earlier, it repeats the last advice.
func (b *Balancer) Step(now time.Time, servers []Server) Result {
	r := Result{Advice: make([]Advice, len(servers)), Panic: b.panics(servers)}
	if b.policy != Capacity && b.policy != Feedback {
		for i, s := range servers {
			r.Advice[i] = Advice{s.Key, s.Weight, "as configured"}
		}
		return r
	}
	b.remember(now, servers)
	// A timer may be early by a little.
	if b.moved.IsZero() || now.Before(b.moved) || now.Sub(b.moved) >= b.params.Interval-b.params.Interval/10 {
		b.moved = now
		b.move(now, servers, r.Panic)
	}
	scale := scaleOf(servers)
	for i, s := range servers {
		r.Advice[i] = b.advise(s, scale)
	}
	return r
}

// panics reports whether fewer of the servers are healthy than is allowed.
func (b *Balancer) panics(servers []Server) bool {
	healthy, all := 0, 0
	for _, s := range servers {
		if s.Weight > 0 {
			all++
			if !s.Down {
				healthy++
			}
		}
	}
	return healthy < all && float64(healthy) < b.params.Panic*float64(all)
}

// remember takes the loads into the averages, and forgets servers that are
// gone.
func (b *Balancer) remember(now time.Time, servers []Server) {
	gone := maps.Clone(b.known)
	scale := scaleOf(servers)
	for _, s := range servers {
		delete(gone, s.Key)
		m := b.known[s.Key]
		if m == nil {
			m = &memory{factor: 1, want: 1, why: "no load known yet: configured weight"}
			b.known[s.Key] = m
		}
		if s.Advised > 0 && s.Weight > 0 {
			// Two that each go on from their own last advice see the effect of the
			// other's in the loads, and part instead of meeting.
			m.factor = b.bounded(float64(s.Advised) / float64(s.Weight) / float64(scale))
			m.want, m.adopted = m.factor, now
		}
		if m.load.At.After(now.Add(b.params.Stale)) {
			m.load = Load{} // the clock was set back
		}
		if s.Down || b.settling(now, s) || s.Load.At.After(now.Add(b.params.Stale)) {
			continue
		}
		m.load.take(s.Load, b.params.Smoothing)
		if c, ok := b.capacityOf(m.load); ok {
			m.capacity, m.judged = c, m.load.At
		}
	}
	for k := range gone {
		delete(b.known, k)
	}
}

// capacityOf returns how many connections per second would make a server fully
// busy; false if it serves too few to tell.
func (b *Balancer) capacityOf(l Load) (float64, bool) {
	if l.Rate <= 0 || l.Rate < b.params.MinRate {
		return 0, false
	}
	c := l.Rate / (max(l.Utilisation, b.params.MinBusy) + l.Errors/l.Rate*b.params.Penalty)
	return c, c > 0 && !math.IsInf(c, 0)
}

// bounded returns the factor that the policy allows.
func (b *Balancer) bounded(factor float64) float64 {
	if b.policy == Feedback {
		return min(b.params.Scale, max(1, factor))
	}
	return min(b.params.High, max(b.params.Low, factor))
}

// settling reports whether a server came back a moment ago.
func (b *Balancer) settling(now time.Time, s Server) bool {
	return !s.Back.IsZero() && now.Sub(s.Back) < b.params.Settle
}

// fresh reports whether something is known of a server at the moment.
func (b *Balancer) fresh(now time.Time, m *memory) bool {
	return !m.load.At.IsZero() && now.Sub(m.load.At) <= b.params.Stale
}

// move brings every factor nearer to its aim.
func (b *Balancer) move(now time.Time, servers []Server, panic bool) {
	used, stale, recent := 0, 0, false
	for _, s := range servers {
		if s.Down || s.Weight == 0 {
			continue
		}
		used++
		if m := b.known[s.Key]; !b.fresh(now, m) {
			stale++
			recent = recent || now.Sub(m.load.At) <= b.params.Forget
		}
	}
	hold := 2*stale > used && recent
	reference := b.reference(servers)
	for _, s := range servers {
		m := b.known[s.Key]
		switch {
		case s.Weight == 0:
			m.why = "configured weight 0"
		case s.Down:
			m.why = "down: kept for its return"
		case panic:
			m.why = "held: too few servers are healthy"
		case b.settling(now, s):
			m.why = "held: it came back a moment ago"
		case hold:
			m.why = fmt.Sprintf("held: no fresh load of %d of %d servers", stale, used)
		case m.load.At.IsZero() && b.adopted(now, m, b.params.Stale):
			m.why = "as advised before, no load known yet"
		case m.load.At.IsZero():
			b.toward(m, 1, b.params.DeadBand, "no load known yet: configured weight")
		case !b.fresh(now, m):
			m.want = 1
			b.toward(m, 1, b.params.DeadBand, fmt.Sprintf("load is %s old: back to the configured weight", now.Sub(m.load.At).Round(time.Second)))
		case b.policy == Feedback:
			if missing := b.params.Target - min(1, m.load.Utilisation); math.Abs(missing) > b.params.Slack {
				m.want += b.params.Gain * math.Cbrt(missing)
			}
			m.want = b.bounded(m.want)
			b.toward(m, m.want, b.band(now, m), fmt.Sprintf("feedback: %.0f%% busy", 100*m.load.Utilisation))
		case m.capacity > 0 && reference > 0 && now.Sub(m.judged) <= b.params.Forget:
			aim := m.capacity / float64(s.Weight) / reference
			b.toward(m, b.bounded(aim), b.band(now, m),
				fmt.Sprintf("capacity: %.1f connections/s at %.0f%% busy", m.load.Rate, 100*m.load.Utilisation))
		case b.adopted(now, m, b.params.Forget):
			m.why = fmt.Sprintf("as advised before, too idle to judge (%.1f connections/s)", m.load.Rate)
		default:
			b.toward(m, 1, b.params.DeadBand, fmt.Sprintf("too idle to judge (%.1f connections/s): configured weight", m.load.Rate))
		}
	}
}

// reference returns the capacity for each unit of configured weight, over all
// servers of which one is known: one that is down or silent counts with what it
// was, so that the others do not move because it went. A server of which none
// is known has thereby the mean when it keeps its configured weight; if it has another
// one, taken over from a monitor that knows it, the others share what that leaves, as
// they do there.
func (b *Balancer) reference(servers []Server) float64 {
	var capacity, weight, left float64
	for _, s := range servers {
		m := b.known[s.Key]
		part := float64(s.Weight) / float64(len(servers)) // sums do not overflow
		switch {
		case s.Weight == 0:
		case m.capacity > 0:
			capacity += m.capacity / float64(len(servers))
			weight += part
		default:
			left += part * (1 - m.factor)
		}
	}
	if weight == 0 {
		return 0
	}
	return capacity / max(weight+left, b.params.Low*weight)
}

// adopted reports whether the factor of a server is that of another monitor, and has
// been taken over within a time.
func (b *Balancer) adopted(now time.Time, m *memory, within time.Duration) bool {
	return !m.adopted.IsZero() && now.Sub(m.adopted) <= within
}

// band returns how near to an aim that was measured a factor stays. What two monitors
// measure differs by the noise of both.
func (b *Balancer) band(now time.Time, m *memory) float64 {
	if b.adopted(now, m, b.params.Forget) {
		return 2 * b.params.DeadBand
	}
	return b.params.DeadBand
}

// toward moves the factor of a server to its aim, as far as it may go at once, unless
// it is as near as the band, a fraction of it. One that was taken over just now has
// moved already: two monitors together are no faster than one.
func (b *Balancer) toward(m *memory, aim, band float64, why string) {
	m.why = why
	switch low, high := m.factor*(1-b.params.Step), m.factor*(1+b.params.Step); {
	case m.adopted.Equal(b.moved):
		m.why += ", as another monitor advises"
	case math.Abs(aim-m.factor) <= band*m.factor:
	case aim < low:
		m.factor = low
		m.why += fmt.Sprintf(", on the way to %.2f x", aim)
	case aim > high:
		m.factor = high
		m.why += fmt.Sprintf(", on the way to %.2f x", aim)
	default:
		m.factor = aim
	}
}

// advise makes a weight of a factor.
func (b *Balancer) advise(s Server, scale uint32) Advice {
	m := b.known[s.Key]
	if s.Weight == 0 {
		return Advice{s.Key, 0, m.why}
	}
	why := m.why
	if math.Abs(m.factor-1) >= 0.005 {
		why = fmt.Sprintf("%.2f x configured; %s", m.factor, why)
	}
	w := math.Round(float64(s.Weight) * float64(scale) * m.factor)
	return Advice{s.Key, uint32(min(MaxWeight, max(1, w))), why}
}

// scaleOf returns what all weights of a service are multiplied by, so that
// there is room between them. Only their ratios count for the kernel.
func scaleOf(servers []Server) uint32 {
	var most uint32
	for _, s := range servers {
		most = max(most, s.Weight)
	}
	if most == 0 || most >= resolution {
		return 1
	}
	return (resolution + most - 1) / most
}
