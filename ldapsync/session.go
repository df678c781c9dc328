package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Why we end a session ourselves.
var (
	errAnew   = errors.New("all is read anew")
	errStale  = errors.New("the server has changes that do not come")
	errGoBack = errors.New("the first server is well again")
)

// outcome is how a session ended.
type outcome struct {
	how   ending
	err   error
	lived time.Duration // since the server had told all
}

// follow has one session after the other until ctx ends.
func (f *Follower) follow(ctx context.Context) {
	p := providers{n: len(f.URIs), min: f.times.minBackoff, max: f.times.maxBackoff, calm: f.times.calm, usual: f.times.calm}
	for {
		i := p.next()
		end := f.session(ctx, i, p.calm)
		if ctx.Err() != nil {
			return
		}
		wait := p.ended(i, end.how, end.lived, time.Now())
		f.ended(f.URIs[i], end, wait > 0)
		if !pause(ctx, wait) {
			return
		}
	}
}

// session follows one server until that cannot go on, or we do not want it to.
func (f *Follower) session(ctx context.Context, i int, calm time.Duration) outcome {
	uri := f.URIs[i]
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	c, can, err := f.reach(ctx, uri)
	if err != nil {
		return outcome{how: failed, err: err}
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, c.cut)
	defer stop()
	f.begin(uri, cut)
	var told sync.Once
	var since time.Time
	ready := make(chan struct{})
	var tasks sync.WaitGroup
	tasks.Go(func() { f.beat(ctx, uri, can.Syncrepl, cut) })
	tasks.Go(func() { f.pin(ctx, ready, uri, cut) })
	if i > 0 {
		tasks.Go(func() { f.watchFirst(ctx, ready, calm, cut) })
	}
	err = f.source(can).Follow(ctx, c, f.tree, func(p Progress) {
		f.step(uri, p)
		if p == Refreshed {
			told.Do(func() {
				since = time.Now()
				close(ready)
			})
		}
	})
	why := context.Cause(ctx)
	cut(err)
	tasks.Wait()
	end := outcome{how: failed, err: err}
	if !since.IsZero() {
		end.how, end.lived = severed, time.Since(since)
	}
	var h *hang
	switch {
	case errors.As(why, &h):
		end.how, end.err = hung, h.error
	case errors.Is(why, errAnew), errors.Is(why, errStale):
		end.how, end.err = anew, why
	case errors.Is(why, errGoBack):
		end.how, end.err = goBack, why
	}
	return end
}

// source returns the Source that suits a server. The only server there is will
// get nothing that it lacks from another one: it was restored, or did not end well.
func (f *Follower) source(can Abilities) Source {
	source := f.sources(can)
	if s, ok := source.(syncrepl); ok && len(f.URIs) == 1 {
		s.patience = 0
		return s
	}
	return source
}

// reach connects to a server and asks what it can do.
func (f *Follower) reach(ctx context.Context, uri string) (*Conn, Abilities, error) {
	limit := dialLimit
	if len(f.URIs) > 1 {
		limit = f.times.reach
	}
	ctx, cancel := within(ctx, limit)
	defer cancel()
	c, err := f.Dial(ctx, uri, ForSync)
	if err != nil {
		return nil, Abilities{}, err
	}
	var can Abilities
	err = c.Do(ctx, func() (err error) {
		can, err = readAbilities(c.Conn)
		return err
	})
	if err != nil {
		_ = c.Close()
		return nil, can, unreachable(ctx, uri, err)
	}
	return c, can, nil
}

// cut ends the session that goes on.
func (f *Follower) cut(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.cut != nil {
		f.at.cut(why)
	}
}

// begin notes that a server is connected.
func (f *Follower) begin(uri string, cut context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.last != "" && f.at.last != uri {
		f.Log.Info("ldapsync: another server goes on", "server", uri, "before", f.at.last)
		if f.stats.FailOvers++; uri == f.URIs[0] {
			f.stats.FailBacks++
		}
	}
	f.at.provider, f.at.last, f.at.live, f.at.refreshed, f.at.cut = uri, uri, true, false, cut
	f.at.behind = time.Time{}
	f.stats.Sessions++
	signal(f.say)
}

// step notes what a source has done.
func (f *Follower) step(uri string, p Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	switch p {
	case Refreshing:
		f.at.refreshed, f.at.begun = false, now
		signal(f.say)
		return
	case Differed:
		f.Log.Warn("ldapsync: the server holds something else than was told, as after a restore; reading all anew", "server", uri)
		return
	case Appeared:
		f.at.doubtful = true
		return
	case Refreshed:
		if f.at.faults[uri] != nil || !f.at.reached {
			f.Log.Info("ldapsync: the directory is followed", "server", uri)
		}
		f.at.refreshed, f.at.reached, f.at.complete, f.at.stale = true, true, true, false
		f.at.behind, f.at.longest = time.Time{}, max(f.at.longest, now.Sub(f.at.begun))
		delete(f.at.faults, uri)
		f.stats.Refreshes++
		signal(f.say)
	case Changed:
		f.stats.Changes++
	}
	f.at.changed, f.at.pending = now, true
	f.nudge()
}

// ended notes how a session ended, and whether nobody goes on at once.
func (f *Follower) ended(uri string, end outcome, alone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.refreshed {
		f.at.known = newest(f.at.known, f.tree.csns())
	}
	f.at.live, f.at.refreshed, f.at.cut = false, false, nil
	switch end.how {
	case anew, goBack:
		f.at.live = end.how == anew // it takes writes as before
		f.Log.Info("ldapsync: the session with the directory begins anew", "server", uri, "why", end.err)
		return
	case severed, hung:
		f.stats.Lost++
	}
	fault := end.err
	var r *lvs.Refusal
	if !errors.As(fault, &r) {
		_, words := answer(fault)
		fault = &lvs.Refusal{Kind: lvs.ErrUnavailable, Cause: fault, Reason: fmt.Sprintf("directory %s cannot be followed: %s", uri, words)}
	}
	if had := f.at.faults[uri]; had == nil || had.Error() != fault.Error() { // told once
		f.Log.Warn("ldapsync: the directory is not followed, trying again", "server", uri, "error", fault)
	}
	f.at.faults[uri] = fault
	if alone {
		f.at.provider = ""
	}
	signal(f.say)
}

// doubtShare is how much longer than reading all it takes at least until that is
// done again because something may have been missed.
const doubtShare = 20

// heard notes what the server of the session says that it has, and reports
// whether it has to be asked anew: because it has kept something to itself for too
// long, or because something may have been missed.
//
// OpenLDAP tells nothing of an entry that a change takes out of our sight, nor of
// what stands below one that comes into it. So all is read then, but not so often
// that it would be a burden where others write much that we must not see.
func (f *Follower) heard(has []string) (stale bool) {
	known := f.tree.csns()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Heartbeats++
	if !f.at.refreshed {
		return false
	}
	now := time.Now()
	rested := now.Sub(f.at.doubted) >= max(f.times.doubt, doubtShare*f.at.longest)
	if f.at.doubtful && rested {
		f.Log.Info("ldapsync: something may have been missed; reading all anew", "server", f.at.provider)
		f.doubt(now)
		return true
	}
	if len(known) == 0 || lacking(known, has) == "" || lacking(f.at.checked, has) == "" {
		f.at.behind = time.Time{}
		if !f.at.pending {
			f.at.lastSync = now
			signal(f.say)
		}
		return false
	}
	if f.at.behind.IsZero() {
		f.at.behind = now
	}
	if now.Sub(f.at.behind) < f.times.stale || now.Sub(f.at.changed) < f.times.stale {
		return false
	}
	// What has changed may lie outside the tree. After a refresh we know.
	f.Log.Warn("ldapsync: the server has changes that did not come; asking anew", "server", f.at.provider, "contextCSN", lacking(known, has))
	f.at.stale, f.at.checked = true, has
	f.stats.Stale++
	if f.at.doubtful = true; rested {
		f.doubt(now)
	}
	signal(f.say)
	return true
}

// doubt lets the next session read all.
func (f *Follower) doubt(now time.Time) {
	f.at.doubtful, f.at.doubted = false, now
	f.tree.Forget()
}

// pin lets writes go to the server that is followed, once the follower has all of
// it and it has all that the one before had.
func (f *Follower) pin(ctx context.Context, ready <-chan struct{}, uri string, cut context.CancelCauseFunc) {
	select {
	case <-ready:
	case <-ctx.Done():
		return
	}
	f.mu.Lock()
	from, known := f.at.writer, f.at.known
	f.mu.Unlock()
	if f.Writer == nil || from == uri {
		return
	}
	deadline := time.Now().Add(f.times.move)
	said := false
	for {
		attempt, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errors.New("not within 2s"))
		err := f.Writer.MoveTo(attempt, uri, known)
		cancel()
		if err == nil {
			break
		}
		if !said {
			f.Log.Warn("ldapsync: writes cannot go on at another server yet", "from", from, "to", uri, "error", err)
			said = true
		}
		if time.Now().After(deadline) && len(known) > 0 {
			// What it lacks may never have been anywhere: OpenLDAP tells of a
			// write before it has made it. The director follows what this server
			// has, so all is read anew.
			f.Log.Warn("ldapsync: writes go on at a server that lacks what the one before had; what both change meanwhile, the later change wins", "from", from, "to", uri)
			f.mu.Lock()
			f.at.known = nil
			f.mu.Unlock()
			f.tree.Forget()
			cut(errAnew)
			return
		}
		if !pause(ctx, f.times.minBackoff) {
			return
		}
	}
	f.Log.Info("ldapsync: writes go to another server", "from", from, "to", uri)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at.writer, f.at.known = uri, nil
	signal(f.say)
}

// watchFirst cuts the session when the first server has been well for some time.
func (f *Follower) watchFirst(ctx context.Context, ready <-chan struct{}, calm time.Duration, cut context.CancelCauseFunc) {
	h := heartbeat{options: f.Options, base: f.Base, uri: f.URIs[0], limit: f.times.beatLimit}
	defer h.close()
	select {
	case <-ready:
	case <-ctx.Done():
		return
	}
	var since time.Time
	for pause(ctx, f.times.beat) {
		switch {
		case !f.well(ctx, &h):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= calm:
			cut(errGoBack)
			return
		}
	}
}

// well reports whether a server answers and soon has all that is known.
func (f *Follower) well(ctx context.Context, h *heartbeat) bool {
	known := f.tree.csns()
	for deadline := time.Now().Add(h.limit); ; {
		has, err := h.ask(ctx)
		if err != nil {
			return false
		}
		if lacking(has, known) == "" {
			return true
		}
		if time.Now().After(deadline) || !pause(ctx, 50*time.Millisecond) {
			return false
		}
	}
}
