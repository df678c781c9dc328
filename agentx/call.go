package agentx

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// calls are our own requests that wait for their Response.
type calls struct {
	mu      sync.Mutex
	last    uint32 // packet id
	waiting map[uint32]place
}

// batch is requests that were sent together, with their outcomes. Whoever waits
// for them is woken once, by the last.
type batch struct {
	outcomes []outcome
	whole    bool          // their varbinds are wanted too
	left     int           // that have none yet
	done     chan struct{} // closed when none is left
}

// place is one request of a batch.
type place struct {
	of *batch
	at int
}

// outcome is a Response with the session id of its header, which only Open
// needs, or why there is none.
type outcome struct {
	session uint32
	pdu     ResponsePDU
	err     error
}

func newCalls() *calls { return &calls{waiting: make(map[uint32]place)} }

// add makes a batch of n, and the packet id of its first request; the others
// have the ids that follow.
func (c *calls) add(n int, whole bool) (first uint32, b *batch) {
	b = &batch{outcomes: make([]outcome, n), whole: whole, left: n, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	first = c.last + 1
	for at := range n {
		c.last++
		c.waiting[c.last] = place{b, at}
	}
	return first, b
}

// end gives all that wait of a batch an error, and returns the outcomes.
func (c *calls) end(first uint32, b *batch, err error) []outcome {
	for at := range b.outcomes {
		c.settle(first+uint32(at), outcome{err: err})
	}
	return b.outcomes
}

// settle gives a request its outcome, if it still waits for one. The varbinds of
// a Response stay the caller's.
func (c *calls) settle(id uint32, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.waiting[id]
	if !ok {
		return
	}
	delete(c.waiting, id)
	if p.of.whole {
		o.pdu.Varbinds = cloned(o.pdu.Varbinds)
	} else {
		o.pdu.Varbinds = nil
	}
	p.of.outcomes[p.at] = o
	if p.of.left--; p.of.left == 0 {
		close(p.of.done)
	}
}

// link is one connection with its session, from dial to loss.
type link struct {
	*dispatcher
	order Flags         // FlagNetworkByteOrder or 0
	limit time.Duration // for each call
	lost  chan struct{} // closed when the dispatcher has ended
	err   error         // why; valid once lost is closed
}

// call sends a request and waits for its Response. It fails with ctx, with the
// connection, after the time limit, or with a *ResponseError.
func (l *link) call(ctx context.Context, p PDU) (outcome, error) {
	o := l.exchange(ctx, p)[0]
	return o, o.err
}

// exchange is call for several requests, which are sent at once and wait for
// their Responses together.
func (l *link) exchange(ctx context.Context, pdus ...PDU) []outcome {
	kind := pdus[0].Type()
	first, batch := l.calls.add(len(pdus), kind == TypeIndexAllocate)
	packets := make([]byte, 0, 1024*len(pdus)) // most are shorter
	for at, p := range pdus {
		id := first + uint32(at)
		b, err := Append(packets, Header{Flags: l.order, SessionID: l.session.Load(), PacketID: id}, p)
		if err != nil {
			l.calls.settle(id, outcome{err: err})
			continue
		}
		packets = b
	}
	if len(packets) > 0 {
		if err := l.conn.write(packets); err != nil {
			return l.calls.end(first, batch, err)
		}
	}
	timer := time.NewTimer(l.limit)
	defer timer.Stop()
	select {
	case <-batch.done:
	case <-l.lost:
		l.calls.end(first, batch, fmt.Errorf("%s: %w: %w", kind, ErrNotConnected, l.err))
	case <-timer.C:
		l.calls.end(first, batch, fmt.Errorf("%s: %w within %s", kind, ErrTimeout, l.limit))
	case <-ctx.Done():
		l.calls.end(first, batch, fmt.Errorf("%s: %w", kind, ctx.Err()))
	}
	for at := range batch.outcomes {
		if o := &batch.outcomes[at]; o.err == nil && o.pdu.Error != 0 {
			o.err = &ResponseError{Request: kind, Code: o.pdu.Error, Index: int(o.pdu.Index)}
		}
	}
	return batch.outcomes
}
