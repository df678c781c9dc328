package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ping sends an ICMP echo request.
type ping struct{ to netip.Addr }

// Run implements Probe.
func (p ping) Run(ctx context.Context) Result {
	conn, to, err := p.listen()
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return unknown("the monitor may not ping: put its group into net.ipv4.ping_group_range, or give it CAP_NET_RAW")
		}
		return failed(ctx, "", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	start := time.Now()
	token := binary.BigEndian.AppendUint64([]byte("lcms-poller "), rand.Uint64())
	echo := icmp.Echo{ID: rand.IntN(1 << 16), Seq: rand.IntN(1 << 16), Data: token}
	ask, number := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &echo}, 1
	if p.to.Is6() {
		ask.Type, number = ipv6.ICMPTypeEchoRequest, 58
	}
	b, err := ask.Marshal(nil)
	if err != nil {
		return unknown("%v", err)
	}
	if _, err := conn.WriteTo(b, to); err != nil {
		return failed(ctx, "", err)
	}
	b = make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			return failed(ctx, "", err)
		}
		// A raw socket hears everything: what carries the token of the request
		// back and is no request is its answer.
		answer, err := icmp.ParseMessage(number, b[:n])
		if err != nil || answer.Type != ipv4.ICMPTypeEchoReply && answer.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		if e, ok := answer.Body.(*icmp.Echo); ok && bytes.Equal(e.Data, token) {
			return up("answer in %s", took(start))
		}
	}
}

// listen opens a socket that needs no privilege, or else one that does.
func (p ping) listen() (*icmp.PacketConn, net.Addr, error) {
	ordinary, raw, any := "udp4", "ip4:icmp", "0.0.0.0"
	if p.to.Is6() {
		ordinary, raw, any = "udp6", "ip6:ipv6-icmp", "::"
	}
	if conn, err := icmp.ListenPacket(ordinary, any); err == nil {
		return conn, &net.UDPAddr{IP: p.to.AsSlice()}, nil
	}
	conn, err := icmp.ListenPacket(raw, any)
	return conn, &net.IPAddr{IP: p.to.AsSlice()}, err
}
