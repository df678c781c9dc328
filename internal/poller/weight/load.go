package weight

import (
	"math"
	"time"
)

// Load is what was measured of a server.
type Load struct {
	At          time.Time // when; zero: nothing is known
	Rate        float64   // new connections per second
	Errors      float64   // failures per second
	Utilisation float64   // 0 = idle, 1 = fully busy
}

// valid reports whether the numbers mean anything.
func (l Load) valid() bool {
	return !l.At.IsZero() && finite(l.Rate) && finite(l.Errors) && finite(l.Utilisation)
}

func finite(f float64) bool { return f >= 0 && !math.IsInf(f, 0) }

// enough is the number of connections after which chance is averaged out; a
// measurement of fewer counts less, down to leastTrust.
const (
	enough     = 100.0
	leastTrust = 0.2
)

// take moves the average towards a newer measurement: the farther, the older the
// average is.
func (l *Load) take(next Load, constant time.Duration) {
	if !next.valid() || !next.At.After(l.At) {
		return
	}
	if l.At.IsZero() {
		*l = next
		return
	}
	since := next.At.Sub(l.At)
	a := 1 - math.Exp(-float64(since)/float64(constant))
	a *= min(1, max(leastTrust, next.Rate*since.Seconds()/enough))
	l.Rate += a * (next.Rate - l.Rate)
	l.Errors += a * (next.Errors - l.Errors)
	l.Utilisation += a * (next.Utilisation - l.Utilisation)
	l.At = next.At
}
