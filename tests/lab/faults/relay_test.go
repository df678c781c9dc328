//go:build lab

package faults

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/tests/director"
)

// relay stands between snmpd and the subagents that connect from now on, and
// notes the headers of all that passes.
type relay struct {
	t     *testing.T
	snmpd string // its socket
	group sync.WaitGroup

	mu   sync.Mutex
	sent []agentx.Header // by snmpd
	said []agentx.Header // by the subagents
}

// startRelay takes the place of snmpd's socket until the test ends.
func startRelay(t *testing.T, d *director.Director) *relay {
	t.Helper()
	r := &relay{t: t, snmpd: d.Socket() + ".snmpd"}
	if err := os.Rename(d.Socket(), r.snmpd); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", d.Socket())
	if err != nil {
		t.Fatal(err)
	}
	r.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			r.serve(c)
		}
	})
	t.Cleanup(func() {
		l.Close()
		d.KillSubagent() // so that the connections end
		r.group.Wait()
	})
	return r
}

func (r *relay) serve(subagent net.Conn) {
	snmpd, err := net.Dial("unix", r.snmpd)
	if err != nil {
		r.t.Error(err)
		subagent.Close()
		return
	}
	r.group.Go(func() { r.pass(subagent, snmpd, &r.sent) })
	r.group.Go(func() { r.pass(snmpd, subagent, &r.said) })
}

// pass hands packets on until the connection ends.
func (r *relay) pass(to, from net.Conn, note *[]agentx.Header) {
	defer to.Close()
	for {
		packet := make([]byte, agentx.HeaderLen)
		if _, err := io.ReadFull(from, packet); err != nil {
			return
		}
		h, err := agentx.ParseHeader(packet)
		if err != nil {
			r.t.Error(err)
			return
		}
		packet = append(packet, make([]byte, h.Length)...)
		if _, err := io.ReadFull(from, packet[agentx.HeaderLen:]); err != nil {
			return
		}
		r.mu.Lock()
		*note = append(*note, h)
		r.mu.Unlock()
		if _, err := to.Write(packet); err != nil {
			return
		}
	}
}

// commits returns the CommitSets of snmpd.
func (r *relay) commits() (found []agentx.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.sent {
		if h.Type == agentx.TypeCommitSet {
			found = append(found, h)
		}
	}
	return found
}

// answers counts the Responses to a request of snmpd.
func (r *relay) answers(request agentx.Header) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.said {
		if h.Type == agentx.TypeResponse && h.PacketID == request.PacketID {
			n++
		}
	}
	return n
}
