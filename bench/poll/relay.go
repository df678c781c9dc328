package main

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// headers are those of IPv4 and UDP around each datagram, in octets.
const headers = 20 + 8

// relay stands between one manager and one agent, and counts what goes through it.
type relay struct {
	address netip.AddrPort
	octets  atomic.Int64 // with headers, in both directions

	in, out *net.UDPConn
}

func newRelay(agent netip.AddrPort) (*relay, error) {
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	out, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(agent))
	if err != nil {
		in.Close()
		return nil, err
	}
	r := &relay{address: in.LocalAddr().(*net.UDPAddr).AddrPort(), in: in, out: out}
	var manager atomic.Pointer[netip.AddrPort]
	go r.carry(func(b []byte) (int, error) {
		n, from, err := in.ReadFromUDPAddrPort(b)
		manager.Store(&from)
		return n, err
	}, out.Write)
	go r.carry(out.Read, func(b []byte) (int, error) { return in.WriteToUDPAddrPort(b, *manager.Load()) })
	return r, nil
}

func (r *relay) carry(read, write func([]byte) (int, error)) {
	b := make([]byte, 1<<16)
	for {
		n, err := read(b)
		if err != nil {
			return
		}
		r.octets.Add(int64(n + headers))
		if _, err := write(b[:n]); err != nil {
			return
		}
	}
}

func (r *relay) close() {
	r.in.Close()
	r.out.Close()
}
