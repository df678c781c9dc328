package weight

import (
	"fmt"
	"math"
	"time"
)

// Policy is how weights follow load, numbered as lcmsServiceWeightPolicy of
// LCMS-MIB.
type Policy uint8

// The policies.
const (
	// Static leaves the weights as they are configured.
	Static Policy = 1
	// Capacity gives each server the share of connections that would make all of
	// them equally busy: its weight is proportional to what it serves, divided
	// by how busy that makes it (as in gRPC's A58). What it computes does not
	// depend on the weights of the moment, so it cannot chase itself.
	Capacity Policy = 2
	// Feedback adds to the weight of a server while it is less busy than the
	// target, and takes away from it while it is busier, by the cube root of the
	// difference (W. Zhang, dynamic feedback load balancing). Its weights stay
	// between the configured one and a multiple of it. The cube root is steep
	// around 0, where noise would make weights swing: there they stay.
	Feedback Policy = 3
)

// String returns the name of the policy.
func (p Policy) String() string {
	switch p {
	case Static:
		return "static"
	case Capacity:
		return "capacity"
	case Feedback:
		return "feedback"
	}
	return fmt.Sprintf("policy %d", uint8(p))
}

// MaxWeight is the largest weight that IPVS and LCMS-MIB have.
const MaxWeight = 65535

// Params say how calm a Balancer is. A factor is what an advised weight is
// divided by the configured one.
type Params struct {
	Interval  time.Duration // between two moves of a weight at least
	Smoothing time.Duration // time constant of the averages of load
	DeadBand  float64       // a weight that is nearer to its aim than this fraction stays
	Step      float64       // a weight changes by at most this fraction in an interval
	Low, High float64       // the smallest and the largest factor of Capacity
	Penalty   float64       // of an error, in requests: how much less a server counts that fails
	MinRate   float64       // connections per second below which a server is too idle to judge
	MinBusy   float64       // and the same of its utilisation
	Target    float64       // Feedback: the utilisation at which weights stay
	Slack     float64       // Feedback: and how far around it they stay too
	Gain      float64       // Feedback: by how much a factor grows in an interval
	Scale     float64       // Feedback: the largest factor
	Stale     time.Duration // a load that is older counts as unknown
	Forget    time.Duration // until then everything is held if most loads are stale
	Settle    time.Duration // after a server has come back its load tells nothing for so long
	Panic     float64       // with fewer of the servers healthy all are to be used; 0: never
}

// Default returns what suits loads that are read every ten seconds and are
// averages over five to sixty seconds themselves.
func Default() Params {
	return Params{
		Interval: 10 * time.Second, Smoothing: 30 * time.Second,
		DeadBand: 0.1, Step: 0.25, Low: 0.125, High: 8,
		Penalty: 1, MinRate: 0.5, MinBusy: 0.02,
		Target: 0.95, Slack: 0.04, Gain: 0.1, Scale: 4,
		Stale: time.Minute, Forget: 10 * time.Minute, Settle: 30 * time.Second,
	}
}

// Check says what cannot work.
func (p Params) Check() error {
	positive := func(f float64) bool { return f > 0 && !math.IsInf(f, 0) }
	switch {
	case p.Interval <= 0 || p.Smoothing <= 0 || p.Stale <= 0:
		return fmt.Errorf("interval, smoothing and stale must be above 0")
	case p.Forget < p.Stale:
		return fmt.Errorf("forget %s is below stale %s", p.Forget, p.Stale)
	case !(p.DeadBand >= 0 && p.DeadBand < 1):
		return fmt.Errorf("dead band %v: use 0 to below 1", p.DeadBand)
	case !(p.Step > 0 && p.Step < 1):
		return fmt.Errorf("step %v: use a fraction between 0 and 1", p.Step)
	case !positive(p.Low) || p.Low > 1 || !positive(p.High) || p.High < 1:
		return fmt.Errorf("factors from %v to %v: use a range around 1", p.Low, p.High)
	case !(p.Penalty >= 0) || !(p.MinRate >= 0) || !(p.MinBusy >= 0):
		return fmt.Errorf("penalty, least rate and least utilisation must not be below 0")
	case !positive(p.Target) || p.Target > 1 || !positive(p.Gain) || !(p.Slack >= 0) || !(p.Scale >= 1) || math.IsInf(p.Scale, 0):
		return fmt.Errorf("feedback: target %v must be above 0 and at most 1, gain %v above 0, slack %v not below 0, scale %v at least 1",
			p.Target, p.Gain, p.Slack, p.Scale)
	case !(p.Panic >= 0 && p.Panic <= 1):
		return fmt.Errorf("panic %v: use a fraction from 0 to 1", p.Panic)
	}
	return nil
}
