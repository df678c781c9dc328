package control

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/failpoint"
	"github.com/lcms-project/lcms/internal/lvs"
)

const (
	// disputes is how often the directory has to find a waiting change in
	// conflict before it is parked: it may be our own write that it shows, of
	// which a crash lost the answer.
	disputes = 3
	// conflictLife is how long a change that was parked is remembered.
	conflictLife = 30 * 24 * time.Hour
)

// overlay is what lies over what the directory has. It never changes.
type overlay struct {
	overrides map[lvs.ServerID]lvs.Override
	pending   []lvs.Pending // by ID
}

func newOverlay(o lvs.Overlay) overlay {
	v := overlay{pending: slices.Clone(o.Pending)}
	if len(o.Overrides) > 0 {
		v.overrides = make(map[lvs.ServerID]lvs.Override, len(o.Overrides))
	}
	for _, r := range o.Overrides {
		v.overrides[r.ServerID] = r
	}
	slices.SortFunc(v.pending, func(a, b lvs.Pending) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

// waiting returns the changes that the directory has still to get.
func (o overlay) waiting() []lvs.Pending {
	return slices.DeleteFunc(slices.Clone(o.pending), func(p lvs.Pending) bool { return p.Conflict != "" })
}

// first returns the change that the directory is to get next.
func (o overlay) first() (lvs.Pending, bool) {
	for _, p := range o.pending {
		if p.Conflict == "" {
			return p, true
		}
	}
	return lvs.Pending{}, false
}

// without returns the overlay without some overrides.
func (o overlay) without(drop func(lvs.Override) bool) overlay {
	o.overrides = maps.Clone(o.overrides)
	maps.DeleteFunc(o.overrides, func(_ lvs.ServerID, r lvs.Override) bool { return drop(r) })
	return o
}

// with returns the overlay with a change that waits, or as it has become.
func (o overlay) with(p lvs.Pending) overlay {
	o.pending = slices.Clone(o.pending)
	if i := slices.IndexFunc(o.pending, func(old lvs.Pending) bool { return old.ID == p.ID }); i >= 0 {
		o.pending[i] = p
	} else {
		o.pending = append(o.pending, p)
	}
	return o
}

// withoutPending returns the overlay without some changes.
func (o overlay) withoutPending(drop func(lvs.Pending) bool) overlay {
	o.pending = slices.DeleteFunc(slices.Clone(o.pending), drop)
	return o
}

// difference returns how old becomes o.
func (o overlay) difference(old overlay) lvs.OverlayChange {
	var c lvs.OverlayChange
	if len(o.overrides)+len(o.pending)+len(old.overrides)+len(old.pending) == 0 {
		return c
	}
	for id, r := range o.overrides {
		if was, had := old.overrides[id]; !had || !sameOverride(was, r) {
			c.PutOverrides = append(c.PutOverrides, r)
		}
	}
	for id := range old.overrides {
		if _, has := o.overrides[id]; !has {
			c.DropOverrides = append(c.DropOverrides, id)
		}
	}
	had := make(map[uint64]string)
	for _, p := range old.pending {
		had[p.ID] = p.Conflict
	}
	for _, p := range o.pending {
		if was, ok := had[p.ID]; !ok || was != p.Conflict {
			c.PutPending = append(c.PutPending, p)
		}
		delete(had, p.ID)
	}
	c.DropPending = slices.Sorted(maps.Keys(had))
	return c
}

func sameOverride(a, b lvs.Override) bool {
	return a.AdminStatus == b.AdminStatus && a.Until.Equal(b.Until) && (a.Weight == nil) == (b.Weight == nil) && (a.Weight == nil || *a.Weight == *b.Weight)
}

// planned returns what the directory will have when it has got what waits, and
// the overlay with what can no longer be made parked.
func (o overlay) planned(kept *lvs.Config) (*lvs.Config, overlay) {
	for _, p := range o.waiting() {
		next, err := kept.Apply(&p.Change)
		if err != nil {
			p.Conflict = err.Error()
			o = o.with(p)
			continue
		}
		kept = next
	}
	return kept, o
}

// recordParked records the changes that have been parked since old.
func (c *Control) recordParked(old overlay) {
	for _, p := range c.over.pending {
		if p.Conflict == "" || slices.ContainsFunc(old.pending, func(q lvs.Pending) bool { return q.ID == p.ID && q.Conflict != "" }) {
			continue
		}
		before, _ := lvs.Assemble(&p.Before)
		lines := linesOf(&p.Change, before)
		for i := range lines {
			lines[i].Source, lines[i].Outcome, lines[i].Reason = p.Change.Source, Failed, p.Conflict
		}
		if len(lines) > 0 {
			c.recordFirst(lines[:min(len(lines), followedLines)], len(lines))
		}
	}
}

// overrideOf says how a row differs from what is planned, if only in what may be
// overridden.
func overrideOf(id lvs.ServerID, planned, wanted *lvs.Config) (o lvs.Override, only bool) {
	o.ServerID = id
	if id.Server.IsZero() {
		was, had := planned.Service(id.Service)
		is, has := wanted.Service(id.Service)
		if was.AdminStatus != is.AdminStatus {
			o.AdminStatus = is.AdminStatus
		}
		was.AdminStatus = is.AdminStatus
		return o, had && has && was == is
	}
	was, had := planned.Server(id.Service, id.Server)
	is, has := wanted.Server(id.Service, id.Server)
	if was.AdminStatus != is.AdminStatus {
		o.AdminStatus = is.AdminStatus
	}
	if was.Weight != is.Weight {
		o.Weight = &is.Weight
	}
	was.AdminStatus, was.Weight = is.AdminStatus, is.Weight
	return o, had && has && was == is
}

// rowsOf lists the services and servers that a change writes or deletes.
func rowsOf(change *lvs.Change) []lvs.ServerID {
	var ids []lvs.ServerID
	for i := range change.PutServices {
		ids = append(ids, lvs.ServerID{Service: change.PutServices[i].Key})
	}
	for _, k := range change.DeleteServices {
		ids = append(ids, lvs.ServerID{Service: k})
	}
	for i := range change.PutServers {
		ids = append(ids, lvs.ServerID{Service: change.PutServers[i].Service, Server: change.PutServers[i].Server.Key})
	}
	return append(ids, change.DeleteServers...)
}

// names reports whether a change writes or deletes a row, or what it stands
// below.
func names(change *lvs.Change) func(lvs.ServerID) bool {
	named := make(map[lvs.ServerID]bool)
	for _, id := range rowsOf(change) {
		named[id] = true
	}
	gone := make(map[lvs.ServiceKey]bool)
	for _, k := range change.DeleteServices {
		gone[k] = true
	}
	return func(id lvs.ServerID) bool { return named[id] || gone[id.Service] }
}

// onlyOverrides reports whether a change does nothing but what may be
// overridden, of rows that are planned.
func onlyOverrides(change *lvs.Change, planned, next *lvs.Config) bool {
	rest := *change
	rest.PutServices, rest.PutServers = nil, nil
	if !rest.IsEmpty() {
		return false
	}
	for _, id := range rowsOf(change) {
		if _, only := overrideOf(id, planned, next); !only {
			return false
		}
	}
	return true
}

// overridden returns the overlay after a change: of the rows that the change
// names, only what still differs from what is planned is overridden.
func (o overlay) overridden(change *lvs.Change, planned, next *lvs.Config, until time.Time) overlay {
	named := names(change)
	o = o.without(func(r lvs.Override) bool { return named(r.ServerID) })
	for _, id := range rowsOf(change) {
		if r, only := overrideOf(id, planned, next); only && (r.AdminStatus != 0 || r.Weight != nil) {
			if o.overrides == nil {
				o.overrides = make(map[lvs.ServerID]lvs.Override)
			}
			r.Until = until
			o.overrides[id] = r
		}
	}
	return o
}

// upon adds the overridden rows of what is planned to a change.
func (o overlay) upon(planned *lvs.Config, change *lvs.Change) {
	for id, r := range o.overrides {
		if id.Server.IsZero() {
			if s, ok := planned.Service(id.Service); ok {
				s.AdminStatus = cmp.Or(r.AdminStatus, s.AdminStatus)
				change.PutServices = append(change.PutServices, s)
			}
			continue
		}
		if s, ok := planned.Server(id.Service, id.Server); ok {
			s.AdminStatus = cmp.Or(r.AdminStatus, s.AdminStatus)
			if r.Weight != nil {
				s.Weight = *r.Weight
			}
			change.PutServers = append(change.PutServers, lvs.ServerAt{Service: id.Service, Server: s})
		}
	}
}

// have notes what is had of the directory, and what lies over it.
func (c *Control) have(kept *lvs.Config, over overlay) {
	c.kept = kept
	c.planned, c.over = over.planned(kept)
	c.notes = nil
	for id, r := range c.over.overrides {
		c.notes.add(id, "override until "+r.Until.Format(time.DateTime)+", the directory was away")
	}
	c.conflicts = nil
	waiting := uint32(0)
	alarms := make(map[alarmKey]bool)
	now := c.now()
	for _, p := range c.over.pending {
		if p.Conflict == "" {
			waiting++
			for _, id := range rowsOf(&p.Change) {
				c.notes.add(id, "waits to be written to the directory")
			}
			continue
		}
		text := fmt.Sprintf("a change accepted at %s while the directory was away could not be written to it: %s", p.At.Format(time.DateTime), p.Conflict)
		c.conflicts = append(c.conflicts, text)
		key := alarmKey{kind: DirectoryHold}
		if ids := rowsOf(&p.Change); len(ids) > 0 {
			key.service, key.server = ids[0].Service, ids[0].Server
		} else {
			key.drift = DriftKind(len(c.conflicts)) // to tell it from what is held
		}
		alarms[key] = true
		c.raise(key, Major, text, now)
	}
	for key := range c.parked {
		if !alarms[key] {
			c.clear(key, now)
		}
	}
	c.parked = alarms
	c.directoryRow.PendingWrites, c.directoryRow.Conflicts = waiting, uint32(len(c.conflicts))
	c.directoryRow.Overrides = uint32(len(c.over.overrides))
}

// marks are texts that rows show.
type marks map[lvs.ServiceKey]map[lvs.ServerKey]string

func (m *marks) add(id lvs.ServerID, text string) {
	if *m == nil {
		*m = make(marks)
	}
	if (*m)[id.Service] == nil {
		(*m)[id.Service] = make(map[lvs.ServerKey]string)
	}
	(*m)[id.Service][id.Server] = text
}

// away says why the directory gets nothing at the moment, nil if it gets all at
// once.
func (c *Control) away() error {
	if c.directory == nil {
		return nil
	}
	if err := c.directory.Writable(); err != nil {
		return err
	}
	if _, waits := c.over.first(); waits {
		return errors.New("changes that were accepted while it was away are being written to it")
	}
	return nil
}

// expireOverlay ends overrides whose time is over.
func (c *Control) expireOverlay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.open != nil || c.recovering.blocks() || !c.overdue(now) {
		return
	}
	over := c.over.without(func(r lvs.Override) bool { return !now.Before(r.Until) })
	over = over.withoutPending(func(p lvs.Pending) bool { return p.Conflict != "" && now.Sub(p.At) > conflictLife })
	ended := over.difference(c.over).DropOverrides
	if err := c.become(new(lvs.Change), c.kept, over); err != nil {
		c.log.Error("cannot end an override whose time is over; will try again", "error", err)
		return
	}
	lines := make([]Request, len(ended))
	for i, id := range ended {
		lines[i] = Request{Source: lvs.SourceAgent, Service: id.Service, Server: id.Server, NewValue: "as the directory has it", Outcome: Accepted, Reason: "the time of the override is over"}
	}
	if len(lines) > 0 {
		c.record(lines...)
	}
	c.publish()
	c.settleSoon()
}

func (c *Control) overdue(now time.Time) bool {
	for _, r := range c.over.overrides {
		if !now.Before(r.Until) {
			return true
		}
	}
	return slices.ContainsFunc(c.over.pending, func(p lvs.Pending) bool { return p.Conflict != "" && now.Sub(p.At) > conflictLife })
}

// replay writes what waits to the directory, in order, as far as it takes it.
func (c *Control) replay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.directory != nil && !c.passive && c.open == nil && !c.recovering.blocks() {
		p, ok := c.over.first()
		if !ok || !c.replayRetry.due(c.now()) || c.directory.Writable() != nil {
			return
		}
		if !c.replayOne(p) {
			return
		}
	}
}

// replayOne writes one change, and reports whether the next may follow.
func (c *Control) replayOne(p lvs.Pending) bool {
	next, err := c.kept.Apply(&p.Change)
	if err != nil { // planned has seen to it that it cannot be
		return c.park(p, err)
	}
	change := lvs.Between(c.kept, next)
	if !change.IsEmpty() {
		before, _ := lvs.Assemble(&p.Before)
		t := &Transaction{c: c, change: p.Change, began: time.Now()}
		c.open = t
		failpoint.Hit("replay.write")
		err = t.write(&p.Change, before)
		t.end()
		failpoint.Hit("replay.written")
	}
	switch {
	case err == nil:
	case errors.Is(err, lvs.ErrInvalid):
		return c.park(p, err)
	case errors.Is(err, lvs.ErrConflict):
		c.disputed++
		if c.disputed >= disputes && c.followed {
			return c.park(p, err)
		}
		c.replayRetry.fail(c.now())
		return false
	default:
		c.replayRetry.fail(c.now())
		c.log.Warn("cannot write what waits to the directory; will try again", "error", err)
		return false
	}
	c.disputed, c.replayRetry = 0, backoff{}
	if err := c.become(&change, next, c.over.withoutPending(func(q lvs.Pending) bool { return q.ID == p.ID })); err != nil {
		c.log.Error("cannot note that a change has been written to the directory; will try again", "error", err)
		c.replayRetry.fail(c.now())
		return false
	}
	c.log.Info("wrote to the directory what was accepted while it was away", "id", p.ID)
	c.settleSoon()
	c.publish()
	return true
}

// park takes a change that the directory does not take out of what is desired,
// and keeps it for people to see.
func (c *Control) park(p lvs.Pending, why error) bool {
	p.Conflict = why.Error()
	if err := c.become(new(lvs.Change), c.kept, c.over.with(p)); err != nil {
		c.log.Error("cannot take back a change that the directory refuses; will try again", "refusal", why, "error", err)
		c.replayRetry.fail(c.now())
		return false
	}
	c.disputed, c.replayRetry = 0, backoff{}
	failpoint.Hit("replay.parked")
	c.log.Error("the directory refuses a change that was accepted while it was away; it is taken back", "id", p.ID, "refusal", why)
	c.publish()
	c.settleSoon()
	return true
}
