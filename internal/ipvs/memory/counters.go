package memory

import (
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// estimatorPeriod is how often the kernel estimates rates
// (net/netfilter/ipvs/ip_vs_est.c).
const estimatorPeriod = 2 * time.Second

// counters are the statistics of one object with what the estimator needs:
// the counters when it last ran and its rates, which have fixed-point
// fractions that lvs.Stats does not show.
type counters struct {
	lvs.Stats
	last  [5]uint64
	rates [5]int64
}

// The fractions of the estimator's rates, in bits: connections and packets
// have 10, octets 5.
var fractions = [5]uint{10, 10, 10, 5, 5}

func (c *counters) add(more lvs.Stats) {
	c.Connections += more.Connections
	c.InPackets += more.InPackets
	c.OutPackets += more.OutPackets
	c.InBytes += more.InBytes
	c.OutBytes += more.OutBytes
}

// estimate moves each rate a quarter of the way towards that of the last
// period.
func (c *counters) estimate() {
	now := [5]uint64{c.Connections, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes}
	shown := [5]*uint64{&c.ConnectionRate, &c.InPacketRate, &c.OutPacketRate, &c.InByteRate, &c.OutByteRate}
	for i, f := range fractions {
		rate := int64(now[i]-c.last[i]) << (f - 1) // per second, two of which make the period
		c.last[i] = now[i]
		c.rates[i] += (rate - c.rates[i]) >> 2
		*shown[i] = uint64(c.rates[i]+1<<(f-1)-1) >> f
	}
}

func (k *Kernel) estimate() {
	k.totals.estimate()
	for _, s := range k.services {
		s.counters.estimate()
		for _, d := range s.servers {
			if d.use != nil {
				d.counters.estimate()
			}
		}
	}
}
