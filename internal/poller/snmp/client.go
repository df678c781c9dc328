package snmp

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Client asks agents. It may be used from many goroutines.
type Client struct {
	timeout  time.Duration
	attempts int

	mu      sync.Mutex
	sockets map[bool]*socket // by whether it is of IPv6
	closed  bool
	v3      sessions
}

// NewClient returns a client that waits for an answer as long as timeout, and
// asks so many times in all. Close gives back what it holds.
func NewClient(timeout time.Duration, attempts int) *Client {
	return &Client{timeout: timeout, attempts: max(1, attempts), sockets: make(map[bool]*socket)}
}

// Do asks an agent and returns what it answers: to a Get or Set exactly what
// was asked for, in that order. The error is a *StatusError if the agent
// refused, and wraps ErrNoAnswer if there was none.
func (c *Client) Do(ctx context.Context, to Agent, r *Request) ([]Varbind, error) {
	if to.Credentials.V3() {
		return c.v3.do(ctx, to, r, c.timeout, c.attempts)
	}
	s, err := c.socket(to.Address.Addr())
	if err != nil {
		return nil, err
	}
	return s.do(ctx, to.Address, to.Credentials.Community, r, c.timeout, c.attempts)
}

// Forget gives back what is held for an agent that will not be asked again.
func (c *Client) Forget(a Agent) { c.v3.forget(a) }

// Close ends all that waits.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, s := range c.sockets {
		s.close()
	}
	c.v3.close()
}

func (c *Client) socket(a netip.Addr) (*socket, error) {
	six := a.Is6()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sockets[six]
	if s == nil {
		if c.closed {
			return nil, ErrNoAnswer
		}
		var err error
		if s, err = listen(six); err != nil {
			return nil, err
		}
		c.sockets[six] = s
	}
	return s, nil
}
