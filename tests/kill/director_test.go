package kill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
)

// promise says which states a director may be found in after a crash.
type promise struct{ before, after bool }

var (
	nothing = promise{before: true}
	either  = promise{before: true, after: true}
	all     = promise{after: true}
)

// world is what outlives a director: its kernel and its store.
type world struct {
	t             *testing.T
	policy        lvs.DriftPolicy
	kernel        *memory.Kernel
	path          string // of the store
	before, after *lvs.Config
	generation    uint64
	counters      map[string]uint64
	foreign       string
	promise       promise
	lenient       bool // a change that was taken back at a start may have counted
	trace         trace
}

// newWorld returns a world in which a director made before(), and somebody
// else a service; both have had traffic.
func newWorld(t *testing.T, policy lvs.DriftPolicy, change lvs.Change) *world {
	w := &world{t: t, policy: policy, kernel: memory.New(memory.Options{}), path: filepath.Join(folder(t), "store.db")}
	old := before()
	var err error
	if w.before, err = new(lvs.Config).Apply(&old); err != nil {
		t.Fatal(err)
	}
	if w.after, err = w.before.Apply(&change); err != nil {
		t.Fatal(err)
	}
	for _, op := range []lvs.Op{
		{Do: lvs.AddService, Service: new(service(foreign).ServiceSpec)},
		{Do: lvs.AddServer, Service: new(service(foreign).ServiceSpec), Server: new(server(foreign, "10.0.0.11:80", 1).Server.ServerSpec)},
	} {
		if err := w.kernel.Apply(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	d := w.boot(fate{})
	tx, err := d.Prepare(before())
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	tx.Done()
	w.kernel.SetTraffic(lvs.ServiceKey{}, memory.Traffic{Connections: 100, Duration: time.Second, InPackets: 1})
	w.kernel.Advance(4 * time.Second)
	w.kernel.SetTraffic(lvs.ServiceKey{}, memory.Traffic{})
	d.await()
	w.generation = d.Snapshot().Director.Generation
	d.end()
	a := w.read()
	w.counters = counters(a)
	_, w.foreign = held(a)
	w.promise = nothing
	return w
}

// folder returns where stores live: in memory if possible, because what happens
// to a disk is not the matter here.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "lcms")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (w *world) read() *lvs.Actual {
	for {
		if a, err := w.kernel.Read(context.Background()); err == nil {
			return a
		} // else it was told to fail
	}
}

// fate says what happens to a director.
type fate struct {
	cutAt    int // step before which it dies, from 1; 0 = never
	refuseAt int // operation that the kernel refuses, from 1; 0 = none
	refusal  error
	stubborn bool // it is refused again and again
	failAt   int  // write to the store that fails, from 1; 0 = none
}

// director is a Control that runs in a world.
type director struct {
	*control.Control
	*power
	w      *world
	cancel context.CancelFunc
	over   chan struct{}
	store  *localstore.Store

	failing bool // its store may fail
}

// fickle is a kernel that refuses one operation, once or whenever it comes.
type fickle struct {
	control.Kernel
	left     int
	refusal  error
	stubborn bool
	refused  string
}

func (k *fickle) Apply(ctx context.Context, op lvs.Op) error {
	if k.left--; k.left == 0 || k.stubborn && op.String() == k.refused {
		k.refused = op.String()
		return fmt.Errorf("%w: %s", k.refusal, op)
	}
	return k.Kernel.Apply(ctx, op)
}

// full is a store that fails once.
type full struct {
	control.Store
	left int
}

var errFull = errors.New("no space left on device")

func (s *full) Save(r lvs.Record) error {
	if s.left--; s.left == 0 {
		return errFull
	}
	return s.Store.Save(r)
}

func (s *full) Settle(generation uint64, changedAt time.Time) error {
	if s.left--; s.left == 0 {
		return errFull
	}
	return s.Store.Settle(generation, changedAt)
}

// boot starts a director, and returns when it is ready or dead.
func (w *world) boot(f fate) *director {
	file, err := localstore.Open(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	d := &director{w: w, power: &power{cutAt: f.cutAt, trace: &w.trace}, over: make(chan struct{}), store: file, failing: f.failAt > 0}
	d.Control = control.New(control.Options{
		Kernel: kernel{&fickle{Kernel: w.kernel, left: f.refuseAt, refusal: f.refusal, stubborn: f.stubborn}, d.power},
		Store:  store{&full{file, f.failAt}, d.power}, Log: slog.New(slog.NewTextHandler(&w.trace, &slog.HandlerOptions{Level: slog.LevelWarn})), Drift: w.policy,
	})
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() {
		defer close(d.over)
		if err := d.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	select {
	case <-d.Ready():
	case <-d.over:
	}
	return d
}

// await lets everything settle that has to be tried again.
func (d *director) await() {
	time.Sleep(20 * time.Second)
	synctest.Wait()
}

// end kills the director.
func (d *director) end() {
	d.cut()
	d.cancel()
	<-d.over
	if err := d.store.Close(); err != nil {
		d.w.t.Error(err)
	}
}

// play lets a manager talk to the director, to the end or until the power is
// cut.
func (d *director) play(s script, change lvs.Change) {
	if d.isOff() {
		return
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		s(d, change)
	}()
	<-over
}

// promise notes what the manager may take for granted from now on, unless the
// director is dead.
func (d *director) promise(p promise) {
	if !d.isOff() {
		d.w.promise = p
	}
}

// script is what a manager does.
type script func(*director, lvs.Change)

// accepted is a SET that everybody accepts.
func accepted(d *director, change lvs.Change) {
	tx, err := d.Prepare(change)
	if err != nil {
		d.w.t.Error(err)
		return
	}
	d.promise(either)
	if err := tx.Commit(); err != nil {
		d.promise(nothing)
		_ = tx.Undo()
		d.await()
		return
	}
	d.promise(all)
	tx.Done()
	d.await()
}

// undone is a SET that somebody else refuses in the second phase.
func undone(d *director, change lvs.Change) {
	tx, err := d.Prepare(change)
	if err != nil {
		d.w.t.Error(err)
		return
	}
	d.promise(either)
	if tx.Commit() != nil || tx.Undo() == nil {
		d.promise(nothing)
	}
	d.await()
	d.promise(nothing)
}

// abandoned is a SET that the master forgets.
func abandoned(d *director, change lvs.Change) {
	tx, err := d.Prepare(change)
	if err != nil {
		d.w.t.Error(err)
		return
	}
	d.promise(either)
	_ = tx.Commit()
	time.Sleep(40 * time.Second) // it is taken back after 30 s
	synctest.Wait()
	d.promise(nothing)
}

// check says what is wrong with the world, with the director d that has had
// its time.
func (w *world) check(d *director) error {
	stored, err := d.store.Load()
	if err != nil {
		return err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if stored.Journal != nil {
		fault("the store keeps a journal: %+v", *stored.Journal)
	}
	desired, err := new(lvs.Config).Apply(&stored.Rows)
	if err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	generation := w.generation
	switch described(desired) {
	case described(w.before):
		if !w.promise.before {
			fault("the change was accepted, and is lost")
		}
	case described(w.after):
		generation++
		if !w.promise.after {
			fault("the change was refused, and is made")
		}
	default:
		fault("the store holds a part of the change:\n%s", contrast(described(w.before), described(desired)))
	}
	if w.lenient && stored.Generation == generation+1 {
		generation++
	}
	if stored.Generation != generation || d.Snapshot().Director.Generation != generation {
		fault("the generation is %d, and %d in the store, want %d", d.Snapshot().Director.Generation, stored.Generation, generation)
	}
	a := w.read()
	ours, others := held(a)
	if ours != wanted(desired) {
		fault("the kernel does not hold what the store says:\n%s", contrast(wanted(desired), ours))
	}
	if others != w.foreign {
		fault("what belongs to others is\n%s\nand was\n%s", others, w.foreign)
	}
	now := counters(a)
	for s, servers := range desired.Services {
		if around := desired.Circumstances(s); !lvs.Wanted(s, &around) {
			continue
		}
		for _, d := range servers {
			name := s.Key.String() + " " + d.Key.String()
			if was, ok := w.counters[name]; ok && now[name] != was {
				fault("%s has counted %d connections, and before %d", name, now[name], was)
			}
		}
	}
	if err := shown(d.Snapshot(), desired); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// shown checks that a snapshot shows a desired state, all of it well.
func shown(s *control.Snapshot, desired *lvs.Config) error {
	seen := new(lvs.Change)
	for _, row := range s.Services {
		if row.External {
			if row.Service.Key != serviceKey(foreign) {
				return fmt.Errorf("%s is shown as somebody else's", row.Text)
			}
			continue
		}
		seen.PutServices = append(seen.PutServices, row.Service)
		for _, r := range row.Servers {
			if r.External || r.Oper.Status == control.OperFailed || r.LastError != "" {
				return fmt.Errorf("%s of %s is shown with state %d (%s), external %t, error %q", r.Text, row.Text, r.Oper.Status, r.Reason, r.External, r.LastError)
			}
			seen.PutServers = append(seen.PutServers, lvs.ServerAt{Service: row.Service.Key, Server: *r.Server})
		}
	}
	for _, d := range s.Daemons {
		if d.Storage == lvs.Other || !d.Running {
			return fmt.Errorf("sync daemon %s is shown as running %t with storage %s", d.State, d.Running, d.Storage)
		}
		seen.PutDaemons = append(seen.PutDaemons, d.SyncDaemon)
	}
	timeouts := desired.Timeouts()
	seen.Timeouts = &timeouts
	config, err := new(lvs.Config).Apply(seen)
	switch {
	case err != nil:
		return err
	case described(config) != described(desired):
		return fmt.Errorf("what is shown is not what is stored:\n%s", contrast(described(desired), described(config)))
	case len(s.Drifts) > 0:
		return fmt.Errorf("%d drifts are listed: %s where %s should be", len(s.Drifts), s.Drifts[0].Actual, s.Drifts[0].Desired)
	}
	return nil
}

// contrast lists the lines that two texts do not share.
func contrast(want, got string) string {
	count := make(map[string]int)
	for line := range strings.Lines(want + "\n") {
		count["- "+line]++
	}
	for line := range strings.Lines(got + "\n") {
		if count["- "+line] > 0 {
			count["- "+line]--
		} else {
			count["+ "+line]++
		}
	}
	var out []string
	for _, line := range slices.Sorted(maps.Keys(count)) {
		if count[line] > 0 {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}
