package netsnmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// The parts of AgentX that a master needs to have something to spoil (RFC 2741
// section 6.1).
const (
	headerLength = 20

	openPDU     = 1
	getPDU      = 5
	testSetPDU  = 8
	pingPDU     = 13
	responsePDU = 18

	networkByteOrder = 0x10
	parseError       = 266
	processingError  = 268
	sessionID        = 4711
)

// fakeMaster is the other end of the subagent's connection.
type fakeMaster struct {
	net.Conn
	order binary.ByteOrder
	flags byte
}

// header makes the header of a PDU; length is that of the payload.
func (m *fakeMaster) header(kind byte, packet, length uint32) []byte {
	h := []byte{1, kind, m.flags, 0}
	for _, n := range []uint32{sessionID, 1, packet, length} {
		h = m.put(h, n)
	}
	return h
}

func (m *fakeMaster) put(b []byte, n uint32) []byte {
	var four [4]byte
	m.order.PutUint32(four[:], n)
	return append(b, four[:]...)
}

// read reads one PDU.
func (m *fakeMaster) read() (header, payload []byte, err error) {
	header = make([]byte, headerLength)
	if _, err := io.ReadFull(m, header); err != nil {
		return nil, nil, err
	}
	m.order, m.flags = binary.LittleEndian, header[2]&networkByteOrder
	if m.flags != 0 {
		m.order = binary.BigEndian
	}
	payload = make([]byte, m.order.Uint32(header[16:]))
	_, err = io.ReadFull(m, payload)
	return header, payload, err
}

// greet answers what a subagent sends when it connects, until it has
// registered something.
func (m *fakeMaster) greet() error {
	const registerPDU = 3
	for {
		h, _, err := m.read()
		if err != nil {
			return err
		}
		answer := m.header(responsePDU, m.order.Uint32(h[12:]), 8)
		copy(answer[8:12], h[8:12]) // the transaction
		if _, err := m.Write(append(answer, make([]byte, 8)...)); err != nil {
			return err
		}
		if h[1] == registerPDU {
			return nil
		}
	}
}

// alive sends a Ping and waits for its answer. What else the subagent answers
// until then are errors of RFC 2741.
func (m *fakeMaster) alive() error {
	const packet = 99
	if _, err := m.Write(m.header(pingPDU, packet, 0)); err != nil {
		return err
	}
	for {
		h, payload, err := m.read()
		switch {
		case err != nil:
			return err
		case h[1] == responsePDU && m.order.Uint32(h[12:]) == packet:
			return nil
		case h[1] != responsePDU:
		case len(payload) < 8:
			return fmt.Errorf("a Response of %d octets", len(payload))
		default:
			if code := m.order.Uint16(payload[4:]); code != parseError && code != processingError {
				return fmt.Errorf("garbage is answered with %d", code)
			}
		}
	}
}

// TestGarbage lets a master in front of the real subagent lose its mind. The
// subagent gives the session up and opens another, or answers with an error where
// the PDU still has an end; in either case it lives on.
func TestGarbage(t *testing.T) {
	d := director.New(t, director.Options{})
	l, err := net.Listen("unix", d.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d.StartSubagent()
	pid, _ := d.Running()

	random := make([]byte, 4096)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	words := func(m *fakeMaster, ns ...uint32) (b []byte) {
		for _, n := range ns {
			b = m.put(b, n)
		}
		return b
	}
	for _, tc := range []struct {
		name    string
		early   bool // before the session is open
		garbage func(m *fakeMaster) []byte
		lost    bool // the stream cannot be understood any more: the session must end
	}{
		{"noise instead of an answer to Open", true, func(*fakeMaster) []byte { return random }, true},
		{"noise", false, func(*fakeMaster) []byte { return random }, true},
		{"another protocol", false, func(*fakeMaster) []byte { return []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") }, true},
		{"zeros", false, func(*fakeMaster) []byte { return make([]byte, 100) }, true},
		{"another version", false, func(m *fakeMaster) []byte {
			h := m.header(getPDU, 2, 0)
			h[0] = 2
			return h
		}, true},
		{"a PDU of 4 GiB", false, func(m *fakeMaster) []byte { return m.header(getPDU, 2, 1<<32-4) }, true},
		{"a length that is no multiple of four", false, func(m *fakeMaster) []byte { return append(m.header(getPDU, 2, 5), 1, 2, 3, 4, 5) }, true},
		{"an unknown type", false, func(m *fakeMaster) []byte { return m.header(77, 2, 0) }, false},
		{"a PDU that only a master gets", false, func(m *fakeMaster) []byte { return append(m.header(openPDU, 2, 4), 0, 0, 0, 0) }, false},
		{"an OID that is longer than its PDU", false, func(m *fakeMaster) []byte {
			return append(m.header(getPDU, 2, 8), 255, 4, 0, 0, 0, 0, 0, 1)
		}, false},
		{"an OID with 255 numbers", false, func(m *fakeMaster) []byte {
			return append(append(m.header(getPDU, 2, 4+255*4), 255, 0, 0, 0), random[:255*4]...)
		}, false},
		{"half a range", false, func(m *fakeMaster) []byte { return append(m.header(getPDU, 2, 8), 1, 4, 0, 0, 0, 0, 0, 1) }, false},
		{"a value of no type", false, func(m *fakeMaster) []byte {
			return append(append(m.header(testSetPDU, 2, 12), words(m, 99<<16|99)...), 0, 0, 0, 0, 0, 0, 0, 0)
		}, false},
		{"a string of 4 GiB", false, func(m *fakeMaster) []byte {
			vb := []byte{4, 0, 0, 0, 1, 4, 0, 0} // OCTET STRING in both orders, and a name of one number
			return append(append(m.header(testSetPDU, 2, 16), vb...), words(m, 1, 1<<32-1)...)
		}, false},
		{"an answer to nobody", false, func(m *fakeMaster) []byte { return append(m.header(responsePDU, 12345, 8), make([]byte, 8)...) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := accept(t, d, l)
			defer m.Close()
			var err error
			if tc.early {
				_, _, err = m.read()
			} else {
				err = m.greet()
			}
			if err != nil {
				t.Fatalf("the subagent does not introduce itself: %v", err)
			}
			if _, err := m.Write(tc.garbage(m)); err != nil {
				t.Fatal(err)
			}
			if !tc.lost {
				if err := m.alive(); err != nil && !ended(err) {
					t.Errorf("after the garbage: %v", err)
				}
				return
			}
			// The session is given up without another word than Close.
			rest, err := io.ReadAll(m)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the session goes on: %d octets", len(rest))
			}
		})
		if now, running := d.Running(); !running || now != pid {
			t.Fatalf("the subagent has ended: %s", d.Said())
		}
	}
	if said := d.Said(); strings.Contains(said, "panic") || strings.Contains(said, "goroutine ") {
		t.Errorf("the subagent has panicked: %s", said)
	}

	// A master in its right mind is served as if nothing had been.
	l.Close()
	d.StartSnmpd()
	d.WaitReady()
	if now, _ := d.Running(); now != pid {
		t.Error("the subagent is another one")
	}
	mustSet(t, d, `lcmsServiceRowStatus."fwm4:7" i createAndGo`)
	expect(t, d, row{service: "fwm4:7", want: "RowStatus 1"})
}

// accept waits for the next connection of the subagent.
func accept(t *testing.T, d *director.Director, l net.Listener) *fakeMaster {
	t.Helper()
	deadline := time.Now().Add(d.Limit())
	if err := l.(*net.UnixListener).SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("the subagent does not come back: %v", err)
	}
	if err := c.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	return &fakeMaster{Conn: c, order: binary.LittleEndian}
}

// ended reports whether an error is the end of the connection.
func ended(err error) bool {
	return slices.ContainsFunc([]error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed}, func(e error) bool { return errors.Is(err, e) }) ||
		strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe")
}
