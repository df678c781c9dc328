package snmp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// receiveBuffer is what the kernel is asked to keep of answers that come faster
// than they are read.
const receiveBuffer = 4 << 20

// socket is the one through which all agents are asked by SNMPv2c.
type socket struct {
	conn *net.UDPConn
	done chan struct{}

	mu       sync.Mutex
	next     uint32
	waiting  map[uint32]*question         // by request id
	at       map[netip.AddrPort]*question // the last one that waits for an agent
	messages sync.Pool                    // of *[]byte
}

// question is a request that waits for its answer.
type question struct {
	to        netip.AddrPort
	community string
	request   *Request
	id        uint32
	outcome   chan outcome // of capacity 1
	said      error        // what came back that is no answer
}

type outcome struct {
	vbs []Varbind
	err error
}

func listen(six bool) (*socket, error) {
	network := "udp4"
	if six {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(receiveBuffer) // what the system allows
	s := &socket{
		conn: conn, done: make(chan struct{}), next: rand.Uint32(),
		waiting: make(map[uint32]*question), at: make(map[netip.AddrPort]*question),
		messages: sync.Pool{New: func() any { b := make([]byte, 0, 1500); return &b }},
	}
	go s.read()
	return s, nil
}

func (s *socket) close() {
	s.conn.Close()
	<-s.done
}

// do asks until there is an answer. Every attempt has the same request id: the
// answer to an earlier one is as good.
func (s *socket) do(ctx context.Context, to netip.AddrPort, community string, r *Request, timeout time.Duration, attempts int) ([]Varbind, error) {
	q := &question{to: to, community: community, request: r, outcome: make(chan outcome, 1)}
	s.add(q)
	defer s.remove(q)
	buffer := s.messages.Get().(*[]byte)
	defer s.messages.Put(buffer)
	message := appendMessage((*buffer)[:0], community, r, q.id)
	*buffer = message
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for attempt := 1; ; attempt++ {
		if _, err := s.conn.WriteToUDPAddrPort(message, to); err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, ErrNoAnswer
			}
			return nil, fmt.Errorf("cannot be sent: %w", err)
		}
		select {
		case o := <-q.outcome:
			return o.vbs, o.err
		case <-ctx.Done():
			return nil, s.silence(q, ctx.Err())
		case <-s.done:
			return nil, ErrNoAnswer
		case <-timer.C:
			if attempt >= attempts {
				return nil, s.silence(q, fmt.Errorf("%w within %s, asked %d times", ErrNoAnswer, timeout, attempts))
			}
			timer.Reset(timeout)
		}
	}
}

// silence returns why there was no answer: what came in its place, or err.
func (s *socket) silence(q *question, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.said != nil {
		return q.said
	}
	return err
}

func (s *socket) add(q *question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.next = (s.next + 1) & 0x7fffffff
		if _, taken := s.waiting[s.next]; !taken {
			break
		}
	}
	q.id = s.next
	s.waiting[q.id] = q
	s.at[q.to] = q
}

func (s *socket) remove(q *question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, q.id)
	if s.at[q.to] == q {
		delete(s.at, q.to)
	}
}

// read hands out what comes until the socket is closed.
func (s *socket) read() {
	defer close(s.done)
	b := make([]byte, 65535)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			s.deliver(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), b[:n])
		}
	}
}

// deliver finds out who asked for what came. What is no answer to anybody is
// noted for whoever waits for its sender, so that it can be told.
func (s *socket) deliver(from netip.AddrPort, b []byte) {
	community, a, err := parseMessage(b)
	s.mu.Lock()
	q := s.waiting[a.id]
	switch {
	case err != nil:
		if q = s.at[from]; q != nil {
			q.said = fmt.Errorf("the agent answers with something else: %w", err)
		}
		q = nil
	case q == nil: // of one that is over
	case q.to != from:
		q.said = fmt.Errorf("the answer comes from %s: make the agent listen on %s alone", from, q.to.Addr())
		q = nil
	case string(community) != q.community:
		q.said = errors.New("the agent answers with another community")
		q = nil
	default:
		delete(s.waiting, a.id) // what is sent again finds nobody
	}
	s.mu.Unlock()
	if q == nil {
		return
	}
	vbs, err := a.read(q.request)
	q.outcome <- outcome{vbs, err}
}
