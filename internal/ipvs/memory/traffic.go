package memory

import (
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Traffic is what clients ask of a service. It is shared among its servers in
// proportion to their weights, whichever scheduler the service has.
type Traffic struct {
	Connections uint64        // new ones per second
	Duration    time.Duration // of a connection, on average
	InPackets   uint64        // per connection, as are the following
	OutPackets  uint64
	InBytes     uint64
	OutBytes    uint64
}

// connections are those that a server has at the moment.
type connections struct {
	active   uint32
	inactive uint32
	share    float64 // of a connection, carried over to the next step
}

// SetTraffic lets clients ask t of the service from now on; the zero key
// stands for every service that has no traffic of its own.
func (k *Kernel) SetTraffic(key lvs.ServiceKey, t Traffic) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.traffic[key] = t
}

// SetConnections gives a server so many connections at once. It does nothing
// if there is no such server.
func (k *Kernel) SetConnections(service lvs.ServiceKey, server lvs.ServerKey, active, inactive uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.index[service]; s != nil {
		if d := s.server(server); d != nil {
			u := d.used()
			u.active, u.inactive = active, inactive
		}
	}
}

// Advance lets d of traffic pass at once: the same calls give the same
// counters, whatever the clock says. Rates follow every two seconds of it, as
// the kernel estimates them.
func (k *Kernel) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for d > 0 {
		step := min(d, estimatorPeriod-k.sinceTick)
		for _, s := range k.services {
			k.pass(s, step)
		}
		d -= step
		if k.sinceTick += step; k.sinceTick == estimatorPeriod {
			k.sinceTick = 0
			k.estimate()
		}
	}
}

// pass lets one step of traffic pass through a service.
func (k *Kernel) pass(s *service, step time.Duration) {
	t, own := k.traffic[s.Key]
	if !own {
		t = k.traffic[lvs.ServiceKey{}]
	}
	var weights uint64
	for _, d := range s.servers {
		if d.open() {
			weights += uint64(d.Weight)
		}
	}
	linger := time.Duration(k.timeouts.TCPFin) * time.Second
	if s.Key.Protocol() == lvs.UDP {
		linger = time.Duration(k.timeouts.UDP) * time.Second
	}
	for _, d := range s.servers {
		if d.use == nil && t.Connections == 0 {
			continue
		}
		d.used()
		d.inactive -= ended(d.inactive, step, linger)
		done := ended(d.active, step, t.Duration)
		d.active -= done
		d.inactive += done
		if !d.open() {
			continue
		}
		n := d.take(t.Connections, weights, step)
		// The kernel counts the connections of UDP as inactive, always.
		if s.Key.Protocol() == lvs.UDP {
			d.inactive += uint32(n)
		} else {
			d.active += uint32(n)
		}
		more := lvs.Stats{Connections: n, InPackets: n * t.InPackets, OutPackets: n * t.OutPackets, InBytes: n * t.InBytes, OutBytes: n * t.OutBytes}
		d.counters.add(more)
		s.counters.add(more)
		k.totals.add(more)
	}
}

// open reports whether the server gets new connections.
func (d *server) open() bool {
	return d.Weight > 0 && (d.UpperThreshold == 0 || d.use == nil || d.active+d.inactive < d.UpperThreshold)
}

// take returns the whole connections that fall to the server in a step and
// keeps the remainder for the next one.
func (d *server) take(perSecond, weights uint64, step time.Duration) uint64 {
	d.share += float64(perSecond) * step.Seconds() * float64(d.Weight) / float64(weights)
	n := uint64(d.share)
	d.share -= float64(n)
	return n
}

// ended returns how many of n connections of the given mean duration end
// within a step: at least one, so that a drained server becomes empty.
func ended(n uint32, step, duration time.Duration) uint32 {
	if n == 0 || step >= duration {
		return n
	}
	return max(1, uint32(float64(n)*float64(step)/float64(duration)))
}
