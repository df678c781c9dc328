package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// Health is what is known of a server, numbered as lcmsServerHealth of LCMS-MIB.
type Health uint8

// The kinds of health.
const (
	Unknown Health = 1
	Up      Health = 2
	Down    Health = 3
)

// String returns the name that LCMS-MIB has.
func (h Health) String() string {
	switch h {
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "unknown"
}

// MaxDetail is how many octets of detail LCMS-MIB takes.
const MaxDetail = 255

// Result is what a probe has found.
type Result struct {
	Health Health
	Detail string // in words, at most MaxDetail octets
	Silent bool   // nothing at all came back
}

// Probe asks one server.
type Probe interface {
	// Run asks once. It returns soon after ctx ends; then the server has not
	// answered in time.
	Run(ctx context.Context) Result
}

// Options are what probes need of the monitor.
type Options struct {
	Scripts string // the folder of scripts; "" = there are none
	// Ask asks the SNMP agent of a host for an object; port 0 = the usual one.
	Ask func(ctx context.Context, host netip.Addr, port uint16, object snmp.OID) (snmp.Value, error)
}

// New returns the probe that a service wants of a server. The error says what
// cannot be checked so, and how to mend it.
func New(service lvs.ServiceKey, server lvs.ServerKey, c lvs.HealthCheck, o Options) (Probe, error) {
	target, err := lvs.ParseCheckTarget(c.CheckType, c.CheckTarget)
	if err != nil {
		return nil, fmt.Errorf("check target %q: %w", c.CheckTarget, err)
	}
	at := netip.AddrPortFrom(server.Addr(), uint16(target.Number("port", int(server.Port()))))
	switch c.CheckType {
	case lvs.CheckPing:
		return ping{at.Addr()}, nil
	case lvs.CheckScript:
		return newScript(o.Scripts, target.Words, service, server)
	case lvs.CheckSNMP:
		return newSNMP(server.Addr(), target, o)
	}
	if at.Port() == 0 {
		return nil, errors.New("the server has no port of its own: add port=NUMBER to the check target")
	}
	switch c.CheckType {
	case lvs.CheckTCP:
		return tcp{at}, nil
	case lvs.CheckHTTP, lvs.CheckHTTPS:
		return newWeb(at, c.CheckType == lvs.CheckHTTPS, target)
	case lvs.CheckDNS:
		return newDNS(at, service.Protocol() == lvs.TCP, target)
	case lvs.CheckSMTP:
		return smtp{at, target.Option("helo", "lcms-poller")}, nil
	case lvs.CheckUDP:
		return udp{at, target.Option("send", ""), target.Option("expect", "")}, nil
	}
	return nil, fmt.Errorf("nothing is known of a check of type %s", c.CheckType)
}

func up(format string, args ...any) Result {
	return Result{Health: Up, Detail: short(fmt.Sprintf(format, args...))}
}

func down(format string, args ...any) Result {
	return Result{Health: Down, Detail: short(fmt.Sprintf(format, args...))}
}

func unknown(format string, args ...any) Result {
	return Result{Health: Unknown, Detail: short(fmt.Sprintf(format, args...))}
}

// short makes a text that came from anywhere fit for a row: one line of
// printable characters.
func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	if len(s) > MaxDetail {
		s = strings.ToValidUTF8(s[:MaxDetail-3], "") + "..."
	}
	return s
}

// failed says what an error of the network means for the server that was asked.
// doing is what went wrong, "" for the connection itself.
func failed(ctx context.Context, doing string, err error) Result {
	if doing != "" {
		doing += ": "
	}
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.EADDRNOTAVAIL):
		return unknown("the monitor cannot ask: %v", cause(err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return down("%sconnection refused", doing)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return down("%sconnection reset", doing)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		r := down("%s%v", doing, cause(err))
		r.Silent = true
		return r
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		r := down("%sno answer in time", doing)
		r.Silent = doing == ""
		return r
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return down("%sconnection closed", doing)
	}
	return down("%s%v", doing, cause(err))
}

// cause leaves out addresses, which everybody knows who sees the row.
func cause(err error) error {
	for {
		var op *net.OpError
		var call *os.SyscallError
		switch {
		case errors.As(err, &op):
			err = op.Err
		case errors.As(err, &call):
			err = call.Err
		default:
			return err
		}
	}
}

// dial opens a connection that ends with ctx.
func dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, to.String())
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	return conn, nil
}

// took renders how long something took.
func took(since time.Time) string {
	d := time.Since(since)
	if d < 10*time.Millisecond {
		return strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64) + " ms"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
}
