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

// Transaction is one change on its way. Its methods may be called again; what
// has been done is not done twice.
type Transaction struct {
	c        *Control
	change   lvs.Change
	keys     []lvs.ServiceKey // services it touches
	before   *lvs.Config
	next     *lvs.Config
	journal  lvs.Journal
	began    time.Time
	phase    phase
	saved    bool                    // the store has the change
	applied  []lvs.Op                // done to the kernel
	deletes  []lvs.Op                // to be done when the change is final
	failure  error                   // of Commit
	accepted bool                    // by Done
	parts    []part                  // by position in keys
	directed bool                    // the directory has been told what it is asked for
	claimed  map[lvs.ServiceKey]bool // keys, made when it is asked for
	blind    bool                    // the kernel was lost meanwhile: what was known of its services is not true any more

	shared  *lvs.Change // what the directory is to take, nil for nothing
	had     *lvs.Config // what it has before
	kept    *lvs.Config // what it has then
	written bool        // it has
	over    overlay     // what lies over that
	lay     overlay     // what did before
}

// part is what the change is about in one service.
type part struct {
	around lvs.Circumstances // of what it makes of the service
	only   []lvs.ServerKey   // servers, each once, in their order; nil of a service that is deleted
}

// kernelTimeout is after how long no operation of a phase is begun any more. The
// kernel may have to load the module of a scheduler first: on a slow machine that
// takes seconds.
const kernelTimeout = 15 * time.Second

// phase is how far a Transaction has come.
type phase uint8

const (
	prepared phase = iota
	writing        // in the directory, with the lock given back
	committed
	ended
)

// Prepare checks a change as a whole without touching anything. Its error is a
// *lvs.Refusal that names the object at fault; ErrUnavailable when the kernel
// does not answer or another change is under way. The Transaction must be
// ended by Done or Undo.
func (c *Control) Prepare(change lvs.Change) (*Transaction, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.prepare(change)
}

// prepare is Prepare for those who have the lock.
func (c *Control) prepare(change lvs.Change) (*Transaction, error) {
	c.expireLocked()
	if c.passive && change.Configures() {
		return nil, &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "this director only observes: set directory.mode to sync to have it change anything"}
	}
	if c.open != nil {
		return nil, &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "another change is being made: try again"}
	}
	if change.Configures() && c.director.Kernel != KernelOK {
		return nil, &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "the kernel cannot be changed now: " + orText(c.director.KernelError, "it has not answered yet")}
	}
	if change.Configures() && c.recovering.blocks() {
		return nil, &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "a change that was interrupted is being finished or taken back: try again"}
	}
	if change.Lock != nil && *change.Lock != nextLock(c.director.Lock) {
		return nil, &lvs.Refusal{Kind: lvs.ErrConflict, Field: "Lock", Reason: "somebody changed the configuration since you read the lock: read it again"}
	}
	if refusal := c.desired.Outdated(&change); refusal != nil {
		return nil, refusal
	}
	if err := c.expand(&change); err != nil {
		return nil, err
	}
	next, err := c.desired.Apply(&change)
	if err != nil {
		return nil, err
	}
	if err := c.checkMoment(&change, next); err != nil {
		return nil, err
	}
	for i := range change.PutServices {
		if err := c.checkModules(&change.PutServices[i]); err != nil {
			return nil, err
		}
	}
	t := &Transaction{c: c, change: change, keys: next.Touched(&change, c.desired), before: c.desired, next: next, began: time.Now()}
	if err := t.route(); err != nil {
		return nil, err
	}
	c.open = t
	failpoint.Hit("prepare.end")
	return t, nil
}

// expand completes a change that adopts services with what the kernel holds of
// them at this moment: an older reading would undo what somebody did since.
func (c *Control) expand(change *lvs.Change) error {
	held := func(key lvs.ServiceKey) *lvs.ActualService {
		if g := c.groups[key]; g != nil {
			return g.row.held()
		}
		return nil
	}
	if len(change.Adopt) == 0 {
		return nil
	}
	seen := make(map[lvs.ServiceKey]*lvs.ActualService)
	for _, key := range change.Adopt {
		seen[key] = held(key)
	}
	ctx, cancel := context.WithTimeout(context.Background(), kernelTimeout)
	defer cancel()
	began := c.begin()
	actual, err := c.kernel.Read(ctx)
	if err != nil {
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "the kernel cannot be read: " + err.Error()}
	}
	c.merge(actual, began)
	for key, old := range seen {
		if now := held(key); old != nil && now != nil && now.ServiceSpec != old.ServiceSpec {
			return &lvs.Refusal{Kind: lvs.ErrConflict, Service: key, Reason: "somebody changed it just now: look at it again"}
		}
	}
	return change.Expand(held)
}

func nextLock(lock int32) int32 { return int32((int64(lock) + 1) % (1 << 31)) }

func orText(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// checkModules refuses a scheduler or persistence engine that the kernel
// cannot have, where the service did not have it before.
func (c *Control) checkModules(s *lvs.Service) error {
	old, _ := c.desired.Service(s.Key)
	if s.Scheduler != old.Scheduler {
		if err := c.kernel.Supports(s.Scheduler, ""); err != nil {
			return &lvs.Refusal{Kind: lvs.ErrInvalid, Service: s.Key, Field: "Scheduler", Value: true, Reason: err.Error()}
		}
	}
	if s.PersistenceEngine != old.PersistenceEngine && s.PersistenceEngine != "" {
		if err := c.kernel.Supports(s.Scheduler, s.PersistenceEngine); err != nil {
			return &lvs.Refusal{Kind: lvs.ErrInvalid, Service: s.Key, Field: "PersistenceEngine", Value: true, Reason: err.Error()}
		}
	}
	return nil
}

// Commit makes the change: in the directory, if there is one, then in the store,
// then in the kernel. When it fails, all are as they were before, or will be as
// soon as the directory tells what it has, and the transaction has ended. Deletes from
// the kernel wait for Done; until then such servers have weight 0.
func (t *Transaction) Commit() error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.commit()
}

func (t *Transaction) commit() error {
	if t.phase != prepared {
		return t.failure
	}
	if err := t.writeThrough(); err != nil {
		t.end()
		t.failure = err
		t.c.showDoubts()
		return err
	}
	plan := t.plan()
	t.deletes = plan.Deletes
	t.journal = t.makeJournal(plan.Ops)
	failpoint.Hit("commit.begin")
	if err := t.save(); err != nil {
		t.failure = fmt.Errorf("store: %w; the change was not made", err)
		if undo := t.compensate(); undo != nil {
			t.failure = fmt.Errorf("%w; %w", t.failure, undo)
		}
		t.end()
		t.c.showDoubts()
		return t.failure
	}
	failpoint.Hit("commit.stored")
	t.phase = committed
	ctx, cancel := context.WithTimeout(context.Background(), kernelTimeout)
	defer cancel()
	for i, op := range plan.Ops {
		if err := t.c.apply(ctx, op); err != nil {
			t.failure = fmt.Errorf("kernel: %s: %w", op, err)
			if op.Do == lvs.AddService && errors.Is(err, lvs.ErrUnavailable) { // it may be there after all
				t.c.doom(lvs.ServerID{Service: op.Service.Key})
			}
			if undo := t.revert(); undo != nil {
				t.c.log.Error("a change failed and could not be taken back at once; the kernel will be mended", "change", t.failure, "error", undo)
				if t.written {
					t.failure = fmt.Errorf("%w; %w", t.failure, undo)
				}
			}
			return t.failure
		}
		t.applied = plan.Ops[:i+1]
		failpoint.Hit("commit.operation")
	}
	t.c.desired = t.next
	t.c.have(t.kept, t.over)
	failpoint.Hit("commit.end")
	return nil
}

// busy reports whether a service is part of a change that is being made, which
// alone decides of it.
func (c *Control) busy(key lvs.ServiceKey) bool {
	t := c.open
	if t == nil || t.phase == prepared {
		return false
	}
	if t.claimed == nil {
		t.claimed = make(map[lvs.ServiceKey]bool, len(t.keys))
		for _, k := range t.keys {
			t.claimed[k] = true
		}
	}
	return t.claimed[key]
}

// plan works out the operations, for each touched service only on the rows
// that the change is about: what somebody else put there stays.
func (t *Transaction) plan() lvs.Plan {
	plan := lvs.Plan{Ops: make([]lvs.Op, 0, len(t.change.PutServices)+len(t.change.PutServers)+len(t.change.DeleteServers))}
	starts := t.planDaemons(&plan)
	t.parts = make([]part, len(t.keys))
	onlyReported := t.onlyReported()
	next, before := t.next.Cursor(), t.before.Cursor()
	for i, key := range t.keys {
		var row *ServiceRow
		g := t.c.groups[key]
		if g != nil {
			row = g.row
		}
		service := next.Service(key)
		if service == nil {
			plan.Diff(lvs.Target{}, row.held().Target())
			continue
		}
		servers, only := next.Servers(key), t.serversOf(key)
		around := t.hear(service, servers, g)
		t.parts[i] = part{around, only}
		if onlyReported[key] {
			t.c.steer(&plan, row, service, servers, &around)
			continue
		}
		if old := before.Service(key); old != nil && *old == *service && row != nil && around.Same(&row.around) {
			servers = next.ServersNamed(key, only)
		} else {
			only = slices.Clip(only) // the part keeps its own
			for _, s := range before.Servers(key) {
				only = append(only, s.Key)
			}
			for _, s := range servers {
				only = append(only, s.Key)
			}
			slices.SortFunc(only, lvs.ServerKey.Compare)
			only = slices.Compact(only)
		}
		held := row.target(only)
		if t.c.doomed[lvs.ServerID{Service: key}] != nil { // a delete that failed left its servers
			servers, held = next.Servers(key), row.held().Target()
		}
		plan.Diff(lvs.Effective(service, servers, &around), held)
	}
	if len(starts) > 0 {
		plan.Deletes = slices.DeleteFunc(plan.Deletes, func(op lvs.Op) bool {
			now := op.Do == lvs.DeleteServer && op.Server.Key.Family() != op.Service.Key.Family()
			if now {
				plan.Ops = append(plan.Ops, op)
			}
			return now
		})
		plan.Ops = append(plan.Ops, starts...)
	}
	if t.change.Timeouts != nil {
		plan.Ops = append(plan.Ops, lvs.DiffTimeouts(t.next.Timeouts(), t.c.director.Timeouts)...)
	}
	return plan
}

// planDaemons plans which sync daemons stop, and returns those that start. The
// kernel runs none beside servers of the other IP version (ip_vs_add_dest and
// start_sync_thread in net/netfilter/ipvs): such a server comes after the stop, and
// goes before the start.
func (t *Transaction) planDaemons(plan *lvs.Plan) (starts []lvs.Op) {
	for _, state := range t.change.DeleteDaemons {
		if i := slices.IndexFunc(t.c.daemons, func(d lvs.Daemon) bool { return d.State == state }); i >= 0 {
			plan.Ops = append(plan.Ops, lvs.Op{Do: lvs.StopDaemon, Daemon: &t.c.daemons[i]})
		}
	}
	if len(t.change.PutDaemons) == 0 {
		return nil
	}
	for _, op := range lvs.DiffDaemons(t.next, t.c.daemons) {
		if op.Do == lvs.StartDaemon {
			starts = append(starts, op)
		} else {
			plan.Ops = append(plan.Ops, op)
		}
	}
	return starts
}

// onlyReported returns the services of which the change configures nothing.
func (t *Transaction) onlyReported() map[lvs.ServiceKey]bool {
	if len(t.change.Reports) == 0 {
		return nil
	}
	reported := make(map[lvs.ServiceKey]bool, len(t.keys))
	for _, key := range t.keys {
		reported[key] = true
	}
	rest := t.change
	rest.Reports = nil
	for _, key := range t.next.Touched(&rest, t.before) {
		delete(reported, key)
	}
	return reported
}

// serversOf returns the servers of a service that the change is about, each once,
// in the order of their keys.
func (t *Transaction) serversOf(key lvs.ServiceKey) []lvs.ServerKey {
	keys := make([]lvs.ServerKey, 0, min(len(t.change.PutServers)+len(t.change.DeleteServers)+len(t.change.Reports), 16)) // not nil, see settleAround
	for i := range t.change.PutServers {
		if t.change.PutServers[i].Service == key {
			keys = append(keys, t.change.PutServers[i].Server.Key)
		}
	}
	for _, id := range t.change.DeleteServers {
		if id.Service == key {
			keys = append(keys, id.Server)
		}
	}
	for i := range t.change.Reports {
		if r := &t.change.Reports[i]; r.Service == key {
			keys = append(keys, r.Server)
		}
	}
	slices.SortFunc(keys, lvs.ServerKey.Compare)
	return slices.Compact(keys)
}

// save puts the kept part of the change into the store, with what is needed to
// finish it or take it back after a crash.
func (t *Transaction) save() error {
	durable := t.durable()
	over := t.over.difference(t.lay)
	if !t.change.Configures() || durable.IsEmpty() && len(t.deletes) == 0 && over.IsEmpty() {
		return nil
	}
	t.journal.Inverse = t.inverse()
	t.c.recovering.carry(&t.journal, t.before)
	if err := t.c.save(lvs.Record{
		Change:     durable,
		Overlay:    over,
		Journal:    t.journal,
		Generation: t.c.director.Generation + 1,
		ChangedAt:  t.c.now(),
	}); err != nil {
		return err
	}
	t.saved, t.c.unsettled = true, true
	return nil
}

// makeJournal notes what is needed to finish the change, or to take it back;
// save adds the inverse of what is kept.
func (t *Transaction) makeJournal(ops []lvs.Op) lvs.Journal {
	j := lvs.Journal{Doomed: append(t.c.doomedIDs(), doomedBy(t.deletes)...)}
	for _, op := range ops {
		if op.Do == lvs.AddService {
			j.Added = append(j.Added, op.Service.Key)
		}
	}
	if len(t.change.PutDaemons)+len(t.change.DeleteDaemons) > 0 {
		j.Daemons = slices.Clone(t.c.daemons)
	}
	if t.change.Timeouts != nil {
		j.Timeouts = t.c.director.Timeouts
	}
	return j
}

// durable returns what the store is to take.
func (t *Transaction) durable() lvs.Change {
	if t.c.directory == nil {
		return t.change.Durable(t.before)
	}
	var durable lvs.Change
	if t.shared != nil {
		durable = *t.shared
	}
	durable.Settings = t.change.Settings
	return durable
}

// inverse returns what takes back what the store took.
func (t *Transaction) inverse() lvs.Change {
	if t.c.directory == nil {
		inverse := t.change.Inverse(t.before)
		return inverse.Durable(t.next)
	}
	var inverse lvs.Change
	if t.shared != nil {
		inverse = t.shared.Inverse(t.had)
		inverse = inverse.Durable(t.kept)
	}
	if t.change.Settings != nil {
		settings := t.before.Settings()
		inverse.Settings = &settings
	}
	return inverse
}

func doomedBy(deletes []lvs.Op) []lvs.ServerID {
	ids := make([]lvs.ServerID, len(deletes))
	for i, op := range deletes {
		ids[i] = op.ID()
	}
	return ids
}

// doom has something deleted from the kernel.
func (c *Control) doom(id lvs.ServerID) {
	if c.doomed[id] == nil {
		c.doomed[id] = new(backoff)
	}
}

func (c *Control) doomedIDs() []lvs.ServerID {
	ids := make([]lvs.ServerID, 0, len(c.doomed))
	for id := range c.doomed {
		ids = append(ids, id)
	}
	return ids
}

// Undo takes back what Commit did. An error means that the kernel or the store
// could not be brought back at once; the kernel will be mended.
func (t *Transaction) Undo() error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	switch t.phase {
	case prepared:
		t.end()
		return nil
	case committed:
		return t.revert()
	case writing:
		return fmt.Errorf("%w: the directory is still being written", lvs.ErrUnavailable)
	}
	return nil
}

// revert takes back what the directory took, the operations in reverse, then the
// store, and ends the transaction. Where the directory keeps the change, nothing
// is taken back.
func (t *Transaction) revert() error {
	failpoint.Hit("undo.begin")
	if err := t.compensate(); err != nil {
		return t.concede(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), kernelTimeout)
	defer cancel()
	var errs []error
	var unsaved *lvs.Record
	for _, op := range slices.Backward(t.applied) {
		inverse := op.Inverse()
		if err := t.c.apply(ctx, inverse); err != nil {
			errs = append(errs, fmt.Errorf("kernel: %s: %w", inverse, err))
			if inverse.Do == lvs.DeleteService {
				t.c.doom(lvs.ServerID{Service: inverse.Service.Key})
			}
		} else {
			t.c.afterSetting(&inverse)
		}
		failpoint.Hit("undo.operation")
	}
	journal := lvs.Journal{Doomed: t.c.doomedIDs()}
	doubt := errors.Is(t.failure, lvs.ErrUnavailable) // it may have been done after all
	if len(errs) > 0 || doubt || t.c.recovering != nil {
		journal = t.journal
		journal.Doomed, journal.Undone = t.c.doomedIDs(), true
	}
	if t.saved {
		record := lvs.Record{Change: t.inverse(), Overlay: t.lay.difference(t.over), Journal: journal, Generation: t.c.director.Generation, ChangedAt: t.c.director.ChangedAt}
		if err := t.c.save(record); err != nil {
			errs = append(errs, fmt.Errorf("store: %w", err))
			unsaved = &record
		}
	}
	failpoint.Hit("undo.stored")
	t.c.desired = t.before
	t.c.have(t.had, t.lay)
	t.end()
	now := t.c.now()
	for _, key := range t.keys {
		t.c.renew(key, now)
		t.c.touch(key)
	}
	if journal.Undone || unsaved != nil {
		journal.Inverse, journal.Undone = t.change.Inverse(t.before), true // with what is not kept
		t.c.recovering.carry(&journal, t.before)
		r := newRecovery(journal, t.before)
		r.unsaved, r.since = unsaved, t.c.ops
		r.join(t.c.recovering)
		t.c.recovering = r
	}
	t.c.publish()
	return errors.Join(errs...)
}

// Done makes the change final: it does the deletes and publishes. Without a
// Commit it only ends the transaction.
func (t *Transaction) Done() { t.Finish(nil) }

// GivenUp returns why the change was taken back without being asked; nil if it was
// not.
func (t *Transaction) GivenUp() error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.failure
}

// Finish is Done that records what became of the requests: what it made and its
// record are published together. Index, Time, Outcome and Reason are filled in;
// the requests must not be used any more.
func (t *Transaction) Finish(requests []Request) {
	t.complete(requests)
	t.direct()
}

// complete is done for those who do not have the lock, which is given back
// whatever happens in the kernel and the store.
func (t *Transaction) complete(requests []Request) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.done(requests)
}

func (t *Transaction) done(requests []Request) {
	c := t.c
	switch t.phase {
	case committed:
	case writing:
		return
	default:
		t.end()
		if len(requests) > 0 {
			reason := "not done: somebody else refused another part of the same request"
			if t.failure != nil {
				reason = t.failure.Error()
			}
			for i := range requests {
				requests[i].Outcome, requests[i].Reason = Undone, reason
			}
			c.record(requests...)
			c.publish()
		}
		return
	}
	failpoint.Hit("done.begin")
	t.delete()
	t.end()
	t.accepted = true
	c.recovering.release(&t.change)
	now := c.now()
	t.note(now)
	if t.change.Configures() {
		c.changed(&t.change, t.before, t.next)
		c.director.Generation++
		c.director.ChangedAt = now
		c.unsettled = true
	}
	if t.change.Lock != nil {
		c.director.Lock = *t.change.Lock
	}
	if len(t.change.Reports) > 0 {
		c.watchMonitor(now)
		c.wakeUp()
	}
	c.regroup() // with the hosts that the change has made
	c.report(t.change.HostReports, now)
	for i := range requests {
		requests[i].Outcome = Accepted
	}
	c.record(requests...)
	c.publish()
	if t.saved {
		c.settleSoon()
	}
	failpoint.Hit("done.end")
}

// delete deletes from the kernel what the change has deleted.
func (t *Transaction) delete() {
	if len(t.deletes) == 0 {
		return
	}
	c := t.c
	ctx, cancel := context.WithTimeout(context.Background(), kernelTimeout)
	defer cancel()
	for _, op := range t.deletes {
		if err := c.apply(ctx, op); err != nil && !errors.Is(err, lvs.ErrNotFound) {
			retry := new(backoff)
			retry.fail(c.now())
			c.doomed[op.ID()] = retry
			c.log.Error("cannot delete from the kernel; will try again", "operation", op.String(), "error", err)
			continue
		}
		t.applied = append(t.applied, op)
		failpoint.Hit("done.delete")
	}
}

// perform makes a change of our own, whole or not at all.
func (c *Control) perform(change lvs.Change) error {
	t, err := c.prepare(change)
	if err != nil {
		return err
	}
	if err := t.commit(); err != nil {
		return err
	}
	t.done(nil)
	return nil
}

// note brings the rows and settings to what the kernel holds after the change.
func (t *Transaction) note(now time.Time) {
	c := t.c
	held := make(map[lvs.ServiceKey]*lvs.ActualService)
	for i, key := range t.keys {
		if g := c.groups[key]; g != nil && (t.blind || !t.patch(g, key, &t.parts[i], now)) {
			held[key] = g.row.held()
		}
	}
	applied := t.applied
	if t.blind {
		applied = nil // the next reading tells
	}
	for i := range applied {
		op := &applied[i]
		key := op.ID().Service
		if _, ok := held[key]; ok || c.groups[key] == nil {
			held[key] = after(held[key], *op)
		}
		c.afterSetting(op)
	}
	for i, key := range t.keys {
		if actual, ok := held[key]; ok || c.groups[key] == nil {
			p := &t.parts[i]
			isNew := c.groups[key] == nil
			if !isNew {
				t.settleAround(key, p)
			}
			c.update(key, actual, now)
			if isNew && c.groups[key] != nil && len(p.around.Conditions) > 0 {
				t.settleAround(key, p)
				c.update(key, actual, now)
			}
		}
		c.touch(key)
	}
}

// settleAround notes what was told of the servers of a service.
func (t *Transaction) settleAround(key lvs.ServiceKey, p *part) {
	if p.only != nil {
		t.c.groups[key].around = p.around
	}
}

// patch is the short way of note for a change that only edits servers that are
// there: it replaces these rows and leaves all others. It reports whether it
// could.
func (t *Transaction) patch(g *group, key lvs.ServiceKey, p *part, now time.Time) bool {
	before, next := t.before.Cursor(), t.next.Cursor()
	was, service := before.Service(key), next.Service(key)
	if was == nil || service == nil || *was != *service || !p.around.Same(&g.row.around) || g.row.External || len(before.Servers(key)) != len(next.Servers(key)) {
		return false
	}
	var edits []*lvs.ServerSpec // in the order of their keys
	for i := range t.applied {
		op := &t.applied[i]
		if op.ID().Service != key {
			continue
		}
		if op.Do != lvs.EditServer {
			return false
		}
		edits = append(edits, op.Server)
	}
	// What was told of servers changes with time what the kernel should hold of all.
	others := g.drift || len(g.row.around.Conditions)+len(p.around.Conditions) > 0
	row := *g.row
	row.around, row.astray = p.around, false
	row.Servers = slices.Clone(g.row.Servers)
	likely := 0
	for _, k := range p.only {
		i, ok := row.find(likely, k)
		likely = i + 1
		server := next.Server(key, k)
		if !ok || server == nil || row.Servers[i].External {
			return false
		}
		old := row.Servers[i]
		state := *old.ServerState
		if *state.Server != *server {
			state.Server, state.LastChange = server, momentOf(now)
		}
		actual := old.Actual
		if len(edits) > 0 && edits[0].Key == k {
			changed := *old.Actual
			changed.ServerSpec = *edits[0]
			actual, edits = &changed, edits[1:]
		}
		row.Servers[i] = nextServer(&row, &state, old, actual, now)
	}
	if len(edits) > 0 {
		return false
	}
	row.ServersUp, row.ActiveConnections, row.InactiveConnections, row.PersistentConnections = 0, 0, 0, 0
	finish(&row, g.row, now)
	row.astray = row.astray || others && slices.ContainsFunc(row.Servers, row.goesAstray)
	g.drift = row.drifted()
	t.c.stale(g.row, &row)
	shown := g.row
	g.wanted, g.around = next.Servers(key), p.around
	g.settled = false
	t.c.show(g, &row)
	t.c.annotate(g, key)
	t.c.compare(key, shown, g.row, now)
	return true
}

// end frees the way for the next change.
func (t *Transaction) end() {
	t.phase = ended
	if t.c.open == t {
		t.c.open = nil
	}
	if t.c.passed {
		t.c.passed = false
		t.c.wakeUp()
	}
}

// expire takes back a change that was left between its phases.
func (c *Control) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
}

func (c *Control) expireLocked() {
	t := c.open
	if t == nil || t.phase == writing || time.Since(t.began) < c.abandoned {
		return
	}
	c.log.Warn("a change was left without an answer; taking it back", "after", c.abandoned)
	if t.phase == committed {
		if err := t.revert(); err != nil {
			c.log.Error("it could not be taken back at once; the kernel will be mended", "error", err)
		}
	} else {
		t.end()
	}
	t.failure = fmt.Errorf("%w: the change was given up after %s without an answer", lvs.ErrUnavailable, c.abandoned)
}
