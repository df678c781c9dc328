package check

import (
	"context"
	"errors"
	"net/netip"
	"strconv"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// agent asks the SNMP agent of a server for a value.
type agent struct {
	host   netip.Addr
	port   uint16
	object snmp.OID
	target lvs.CheckTarget
	ask    func(ctx context.Context, host netip.Addr, port uint16, object snmp.OID) (snmp.Value, error)
}

func newSNMP(host netip.Addr, target lvs.CheckTarget, o Options) (Probe, error) {
	object, err := snmp.ParseOID(target.Words[0])
	if err != nil {
		return nil, err
	}
	if o.Ask == nil {
		return nil, errors.New("the monitor has no credentials for SNMP agents")
	}
	return agent{host, uint16(target.Number("port", 0)), object, target, o.Ask}, nil
}

// Run implements Probe.
func (p agent) Run(ctx context.Context) Result {
	v, err := p.ask(ctx, p.host, p.port, p.object)
	switch {
	case errors.Is(err, snmp.ErrNoAnswer), ctx.Err() != nil:
		return Result{Health: Down, Detail: "no answer of the SNMP agent in time", Silent: true}
	case err != nil:
		return down("%v", err)
	case !v.Exists():
		return down("the agent has no object %s", p.object)
	}
	text := v.String()
	if v.Type == snmp.TypeOctetString {
		text = string(v.Bytes)
	}
	if want, ok := p.target.Options["is"]; ok && text != want {
		return down("value %s is not %s", text, want)
	}
	for _, bound := range []string{"min", "max"} {
		limit, ok := p.target.Options[bound]
		if !ok {
			continue
		}
		n, errText := strconv.ParseInt(text, 10, 64)
		l, errLimit := strconv.ParseInt(limit, 10, 64)
		switch {
		case errText != nil || errLimit != nil:
			return down("value %q is no number", text)
		case bound == "min" && n < l:
			return down("value %d is below %d", n, l)
		case bound == "max" && n > l:
			return down("value %d is above %d", n, l)
		}
	}
	return up("value %s", text)
}
