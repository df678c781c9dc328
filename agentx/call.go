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
	waiting map[uint32]chan reply
}

// reply is a Response with the session id of its header, which only Open
// needs.
type reply struct {
	session uint32
	pdu     *ResponsePDU
}

func newCalls() *calls { return &calls{waiting: make(map[uint32]chan reply)} }

// add makes a packet id and the channel on which its Response will come.
func (c *calls) add() (id uint32, ch chan reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	ch = make(chan reply, 1)
	c.waiting[c.last] = ch
	return c.last, ch
}

func (c *calls) remove(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// deliver gives a Response to its caller, if that one still waits.
func (c *calls) deliver(h Header, p *ResponsePDU) {
	c.mu.Lock()
	ch := c.waiting[h.PacketID]
	delete(c.waiting, h.PacketID)
	c.mu.Unlock()
	if ch != nil {
		ch <- reply{h.SessionID, p}
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
func (l *link) call(ctx context.Context, p PDU) (reply, error) {
	id, ch := l.calls.add()
	defer l.calls.remove(id)
	b, err := Append(nil, Header{Flags: l.order, SessionID: l.session.Load(), PacketID: id}, p)
	if err != nil {
		return reply{}, err
	}
	if err := l.conn.write(b); err != nil {
		return reply{}, err
	}
	timer := time.NewTimer(l.limit)
	defer timer.Stop()
	select {
	case r := <-ch:
		if r.pdu.Error != 0 {
			return r, &ResponseError{Request: p.Type(), Code: r.pdu.Error, Index: int(r.pdu.Index)}
		}
		return r, nil
	case <-l.lost:
		return reply{}, fmt.Errorf("%s: %w: %w", p.Type(), ErrNotConnected, l.err)
	case <-timer.C:
		return reply{}, fmt.Errorf("%s: %w within %s", p.Type(), ErrTimeout, l.limit)
	case <-ctx.Done():
		return reply{}, fmt.Errorf("%s: %w", p.Type(), ctx.Err())
	}
}
