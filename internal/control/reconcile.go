package control

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/failpoint"
	"github.com/lcms-project/lcms/internal/lvs"
)

// sightings is how many readings in a row must show a difference before it is
// mended: one reading may have been made in the middle of somebody's edit.
const sightings = 2

// backoff spaces the attempts at something that fails.
type backoff struct {
	wait  time.Duration
	until time.Time
}

func (b *backoff) due(now time.Time) bool { return !now.Before(b.until) }

func (b *backoff) fail(now time.Time) {
	b.wait = min(max(2*b.wait, time.Second), time.Minute)
	b.until = now.Add(b.wait)
}

// reconcile brings the kernel to what it should hold, as far as the policy
// goes: it mends what differs, does the deletes that are left, ends drains, and
// lists the drift that remains.
func (c *Control) reconcile(ctx context.Context) {
	now := c.now()
	if c.passive {
		c.look(now)
		return
	}
	// A kernel that holds nothing of ours has not drifted, it is new: it is
	// filled whatever the policy.
	first := !c.reconciled
	fresh := first && !c.holdsOurs()
	if fresh && !c.fill() {
		return
	}
	if first && !fresh {
		c.inherit(now)
	}
	adoptable := make(map[lvs.ServiceKey]*group)
	doomed := make(map[lvs.ServiceKey]bool)
	for id := range c.doomed {
		doomed[id.Service] = true
	}
	for key, g := range c.groups {
		if !g.drift || c.busy(key) {
			g.seen, g.owed = 0, g.owed && g.drift
			continue
		}
		g.seen++
		enough := first || g.seen >= sightings
		policy := c.policyOf(key)
		switch {
		case fresh || g.owed || c.recovers(key) || policy == lvs.DriftEnforce && enough:
			if g.retry.due(now) {
				c.mend(ctx, key, g, !first && !g.owed && !c.recovers(key), now)
			}
		case policy == lvs.DriftAdopt && enough && !doomed[key]:
			if g.row.steered(false) {
				g.owed = true // the kernel would be as it is decided, not as it is adopted
				continue
			}
			adoptable[key] = g
		}
	}
	c.adopt(adoptable, now)
	if c.open == nil && (fresh || c.policy == lvs.DriftEnforce || c.recovering.settings() || c.recovering.filling() || len(c.behind.daemons) > 0 || c.behind.timeouts) {
		c.mendSettings(ctx, now)
	}
	c.finish(ctx, now)
	for id, retry := range c.doomed {
		if !c.recovering.blocks() && !c.unread() && retry.due(now) {
			c.destroy(ctx, id, retry, now)
		}
	}
	c.recovered()
	c.caughtUp()
	c.known(now)
	c.endDrains(now)
	c.watchMonitor(now)
	c.list(now)
}

// look is reconcile for a director that only shows what is.
func (c *Control) look(now time.Time) {
	for _, g := range c.groups {
		g.seen = 0
		if g.drift {
			g.seen = sightings
		}
	}
	c.known(now)
	c.watchMonitor(now)
	c.list(now)
}

// known notes that it is known how everything is, from now on.
func (c *Control) known(now time.Time) {
	first := !c.reconciled
	c.reconciled = true
	if first {
		c.regrouping = true
		for key, g := range c.groups {
			c.assess(key, g.row, now)
		}
	}
}

// holdsOurs reports whether the kernel holds any service of ours.
func (c *Control) holdsOurs() bool {
	for _, g := range c.groups {
		if !g.row.External && g.row.inKernel != nil {
			return true
		}
	}
	return false
}

// list brings the list of drifts up to date.
func (c *Control) list(now time.Time) {
	var found []Drift
	for key, g := range c.groups {
		if g.drift && !c.busy(key) {
			found = append(found, differences(key, g.row)...)
		}
	}
	settings := c.open == nil
	if settings {
		found = append(found, c.settingDifferences()...)
	}
	c.sight(found, func(key lvs.ServiceKey) bool {
		if key.IsZero() {
			return settings
		}
		return !c.busy(key)
	}, now)
	c.forgetRepairs(now)
}

// mend makes one service in the kernel as it should be. With repair it is
// somebody else's doing that is mended, which is counted, and done less often
// when it happens again and again.
func (c *Control) mend(ctx context.Context, key lvs.ServiceKey, g *group, repair bool, now time.Time) {
	var drifts []Drift
	if repair {
		drifts = differences(key, g.row)
		for i := range drifts {
			if c.contested(driftKey{drifts[i].Kind, key, drifts[i].Server}, now) {
				return
			}
		}
		for _, d := range drifts {
			c.sighted(d, now)
		}
	}
	held := g.row.held()
	var plan lvs.Plan
	plan.Diff(c.effective(key), held.Target())
	var failed []failure
	ops := plan.Ops
	if r := c.recovering; r == nil || !r.services[key] || r.journal.Undone || r.made {
		ops = append(ops, plan.Deletes...)
	}
	for _, op := range ops {
		if err := c.apply(ctx, op); err != nil {
			failed = append(failed, failure{op, err})
			if op.Do == lvs.AddService {
				break // its servers cannot be added either
			}
			continue
		}
		held = after(held, op)
		c.log.Info("mended the kernel", "operation", op.String())
		failpoint.Hit("mend.operation")
	}
	c.update(key, held, now)
	g.touched = c.ops
	for i := range drifts {
		d := &drifts[i]
		line := Request{Source: lvs.SourceDrift, Service: key, Server: d.Server, OldValue: d.Actual, NewValue: d.Desired, Outcome: Accepted, Reason: "somebody else changed the kernel; drift policy enforce"}
		refused := slices.IndexFunc(failed, func(f failure) bool { return f.op.ID().Server == d.Server || f.op.Do == lvs.AddService })
		switch {
		case refused < 0:
			c.noteRepair(driftKey{d.Kind, key, d.Server}, now)
		case g.retry != (backoff{}):
			continue // as it was told before
		default:
			line.Outcome = Failed
			line.Reason += ", but the kernel refuses: " + failed[refused].err.Error()
		}
		c.record(line)
	}
	if len(failed) == 0 {
		g.retry, g.seen, g.owed = backoff{}, 0, false
		return
	}
	g.retry.fail(now)
	c.blame(g, failed)
	if r := c.recovering; r != nil && r.services[key] && c.refuses(failed[0]) {
		c.rollBack(failed[0], now)
		return
	}
	c.log.Error("cannot mend the kernel; will try again", "operation", failed[0].op.String(), "error", failed[0].err, "failures", len(failed))
}

// refusals is how often the kernel has to refuse an operation of a change that a
// crash interrupted before the change is taken back: it may have been
// acknowledged, and what the kernel refuses be somebody else's doing.
const refusals = 3

// refuses reports whether the kernel does not want a change that a crash
// interrupted, where one that cannot be reached may take it later.
func (c *Control) refuses(f failure) bool {
	r := c.recovering
	if r == nil || r.journal.Undone || r.made || errors.Is(f.err, lvs.ErrUnavailable) {
		return false
	}
	r.refused[f.op.String()]++
	return r.refused[f.op.String()] >= refusals
}

// effective computes what the kernel should hold of a service.
func (c *Control) effective(key lvs.ServiceKey) lvs.Target {
	desired := c.desired.Cursor()
	service := desired.Service(key)
	if service == nil {
		return lvs.Target{}
	}
	servers := desired.Servers(key)
	around := c.groups[key].circumstances(c.desired, service, servers)
	return lvs.Effective(service, servers, &around)
}

// endDrains does what is to follow for servers that have been drained.
func (c *Control) endDrains(now time.Time) {
	if c.open != nil || c.recovering != nil || c.away() != nil {
		return
	}
	change := lvs.Change{Source: lvs.SourceAgent}
	var lines []Request
	for key, g := range c.groups {
		for i := range g.row.Servers {
			s := g.row.Servers[i].ServerState
			if s.External || s.Server.AdminStatus != lvs.AdminDrain || s.Oper.Status != OperDrained {
				continue
			}
			if _, over := c.over.overrides[lvs.ServerID{Service: key, Server: s.Server.Key}]; over {
				continue // it is drained for a time only
			}
			line := Request{Source: lvs.SourceAgent, Service: key, Server: s.Server.Key, OldValue: "drain", Outcome: Accepted, Reason: s.Reason}
			switch s.Server.DrainAction {
			case lvs.DrainDown:
				down := *s.Server
				down.AdminStatus = lvs.AdminDown
				change.PutServers = append(change.PutServers, lvs.ServerAt{Service: key, Server: down})
				line.NewValue = "down"
			case lvs.DrainDestroy:
				change.DeleteServers = append(change.DeleteServers, lvs.ServerID{Service: key, Server: s.Server.Key})
				if g.row.Service.IsSorry(s.Server) {
					service := g.row.Service
					service.SorryServer = ""
					change.PutServices = append(change.PutServices, service)
				}
				line.NewValue = "destroy"
			default:
				continue
			}
			lines = append(lines, line)
		}
	}
	if change.IsEmpty() {
		return
	}
	if err := c.perform(change); err != nil {
		c.log.Error("cannot finish a drain; will try again", "error", err)
		return
	}
	c.record(lines...)
}

// failure is an operation that the kernel refused.
type failure struct {
	op  lvs.Op
	err error
}

// blame shows in the rows of a service what the kernel refused.
func (c *Control) blame(g *group, failed []failure) {
	row := *g.row
	row.Servers = slices.Clone(row.Servers)
	for _, f := range failed {
		if i, ok := row.find(0, f.op.ID().Server); ok {
			state := *row.Servers[i].ServerState
			state.LastError = f.err.Error()
			row.Servers[i].ServerState = &state
		} else {
			row.LastError = f.err.Error()
		}
	}
	g.settled = false
	c.show(g, &row)
}

// destroy deletes from the kernel what a change has deleted, unless it is
// wanted again.
func (c *Control) destroy(ctx context.Context, id lvs.ServerID, retry *backoff, now time.Time) {
	if c.busy(id.Service) {
		return
	}
	row := (*ServiceRow)(nil)
	if g := c.groups[id.Service]; g != nil {
		row = g.row
	}
	held := row.held()
	op, wanted := lvs.Op{Do: lvs.DeleteService}, false
	if id.Server.IsZero() {
		wanted = c.effective(id.Service).Service != nil
	} else {
		op.Do = lvs.DeleteServer
		wanted = slices.ContainsFunc(c.effective(id.Service).Servers, func(s lvs.ServerSpec) bool { return s.Key == id.Server })
		if held != nil {
			i := slices.IndexFunc(held.Servers, func(s lvs.ActualServer) bool { return s.Key == id.Server })
			if i < 0 {
				held = nil
			} else {
				op.Server = new(held.Servers[i].ServerSpec)
			}
		}
	}
	if wanted || held == nil {
		delete(c.doomed, id)
		return
	}
	op.Service = new(held.ServiceSpec)
	if err := c.apply(ctx, op); err != nil && !errors.Is(err, lvs.ErrNotFound) {
		retry.fail(now)
		c.blame(c.groups[id.Service], []failure{{op, err}})
		c.log.Error("cannot delete from the kernel; will try again", "operation", op.String(), "error", err)
		return
	}
	delete(c.doomed, id)
	c.update(id.Service, after(held, op), now)
	c.touch(id.Service)
}

// mendSettings makes sync daemons and timeouts as they should be.
func (c *Control) mendSettings(ctx context.Context, now time.Time) {
	before := c.recovering
	try := func(retry *backoff, ops []lvs.Op) {
		if len(ops) == 0 {
			*retry = backoff{}
			return
		}
		if !retry.due(now) {
			return
		}
		for _, op := range ops {
			if err := c.apply(ctx, op); err != nil {
				retry.fail(now)
				c.log.Error("cannot mend the kernel; will try again", "operation", op.String(), "error", err)
				if f := (failure{op, err}); c.recovering.settings() && c.refuses(f) {
					c.rollBack(f, now)
					*retry = backoff{}
				}
				return
			}
			c.afterSetting(&op)
			c.log.Info("mended the kernel", "operation", op.String())
		}
	}
	strays, timeouts := c.recovering.settingOps(c.desired, c.daemons, c.director.Timeouts)
	if len(strays) == 0 {
		strays = c.behind.strays(c.desired, c.daemons)
	}
	try(&c.daemonRetry, append(strays, lvs.DiffDaemons(c.desired, c.daemons)...))
	if c.recovering == before {
		try(&c.timeRetry, timeouts)
	}
}

// apply does one operation and counts it.
func (c *Control) apply(ctx context.Context, op lvs.Op) error {
	c.ops++
	return c.kernel.Apply(ctx, op)
}

// touch notes that a service was changed by us just now.
func (c *Control) touch(key lvs.ServiceKey) {
	if g := c.groups[key]; g != nil {
		g.touched = c.ops
	} else {
		c.gone[key] = c.ops
	}
}

// after returns what the kernel holds of a service after an operation on it.
// It may change a in place.
func after(a *lvs.ActualService, op lvs.Op) *lvs.ActualService {
	switch op.Do {
	case lvs.AddService:
		return &lvs.ActualService{ServiceSpec: *op.Service}
	case lvs.EditService:
		a.ServiceSpec = *op.Service
	case lvs.DeleteService:
		return nil
	case lvs.AddServer:
		a.Servers = append(a.Servers, lvs.ActualServer{ServerSpec: *op.Server})
	case lvs.EditServer, lvs.DeleteServer:
		i := slices.IndexFunc(a.Servers, func(s lvs.ActualServer) bool { return s.Key == op.Server.Key })
		switch {
		case i < 0:
		case op.Do == lvs.EditServer:
			a.Servers[i].ServerSpec = *op.Server
		default:
			a.Servers = slices.Delete(a.Servers, i, i+1)
		}
	}
	return a
}

// afterSetting notes what the kernel holds after an operation on a sync daemon
// or the timeouts.
func (c *Control) afterSetting(op *lvs.Op) {
	switch op.Do {
	case lvs.SetTimeouts:
		c.director.Timeouts = op.Timeouts
	case lvs.StartDaemon, lvs.StopDaemon:
		c.daemons = slices.DeleteFunc(slices.Clone(c.daemons), func(d lvs.Daemon) bool { return d.State == op.Daemon.State })
		if op.Do == lvs.StartDaemon {
			c.daemons = append(c.daemons, *op.Daemon)
		}
	}
}
