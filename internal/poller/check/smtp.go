package check

import (
	"context"
	"errors"
	"net/netip"
	"net/textproto"
	"time"
)

// smtp greets a mail server and takes leave.
type smtp struct {
	at   netip.AddrPort
	helo string
}

// Run implements Probe.
func (p smtp) Run(ctx context.Context) Result {
	start := time.Now()
	conn, err := dial(ctx, "tcp", p.at)
	if err != nil {
		return failed(ctx, "", err)
	}
	defer conn.Close()
	text := textproto.NewConn(conn)
	said := func(doing string, err error) Result {
		var reply *textproto.Error
		if errors.As(err, &reply) {
			return down("%s: %d %s", doing, reply.Code, reply.Msg)
		}
		var broken textproto.ProtocolError
		if errors.As(err, &broken) {
			return down("%s: no SMTP: %v", doing, broken)
		}
		return failed(ctx, doing, err)
	}
	if _, _, err := text.ReadResponse(220); err != nil {
		return said("greeting", err)
	}
	if err := text.PrintfLine("EHLO %s", p.helo); err != nil {
		return said("EHLO", err)
	}
	_, words, err := text.ReadResponse(250)
	if err != nil {
		return said("EHLO", err)
	}
	_ = text.PrintfLine("QUIT") // out of courtesy
	return up("%s in %s", short(words), took(start))
}
