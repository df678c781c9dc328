package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// How long until something is looked at again.
const (
	soon    = 20 * time.Millisecond
	busyMax = 100 * time.Millisecond // while the director is busy
	busyFor = 10 * time.Second       // until that is no good excuse any more
	maxTold = 100                    // faults

	settleLimit = 2 * time.Second // of one attempt to find out what became of a write
)

// announce is told by the Writer of each write. Nothing is handed over while one
// is being made, nor before it has come back.
func (f *Follower) announce(id string, _ *lvs.Change) func(bool) {
	// Whoever writes has little time.
	limit := time.NewTimer(f.writeTimeout() / 3)
	defer limit.Stop()
	select {
	case f.handing <- struct{}{}:
		defer func() { <-f.handing }()
	case <-limit.C:
	}
	shown := f.shown(f.tree.View())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gate.begin(id, shown, time.Now())
	return func(made bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.gate.end(id, made, time.Now())
		if !made {
			signal(f.unsure)
		}
		f.nudge()
	}
}

// settle finds out what became of each write that was not made as far as was
// known, until ctx ends: one that was made in part is taken back before anybody
// follows it.
func (f *Follower) settle(ctx context.Context) {
	for {
		select {
		case <-f.unsure:
		case <-ctx.Done():
			return
		}
		for !f.tryToSettle(ctx) {
			if !pause(ctx, f.times.minBackoff) {
				return
			}
		}
		f.mu.Lock()
		f.gate.settled()
		f.nudge()
		f.mu.Unlock()
	}
}

func (f *Follower) tryToSettle(ctx context.Context) bool {
	ctx, cancel := within(ctx, settleLimit)
	defer cancel()
	return f.Writer.Settled(ctx)
}

// shown returns the last write of our own that a view has.
func (f *Follower) shown(v View) string { return v.Marks[f.Own].RequestID }

// handOver hands over what the tree says whenever that has changed, until ctx
// ends.
func (f *Follower) handOver(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	wait := time.Duration(0)
	for {
		select {
		case <-f.kick:
			if !f.gather(ctx) {
				return
			}
		case <-again.C:
		case <-ctx.Done():
			return
		}
		again.Stop()
		if wait = f.hand(wait); wait > 0 {
			again.Reset(wait)
		}
	}
}

// gather waits until nothing has changed for a moment: of a transaction, the
// changes come one by one.
func (f *Follower) gather(ctx context.Context) bool {
	for first := time.Now(); ; {
		f.mu.Lock()
		rest := f.times.quiet - time.Since(f.at.changed)
		f.mu.Unlock()
		rest = min(rest, f.times.most-time.Since(first))
		if rest <= 0 {
			return true
		}
		if !pause(ctx, rest) {
			return false
		}
	}
}

// hand hands over what the tree says, and returns after how long to look again, 0
// if there is no need. waited is what it returned before.
func (f *Follower) hand(waited time.Duration) time.Duration {
	f.handing <- struct{}{}
	defer func() { <-f.handing }()
	f.mu.Lock()
	complete := f.at.complete
	f.mu.Unlock()
	if !complete {
		return 0
	}
	view := f.tree.View()
	f.mu.Lock()
	now := time.Now()
	open := f.gate.open(f.shown(view)) || f.overdue(now)
	writes, releases, m, changed := f.gate.count, f.stats.Releases, f.memory, f.at.changed
	f.mu.Unlock()
	if !open {
		return soon
	}
	kept := f.Target.Kept()
	v := guard{f.Limits, f.Base, f.Own}.judge(kept, view, m, now)
	if f.premature(v, m, changed, now) {
		return soon
	}
	if v.next != kept {
		f.mu.Lock()
		raced := f.gate.count != writes
		f.mu.Unlock()
		if raced {
			return soon
		}
		err := f.Target.Follow(kept, v.next)
		switch {
		case errors.Is(err, lvs.ErrUnavailable):
			if f.waiting.IsZero() {
				f.waiting = now
			} else if now.Sub(f.waiting) > busyFor {
				f.refused(err)
			}
			return min(max(2*waited, soon), busyMax)
		case err != nil:
			f.refused(err)
			return min(max(2*waited, f.times.minBackoff), f.times.maxBackoff)
		}
	}
	f.waiting = time.Time{}
	f.handed(view, v, changed, releases, kept != v.next)
	return 0
}

// overdue reports whether a write of ours has not come back for so long that it
// is waited for no more. At half of that time all is read anew.
func (f *Follower) overdue(now time.Time) bool {
	since := now.Sub(f.gate.since)
	switch {
	case since < f.times.own/2:
		return false
	case !f.gate.asked:
		f.gate.asked = true
		f.tree.Forget()
		f.stats.Audits++
		if f.at.cut != nil {
			f.at.cut(errAnew)
		}
		return false
	case since < f.times.own:
		return false
	}
	f.Log.Warn("ldapsync: a write of ours does not come back from the directory; going on with what that says", "request", f.gate.id, "server", f.at.provider)
	f.stats.GaveUp++
	f.gate.giveUp()
	return true
}

// premature reports whether something would be held that may yet come back, or
// go altogether: whoever deletes a service with many servers begins with the
// servers.
func (f *Follower) premature(v verdict, m memory, changed, now time.Time) bool {
	fresh := false
	for r, h := range v.held {
		if _, was := m.held[r]; !was && h.stays {
			fresh = true
			break
		}
	}
	if !fresh {
		f.holding = time.Time{}
		return false
	}
	if f.holding.IsZero() {
		f.holding = now
	}
	return now.Sub(changed) < f.times.settle && now.Sub(f.holding) < f.times.settleMost
}

// refused notes that the director does not take what the directory says.
func (f *Follower) refused(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Refused++
	refusal := fmt.Errorf("what the directory says cannot be taken over: %w", err)
	if f.at.refusal == nil || f.at.refusal.Error() != refusal.Error() {
		f.Log.Error("ldapsync: "+refusal.Error(), "server", f.at.provider)
	}
	f.at.refusal = refusal
	signal(f.say)
}

// handed notes that the director has what a view says, but for what is held.
func (f *Follower) handed(view View, v verdict, changed time.Time, releases uint64, followed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if followed {
		f.stats.HandedOver++
	}
	had, more := len(f.memory.held) > 0, false
	for r := range v.held {
		if _, was := f.memory.held[r]; !was {
			more = true
			break
		}
	}
	switch {
	case more:
		f.Log.Warn("ldapsync: changes of the directory are held", "hold", v.id, "what", v.text)
		if !had {
			f.stats.Holds++
		}
	case had && len(v.held) == 0:
		f.Log.Info("ldapsync: nothing of the directory is held any more", "hold", f.memory.id)
	}
	if f.stats.Releases != releases { // meanwhile
		v.released = f.memory.released
		f.nudge()
	}
	f.memory = v.memory
	f.at.refusal, f.at.handed = nil, true
	if f.at.changed.Equal(changed) {
		f.at.pending = false
		if f.at.refreshed {
			f.at.lastSync = time.Now()
		}
	}
	f.at.entries = view.Entries
	f.lookAt(view)
	signal(f.say)
}

// lookAt notes what is odd in a view, and lets the log have it once.
func (f *Follower) lookAt(view View) {
	had := f.at.odd
	odd := make(map[string]bool, len(had))
	aside := make([]string, 0, min(len(view.Faults), maxTold))
	for i, fault := range view.Faults {
		if i == maxTold {
			aside = append(aside, fmt.Sprintf("and %d more", len(view.Faults)-maxTold))
			break
		}
		text := fault.Error()
		aside = append(aside, text)
		if odd[text] = true; !had[text] {
			f.Log.Warn("ldapsync: an entry is left aside", "entry", text)
		}
	}
	for _, text := range view.Remarks[:min(len(view.Remarks), maxTold)] {
		if odd[text] = true; !had[text] {
			f.Log.Warn("ldapsync: "+text, "server", f.at.provider)
		}
	}
	if !maps.Equal(odd, had) {
		f.at.odd, f.at.aside = odd, aside
	}
}
