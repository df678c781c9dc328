package control

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lcms-project/lcms/internal/failpoint"
	"github.com/lcms-project/lcms/internal/lvs"
)

// readShare is how many times longer than a reading takes it is waited before
// the next: readings use at most a twentieth of a processor.
const readShare = 20

// settleDelay is how long after a change the store is told that it is final.
// Until then a crash leaves in doubt whether it was. What follows within that
// time is told at once.
const settleDelay = 100 * time.Millisecond

// Options are what a Control needs.
type Options struct {
	Kernel Kernel
	Store  Store
	Log    *slog.Logger

	// Directory keeps the desired state where several directors share it; nil:
	// the director is on its own.
	Directory Directory
	// Host is the name of the director's own host, as members and hosts have
	// it.
	Host lvs.HostName

	// ReadBusy is how often the kernel is read while somebody looks at the
	// counters, ReadIdle how often otherwise. The defaults are 1 s and 5 s. A
	// kernel that takes long to read is read less often.
	ReadBusy time.Duration
	ReadIdle time.Duration
	// Abandoned is how long a change may stand between its phases before it is
	// taken back. The default is 30 s.
	Abandoned time.Duration

	// Drift is what is done when somebody changes the kernel behind our back.
	// The default is lvs.DriftEnforce.
	Drift lvs.DriftPolicy
	// Observe is told every event when snapshots show what it tells of. It is called
	// with a lock held: it must return at once, and of the Control it may call
	// Snapshot only. It may be nil.
	Observe func(Event)

	// Passive leaves kernel and directory as they are: it only follows and shows.
	Passive bool
	// Queue accepts changes while the directory takes none, and writes them to it
	// later. What somebody else was faster with is taken back then.
	Queue bool
	// OverrideFor is how long an administrative status or weight stands that was
	// set while the directory took no changes. The default is an hour.
	OverrideFor time.Duration
}

// Control holds the three states of a director. Make one with New.
type Control struct {
	kernel    Kernel
	store     Store
	directory Directory // nil: there is none
	host      lvs.HostName
	log       *slog.Logger
	readBusy  time.Duration
	readIdle  time.Duration
	abandoned time.Duration
	policy    lvs.DriftPolicy
	observe   func(Event)
	events    []Event // to be told with the next snapshot
	passive   bool
	queue     bool

	overrideFor time.Duration

	snapshot atomic.Pointer[Snapshot]
	turned   atomic.Int64 // when the loop last went round, in Unix nanoseconds
	looked   atomic.Int64 // when somebody last looked, in Unix nanoseconds
	idle     atomic.Bool  // the loop waits as if nobody looked
	wake     chan struct{}
	final    chan struct{} // a change is final, and the store does not know
	settling atomic.Bool   // final was told, and the store will be
	ready    chan struct{}

	mu          sync.Mutex
	desired     *lvs.Config
	groups      map[lvs.ServiceKey]*group
	doomed      map[lvs.ServerID]*backoff // to be deleted from the kernel
	director    Director
	daemons     []lvs.Daemon // that run
	requests    []*Request
	lastRequest uint32
	ops         uint64                    // counts the operations done, to tell old readings
	readOps     uint64                    // ops when the last reading began
	readings    uint64                    // how many were begun
	merged      uint64                    // the number of the newest that was merged
	gone        map[lvs.ServiceKey]uint64 // services that we deleted, with ops then
	open        *Transaction
	passed      bool          // it has kept due from looking at a service
	unsettled   bool          // the store keeps a journal
	failures    int           // readings in a row that failed
	reconciled  bool          // once since the kernel answers
	sorted      []*group      // groups in table order, nil when it must be made anew
	rows        []*ServiceRow // of them, as published; nil when they must be listed anew
	changedRows []*group      // that have another row since
	servers     uint32        // of the published rows
	serversUp   uint32
	daemonRetry backoff
	timeRetry   backoff
	recovering  *recovery // of a change that was interrupted, nil if there is none
	unfilled    int       // times that the store did not note that an empty kernel is to be filled
	alarms      map[alarmKey]*Alarm
	alarmRows   []*Alarm // alarms by index, nil when it must be made anew
	lastAlarm   uint32
	drifts      map[driftKey]*Drift
	driftRows   []*Drift // drifts in table order, nil when it must be made anew
	repaired    map[driftKey]*repairs

	directoryRow  DirectoryRow
	directoryLost lvs.DirectoryState       // when its loss was last told
	groupRows     groups                   // of clusters, members and hosts
	regrouping    bool                     // all of them are to be made anew
	restless      map[lvs.ClusterID]bool   // clusters that are, "" for the services of none
	tallies       map[lvs.ClusterID]*tally // what groupRows are made of
	regrouped     bool                     // they were made while the kernel was known
	generations   map[lvs.ClusterID]uint64 // changes of each cluster since the start

	loaded      bool        // the store has been
	kept        *lvs.Config // what the director has of the directory
	planned     *lvs.Config // with what waits to be written there
	over        overlay     // what lies over what is kept
	behind      behind      // what the kernel has still to follow
	notes       marks       // what rows show of the overlay
	doubts      marks       // rows of which nobody knows whether the directory has them
	conflicts   []string    // what was parked, in words
	parked      map[alarmKey]bool
	followed    bool    // the directory has told what it has
	disputed    int     // how often the directory found the first that waits in conflict
	replayRetry backoff // of what waits
}

// New returns a Control that has done nothing yet.
func New(o Options) *Control {
	c := &Control{
		kernel:    o.Kernel,
		store:     o.Store,
		directory: o.Directory,
		host:      o.Host,
		log:       o.Log,
		readBusy:  orDefault(o.ReadBusy, time.Second),
		readIdle:  orDefault(o.ReadIdle, 5*time.Second),
		abandoned: orDefault(o.Abandoned, 30*time.Second),
		policy:    cmp.Or(o.Drift, lvs.DriftEnforce),
		observe:   o.Observe,
		passive:   o.Passive,
		queue:     o.Queue,

		overrideFor: orDefault(o.OverrideFor, time.Hour),
		wake:        make(chan struct{}, 1),
		final:       make(chan struct{}, 1),
		ready:       make(chan struct{}),
		desired:     new(lvs.Config),
		groups:      make(map[lvs.ServiceKey]*group),
		doomed:      make(map[lvs.ServerID]*backoff),
		gone:        make(map[lvs.ServiceKey]uint64),
		alarms:      make(map[alarmKey]*Alarm),
		drifts:      make(map[driftKey]*Drift),
		repaired:    make(map[driftKey]*repairs),

		restless:    make(map[lvs.ClusterID]bool),
		tallies:     make(map[lvs.ClusterID]*tally),
		generations: make(map[lvs.ClusterID]uint64),
		kept:        new(lvs.Config),
		planned:     new(lvs.Config),
		behind:      newBehind(nil),
	}
	c.director = Director{Kernel: KernelStarting, Lock: rand.Int32(), readEvery: c.readIdle}
	c.directoryRow = newDirectoryRow(o.Directory)
	c.turned.Store(time.Now().UnixNano())
	c.publish()
	return c
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

func (c *Control) now() time.Time { return time.Now().Round(0) }

// Snapshot returns what is known now. It never waits.
func (c *Control) Snapshot() *Snapshot { return c.snapshot.Load() }

// Look is Snapshot for somebody who watches counters: while it is called, the
// kernel is read more often.
func (c *Control) Look() *Snapshot {
	now := time.Now().UnixNano()
	s := c.snapshot.Load()
	c.looked.Store(now)
	if now-s.Director.ReadAt.UnixNano() > int64(c.readBusy) && c.idle.CompareAndSwap(true, false) {
		c.wakeUp()
	}
	return s
}

// wakeUp has the loop look again for how long it has to wait.
func (c *Control) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Turning reports whether the loop has gone round within a time, or is in a
// reading that has not taken longer.
func (c *Control) Turning(within time.Duration) bool {
	return time.Since(time.Unix(0, c.turned.Load())) < max(within, 2*c.readIdle)
}

// Ready is closed when the store has been loaded and the kernel was asked for
// the first time.
func (c *Control) Ready() <-chan struct{} { return c.ready }

// Run loads the store, brings the kernel to what it should hold and keeps it
// so, until ctx ends. It fails only if the store cannot be loaded, or what waits in it
// for the directory does not go together with the rest.
func (c *Control) Run(ctx context.Context) error {
	if err := c.load(); err != nil {
		return err
	}
	took := c.read(ctx)
	close(c.ready)
	var settle <-chan time.Time
	for {
		for last := time.Now(); ; {
			reading := last.Add(c.interval(took))
			at, early := c.earlier(reading)
			timer := time.NewTimer(time.Until(at))
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-c.wake: // somebody looks: the interval is another
				timer.Stop()
				continue
			case <-c.final:
				timer.Stop()
				settle = time.After(settleDelay)
				continue
			case <-settle:
				timer.Stop()
				settle = nil
				c.settling.Store(false)
				c.settle()
				continue
			case <-timer.C:
				if early && time.Now().Before(reading) {
					c.advance(ctx)
					continue
				}
			}
			break
		}
		c.turned.Store(time.Now().UnixNano())
		c.expire()
		c.expireOverlay()
		c.settle()
		c.replay()
		took = c.read(ctx)
	}
}

// interval says how long to wait before the next reading, when the last one
// took so long.
func (c *Control) interval(took time.Duration) time.Duration {
	every := c.readIdle
	c.mu.Lock()
	_, waits := c.over.first()
	pending := len(c.doomed) > 0 || c.recovering != nil || waits
	for _, g := range c.groups {
		pending = pending || g.drift && g.seen < sightings
	}
	defer c.mu.Unlock()
	if pending || time.Since(time.Unix(0, c.looked.Load())) < c.readIdle {
		every = c.readBusy
	} else {
		c.idle.Store(true)
	}
	every = max(every, readShare*took)
	c.director.readEvery = every
	return every
}

// earlier returns the time to wait for: that of the next reading, or before it
// the moment at which time changes what the kernel should hold.
func (c *Control) earlier(reading time.Time) (at time.Time, early bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if due := c.due(); !due.IsZero() && due.Before(reading) && c.director.Kernel == KernelOK && c.reconciled {
		return due, true
	}
	return reading, false
}

// load makes the desired state from the store, and remembers what a crash left
// to be done.
func (c *Control) load() error {
	stored, err := c.store.Load()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// A row that an earlier version took, and this one does not, keeps none of the
	// others from being there.
	desired, refused := lvs.Assemble(&stored.Rows)
	for _, r := range refused {
		c.log.Error("a row of the store is left aside: make it anew", "error", r)
		c.record(Request{Source: lvs.SourceAgent, Service: r.Service, Server: r.Server, Outcome: Refused, Reason: "left aside in the store: " + r.Error()})
	}
	c.desired, c.regrouping, c.loaded = desired, true, true
	if c.directory != nil {
		c.have(desired, newOverlay(stored.Overlay))
		if c.desired, err = c.overlaid(c.planned, c.over); err != nil {
			return err
		}
		desired = c.desired
	} else if len(stored.Overlay.Pending) > 0 {
		c.log.Warn("changes wait in the store for a directory, and none is configured", "changes", len(stored.Overlay.Pending))
	}
	c.director.Generation, c.director.ChangedAt = stored.Generation, stored.ChangedAt
	if stored.Journal != nil {
		c.unsettled = true
		c.behind = newBehind(stored.Journal.Behind)
		if c.directory != nil {
			// What the store has, the directory had before it.
			c.behind.add(&stored.Journal.Inverse, desired.Touched(&stored.Journal.Inverse, nil))
			stored.Journal.Inverse = lvs.Change{}
		}
		c.recovering = newRecovery(*stored.Journal, desired)
		for _, id := range stored.Journal.Doomed {
			c.doomed[id] = new(backoff)
		}
		for s := range desired.Services {
			if stored.Journal.Filling {
				c.recovering.missing[s.Key] = true
			}
		}
	}
	now := c.now()
	for s := range desired.Services {
		c.update(s.Key, nil, now)
	}
	c.publish()
	return nil
}

// read reads the kernel, publishes and reconciles. It returns how long the
// reading took.
func (c *Control) read(ctx context.Context) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	began, actual, took, err := c.ask(ctx)
	if err == nil && c.misses(actual, began) {
		// A kernel that is changed while it gives out its table may leave out what
		// is there: what is gone is still gone when it is asked again.
		var again time.Duration
		began, actual, again, err = c.ask(ctx)
		took += again
	}
	if ctx.Err() != nil {
		return took
	}
	if err != nil {
		c.lost(err)
	} else {
		known := time.Now()
		c.merge(actual, began)
		took += time.Since(known) // not reconcile, which waits for the kernel
		c.advanceTo(ctx, c.now())
		c.reconcile(ctx)
	}
	c.publish()
	return took
}

// beginning is where a reading of the kernel stands among all that is done.
type beginning struct {
	number uint64 // of the reading, from 1
	ops    uint64 // operations before it
}

// begin notes that a reading begins.
func (c *Control) begin() beginning {
	c.readings++
	return beginning{c.readings, c.ops}
}

// ask reads the kernel, and says how long that took. The lock is given back
// meanwhile.
func (c *Control) ask(ctx context.Context) (beginning, *lvs.Actual, time.Duration, error) {
	b := c.begin()
	c.mu.Unlock()
	defer c.mu.Lock()
	now := time.Now()
	actual, err := c.kernel.Read(ctx)
	return b, actual, time.Since(now), err
}

// knows reports whether more is known of a service than a reading says.
func (c *Control) knows(key lvs.ServiceKey, b beginning) bool {
	switch g := c.groups[key]; {
	case c.busy(key) && !c.open.blind:
		return true
	case g != nil:
		return g.touched > b.ops
	}
	return c.gone[key] > b.ops
}

// misses reports whether a reading lacks anything that the kernel was last known
// to hold.
func (c *Control) misses(actual *lvs.Actual, b beginning) bool {
	expected := func(key lvs.ServiceKey, g *group) bool {
		return g != nil && g.row.inKernel != nil && !c.knows(key, b)
	}
	left := 0
	for key, g := range c.groups {
		if expected(key, g) {
			left++
		}
	}
	for _, reading := range actual.Services {
		g := c.groups[reading.Key]
		if !expected(reading.Key, g) {
			continue
		}
		left--
		if reading != g.reading && !sameKeys(reading, g.reading) && lacks(reading, g.row) {
			return true
		}
	}
	return left > 0
}

// lacks reports whether a reading of a service has not all servers of its row that
// the kernel holds.
func lacks(reading *lvs.ActualService, row *ServiceRow) bool {
	there := make(map[lvs.ServerKey]bool, len(reading.Servers))
	for i := range reading.Servers {
		there[reading.Servers[i].Key] = true
	}
	return slices.ContainsFunc(row.Servers, func(s ServerRow) bool { return s.InKernel() && !there[s.Server.Key] })
}

// lost notes that the kernel could not be read. What was known of it is given
// up when it is certain that IPVS is gone, or after several failures.
func (c *Control) lost(err error) {
	state := KernelFailed
	switch {
	case errors.Is(err, fs.ErrPermission):
		state = KernelDenied
	case errors.Is(err, lvs.ErrNotFound):
		state = KernelAbsent
	}
	if c.director.KernelError != err.Error() {
		c.log.Error("cannot read the kernel; will try again", "error", err)
	}
	c.failures++
	c.director.KernelError = err.Error()
	if state == KernelFailed && c.failures < 3 && c.director.Kernel == KernelOK {
		return
	}
	now := c.now()
	if old := c.director.Kernel; old == KernelOK || old == KernelStarting {
		c.emit(Event{Kind: KernelLost, Time: now, Kernel: state, Text: err.Error()})
	}
	c.raise(alarmKey{kind: KernelLost}, Critical, err.Error(), now)
	c.director.Kernel = state
	c.reconciled, c.regrouping = false, true
	if c.open != nil {
		c.open.blind = true
	}
	for key := range c.groups {
		c.update(key, nil, now)
	}
	c.daemons = nil
}

// update makes the row of a service anew, as rebuild does, and keeps the
// groups in step.
func (c *Control) update(key lvs.ServiceKey, reading *lvs.ActualService, now time.Time) {
	g := c.groups[key]
	if g == nil {
		g = &group{}
	}
	old := g.row
	had := old != nil
	row := c.rebuild(g, key, reading, now)
	has := row != nil
	c.compare(key, old, row, now)
	switch {
	case has && !had:
		c.groups[key] = g
		c.sorted = nil
	case had && !has:
		delete(c.groups, key)
		c.sorted = nil
	}
}

// merge makes a reading the actual state, unless there was a newer one. What was
// changed by us after the reading began is left as we know it.
func (c *Control) merge(actual *lvs.Actual, b beginning) {
	if b.number < c.merged {
		return
	}
	c.merged = b.number
	if c.director.KernelError != "" {
		c.log.Info("the kernel answers", "ipvs", actual.Version)
	}
	c.failures, c.readOps = 0, b.ops
	now := c.now()
	if c.alarms[alarmKey{kind: KernelLost}] != nil {
		c.emit(Event{Kind: KernelRestored, Time: now, Kernel: KernelOK, Text: "IPVS " + actual.Version + " answers"})
		c.clear(alarmKey{kind: KernelLost}, now)
	}
	d := &c.director
	d.Kernel, d.KernelError, d.ReadAt = KernelOK, "", actual.At.Round(0)
	d.Version, d.ConnectionTableSize, d.Totals = actual.Version, actual.ConnectionTableSize, actual.Totals
	if c.ops == b.ops {
		d.Timeouts = actual.Timeouts
		c.daemons = actual.Daemons
	}
	found := make(map[lvs.ServiceKey]bool, len(actual.Services))
	for _, reading := range actual.Services {
		key := reading.Key
		found[key] = true
		if !c.knows(key, b) && !c.groups[key].shows(reading) {
			c.update(key, reading, now)
		}
	}
	for key := range c.groups {
		if !found[key] && !c.knows(key, b) {
			c.update(key, nil, now)
		}
	}
	clear(c.gone)
}

// publish makes the present state the snapshot.
func (c *Control) publish() {
	if c.open == nil {
		c.director.Settings = c.desired.Settings()
	}
	c.regroup()
	s := &Snapshot{
		Director: c.director, Requests: c.requests, Alarms: c.alarmTable(), Drifts: c.driftTable(), Directory: c.directoryShown(),
		Desired: c.desired, Clusters: c.groupRows.clusters, Members: c.groupRows.members, Hosts: c.groupRows.hosts,
	}
	s.Services = c.serviceRows()
	d := &s.Director
	d.Services, d.Servers, d.ServersUp = uint32(len(s.Services)), c.servers, c.serversUp
	s.Daemons = c.daemonRows()
	c.snapshot.Store(s)
	c.tell()
}

// ordered returns the groups in table order.
func (c *Control) ordered() []*group {
	if c.sorted == nil {
		c.sorted = slices.SortedFunc(maps.Values(c.groups), func(a, b *group) int { return lvs.CompareTexts(a.row.Text, b.row.Text) })
		for i, g := range c.sorted {
			g.at = i
		}
		c.rows = nil
	}
	return c.sorted
}

// show makes a row that of a group.
func (c *Control) show(g *group, row *ServiceRow) {
	g.row = row
	if g.shown {
		g.shown = false
		c.changedRows = append(c.changedRows, g)
	}
}

// serviceRows lists the rows in table order, and counts their servers. A change
// of few among many costs no look at the others.
func (c *Control) serviceRows() []*ServiceRow {
	groups, changed := c.ordered(), c.changedRows
	switch {
	case c.rows == nil:
		c.rows = make([]*ServiceRow, len(groups))
		c.servers, c.serversUp, changed = 0, 0, groups
	case len(changed) > 0:
		c.rows = slices.Clone(c.rows)
	}
	for _, g := range changed {
		if old := c.rows[g.at]; old != nil {
			c.servers -= uint32(len(old.Servers))
			c.serversUp -= old.ServersUp
		}
		c.servers += uint32(len(g.row.Servers))
		c.serversUp += g.row.ServersUp
		c.rows[g.at], g.shown = g.row, true
	}
	clear(c.changedRows)
	c.changedRows = c.changedRows[:0]
	return c.rows
}

// daemonRows lists the sync daemons that are wanted or run.
func (c *Control) daemonRows() []DaemonRow {
	var rows []DaemonRow
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		i := slices.IndexFunc(c.daemons, func(d lvs.Daemon) bool { return d.State == state })
		wanted, ours := c.desired.Daemon(state)
		switch {
		case ours:
			rows = append(rows, DaemonRow{wanted, i >= 0})
		case i >= 0:
			rows = append(rows, DaemonRow{lvs.SyncDaemon{Daemon: c.daemons[i], Status: lvs.Active, Storage: lvs.Other}, true})
		}
	}
	return rows
}

// settleSoon has the store told that a change is final. The loop is woken at
// most once in settleDelay: that costs more than the change.
func (c *Control) settleSoon() {
	if c.settling.CompareAndSwap(false, true) {
		c.final <- struct{}{} // it has room: the loop has taken the last one
	}
}

// settle tells the store that the last change is final, when nothing of it is
// left to be done.
func (c *Control) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.recovering; r != nil && r.unsaved != nil {
		if err := c.save(*r.unsaved); err != nil {
			c.log.Error("cannot take a change back in the store; will try again", "error", err)
			return
		}
		r.unsaved = nil
	}
	if !c.unsettled || c.open != nil || c.recovering != nil || len(c.doomed) > 0 {
		return
	}
	if !c.behind.isEmpty() {
		err := c.save(lvs.Record{Generation: c.director.Generation, ChangedAt: c.director.ChangedAt})
		if err != nil {
			c.log.Error("cannot settle the store; will try again", "error", err)
		}
		c.unsettled = err != nil
		return
	}
	failpoint.Hit("settle.begin")
	if err := c.store.Settle(c.director.Generation, c.director.ChangedAt); err != nil {
		c.log.Error("cannot settle the store; will try again", "error", err)
		return
	}
	c.unsettled = false
	failpoint.Hit("settle.end")
}
