package load

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// Load is what an agent tells of its host.
type Load struct {
	At              time.Time
	Source          string  // the MIB that it is from
	CPU             float64 // of all processors, 0 to 1; NaN: not known yet
	MemoryTotal     uint64  // KiB; 0: not known
	MemoryAvailable uint64  // KiB
	LoadAverage     float64 // over a minute; NaN: not known
	Fault           error   // why CPU is not known, nil = it is or will be soon
}

// scarce is the part of the memory from which on its use counts: a server that
// caches well must not look busy.
const scarce = 0.8

// Utilisation returns how busy the host is with what it is shortest of: 0 to 1,
// NaN if that is not known.
func (l Load) Utilisation() float64 {
	if l.MemoryTotal == 0 {
		return l.CPU
	}
	used := 1 - float64(min(l.MemoryAvailable, l.MemoryTotal))/float64(l.MemoryTotal)
	return math.Max(l.CPU, (used-scarce)/(1-scarce)) // NaN stays NaN
}

// Host measures one host. Its zero value is ready; it serves one goroutine.
type Host struct {
	last counters // UCD
	hr   *hrShape // nil: not in use
}

// ErrNoLoad says that the agent answers and shows neither MIB.
var ErrNoLoad = errors.New("the agent shows neither UCD-SNMP-MIB (.1.3.6.1.4.1.2021) nor HOST-RESOURCES-MIB (.1.3.6.1.2.1.25): open one of them in its view")

// Poll asks the agent of the host once. Processor time is known from the second
// time on, because its counters say nothing by themselves.
func (h *Host) Poll(ctx context.Context, via snmp.Asker, to snmp.Agent) (Load, error) {
	if h.hr != nil {
		l, err := h.hr.poll(ctx, via, to)
		if errors.Is(err, errShape) {
			h.hr = nil // the machine is another one: look again
		} else {
			return l, err
		}
	}
	vbs, err := via.Do(ctx, to, ucdRequest)
	if err != nil {
		return Load{}, err
	}
	if l, ok := h.ucd(vbs, time.Now()); ok {
		return l, nil
	}
	shape, err := discover(ctx, via, to)
	if err != nil {
		return Load{}, err
	}
	h.hr = shape
	return shape.poll(ctx, via, to)
}
