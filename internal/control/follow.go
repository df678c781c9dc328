package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/failpoint"
	"github.com/lcms-project/lcms/internal/lvs"
)

// followedLines is how many objects of one change in the directory are recorded
// one by one.
const followedLines = 20

// Follow makes next what the director has of the directory: the store first,
// then the kernel, as far as it takes it. What the kernel refuses is shown in its
// row and tried again; nothing else waits for that. Nothing at all happens when
// next is what the director has already. It fails with lvs.ErrUnavailable, and
// nothing has changed, while another change is being made, before Ready, while
// the store fails, and when Kept no longer returns kept, from which next was
// worked out: then it is to be worked out again.
func (c *Control) Follow(kept, next *lvs.Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	switch {
	case !c.loaded:
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "the store has not been loaded yet: try again"}
	case c.open != nil:
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "another change is being made: try again"}
	case c.kept != kept:
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "a change was made meanwhile: look again"}
	case c.recovering.blocks():
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "a change is being taken back: try again"}
	}
	failpoint.Hit("follow.begin")
	change := lvs.Between(c.kept, next)
	if change.IsEmpty() {
		c.followed = true
		c.have(next, c.over) // which shares more with what comes after it
		c.resolve()
		return nil
	}
	change.Source = lvs.SourceDirectory
	old := c.kept
	named := names(&change)
	over := c.over.without(func(r lvs.Override) bool { return named(r.ServerID) })
	if err := c.become(&change, next, over); err != nil {
		return err
	}
	c.followed = true
	c.resolve()
	lines := linesOf(&change, old)
	c.recordFirst(lines[:min(len(lines), followedLines)], len(lines))
	c.publish()
	c.settleSoon()
	failpoint.Hit("follow.end")
	return nil
}

// become makes kept what is had of the directory, over what lies over that, and
// what follows from both the desired state, without a way back. change is how to
// get from what is had to kept.
func (c *Control) become(change *lvs.Change, kept *lvs.Config, over overlay) error {
	now := c.now()
	planned, over := over.planned(kept)
	desired, err := c.overlaid(planned, over)
	if err != nil {
		return &lvs.Refusal{Kind: lvs.ErrInvalid, Reason: "what the directory holds does not go together with what is only here: " + err.Error(), Cause: err}
	}
	touched := lvs.Between(c.desired, desired)
	was := c.behind.clone()
	keys := desired.Touched(&touched, c.desired)
	c.behind.add(&touched, keys)
	var doomed []lvs.ServerID
	if !c.passive {
		for _, k := range touched.DeleteServices {
			doomed = append(doomed, lvs.ServerID{Service: k})
		}
		doomed = append(doomed, touched.DeleteServers...)
	}
	record := lvs.Record{
		Change:     *change,
		Overlay:    over.difference(c.over),
		Journal:    lvs.Journal{Doomed: append(c.doomedIDs(), doomed...), Filling: c.recovering.filling()},
		Generation: c.director.Generation,
		ChangedAt:  c.director.ChangedAt,
	}
	if !touched.IsEmpty() {
		record.Generation, record.ChangedAt = record.Generation+1, now
	}
	if err := c.save(record); err != nil {
		c.behind = was
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "store: " + err.Error(), Cause: err}
	}
	failpoint.Hit("follow.stored")
	c.unsettled = true
	c.director.Generation, c.director.ChangedAt = record.Generation, record.ChangedAt
	c.changed(&touched, c.desired, desired)
	c.desired = desired
	noted, old := c.notes, c.over
	c.have(kept, over)
	c.recordParked(old)
	for _, marked := range []marks{noted, c.notes} {
		for key := range marked {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	for _, id := range doomed {
		c.doom(id)
	}
	for _, key := range keys {
		c.renew(key, now)
	}
	c.catchUp(keys, now)
	return nil
}

// overlaid returns what is desired where kept is planned for the directory: with
// it the overrides, the rows that are only here, and the settings of the agent.
func (c *Control) overlaid(kept *lvs.Config, over overlay) (*lvs.Config, error) {
	settings := c.desired.Settings()
	local := lvs.Change{Dangling: true, Settings: &settings}
	for s, servers := range c.desired.Services {
		now, there := kept.Service(s.Key)
		if s.Storage == lvs.Volatile && !there {
			local.PutServices = append(local.PutServices, *s)
			now, there = *s, true
		}
		for _, server := range servers {
			if server.Storage != lvs.Volatile || !there {
				continue
			}
			if _, taken := kept.Server(s.Key, server.Key); !taken && (server.Status != lvs.Active || server.Check(&now) == nil) {
				local.PutServers = append(local.PutServers, lvs.ServerAt{Service: s.Key, Server: *server})
			}
		}
	}
	c.desired.Clusters(func(row *lvs.Cluster) bool {
		if _, taken := kept.Cluster(row.ID); row.Storage == lvs.Volatile && !taken {
			local.PutClusters = append(local.PutClusters, *row)
		}
		return true
	})
	c.desired.Members(func(row *lvs.Member) bool {
		if _, taken := kept.Member(row.ID()); row.Storage == lvs.Volatile && !taken {
			local.PutMembers = append(local.PutMembers, *row)
		}
		return true
	})
	c.desired.Hosts(func(row *lvs.Host) bool {
		if _, taken := kept.Host(row.Name); row.Storage == lvs.Volatile && !taken {
			local.PutHosts = append(local.PutHosts, *row)
		}
		return true
	})
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		if d, ok := c.desired.Daemon(state); ok && d.Storage == lvs.Volatile {
			if _, taken := kept.Daemon(state); !taken {
				local.PutDaemons = append(local.PutDaemons, d)
			}
		}
	}
	over.upon(kept, &local)
	return kept.Apply(&local)
}

// catchUp brings the kernel at once to what has become final.
func (c *Control) catchUp(keys []lvs.ServiceKey, now time.Time) {
	if c.director.Kernel != KernelOK || c.passive || !c.reconciled {
		return // later, with all the rest
	}
	ctx, cancel := context.WithTimeout(context.Background(), kernelTimeout)
	defer cancel()
	for _, key := range keys {
		if ctx.Err() != nil {
			return
		}
		if g := c.groups[key]; g != nil && g.drift && !c.busy(key) {
			g.retry = backoff{}
			c.mend(ctx, key, g, false, now)
		}
		if retry := c.doomed[lvs.ServerID{Service: key}]; retry != nil {
			c.destroy(ctx, lvs.ServerID{Service: key}, retry, now)
		}
	}
	if len(c.behind.daemons) > 0 || c.behind.timeouts {
		c.mendSettings(ctx, now)
	}
	c.caughtUp()
}

// resolve ends all doubt: the directory has told.
func (c *Control) resolve() {
	if len(c.doubts) == 0 {
		return
	}
	doubted := c.doubts
	c.doubts = nil
	for key := range doubted {
		c.renew(key, c.now())
	}
	c.publish()
}

// renew makes the row of a service anew from what is known of it.
func (c *Control) renew(key lvs.ServiceKey, now time.Time) {
	var held *lvs.ActualService
	if g := c.groups[key]; g != nil {
		held = g.row.held()
	}
	c.update(key, held, now)
}

// behind is what the kernel has still to be brought to, whatever the drift
// policy, because it is final: what came from the directory, and what was
// written there.
type behind struct {
	services map[lvs.ServiceKey]bool
	daemons  map[lvs.DaemonState]bool
	timeouts bool
}

func newBehind(r *lvs.Behind) behind {
	b := behind{services: make(map[lvs.ServiceKey]bool), daemons: make(map[lvs.DaemonState]bool)}
	if r != nil {
		for _, k := range r.Services {
			b.services[k] = true
		}
		for _, s := range r.Daemons {
			b.daemons[s] = true
		}
		b.timeouts = r.Timeouts
	}
	return b
}

// add adds everything that a change touches; keys are the services.
func (b *behind) add(change *lvs.Change, keys []lvs.ServiceKey) {
	for _, k := range keys {
		b.services[k] = true
	}
	for _, s := range daemonStates(change) {
		b.daemons[s] = true
	}
	b.timeouts = b.timeouts || change.Timeouts != nil
}

// addSettings adds the sync daemons and timeouts that are desired.
func (b *behind) addSettings(desired *lvs.Config) {
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		if _, wanted := desired.Daemon(state); wanted {
			b.daemons[state] = true
		}
	}
	b.timeouts = b.timeouts || desired.Timeouts() != (lvs.Timeouts{})
}

func (b *behind) clone() behind {
	return behind{maps.Clone(b.services), maps.Clone(b.daemons), b.timeouts}
}

func (b *behind) isEmpty() bool { return len(b.services)+len(b.daemons) == 0 && !b.timeouts }

// record returns what the store keeps, nil for nothing.
func (b *behind) record() *lvs.Behind {
	if b.isEmpty() {
		return nil
	}
	r := &lvs.Behind{Timeouts: b.timeouts}
	for k := range b.services {
		r.Services = append(r.Services, k)
	}
	slices.SortFunc(r.Services, lvs.ServiceKey.Compare)
	r.Daemons = slices.Sorted(maps.Keys(b.daemons))
	return r
}

// strays returns how to stop the sync daemons that are desired no more.
func (b *behind) strays(desired *lvs.Config, running []lvs.Daemon) []lvs.Op {
	var ops []lvs.Op
	for _, d := range running {
		if _, wanted := desired.Daemon(d.State); b.daemons[d.State] && !wanted {
			ops = append(ops, lvs.Op{Do: lvs.StopDaemon, Daemon: &d})
		}
	}
	return ops
}

// caughtUp forgets what the kernel has been brought to.
func (c *Control) caughtUp() {
	b := &c.behind
	if b.isEmpty() {
		return
	}
	maps.DeleteFunc(b.services, func(k lvs.ServiceKey, _ bool) bool {
		g := c.groups[k]
		return g == nil || g.row.External || !g.drift && !c.busy(k)
	})
	if c.open == nil { // else it may be taken back
		if len(lvs.DiffDaemons(c.desired, c.daemons))+len(b.strays(c.desired, c.daemons)) == 0 {
			clear(b.daemons)
		}
		if len(lvs.DiffTimeouts(c.desired.Timeouts(), c.director.Timeouts)) == 0 {
			b.timeouts = false
		}
	}
	if b.isEmpty() {
		c.unsettled = true // the store may forget it
	}
}

// save keeps a change, with what the kernel has still to follow.
func (c *Control) save(r lvs.Record) error {
	r.Journal.Behind = c.behind.record()
	return c.store.Save(r)
}
