package check

import (
	"context"
	"net/netip"
	"strings"
	"time"
)

// refusal is how long a refusal may take when no answer is expected.
const refusal = time.Second

// udp sends a datagram. Without an answer to expect, only the refusal of the
// port (ICMP) tells that nobody is there.
type udp struct {
	at           netip.AddrPort
	send, expect string
}

// Run implements Probe.
func (p udp) Run(ctx context.Context) Result {
	if p.expect == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, refusal)
		defer cancel()
	}
	start := time.Now()
	conn, err := dial(ctx, "udp", p.at)
	if err != nil {
		return failed(ctx, "", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(p.send)); err != nil {
		return failed(ctx, "", err)
	}
	b := make([]byte, 65535)
	n, err := conn.Read(b)
	switch {
	case err == nil && strings.Contains(string(b[:n]), p.expect):
		return up("answer of %d octets in %s", n, took(start))
	case err == nil:
		return down("the answer lacks %q: %q", p.expect, b[:min(n, 100)])
	}
	r := failed(ctx, "", err)
	if p.expect == "" && r.Silent {
		return Result{Health: Up, Detail: "the port does not refuse"}
	}
	return r
}
