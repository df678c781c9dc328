package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Following says who follows which directory. All but Writer, Limits and Log is
// needed.
type Following struct {
	Options
	Base   Base
	Own    lvs.HostName // the director's own host
	Target Target
	Writer *Writer // of the director; nil: it writes nothing
	Limits Limits
	Log    *slog.Logger
}

// Follower lets a director follow a directory.
//
//	servers, in order --> session --> Source --> Tree
//	                         ^                    |  debounce
//	     heartbeat ----------+                    v  own write has come
//	                                            guard --> Target
//
// A session is with one server at a time. When it ends, the next server goes on
// where that one was. The tree outlives all sessions.
type Follower struct {
	Following
	tree    *Tree
	times   times
	sources func(Abilities) Source
	busy    atomic.Bool
	kick    chan struct{} // there is something to hand over
	say     chan struct{} // the status has changed
	unsure  chan struct{} // it is not settled what became of a write
	handing chan struct{} // held while something is handed over
	// Of who hands over: since when something would be held, and since when the
	// director has been busy.
	holding, waiting time.Time

	mu     sync.Mutex
	at     condition
	gate   gate
	memory memory
	stats  Stats
}

// times are how long things take.
type times struct {
	beat       time.Duration // between two heartbeats
	beatLimit  time.Duration // of an answer to one
	reach      time.Duration // of making a connection if there are other servers
	stale      time.Duration // changes that the server has may take to come
	doubt      time.Duration // between two readings of all because something may have been missed
	quiet      time.Duration // without a change, before what has come is handed over
	most       time.Duration // that changes are gathered for
	settle     time.Duration // without a change, before something is held
	settleMost time.Duration // that changes are gathered for in that case
	own        time.Duration // a write of ours may take to come back
	audit      time.Duration // between two readings of all
	move       time.Duration // a server may lack what another one had before writes go to it all the same
	calm       time.Duration // the first server has to be well before it is gone back to
	minBackoff time.Duration
	maxBackoff time.Duration
}

var usualTimes = times{
	beat: 5 * time.Second, beatLimit: heartbeatLimit, reach: 3 * time.Second, stale: 15 * time.Second, doubt: 20 * time.Second,
	quiet: 20 * time.Millisecond, most: 50 * time.Millisecond, settle: 200 * time.Millisecond, settleMost: 2 * time.Second,
	own: 10 * time.Second, audit: time.Hour, move: 5 * time.Second, calm: 15 * time.Second,
	minBackoff: 500 * time.Millisecond, maxBackoff: 30 * time.Second,
}

// Stats count what a Follower has done since it was made.
type Stats struct {
	Sessions   uint64 // in which a server was followed
	Lost       uint64 // of those, that ended without our doing
	FailOvers  uint64 // to another server than before
	FailBacks  uint64 // to the first
	Refreshes  uint64 // complete ones
	Audits     uint64 // readings of all, because it was time or somebody asked for it
	Changes    uint64 // that servers told
	Heartbeats uint64 // answered
	Stale      uint64 // sessions that were begun anew because changes did not come
	HandedOver uint64 // to the director
	Refused    uint64 // by the director, for another reason than that it was busy
	Holds      uint64
	Releases   uint64
	GaveUp     uint64 // waits for a write of ours to come back
}

// NewFollower returns a follower that does nothing until Run.
func NewFollower(s Following) (*Follower, error) {
	if err := s.Options.Check(); err != nil {
		return nil, err
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	f := &Follower{
		Following: s,
		tree:      NewTree(s.Base, s.Own),
		times:     usualTimes,
		sources:   sourceFor,
		kick:      make(chan struct{}, 1),
		say:       make(chan struct{}, 1),
		unsure:    make(chan struct{}, 1),
		handing:   make(chan struct{}, 1),
		memory:    memory{id: rand.Uint32N(1 << 30)}, // so that an id is of this run
		at:        condition{faults: make(map[string]error), writer: s.URIs[0]},
	}
	if s.Writer != nil {
		s.Writer.Announce = f.announce
	}
	return f, nil
}

// Run follows the directory until ctx is cancelled, and then returns nil. It
// returns an error at once if another Run is at work.
func (f *Follower) Run(ctx context.Context) error {
	if !f.busy.CompareAndSwap(false, true) {
		return errors.New("ldapsync: Run is already running")
	}
	defer f.busy.Store(false)
	var tasks sync.WaitGroup
	tasks.Go(func() { f.tell(ctx) })
	tasks.Go(func() { f.handOver(ctx) })
	tasks.Go(func() { f.audit(ctx) })
	tasks.Go(func() { f.settle(ctx) })
	f.follow(ctx)
	tasks.Wait()
	return nil
}

// audit reads all of the directory anew now and then: whatever was missed, and
// however, comes to light.
func (f *Follower) audit(ctx context.Context) {
	for {
		d := f.times.audit
		if !pause(ctx, d-d/10+rand.N(d/5+1)) {
			return
		}
		f.Resync()
	}
}

// Resync has all of the directory read anew. It does not wait for that.
func (f *Follower) Resync() {
	f.tree.Forget()
	f.mu.Lock()
	f.stats.Audits++
	f.mu.Unlock()
	f.cut(errAnew)
}

// Release lets what is held under an id be applied: exactly that, and nothing
// that has come since.
func (f *Follower) Release(holdID uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case len(f.memory.held) == 0:
		return &lvs.Refusal{Kind: lvs.ErrConflict, Reason: fmt.Sprintf("directory: nothing is held, so %d cannot be released: it has ended by itself, or was released before", holdID)}
	case holdID != f.memory.id:
		return &lvs.Refusal{Kind: lvs.ErrConflict, Reason: fmt.Sprintf("directory: what is held is not %d, but by now %d (%s): look at it, and release that", holdID, f.memory.id, f.memory.text)}
	}
	f.memory.released = f.memory.releasable()
	f.stats.Releases++
	f.Log.Info("ldapsync: what was held is released", "hold", holdID, "what", f.memory.text)
	f.nudge()
	return nil
}

// Stats returns what was counted.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// nudge has it looked at whether there is something to hand over.
func (f *Follower) nudge() { signal(f.kick) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
