package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/failpoint"
	"github.com/lcms-project/lcms/internal/lvs"
)

// writers says by whose wish the directory is written to.
var writers = map[lvs.Source]string{
	lvs.SourceSNMP: "SNMP", lvs.SourceConsole: "console", lvs.SourceDrift: "drift", lvs.SourceMonitor: "monitor", lvs.SourceAgent: "lcms-subagent",
}

// Kept returns what the director has of the directory.
func (c *Control) Kept() *lvs.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

// route finds out what of a change concerns the directory and what becomes of
// that: it is written there at once, overridden here for a time, or waits; or it
// is refused.
func (t *Transaction) route() error {
	c := t.c
	t.had, t.kept, t.lay, t.over = c.kept, c.kept, c.over, c.over
	if c.directory == nil {
		return nil
	}
	durable := t.change.Durable(t.before)
	durable.Settings, durable.Dangling = nil, true // it was checked as a whole
	next, err := c.planned.Apply(&durable)
	if err != nil {
		return err
	}
	shared := lvs.Between(c.planned, next)
	shared.Source = t.change.Source
	until := c.now().Add(c.overrideFor)
	if shared.IsEmpty() {
		t.over = c.over.overridden(&durable, c.planned, t.next, until)
		return nil
	}
	if err := c.checkPlaces(&t.change, t.next); err != nil {
		return err
	}
	away := c.directory.Writable()
	_, waits := c.over.first()
	switch {
	case away == nil && !waits:
		t.shared, t.kept = &shared, next
		t.over = c.over.overridden(&durable, next, t.next, until).withoutPending(settledBy(&durable))
	case away != nil && onlyOverrides(&shared, c.planned, next):
		t.over = c.over.overridden(&durable, c.planned, t.next, until)
	case c.queue && len(c.over.pending) >= maxPending:
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: fmt.Sprintf("%d changes wait for the directory already, and no more may: bring it back first", maxPending)}
	case c.queue:
		id := uint64(1)
		for _, p := range c.over.pending {
			id = max(id, p.ID+1)
		}
		t.over = c.over.overridden(&durable, next, t.next, until).
			with(lvs.Pending{ID: id, At: c.now(), Change: shared, Before: c.planned.Rows(&shared)})
	case away == nil:
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "changes that were accepted while the directory was away are being written to it: try again"}
	default:
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "the directory takes no changes now: " + away.Error(), Cause: away}
	}
	return nil
}

// maxPending is how many changes wait for the directory at most: all of them are
// worked out anew with each.
const maxPending = 500

// settledBy reports whether a change decides of all the rows of one that was
// parked.
func settledBy(change *lvs.Change) func(lvs.Pending) bool {
	named := names(change)
	return func(p lvs.Pending) bool {
		ids := rowsOf(&p.Change)
		return p.Conflict != "" && len(ids) > 0 && !slices.ContainsFunc(ids, func(id lvs.ServerID) bool { return !named(id) })
	}
}

// checkPlaces refuses to put services where other directors serve them: this
// one would never see them again.
func (c *Control) checkPlaces(change *lvs.Change, next *lvs.Config) error {
	for i := range change.PutServices {
		s := &change.PutServices[i]
		if old, had := c.desired.Service(s.Key); s.Cluster == "" || s.Storage != lvs.NonVolatile || had && old.Cluster == s.Cluster {
			continue
		}
		named, ours := false, false
		for _, m := range next.MembersOf(s.Cluster) {
			directs := m.Status == lvs.Active && m.Role.Directs()
			named = named || directs
			ours = ours || directs && m.Host == c.host
		}
		if named && !ours {
			return &lvs.Refusal{Kind: lvs.ErrConflict, Service: s.Key, Field: "Cluster", Reason: fmt.Sprintf(
				"cluster %s names its directors, and this host, %s, is none of them: ask one of them, or make this host a member with role loadBalancer or backup", s.Cluster, c.host)}
		}
	}
	return nil
}

// write makes a change of what before is in the directory. It gives the lock
// back while it waits; the transaction, which is open, keeps others from changing
// anything.
func (t *Transaction) write(change *lvs.Change, before *lvs.Config) error {
	c, was := t.c, t.phase
	by := lvs.Requester{ID: fmt.Sprintf("%s-%d", c.host, c.lastRequest+1), Who: fmt.Sprintf("%s on %s", writers[change.Source], c.host)}
	t.phase = writing
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		t.phase = was
	}()
	return c.directory.Write(context.Background(), change, before, by)
}

// writeThrough makes what of the change concerns the directory there.
func (t *Transaction) writeThrough() error {
	if t.shared == nil {
		return nil
	}
	failpoint.Hit("commit.write")
	err := t.write(t.shared, t.had)
	t.began = time.Now() // it has not been left alone
	if err != nil {
		if errors.Is(err, lvs.ErrOutcomeUnknown) {
			t.c.doubt(t.shared, err)
		}
		return err
	}
	t.written = true
	failpoint.Hit("commit.written")
	return nil
}

// compensate takes back what writeThrough did. When it fails, the directory has
// the change, as far as anybody knows.
func (t *Transaction) compensate() error {
	if !t.written {
		return nil
	}
	failpoint.Hit("undo.write")
	inverse := t.inverse()
	inverse.Settings = nil
	err := t.write(&inverse, t.kept)
	if err != nil {
		if errors.Is(err, lvs.ErrOutcomeUnknown) {
			t.c.doubt(t.shared, err)
		}
		return fmt.Errorf("it cannot be taken back in the directory: %w", err)
	}
	t.written = false
	failpoint.Hit("undo.written")
	return nil
}

// concede lets a change stand that failed here and that the directory keeps:
// other directors have made it already. The kernel follows as far as it can, and
// the rows show what it refuses.
func (t *Transaction) concede(why error) error {
	c := t.c
	if !t.saved { // as it was before, until the directory tells
		t.end()
		return why
	}
	c.desired = t.next
	c.have(t.kept, t.over)
	c.changed(&t.change, t.before, t.next)
	c.director.Generation++
	c.director.ChangedAt = c.now()
	for _, op := range t.deletes {
		c.doom(op.ID())
	}
	c.behind.add(&t.change, t.keys)
	t.note(c.now())
	t.end()
	c.unsettled = true // the store's journal says the same as long as nothing follows
	c.catchUp(t.keys, c.now())
	c.publish()
	return fmt.Errorf("%w: it stands there, and this director follows", why)
}

// doubt notes of the rows of a change that nobody knows whether the directory
// has made it. The directory will tell.
func (c *Control) doubt(change *lvs.Change, err error) {
	for _, id := range rowsOf(change) {
		c.doubts.add(id, err.Error())
	}
}

// showDoubts shows in the rows what is in doubt.
func (c *Control) showDoubts() {
	if len(c.doubts) == 0 {
		return
	}
	for key := range c.doubts {
		c.renew(key, c.now())
	}
	c.publish()
}

// annotate writes into a row, which is new and not yet published, what it shows
// of the directory.
func (c *Control) annotate(g *group, key lvs.ServiceKey) {
	notes, doubts := c.notes[key], c.doubts[key]
	if notes == nil && doubts == nil && !g.noted {
		return
	}
	g.noted = notes != nil || doubts != nil
	write := func(server lvs.ServerKey, o *Oper) {
		o.Note = notes[server]
		if o.Note != "" {
			o.Reason += "; " + o.Note
		}
		if doubt := doubts[server]; doubt != "" {
			o.LastError = doubt
		}
	}
	write(lvs.ServerKey{}, &g.row.Oper)
	for i := range g.row.Servers {
		s := &g.row.Servers[i]
		state := *s.ServerState
		write(state.Server.Key, &state.Oper)
		if state != *s.ServerState {
			s.ServerState = &state
		}
	}
}

// directoryShown is what the snapshot shows of the directory: with the faults of
// its entries the changes that it did not take.
func (c *Control) directoryShown() DirectoryRow {
	row := c.directoryRow
	if len(c.conflicts) > 0 {
		row.Faults = slices.Concat(row.Faults, c.conflicts)
	}
	return row
}
