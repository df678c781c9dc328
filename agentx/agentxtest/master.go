package agentxtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/lcms-project/lcms/agentx"
)

// Master accepts the sessions of subagents. It answers all their requests with
// success, as far as Answer does not say otherwise.
type Master struct {
	listener net.Listener // nil with New

	mu        sync.Mutex
	closed    bool
	answer    func(agentx.Header, agentx.PDU) *agentx.ResponsePDU
	subagents []*Subagent
	changed   chan struct{} // closed and replaced at each change
	lastID    uint32
	group     sync.WaitGroup
}

// Silence is what an Answer function returns to give no answer at all.
var Silence = new(agentx.ResponsePDU)

// New returns a Master that is reached by Dial only.
func New() *Master { return &Master{changed: make(chan struct{})} }

// Listen returns a Master on a socket; network is "unix" or "tcp".
func Listen(network, address string) (*Master, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	m := New()
	m.listener = l
	m.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.serve(c)
		}
	})
	return m, nil
}

// Network returns the network of the socket.
func (m *Master) Network() string { return m.listener.Addr().Network() }

// Address returns the address of the socket.
func (m *Master) Address() string { return m.listener.Addr().String() }

// Dial connects a subagent through a pipe. It has the form of
// agentx.Options.Dial.
func (m *Master) Dial(context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	if err := m.serve(ours); err != nil {
		theirs.Close()
		return nil, err
	}
	return theirs, nil
}

// Close drops all connections and waits until nothing of m is left.
func (m *Master) Close() {
	m.mu.Lock()
	m.closed = true
	subagents := slices.Clone(m.subagents)
	m.mu.Unlock()
	if m.listener != nil {
		m.listener.Close()
	}
	for _, s := range subagents {
		s.Drop()
	}
	m.group.Wait()
}

// Answer makes f answer the requests of subagents from now on: Open, Register,
// Notify and the like. Where f returns nil the Master answers as it does
// without, where it returns Silence there is no answer. f may block to delay
// the answer and all that follow on the connection.
func (m *Master) Answer(f func(agentx.Header, agentx.PDU) *agentx.ResponsePDU) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = f
}

// Subagent waits until a session is open and has registered something, and
// returns the latest such session.
func (m *Master) Subagent(ctx context.Context) (*Subagent, error) {
	for {
		m.mu.Lock()
		changed := m.changed
		for _, s := range slices.Backward(m.subagents) {
			if len(s.registrations) > 0 {
				m.mu.Unlock()
				return s, nil
			}
		}
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no subagent has registered anything: %w", ctx.Err())
		}
	}
}

// change runs f under the lock and wakes those who wait for something.
func (m *Master) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Master) serve(c net.Conn) error {
	s := &Subagent{master: m, conn: c, waiting: make(map[uint32]chan *agentx.ResponsePDU), lost: make(chan struct{})}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		c.Close()
		return net.ErrClosed
	}
	m.subagents = append(m.subagents, s)
	m.group.Go(func() {
		s.read()
		c.Close()
		m.change(func() { m.subagents = slices.DeleteFunc(m.subagents, func(o *Subagent) bool { return o == s }) })
		close(s.lost)
	})
	m.mu.Unlock()
	return nil
}

// readPacket reads one packet from a stream.
func readPacket(r io.Reader) ([]byte, error) {
	packet := make([]byte, agentx.HeaderLen)
	if _, err := io.ReadFull(r, packet); err != nil {
		return nil, err
	}
	h, err := agentx.ParseHeader(packet)
	if err != nil {
		return nil, err
	}
	packet = slices.Grow(packet, int(h.Length))[:agentx.HeaderLen+int(h.Length)]
	_, err = io.ReadFull(r, packet[agentx.HeaderLen:])
	return packet, err
}
