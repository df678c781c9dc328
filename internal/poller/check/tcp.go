package check

import (
	"context"
	"net/netip"
	"time"
)

// tcp opens a connection and closes it again.
type tcp struct{ at netip.AddrPort }

// Run implements Probe.
func (p tcp) Run(ctx context.Context) Result {
	start := time.Now()
	conn, err := dial(ctx, "tcp", p.at)
	if err != nil {
		return failed(ctx, "", err)
	}
	conn.Close()
	return up("connected in %s", took(start))
}
