package main

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"time"
)

// sink is a manager that takes informs: it confirms each at once, and counts
// them by lcmsNotificationSequence.
type sink struct {
	conn *net.UDPConn

	arrived chan struct{} // something was counted

	mu     sync.Mutex
	seen   map[int]bool // by number
	copies int          // that came after the first
	err    error
}

// stateVarbinds is how many lcmsServerStateChange has: sysUpTime, snmpTrapOID,
// three of lcmsNotify and two of the row.
const stateVarbinds = 7

// listen returns a sink on a free port of the loopback address.
func listen() (*sink, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	s := &sink{conn: c, seen: make(map[int]bool), arrived: make(chan struct{}, 1)}
	go s.serve()
	return s, nil
}

func (s *sink) close() { s.conn.Close() }

func (s *sink) port() int { return s.conn.LocalAddr().(*net.UDPAddr).Port }

// serve answers until the socket is closed.
func (s *sink) serve() {
	b := make([]byte, 1<<16)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		sequence, err := confirm(b[:n])
		if err == nil {
			_, err = s.conn.WriteToUDPAddrPort(b[:n], from)
		}
		s.mu.Lock()
		switch {
		case err != nil:
			s.err = err
		case sequence == 0:
		case s.seen[sequence]:
			s.copies++
		default:
			s.seen[sequence] = true
		}
		s.mu.Unlock()
		select {
		case s.arrived <- struct{}{}:
		default:
		}
	}
}

// count returns how many different informs have come.
func (s *sink) count() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen), s.err
}

// repeated returns how many came again.
func (s *sink) repeated() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copies
}

// await waits until so many different informs have come.
func (s *sink) await(want int) error {
	late := time.After(time.Minute)
	for {
		n, err := s.count()
		if err != nil || n >= want {
			return err
		}
		select {
		case <-s.arrived:
		case <-late:
			return fmt.Errorf("%d of %d informs came: %w", n, want, errLost)
		}
	}
}

// confirm makes an inform the answer to it (RFC 3416 section 4.2.7), and returns
// its sequence number: 0 for one that is not of LCMS.
func confirm(message []byte) (sequence int, err error) {
	_, b, _ := cut(message)
	_, _, b = cut(b) // version
	_, _, b = cut(b) // community
	tag, pdu, _ := cut(b)
	if tag != tagInformRequest {
		return 0, fmt.Errorf("a message with the tag %#x is no inform", tag)
	}
	b[0] = tagResponse // b is a part of the message
	_, _, pdu = cut(pdu)
	_, _, pdu = cut(pdu)
	_, _, pdu = cut(pdu)
	_, list, _ := cut(pdu)
	n, state := 0, false
	for vbs := varbinds(list); ; n++ {
		name, _, value, ok := vbs.next()
		switch {
		case !ok && state && n != stateVarbinds:
			return 0, fmt.Errorf("an inform has %d varbinds, want %d", n, stateVarbinds)
		case !ok:
			return sequence, nil
		case bytes.Equal(name, notificationSequence):
			sequence = number(value)
		case bytes.Equal(value, serverStateChange):
			state = true
		}
	}
}
