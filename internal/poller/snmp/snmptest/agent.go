// Package snmptest is an SNMP agent for tests and demonstrations: it answers GET, GETNEXT, GETBULK
// and SET by SNMPv2c from a list of objects, or with whatever a test wants
// instead.
package snmptest

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/gosnmp/gosnmp"

	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// Agent listens on an address of loopback until it is closed.
type Agent struct {
	Address netip.AddrPort

	conn      *net.UDPConn
	community string
	done      chan struct{} // closed when it has ended

	mu      sync.Mutex
	vbs     []snmp.Varbind // in the order of their names
	raw     func(request []byte) []byte
	asked   int
	refuses func(name snmp.OID) int // a status, 0 = takes it
}

// Start starts an agent on an address of loopback and a port that is free, with
// the community public, until the test ends.
func Start(t testing.TB, address string, vbs ...snmp.Varbind) *Agent {
	t.Helper()
	a, err := Listen(netip.AddrPortFrom(netip.MustParseAddr(address), 0), "public", vbs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// Listen starts an agent; the port 0 is one that is free.
func Listen(address netip.AddrPort, community string, vbs ...snmp.Varbind) (*Agent, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	a := &Agent{Address: conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn: conn, community: community, done: make(chan struct{})}
	a.Serve(vbs...)
	go func() {
		defer close(a.done)
		a.read()
	}()
	return a, nil
}

// Close ends the agent.
func (a *Agent) Close() {
	a.conn.Close()
	<-a.done
}

// Serve replaces the objects.
func (a *Agent) Serve(vbs ...snmp.Varbind) {
	vbs = slices.Clone(vbs)
	slices.SortFunc(vbs, func(x, y snmp.Varbind) int { return slices.Compare(x.Name, y.Name) })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.vbs = vbs
}

// Raw answers every message with what f returns of it; nil: nothing.
func (a *Agent) Raw(f func(request []byte) []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.raw = f
}

// Refuse has f say with which status a SET of an object is refused; 0: it is
// taken.
func (a *Agent) Refuse(f func(name snmp.OID) int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuses = f
}

// Asked returns how many messages have come.
func (a *Agent) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// Value returns the value of an object.
func (a *Agent) Value(name snmp.OID) snmp.Value {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.get(name)
}

func (a *Agent) read() {
	b := make([]byte, 65535)
	for {
		n, from, err := a.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if out := a.answer(b[:n]); out != nil {
			a.conn.WriteToUDPAddrPort(out, from)
		}
	}
}

func (a *Agent) answer(b []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.raw != nil {
		return a.raw(slices.Clone(b))
	}
	decoder := gosnmp.GoSNMP{Version: gosnmp.Version2c}
	p, err := decoder.SnmpDecodePacket(b)
	if err != nil || p.Community != a.community {
		return nil // as net-snmp does
	}
	repetitions := 1
	var next []snmp.OID
	var out []snmp.Varbind
	for _, v := range p.Variables {
		next = append(next, snmp.MustOID(v.Name))
	}
	switch p.PDUType {
	case gosnmp.GetRequest:
		for _, name := range next {
			out = append(out, snmp.Varbind{Name: name, Value: a.get(name)})
		}
	case gosnmp.SetRequest:
		out = a.set(p)
	case gosnmp.GetBulkRequest:
		repetitions = int(p.MaxRepetitions)
		fallthrough
	case gosnmp.GetNextRequest:
		p.NonRepeaters, p.MaxRepetitions = 0, 0
		for range repetitions {
			for i, name := range next {
				vb := a.after(name)
				next[i] = vb.Name
				out = append(out, vb)
			}
		}
	}
	p.PDUType = gosnmp.GetResponse
	p.Variables = p.Variables[:0]
	for _, vb := range out {
		p.Variables = append(p.Variables, pdu(vb))
	}
	message, err := p.MarshalMsg()
	if err != nil {
		return nil
	}
	return message
}

func (a *Agent) find(name snmp.OID) (int, bool) {
	return slices.BinarySearchFunc(a.vbs, name, func(vb snmp.Varbind, name snmp.OID) int { return slices.Compare(vb.Name, name) })
}

func (a *Agent) get(name snmp.OID) snmp.Value {
	if i, ok := a.find(name); ok {
		return a.vbs[i].Value
	}
	return snmp.Value{Type: snmp.TypeNoSuchInstance}
}

func (a *Agent) after(name snmp.OID) snmp.Varbind {
	i, ok := a.find(name)
	if ok {
		i++
	}
	if i == len(a.vbs) {
		return snmp.Varbind{Name: name, Value: snmp.Value{Type: snmp.TypeEndOfMibView}}
	}
	return a.vbs[i]
}

// set takes all values or none.
func (a *Agent) set(p *gosnmp.SnmpPacket) []snmp.Varbind {
	var vbs []snmp.Varbind
	for i, v := range p.Variables {
		vb := snmp.Varbind{Name: snmp.MustOID(v.Name), Value: snmp.Value{Type: snmp.Type(v.Type)}}
		if text, ok := v.Value.([]byte); ok {
			vb.Value.Bytes = slices.Clone(text) // it is part of the message
		} else {
			vb.Value.Num = uint64(gosnmp.ToBigInt(v.Value).Int64())
		}
		vbs = append(vbs, vb)
		status := 0
		if a.refuses != nil {
			status = a.refuses(vb.Name)
		}
		if status != 0 && p.Error == 0 {
			p.Error, p.ErrorIndex = gosnmp.SNMPError(status), uint8(i+1)
		}
	}
	if p.Error == 0 {
		for _, vb := range vbs {
			if at, ok := a.find(vb.Name); ok {
				a.vbs[at] = vb
			} else {
				a.vbs = slices.Insert(a.vbs, at, vb)
			}
		}
	}
	return vbs
}

func pdu(vb snmp.Varbind) gosnmp.SnmpPDU {
	out := gosnmp.SnmpPDU{Name: vb.Name.String(), Type: gosnmp.Asn1BER(vb.Value.Type)}
	switch {
	case vb.Value.Type == snmp.TypeInteger:
		out.Value = int(vb.Value.Int())
	case vb.Value.Type == snmp.TypeCounter64:
		out.Value = vb.Value.Num
	case vb.Value.IsNumber():
		out.Value = uint32(vb.Value.Num)
	case vb.Value.Type == snmp.TypeOID:
		out.Value = vb.Value.Name.String()
	case vb.Value.Exists():
		out.Value = vb.Value.Bytes
	}
	return out
}
