package poller

import (
	"context"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/check"
	"github.com/lcms-project/lcms/internal/poller/director"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/weight"
)

// viewed takes in what a director has configured, and watches what all of them
// have together. Where they differ, the one that the configuration names first
// is right.
func (p *Poller) viewed(i int, v *director.View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.views[i] = v
	want := make(map[lvs.ServiceKey]*director.Service)
	hosts := make(map[string]*director.Host)
	var order []*director.Service
	for _, v := range p.views {
		if v == nil {
			continue
		}
		for key, s := range v.Services {
			if want[key] == nil {
				want[key] = s
				order = append(order, s)
			}
		}
		for name, h := range v.Hosts {
			if hosts[name] == nil {
				hosts[name] = h
			}
		}
	}
	for key := range p.services {
		if want[key] == nil {
			delete(p.services, key)
		}
	}
	machines := make(map[netip.AddrPort]bool)
	for _, h := range p.hosts {
		h.names = make(map[string]bool)
	}
	for name, h := range hosts { // those that serve nothing here too, for people
		if one := p.machine(name, h.Address, h); one != nil {
			machines[one.agent.Address] = true
		}
	}
	there := make(map[lvs.ServerID]bool)
	for _, s := range order {
		own := p.service(s)
		own.servers = own.servers[:0]
		for _, w := range s.Servers {
			there[w.ID] = true
			one := p.watch(s, w)
			one.host = p.machine(w.Host, w.ID.Server.Addr(), hosts[w.Host])
			if one.host != nil {
				machines[one.host.agent.Address] = true
			}
			own.servers = append(own.servers, one)
		}
	}
	for id := range p.servers {
		if !there[id] {
			p.checks.Delete(id)
			p.count(p.servers[id], -1)
			delete(p.servers, id)
			for _, d := range p.directors {
				d.Forget(id)
			}
		}
	}
	for at, h := range p.hosts {
		if !machines[at] {
			p.loads.Delete(at)
			p.toHosts.Forget(h.agent)
			delete(p.hosts, at)
		}
	}
}

// service returns the state of a service, as it is to be now.
func (p *Poller) service(s *director.Service) *service {
	own := p.services[s.Key]
	policy := weight.Policy(s.Policy)
	if own == nil || own.policy != policy || own.slowStart != s.SlowStart {
		if own != nil && own.policy != weight.Static {
			for _, one := range own.servers {
				one.advised = one.advice.Weight
			}
		}
		params := p.config.Weights
		// The director itself leads a server that has come back to its weight; what
		// it does on the way tells nothing of it.
		params.Settle = max(params.Settle, s.SlowStart)
		own = &service{key: s.Key, policy: policy, slowStart: s.SlowStart, balancer: weight.New(policy, params)}
		p.services[s.Key] = own
	}
	return own
}

// watch returns the state of a server, as it is to be now, and plans its checks.
func (p *Poller) watch(s *director.Service, w *director.Server) *server {
	one := p.servers[w.ID]
	if one == nil {
		one = &server{id: w.ID, advised: w.Advised}
		if s.Check.CheckType != lvs.CheckNone && w.Health >= uint8(check.Unknown) && w.Health <= uint8(check.Down) {
			// Whoever watched before goes on here: nothing flaps.
			one.judge = check.NewJudge(check.Health(w.Health))
		}
		p.servers[w.ID] = one
	}
	one.name, one.weight = w.Host, w.Weight
	if one.spec == s.Check {
		return one
	}
	p.checks.Delete(w.ID)
	p.count(one, -1)
	one.spec, one.plan = s.Check, nil
	if s.Check.CheckType == lvs.CheckNone {
		if !one.at.IsZero() {
			one.judge, one.last, one.since = check.Judge{}, check.Result{Health: check.Unknown, Detail: "not checked"}, time.Now()
			p.report(one)
		}
		return one
	}
	probe, err := check.New(w.ID.Service, w.ID.Server, s.Check, check.Options{Scripts: p.config.Checks.Scripts, Ask: p.ask})
	if err != nil {
		one.judge, one.last = check.Judge{}, check.Result{Health: check.Unknown, Detail: cut("cannot be checked: " + err.Error())}
		one.at, one.since = time.Now(), time.Now()
		p.report(one)
		return one
	}
	made := &plan{probe}
	one.plan, one.at = made, time.Time{}
	p.checks.Put(w.ID, time.Duration(s.Check.CheckInterval)*time.Millisecond, func(ctx context.Context) bool { return p.check(ctx, w.ID, made) })
	return one
}

// machine returns the state of a host, as it is to be now, and plans its
// measuring; nil if it is not to be asked.
func (p *Poller) machine(name string, addr netip.Addr, row *director.Host) *host {
	port := uint16(0)
	if row != nil {
		if row.Address.IsValid() {
			addr = row.Address
		}
		if u, err := url.Parse(row.SnmpURI); err == nil && row.SnmpURI != "" {
			if a, err := netip.ParseAddr(u.Hostname()); err == nil {
				addr = a
			}
			if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
				port = uint16(n)
			}
		}
	}
	rule := p.config.Of(addr)
	if rule == nil {
		return nil
	}
	if port == 0 {
		port = rule.Port
	}
	at := netip.AddrPortFrom(addr, port)
	h := p.hosts[at]
	if h == nil {
		h = &host{agent: snmp.Agent{Address: at, Credentials: rule.Credentials}, names: make(map[string]bool)}
		p.hosts[at] = h
		p.loads.Put(at, p.config.Load.Interval, func(ctx context.Context) bool { return p.measure(ctx, h) })
	}
	if name != "" {
		h.names[name] = true
	}
	return h
}

// ask asks the agent of a host, for a check.
func (p *Poller) ask(ctx context.Context, addr netip.Addr, port uint16, object snmp.OID) (snmp.Value, error) {
	rule := p.config.Of(addr)
	if rule == nil {
		return snmp.Value{}, errNoRule
	}
	if port == 0 {
		port = rule.Port
	}
	vbs, err := p.toHosts.Do(ctx, snmp.Agent{Address: netip.AddrPortFrom(addr, port), Credentials: rule.Credentials}, snmp.Get(object))
	if err != nil {
		return snmp.Value{}, err
	}
	return vbs[0].Value, nil
}
