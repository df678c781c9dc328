package poller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/check"
	"github.com/lcms-project/lcms/internal/poller/director"
	"github.com/lcms-project/lcms/internal/poller/load"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/weight"
)

var errNoRule = errors.New("no hosts of the monitor's configuration has this address: add it to networks of one")

const (
	// fewest is how many servers have to be silent before the monitor doubts
	// itself.
	fewest = 3
	// surveyTime is how long the inventory of a host may take.
	surveyTime = 30 * time.Second
)

// check runs the probe of a plan, judges, and reports when something has changed.
func (p *Poller) check(ctx context.Context, id lvs.ServerID, made *plan) (silent bool) {
	p.mu.Lock()
	one := p.servers[id]
	if one == nil || one.plan != made {
		p.mu.Unlock()
		return false
	}
	limit := time.Duration(one.spec.CheckTimeout) * time.Millisecond
	p.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := made.probe.Run(limited)
	if ctx.Err() != nil { // the monitor ends: that says nothing of the server
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if one = p.servers[id]; one == nil || one.plan != made {
		return r.Silent
	}
	now := time.Now()
	before := one.judge.Health()
	p.count(one, -1)
	one.last, one.at = r, now
	p.count(one, +1)
	if one.judge.Take(r.Health, one.spec.CheckRise, one.spec.CheckFall) {
		one.since = now
		if before == check.Down && one.judge.Health() == check.Up {
			one.back = now
		}
		p.log.Info("health", "service", id.Service, "server", id.Server, "is", one.judge.Health(), "was", before, "because", r.Detail)
	}
	if !p.doubt() {
		p.report(one)
	}
	return r.Silent
}

// count adds what a server was last found to be to those that are counted, or
// takes it off again.
func (p *Poller) count(s *server, n int) {
	if s.plan == nil || s.at.IsZero() {
		return
	}
	p.asked += n
	if s.last.Silent {
		p.silent += n
	}
}

// doubt finds out whether the monitor is cut off: of all its servers none has
// given any answer the last time, not even a refusal. Then it says that it knows
// nothing, instead of emptying one service after another. It reports whether that
// has changed; then all servers have been reported.
func (p *Poller) doubt() bool {
	isolated := p.silent == p.asked && p.silent >= fewest
	if p.isolated == isolated {
		return false
	}
	p.isolated = isolated
	if isolated {
		p.log.Warn("no server gives any answer: the monitor may be cut off, and reports none as down")
	} else {
		p.log.Info("servers answer again")
	}
	for _, s := range p.servers {
		p.report(s)
	}
	return true
}

// report tells the directors what is found of a server.
func (p *Poller) report(s *server) {
	if s.spec.CheckType == lvs.CheckNone && s.at.IsZero() && s.advice.Weight == 0 {
		return // nothing was ever found
	}
	health, detail := s.judge.Health(), s.last.Detail
	if !s.at.IsZero() && s.last.Health != health && health != check.Unknown {
		detail = fmt.Sprintf("%s; now %s: %s", health, s.last.Health, detail)
	}
	if health == check.Down {
		own := p.services[s.id.Service]
		switch {
		case p.isolated:
			health, detail = check.Unknown, "the monitor may be cut off: "+detail
		case own != nil && own.panic:
			health, detail = check.Unknown, "used though it seems to be down, because too few servers are up: "+detail
		}
	}
	r := director.ServerReport{Health: uint8(health), Detail: detail}
	if s.at.IsZero() {
		r.Health, r.Detail = 0, "" // not checked yet: what was reported before stands
	}
	if own := p.services[s.id.Service]; own != nil && own.policy != weight.Static && s.advice.Weight > 0 {
		// The director shows the detail as the reason of the weight.
		r.Advised, r.Detail = s.advice.Weight, strings.TrimPrefix(r.Detail+"; "+s.advice.Reason, "; ")
	}
	r.Detail = cut(r.Detail)
	for _, d := range p.directors {
		d.ReportServer(s.id, r)
	}
}

func cut(s string) string {
	if len(s) <= check.MaxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:check.MaxDetail], "")
}

// measure asks a host for its load, and once for what it is.
func (p *Poller) measure(ctx context.Context, h *host) (silent bool) {
	l, err := h.measure.Poll(ctx, p.toHosts, h.agent)
	if ctx.Err() != nil {
		return false
	}
	fault := err
	if err == nil {
		fault = l.Fault
	}
	p.mu.Lock()
	if err == nil {
		h.load = l
	}
	switch {
	case fault != nil && (h.err == nil || fault.Error() != h.err.Error()):
		p.log.Warn("no load", "host", h.agent.Address, "error", fault)
	case fault == nil && h.err != nil:
		p.log.Info("load again", "host", h.agent.Address)
	}
	h.err = fault
	survey := err == nil && !h.surveyed && len(h.names) > 0
	h.surveyed = h.surveyed || survey
	names := make([]string, 0, len(h.names))
	for n := range h.names {
		names = append(names, n)
	}
	p.mu.Unlock()
	if err == nil {
		r := hostReport(l)
		for _, n := range names {
			for _, d := range p.directors {
				d.ReportHost(n, r)
			}
		}
	}
	if survey {
		limited, cancel := context.WithTimeout(ctx, surveyTime)
		defer cancel()
		inv, err := load.Survey(limited, p.toHosts, h.agent)
		if err != nil {
			p.log.Debug("no inventory", "host", h.agent.Address, "error", err)
		}
		for _, n := range names {
			for _, d := range p.directors {
				d.Fill(n, director.Inventory{CPUType: inv.CPUType, InterfaceType: inv.InterfaceType, MemorySize: inv.MemorySize})
			}
		}
	}
	return errors.Is(err, snmp.ErrNoAnswer)
}

func hostReport(l load.Load) director.HostReport {
	r := director.HostReport{Known: director.HostKnown{CPU: !math.IsNaN(l.CPU), Memory: l.MemoryTotal > 0, Average: !math.IsNaN(l.LoadAverage)}}
	if r.Known.CPU {
		r.CPULoad = uint32(math.Round(100 * min(1, max(0, l.CPU))))
	}
	if r.Known.Average {
		r.LoadAverage = uint32(min(math.MaxInt32, max(0, 100*l.LoadAverage)))
	}
	r.MemoryAvailable = uint32(min(l.MemoryAvailable/1024, math.MaxInt32))
	return r
}

// weigh advises weights at every interval.
func (p *Poller) weigh(ctx context.Context) error {
	ticker := time.NewTicker(p.config.Weights.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			others := p.others(ctx)
			p.mu.Lock()
			for _, own := range p.services {
				p.advise(own, now, others)
			}
			p.mu.Unlock()
		}
	}
}

// others asks the directors what somebody else has advised since this monitor did.
// Of a server that several have, the one that the configuration names first is right.
func (p *Poller) others(ctx context.Context) map[lvs.ServerID]uint32 {
	p.mu.Lock()
	follow := false
	for _, own := range p.services {
		follow = follow || own.policy != weight.Static
	}
	p.mu.Unlock()
	if !follow {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found := make([]map[lvs.ServerID]uint32, len(p.directors))
	var group sync.WaitGroup
	for i, d := range p.directors {
		group.Go(func() {
			var err error
			if found[i], err = d.Advised(limited); err != nil && ctx.Err() == nil {
				p.log.Debug("cannot read what is advised", "director", p.config.Directors[i].Name, "error", err)
			}
		})
	}
	group.Wait()
	all := make(map[lvs.ServerID]uint32)
	for _, one := range slices.Backward(found) {
		maps.Copy(all, one)
	}
	return all
}

// advise advises the weights of a service. others are what somebody else has advised
// meanwhile.
func (p *Poller) advise(own *service, now time.Time, others map[lvs.ServerID]uint32) {
	in := make([]weight.Server, len(own.servers))
	for i, s := range own.servers {
		in[i] = weight.Server{Key: s.id.Server, Weight: s.weight, Down: s.judge.Health() == check.Down, Back: s.back, Advised: cmp.Or(others[s.id], s.advised)}
		s.advised = 0
		rate, known := p.rate(s.id, now)
		if s.host != nil && known {
			if busy := s.host.load.Utilisation(); !math.IsNaN(busy) {
				in[i].Load = weight.Load{At: s.host.load.At, Rate: rate, Utilisation: max(0, busy)}
			}
		}
	}
	r := own.balancer.Step(now, in)
	own.panic = r.Panic
	for i, s := range own.servers {
		s.advice = r.Advice[i]
		p.report(s)
	}
}
