package control

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// circumstances returns those of a service of a desired state, weighed. What
// was told of its servers and what time it is are as they were decided: time goes
// on in advance alone, so that nothing but what is asked for changes with a change.
func (g *group) circumstances(config *lvs.Config, service *lvs.Service, servers []*lvs.Server) lvs.Circumstances {
	around := config.Circumstances(service)
	if g != nil {
		around.Now, around.QuorumLost = g.around.Now, g.around.QuorumLost
		around.Conditions = g.conditions(service, servers)
	}
	around.Weigh(service, servers)
	return around
}

// conditions returns what is known of the servers that there are. When the last
// check is taken from a service, nothing is known any more: its administrator has
// given up the monitor.
func (g *group) conditions(service *lvs.Service, servers []*lvs.Server) map[lvs.ServerKey]*lvs.Condition {
	had := g.around.Conditions
	switch {
	case len(had) == 0:
		return nil
	case service.CheckType == lvs.CheckNone && g.row.Service.CheckType != lvs.CheckNone:
		return nil
	case sameServers(servers, g.wanted):
		return had
	}
	there := make(map[lvs.ServerKey]*lvs.Condition, len(had))
	for _, s := range servers {
		if c := had[s.Key]; c != nil {
			there[s.Key] = c
		}
	}
	return there
}

// hear returns the circumstances of a service with what the change reports of
// its servers.
func (t *Transaction) hear(service *lvs.Service, servers []*lvs.Server, g *group) lvs.Circumstances {
	around := g.circumstances(t.next, service, servers)
	if len(t.change.Reports) == 0 {
		return around
	}
	now := t.c.now()
	if len(around.Conditions) == 0 {
		around.Now = now // nothing of what was decided depends on it
	}
	heard := maps.Clone(around.Conditions)
	if heard == nil {
		heard = make(map[lvs.ServerKey]*lvs.Condition)
	}
	for i := range t.change.Reports {
		r := &t.change.Reports[i]
		if r.Service != service.Key {
			continue
		}
		var c lvs.Condition
		if old := heard[r.Server]; old != nil {
			c = *old
		}
		c = c.After(r, now)
		heard[r.Server] = &c
	}
	around.Conditions = heard
	around.Weigh(service, servers)
	return around
}

// checkReports checks what a change reports of servers, when it makes next.
func checkReports(change *lvs.Change, next *lvs.Config) error {
	for i := range change.Reports {
		r := &change.Reports[i]
		if _, ok := next.Server(r.Service, r.Server); !ok {
			return &lvs.Refusal{Kind: lvs.ErrNotFound, Service: r.Service, Server: r.Server, Reason: "there is no such server of ours to report of"}
		}
		if refusal := r.Check(); refusal != nil {
			return refusal
		}
	}
	return nil
}

// steer adds to a plan what brings the kernel from what was decided of a service
// to what is decided under other circumstances. Whatever else differs stays: that
// is drift.
func (c *Control) steer(plan *lvs.Plan, row *ServiceRow, service *lvs.Service, servers []*lvs.Server, after *lvs.Circumstances) {
	if c.passive || row == nil || row.External || row.inKernel == nil {
		return
	}
	want, only := lvs.Target{Service: row.inKernel}, []lvs.ServerKey{}
	for i, s := range servers {
		was, had := lvs.EffectiveServer(&row.Service, s, &row.around)
		now, has := lvs.EffectiveServer(service, s, after)
		if was == now && had == has {
			continue
		}
		at, ok := row.find(i, s.Key)
		if has && had && !(ok && row.Servers[at].InKernel()) {
			continue
		}
		only = append(only, s.Key)
		if has {
			want.Servers = append(want.Servers, now)
		}
	}
	if len(only) > 0 {
		plan.Diff(want, row.target(only))
	}
}

// due returns when time alone changes next what is decided of a service; the zero
// time if it does not. One that is part of a change waits for its end. It is called
// with the lock held.
func (c *Control) due() time.Time {
	var first time.Time
	for key, g := range c.groups {
		switch next := g.around.Next; {
		case next.IsZero() || g.row.External || !first.IsZero() && !next.Before(first):
		case c.busy(key):
			c.passed = true
		default:
			first = next
		}
	}
	return first
}

// advance lets time go on: slow starts rise, reports grow old.
func (c *Control) advance(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.advanceTo(ctx, c.now()) {
		c.publish()
	}
}

// advanceTo is advance for those who have the lock. It reports whether anything
// has changed.
func (c *Control) advanceTo(ctx context.Context, now time.Time) (changed bool) {
	if c.director.Kernel != KernelOK || !c.reconciled {
		return false
	}
	for key, g := range c.groups {
		if next := g.around.Next; next.IsZero() || next.After(now) || c.busy(key) || g.row.External {
			continue
		}
		service, _ := c.desired.Service(key)
		around := g.around
		around.Now = now
		around.Weigh(&service, c.desired.Servers(key))
		var plan lvs.Plan
		c.steer(&plan, g.row, &service, c.desired.Servers(key), &around)
		held := g.row.held()
		for _, op := range append(plan.Ops, plan.Deletes...) {
			if err := c.apply(ctx, op); err != nil {
				g.owed = true
				c.log.Error("cannot bring a weight to the kernel; will try again", "operation", op.String(), "error", err)
				break
			}
			held = after(held, op)
		}
		g.around = around
		c.update(key, held, now)
		c.touch(key)
		changed = true
	}
	if changed {
		c.watchMonitor(now)
	}
	return changed
}

// watchMonitor tells when reports have grown old, and when none is old any more.
func (c *Control) watchMonitor(now time.Time) {
	stale, known := 0, 0
	for _, g := range c.groups {
		stale += int(g.around.Stale)
		known += len(g.around.Conditions)
	}
	key := alarmKey{kind: MonitorLost}
	lost := c.alarms[key] != nil
	switch {
	case stale > 0:
		text := fmt.Sprintf("the last report of %d of %d servers is too old: those that were down stay out, weights go back to the configured ones", stale, known)
		if !lost {
			c.emit(Event{Kind: MonitorLost, Time: now, Text: text})
		}
		c.raise(key, Major, text, now)
	case lost:
		c.emit(Event{Kind: MonitorRestored, Time: now, Text: fmt.Sprintf("%d servers are reported", known)})
		c.clear(key, now)
	}
}

// inherit takes what the kernel holds at the start for what an earlier agent had
// decided: a server of a checked service that has weight 0 was down, and stays
// so until the monitor reports. No server gets a slow start for it.
func (c *Control) inherit(now time.Time) {
	for key, g := range c.groups {
		row := g.row
		if row.External || row.inKernel == nil || row.Service.CheckType == lvs.CheckNone || len(g.around.Conditions) > 0 {
			continue
		}
		inherited := make(map[lvs.ServerKey]*lvs.Condition)
		for i := range row.Servers {
			s := &row.Servers[i]
			spec, ok := lvs.EffectiveServer(&row.Service, s.Server, &row.around)
			switch {
			case !ok || !s.InKernel() || spec.Weight == 0 || spec.Weight == s.Actual.Weight:
			case s.Actual.Weight == 0:
				inherited[s.Server.Key] = &lvs.Condition{Health: lvs.HealthDown, HealthAt: now, Detail: "weight 0 in the kernel when the agent started"}
			case row.Service.WeightPolicy != lvs.WeightStatic:
				inherited[s.Server.Key] = &lvs.Condition{Advised: s.Actual.Weight, AdvisedAt: now, Detail: "weight in the kernel when the agent started"}
			}
		}
		if len(inherited) > 0 {
			g.around.Conditions, g.around.Now = inherited, now
			c.update(key, row.held(), now)
		}
		g.owed = g.drift && g.row.steered(row.Service.SlowStart > 0) // a slow start, a sorry server that is not needed
	}
}

// steered reports whether the kernel differs from what it should hold in nothing
// but what circumstances decide: weights of servers that are not as configured, or
// with was have not been, and the presence of a sorry server.
func (row *ServiceRow) steered(was bool) bool {
	if row.inKernel == nil || *row.inKernel != row.Service.ServiceSpec || !lvs.Wanted(&row.Service, &row.around) {
		return false
	}
	for i := range row.Servers {
		s := &row.Servers[i]
		want, ok := lvs.EffectiveServer(&row.Service, s.Server, &row.around)
		switch {
		case s.External:
			return false
		case isAs(s.Actual, want, ok):
		case row.Service.IsSorry(s.Server):
		case !ok || !s.InKernel():
			return false
		default:
			have := s.Actual.ServerSpec
			have.Weight = want.Weight
			if have != want || want.Weight == s.Server.Weight && !was {
				return false
			}
		}
	}
	return true
}
