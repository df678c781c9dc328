package lvs

import (
	"fmt"
	"time"
)

// HostReport is what a monitor has measured of a host. nil in a field: it says
// nothing of that, and what it said before goes on.
type HostReport struct {
	Host            HostName
	CpuLoad         *uint32 // percent of all processors
	MemoryAvailable *uint32 // MiB
	LoadAverage     *uint32 // hundredths, over one minute
}

// Report is what a monitor has found of a server. nil in a field: it says
// nothing of that, and what it said before goes on.
type Report struct {
	ServerID
	Health  *Health
	Detail  *string // in words; at most MaxDetail octets
	Advised *uint32 // weight; 0: none is advised
}

// Check says why the report cannot be, nil if it can.
func (r *Report) Check() *Refusal {
	refuse := func(field, format string, args ...any) *Refusal {
		return &Refusal{Kind: ErrInvalid, Service: r.Service, Server: r.Server, Field: field, Value: true, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.Health != nil && (*r.Health < HealthUnknown || *r.Health > HealthDown):
		return refuse("Health", "health %s: use unknown, up or down", *r.Health)
	case r.Detail != nil && len(*r.Detail) > MaxDetail:
		return refuse("HealthDetail", "health detail has %d octets: at most %d", len(*r.Detail), MaxDetail)
	case r.Advised != nil && *r.Advised > MaxWeight:
		return refuse("AdvisedWeight", "advised weight %d: use 1 to %d, or 0 for none", *r.Advised, MaxWeight)
	}
	return nil
}

// Condition is what a monitor has told of a server. It never changes: After
// returns another. The zero Condition is that nothing was told.
type Condition struct {
	Health    Health    // 0 and HealthUnknown: not known
	Detail    string    // in words
	HealthAt  time.Time // when Health was last told
	Advised   uint32    // weight; 0: none is advised
	AdvisedAt time.Time // when that was last told
	Recovered time.Time // when it last came up after it had been down; zero: never
}

// After returns the condition that a report of the time now makes of it.
func (c Condition) After(r *Report, now time.Time) Condition {
	if r.Health != nil {
		if *r.Health == HealthUp && c.Health == HealthDown {
			c.Recovered = now
		}
		c.Health, c.HealthAt = *r.Health, now
	}
	if r.Detail != nil {
		c.Detail = *r.Detail
	}
	if r.Advised != nil {
		c.Advised, c.AdvisedAt = *r.Advised, now
	}
	return c
}

// The bounds of the time for which a report stands.
const (
	MinReportLife = 30 * time.Second // a monitor may be started anew without being missed
	MaxReportLife = 5 * time.Minute  // what is older says nothing of now
)

// ReportLife is how long what a monitor has told of a server of the service
// stands: three checks, one of which may be lost and one late.
func (s *Service) ReportLife() time.Duration {
	return min(max(3*time.Duration(s.CheckInterval)*time.Millisecond, MinReportLife), MaxReportLife)
}

// Told returns the health as it stands at the time now, for reports that live so
// long: what is older is unknown.
func (c *Condition) Told(now time.Time, life time.Duration) Health {
	if c == nil || c.Health == 0 || c.stale(now, life) {
		return HealthUnknown
	}
	return c.Health
}

// stale reports whether health was told, and too long ago.
func (c *Condition) stale(now time.Time, life time.Duration) bool {
	return c.Health > HealthUnknown && now.Sub(c.HealthAt) >= life
}

// decaySteps is in how many steps an advice that has grown old gives way to the
// weight of the administrator; it takes as long as the advice has stood.
const decaySteps = 10

// advice returns the weight that is advised at the time now instead of the
// administrator's, and whether it is giving way; 0 if there is none.
func (c *Condition) advice(admin uint32, now time.Time, life time.Duration) (weight uint32, decays bool) {
	if c.Advised == 0 {
		return 0, false
	}
	age := now.Sub(c.AdvisedAt)
	if age < life {
		return c.Advised, false
	}
	step := int64((age - life) * decaySteps / life)
	if step >= decaySteps {
		return 0, false
	}
	return uint32(int64(c.Advised) + (int64(admin)-int64(c.Advised))*(step+1)/(decaySteps+1)), true
}

// The ramp of a server that has recovered.
const (
	rampSteps = 20
	leastRamp = 10 // percent
)

// ramp returns the share of its weight, in percent, that a server has at the time
// now, when its slow start takes so long.
func (c *Condition) ramp(now time.Time, window time.Duration) uint32 {
	if c.Recovered.IsZero() || window == 0 {
		return 100
	}
	t := now.Sub(c.Recovered)
	if t >= window {
		return 100
	}
	step := max(0, int64(t*rampSteps/window))
	return max(leastRamp, uint32(step*100/rampSteps))
}

// next returns the next moment at which time alone changes what the condition
// says; the zero time if there is none.
func (c *Condition) next(now time.Time, life, window time.Duration) time.Time {
	var first time.Time
	at := func(t time.Time) {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if c.Health > HealthUnknown {
		at(c.HealthAt.Add(life))
	}
	if c.Advised != 0 {
		at(c.AdvisedAt.Add(life))
		if age := now.Sub(c.AdvisedAt); age >= life && age < 2*life {
			step := (age-life)*decaySteps/life + 1
			at(c.AdvisedAt.Add(life + (step*life+decaySteps-1)/decaySteps))
		}
	}
	if !c.Recovered.IsZero() && window > 0 && now.Sub(c.Recovered) < window {
		step := max(0, now.Sub(c.Recovered)*rampSteps/window) + 1
		at(c.Recovered.Add((step*window + rampSteps - 1) / rampSteps))
	}
	return first
}
