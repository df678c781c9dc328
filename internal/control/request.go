package control

import (
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Outcome is what became of a request.
type Outcome uint8

// The outcomes, numbered as lcmsRequestOutcome of LCMS-MIB.
const (
	Accepted Outcome = 1
	Refused  Outcome = 2 // found wrong before anything was touched
	Failed   Outcome = 3 // store or kernel refused; taken back
	Undone   Outcome = 4 // not done or taken back: somebody else in the same SET refused, or no answer came
)

// Request is one line of the record of changes: one object that somebody
// wanted changed.
type Request struct {
	Index    uint32 // counts from 1
	Time     time.Time
	Source   lvs.Source
	Context  string
	Object   []uint32       // OID of the instance, as a manager named it; nil: the row of
	Service  lvs.ServiceKey // this service, or
	Server   lvs.ServerKey  // this server of it
	OldValue string
	NewValue string
	Outcome  Outcome
	Reason   string
}

// keptRequests is how many requests are remembered.
const keptRequests = 100

// Record adds requests to the record of changes and publishes it. Index and
// Time are filled in; the requests must not be used any more.
func (c *Control) Record(requests ...Request) {
	if len(requests) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record(requests...)
	c.publish()
}

// record is Record without publishing, for those who have the lock.
func (c *Control) record(requests ...Request) { c.recordFirst(requests, len(requests)) }

// recordFirst is record for the first of so many requests.
func (c *Control) recordFirst(requests []Request, of int) {
	if of == 0 {
		return
	}
	now := c.now()
	if first := requests[0]; first.Outcome == Accepted {
		c.emit(Event{
			Kind: ConfigChange, Time: now, Service: first.Service, Server: first.Server, Text: first.Reason,
			Request: c.lastRequest + 1, Source: first.Source, Object: first.Object, OldValue: first.OldValue, NewValue: first.NewValue, More: of - 1,
		})
	}
	if len(requests) > keptRequests {
		c.lastRequest += uint32(len(requests) - keptRequests)
		requests = slices.Clone(requests[len(requests)-keptRequests:])
	}
	for i := range requests {
		r := &requests[i]
		c.lastRequest++
		r.Index, r.Time = c.lastRequest, now
		c.requests = append(c.requests, r) // behind what snapshots show of the array
	}
	c.requests = c.requests[max(0, len(c.requests)-keptRequests):]
}
