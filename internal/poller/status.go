package poller

import (
	"cmp"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/check"
	"github.com/lcms-project/lcms/internal/poller/schedule"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/status"
	"github.com/lcms-project/lcms/internal/poller/weight"
)

// Status returns everything as it is now.
func (p *Poller) Status() status.Status {
	now := time.Now()
	s := status.Status{At: now, Since: p.since, Version: p.version, Checks: tasks(p.checks.Stats()), Loads: tasks(p.loads.Stats())}
	for _, d := range p.directors {
		s.Directors = append(s.Directors, d.Status())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isolated {
		s.Isolated = "no server gives any answer: the monitor may be cut off, and reports none as down"
	}
	lives := make(map[netip.Addr]bool)
	services := make([]*service, 0, len(p.services))
	for _, own := range p.services {
		services = append(services, own)
		for _, one := range own.servers {
			if one.judge.Health() == check.Up {
				lives[one.id.Server.Addr()] = true
			}
		}
	}
	slices.SortFunc(services, func(a, b *service) int { return a.key.Compare(b.key) })
	for _, own := range services {
		for _, one := range own.servers {
			s.Servers = append(s.Servers, p.row(own, one, now))
		}
	}
	for at, h := range p.hosts {
		s.Hosts = append(s.Hosts, hostRow(at, h, lives[at.Addr()]))
	}
	slices.SortFunc(s.Hosts, func(a, b status.Host) int { return cmp.Compare(a.Address, b.Address) })
	return s
}

// Turning reports whether the monitor works: tasks are begun within a time, and
// nobody holds on to what others wait for; else it does not return.
func (p *Poller) Turning(within time.Duration) bool {
	for _, d := range p.directors {
		d.Status()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return p.checks.Overdue(now) < within && p.loads.Overdue(now) < within
}

func tasks(s schedule.Stats) status.Tasks {
	return status.Tasks{Planned: s.Tasks, Running: s.Running, Runs: s.Runs, Late: s.Late}
}

func (p *Poller) row(own *service, one *server, now time.Time) status.Server {
	r := status.Server{
		Service: own.key.String(), Server: one.id.Server.String(), Host: one.name, Check: one.spec.CheckType.String(),
		Health: one.judge.Health().String(), Since: one.since, Checked: one.at, Detail: one.last.Detail,
		Policy: own.policy.String(), Weight: one.weight, Reason: one.advice.Reason, Busy: -1,
	}
	if r.Host == "" {
		r.Host = one.id.Server.Addr().String()
	}
	if own.policy != weight.Static {
		r.Advised = one.advice.Weight
	}
	if t, ok := p.oper(one.id); ok {
		r.Oper, r.Held = t.OperWeight, true
		if own.policy == weight.Static || one.advice.Reason == "" {
			r.Reason = t.Reason
		}
		r.Rate, _ = p.rate(one.id, now)
	}
	if one.host != nil && !one.host.load.At.IsZero() {
		r.Busy = known(one.host.load.Utilisation())
	}
	if one.spec.CheckType == lvs.CheckNone {
		r.Detail = ""
	}
	return r
}

func hostRow(at netip.AddrPort, h *host, lives bool) status.Host {
	names := make([]string, 0, len(h.names))
	for n := range h.names {
		names = append(names, n)
	}
	slices.Sort(names)
	r := status.Host{
		Address: at.String(), Name: strings.Join(names, " "), Source: h.load.Source, At: h.load.At, CPU: known(h.load.CPU),
		MemoryAvailable: h.load.MemoryAvailable, MemoryTotal: h.load.MemoryTotal, LoadAverage: known(h.load.LoadAverage),
	}
	if h.err != nil {
		r.Error = h.err.Error()
		if errors.Is(h.err, snmp.ErrNoAnswer) {
			r.Error += hint(h.agent.Credentials, lives)
		}
	}
	return r
}

// hint says what may be behind an agent that does not answer.
func hint(c *snmp.Credentials, lives bool) string {
	secret := "community"
	if c.V3() {
		secret = "privacy key"
	}
	if lives {
		return "; its services answer: does snmpd run and listen there, and is the " + secret + " right?"
	}
	return "; the host may be down, its snmpd may not listen there, or the " + secret + " may be wrong"
}

// known makes -1 of what is not known.
func known(f float64) float64 {
	if math.IsNaN(f) {
		return -1
	}
	return f
}
