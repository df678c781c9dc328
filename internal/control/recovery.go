package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// recovery is a change that was interrupted: by a crash, or because kernel or
// store failed while it was being taken back. Until its objects are as desired
// in both, they are mended whatever the drift policy, and removed where nothing
// is desired.
type recovery struct {
	journal  lvs.Journal
	services map[lvs.ServiceKey]bool // that it touches
	missing  map[lvs.ServiceKey]bool // with which an empty kernel is still to be filled
	unsaved  *lvs.Record             // what the store did not take, nil if it took all
	made     bool                    // but for what has to be deleted from the kernel
	since    uint64                  // operations done when it began: an older reading tells nothing
	refused  map[string]int          // how often the kernel refused an operation
}

func newRecovery(j lvs.Journal, desired *lvs.Config) *recovery {
	r := &recovery{journal: j, services: make(map[lvs.ServiceKey]bool), missing: make(map[lvs.ServiceKey]bool), refused: make(map[string]int)}
	for _, key := range desired.Touched(&j.Inverse, nil) {
		r.services[key] = true
	}
	return r
}

// join takes over what an older recovery has still to do.
func (r *recovery) join(old *recovery) {
	if old != nil {
		maps.Copy(r.services, old.services)
		maps.Copy(r.missing, old.missing)
	}
}

// carry adds to the journal of a change, which is made upon before, what an
// older recovery has still to do.
func (r *recovery) carry(j *lvs.Journal, before *lvs.Config) {
	if r == nil {
		return
	}
	its := &r.journal
	kept := its.Inverse.Inverse(before) // every object as it is desired now
	kept.PutServices = slices.DeleteFunc(kept.PutServices, func(s lvs.Service) bool { return s.Storage != lvs.NonVolatile })
	kept.PutServers = slices.DeleteFunc(kept.PutServers, func(s lvs.ServerAt) bool { return s.Server.Storage != lvs.NonVolatile })
	i := &j.Inverse
	i.PutServices = append(i.PutServices, kept.PutServices...)
	i.DeleteServices = append(i.DeleteServices, kept.DeleteServices...)
	i.PutServers = append(i.PutServers, kept.PutServers...)
	i.DeleteServers = append(i.DeleteServers, kept.DeleteServers...)
	i.PutDaemons = append(i.PutDaemons, kept.PutDaemons...)
	i.DeleteDaemons = append(i.DeleteDaemons, kept.DeleteDaemons...)
	states := daemonStates(&its.Inverse)
	j.Daemons = slices.DeleteFunc(slices.Clone(j.Daemons), func(d lvs.Daemon) bool { return slices.Contains(states, d.State) })
	for _, d := range its.Daemons {
		if slices.Contains(states, d.State) {
			j.Daemons = append(j.Daemons, d)
		}
	}
	if kept.Timeouts != nil {
		i.Timeouts, j.Timeouts = kept.Timeouts, its.Timeouts
	}
	j.Filling = r.filling()
}

// release leaves to a change that has been made the settings that it touches.
func (r *recovery) release(change *lvs.Change) {
	if r == nil {
		return
	}
	states := daemonStates(change)
	i := &r.journal.Inverse
	i.PutDaemons = slices.DeleteFunc(slices.Clone(i.PutDaemons), func(d lvs.SyncDaemon) bool { return slices.Contains(states, d.State) })
	i.DeleteDaemons = slices.DeleteFunc(slices.Clone(i.DeleteDaemons), func(s lvs.DaemonState) bool { return slices.Contains(states, s) })
	if change.Timeouts != nil {
		i.Timeouts, r.journal.Timeouts = nil, lvs.Timeouts{}
	}
}

// blocks reports whether it has to be over, but for deletes, before another
// change is made.
func (r *recovery) blocks() bool {
	return r != nil && (!r.journal.Undone && !r.made && !r.journal.Inverse.IsEmpty() || r.unsaved != nil)
}

// filling reports whether an empty kernel is being filled.
func (r *recovery) filling() bool { return r != nil && len(r.missing) > 0 }

// daemonStates returns which sync daemons a change touches, each once.
func daemonStates(c *lvs.Change) []lvs.DaemonState {
	states := slices.Clone(c.DeleteDaemons)
	for _, d := range c.PutDaemons {
		states = append(states, d.State)
	}
	slices.Sort(states)
	return slices.Compact(states)
}

// settings reports whether the change touches sync daemons or timeouts.
func (r *recovery) settings() bool {
	if r == nil {
		return false
	}
	i := &r.journal.Inverse
	return len(i.PutDaemons)+len(i.DeleteDaemons) > 0 || i.Timeouts != nil
}

// settingOps returns what has to be done about sync daemons that the change
// touches and nobody desires, and about timeouts that are left to the kernel:
// made, such a daemon was deleted; taken back, both are as the kernel had them.
func (r *recovery) settingOps(desired *lvs.Config, running []lvs.Daemon, have lvs.Timeouts) (daemons, timeouts []lvs.Op) {
	want := desired.Timeouts()
	if r == nil {
		return nil, lvs.DiffTimeouts(want, have)
	}
	for _, state := range daemonStates(&r.journal.Inverse) {
		if _, wanted := desired.Daemon(state); wanted {
			continue
		}
		in := func(list []lvs.Daemon) int {
			return slices.IndexFunc(list, func(d lvs.Daemon) bool { return d.State == state })
		}
		i, was := in(running), -1
		if r.journal.Undone {
			was = in(r.journal.Daemons)
		}
		if i >= 0 && was >= 0 && running[i] == r.journal.Daemons[was] {
			continue
		}
		if i >= 0 {
			daemons = append(daemons, lvs.Op{Do: lvs.StopDaemon, Daemon: &running[i]})
		}
		if was >= 0 {
			daemons = append(daemons, lvs.Op{Do: lvs.StartDaemon, Daemon: &r.journal.Daemons[was]})
		}
	}
	if r.journal.Undone {
		want = want.Or(r.journal.Timeouts)
	}
	return daemons, lvs.DiffTimeouts(want, have)
}

// recovers reports whether a service is mended whatever the drift policy: it was
// part of a change that was interrupted, or has still to follow one.
func (c *Control) recovers(key lvs.ServiceKey) bool {
	return c.behind.services[key] || c.recovering != nil && (c.recovering.services[key] || c.recovering.missing[key])
}

// fillAttempts is how often the store is asked to note that a kernel is being
// filled before it is filled without that.
const fillAttempts = 5

// fill begins to fill a kernel that holds nothing of ours. The store knows of
// it until it is done: a kernel that a crash left half filled has not drifted.
// It reports whether to go on: where drift is not simply mended, only when the
// store has noted it, or has refused to several times.
func (c *Control) fill() bool {
	c.behind.addSettings(c.desired) // a change may be under way that restores what it has found
	if c.desired.Len() == 0 {
		return true
	}
	r := newRecovery(lvs.Journal{}, c.desired)
	if c.recovering != nil {
		r = c.recovering
	}
	r.journal.Filling = true
	c.recovering = r
	for s := range c.desired.Services {
		r.missing[s.Key] = true
	}
	err := c.save(lvs.Record{Journal: r.journal, Generation: c.director.Generation, ChangedAt: c.director.ChangedAt})
	if err != nil {
		c.unfilled++
		c.log.Error("cannot note in the store that the kernel is being filled", "error", err)
		return c.policy == lvs.DriftEnforce || c.unfilled >= fillAttempts
	}
	c.unsettled, c.unfilled = true, 0
	return true
}

// finish deletes what an interrupted change deletes, now that the kernel has
// taken the rest: until then it could still be taken back.
func (c *Control) finish(ctx context.Context, now time.Time) {
	r := c.recovering
	if r == nil || r.journal.Undone || r.made || c.settingsLeft() {
		return
	}
	for key := range r.services {
		if g := c.groups[key]; g != nil && g.drift && !g.row.External {
			var plan lvs.Plan
			plan.Diff(c.effective(key), g.row.held().Target())
			if len(plan.Ops) > 0 {
				return
			}
		}
	}
	r.made = true
	if !r.journal.Inverse.IsEmpty() {
		c.keep(r)
	}
	for key := range r.services {
		if g := c.groups[key]; g != nil && g.drift {
			c.mend(ctx, key, g, false, now)
		}
	}
}

// keep has the store note that an interrupted change is not taken back any
// more, whatever the kernel refuses later, and not after another crash either.
func (c *Control) keep(r *recovery) {
	err := c.save(lvs.Record{
		Journal:    lvs.Journal{Doomed: c.doomedIDs(), Filling: r.filling()},
		Generation: c.director.Generation, ChangedAt: c.director.ChangedAt,
	})
	if err != nil {
		c.log.Error("cannot note in the store that an interrupted change has been made; it will be when all is done", "error", err)
		return
	}
	c.unsettled = true
}

// settingsLeft reports whether sync daemons or timeouts that an interrupted
// change touches are not as they should be.
func (c *Control) settingsLeft() bool {
	if !c.recovering.settings() {
		return false
	}
	daemons, timeouts := c.recovering.settingOps(c.desired, c.daemons, c.director.Timeouts)
	return len(daemons)+len(timeouts)+len(lvs.DiffDaemons(c.desired, c.daemons)) > 0
}

// unread reports whether the kernel has still to be read to know what is left
// to be done of a recovery.
func (c *Control) unread() bool { return c.recovering != nil && c.readOps < c.recovering.since }

// recovered ends a recovery of which nothing is left to be done.
func (c *Control) recovered() {
	r := c.recovering
	if r == nil || r.unsaved != nil || c.unread() || c.settingsLeft() {
		return
	}
	for key := range r.services {
		if g := c.groups[key]; g != nil && (g.drift || c.busy(key)) {
			return
		}
	}
	maps.DeleteFunc(r.missing, func(key lvs.ServiceKey, _ bool) bool { return c.groups[key] == nil || !c.groups[key].drift })
	if !r.filling() {
		c.recovering = nil
	}
}

// rollBack takes back a change that a crash interrupted and that the kernel
// does not take: it was made whole or not at all, so it was not made.
func (c *Control) rollBack(f failure, now time.Time) {
	journal := c.recovering.journal
	journal.Undone = true
	next, err := c.desired.Apply(&journal.Inverse)
	if err == nil {
		for _, key := range journal.Added {
			if _, kept := next.Service(key); !kept {
				c.doom(lvs.ServerID{Service: key})
			}
		}
		journal.Doomed = c.doomedIDs()
		err = c.save(lvs.Record{
			Change: journal.Inverse, Journal: journal,
			Generation: c.director.Generation, ChangedAt: c.director.ChangedAt,
		})
	}
	if err != nil {
		c.log.Error("a change was interrupted, the kernel refuses it, and it cannot be taken back yet; will try again", "operation", f.op.String(), "refusal", f.err, "error", err)
		return
	}
	c.log.Warn("a change was interrupted and the kernel refuses it: taken back", "operation", f.op.String(), "refusal", f.err)
	c.desired, c.regrouping = next, true
	missing := c.recovering.missing
	c.recovering = newRecovery(journal, c.desired)
	c.recovering.missing = missing
	for key := range c.recovering.services {
		if g := c.groups[key]; g != nil {
			g.retry = backoff{}
		}
		c.renew(key, now)
	}
	id := f.op.ID()
	c.record(Request{Source: lvs.SourceAgent, Service: id.Service, Server: id.Server, Outcome: Undone, Reason: "interrupted by a crash, then refused: " + f.err.Error()})
}
