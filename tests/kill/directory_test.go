package kill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/control/controltest"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
)

// act is one thing that happens to a director with a directory.
type act struct {
	what   string
	change lvs.Change
	undo   bool // a SET is taken back after Commit
	err    error
	cutAt  int // step at which the next director dies, 0 = never
	lost   bool
}

func (a act) String() string {
	return fmt.Sprintf("%s %+v undo %t, error %v, cut at %d, lost %t", a.what, a.change, a.undo, a.err, a.cutAt, a.lost)
}

var acts = []string{"set", "set", "set", "set", "override", "edit", "follow", "follow", "follow", "away", "back", "back", "fate", "kernel", "reboot", "pass"}

// drawAct draws what happens. Every SET writes a threshold that nobody else
// writes, by which it is known again.
func drawAct(rt *rapid.T, n int) act {
	a := act{what: rapid.SampledFrom(acts).Draw(rt, "what")}
	services := []string{edited, grown, added}
	at := func() string { return rapid.SampledFrom(services).Draw(rt, "service") }
	one := func(at string) lvs.ServerAt {
		port := map[string]string{edited: ":80", grown: ":53", added: ":0"}[at]
		return server(at, fmt.Sprintf("10.0.0.%d%s", rapid.IntRange(11, 13).Draw(rt, "server"), port), 1)
	}
	switch a.what {
	case "set", "edit":
		s := one(at())
		s.Server.UpperThreshold = uint32(1000 + n)
		a.change = lvs.Change{Source: lvs.SourceSNMP, PutServices: []lvs.Service{lvs.NewService(s.Service)}, PutServers: []lvs.ServerAt{s}}
		a.change.PutServices[0].Scheduler = rapid.SampledFrom([]string{"rr", "wlc"}).Draw(rt, "scheduler")
		if gone := at(); gone != s.Service.String() && rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
			a.change.DeleteServices = []lvs.ServiceKey{serviceKey(gone)}
		}
		if other := one(s.Service.String()); other.Server.Key != s.Server.Key && rapid.Bool().Draw(rt, "delete a server") {
			a.change.DeleteServers = []lvs.ServerID{{Service: other.Service, Server: other.Server.Key}}
		}
		if rapid.IntRange(0, 3).Draw(rt, "timeouts") == 0 {
			a.change.Timeouts = &lvs.Timeouts{TCP: uint32(1000 + n)}
		}
		a.undo = rapid.IntRange(0, 4).Draw(rt, "undo") == 0
	case "override":
		a.change = lvs.Change{PutServers: []lvs.ServerAt{one(at())}}
		a.change.PutServers[0].Server.Weight = uint32(n)
	case "fate":
		a.err = rapid.SampledFrom([]error{
			fmt.Errorf("%w: %w", lvs.ErrUnavailable, lvs.ErrOutcomeUnknown), fmt.Errorf("%w: stale", lvs.ErrConflict), fmt.Errorf("%w: not now", lvs.ErrUnavailable),
		}).Draw(rt, "fate")
		a.lost = rapid.Bool().Draw(rt, "lost")
	case "kernel":
		a.err = rapid.SampledFrom(refusals).Draw(rt, "refusal")
	case "reboot":
		a.cutAt = rapid.IntRange(0, 60).Draw(rt, "cut at")
		a.lost = rapid.IntRange(0, 3).Draw(rt, "machine") == 0
	}
	return a
}

// bound is a world in which a director follows a directory.
type bound struct {
	t       *testing.T
	kernel  *memory.Kernel
	path    string
	book    *controltest.Directory
	queue   bool
	policy  lvs.DriftPolicy
	trace   trace
	written map[uint32]bool // thresholds that the directory was given
	parked  map[uint32]bool // that the directory did not take
	owed    map[uint32]bool // that were accepted
	never   map[uint32]bool // that were refused
	d       *director
	faults  []error
}

// reached is a directory that needs power to be reached.
type reached struct {
	*controltest.Directory
	*power
	b *bound
}

func (r reached) Write(ctx context.Context, change *lvs.Change, before *lvs.Config, by lvs.Requester) error {
	_, err := use(r.power, "writing to the directory", func() (struct{}, error) {
		err := r.Directory.Write(ctx, change, before, by)
		for i := range change.PutServers {
			if err == nil || errors.Is(err, lvs.ErrOutcomeUnknown) {
				r.b.written[change.PutServers[i].Server.UpperThreshold] = true
			}
		}
		return struct{}{}, err
	})
	return err
}

// seen is a store that is watched for changes that are parked.
type seen struct {
	control.Store
	b *bound
}

func (s seen) Save(r lvs.Record) error {
	for _, p := range r.Overlay.PutPending {
		for i := range p.Change.PutServers {
			if p.Conflict != "" {
				s.b.parked[p.Change.PutServers[i].Server.UpperThreshold] = true
			}
		}
	}
	return s.Store.Save(r)
}

func (b *bound) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Errorf(format, args...))
}

func (b *bound) boot(cutAt int) {
	file, err := localstore.Open(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	d := &director{w: &world{t: b.t}, power: &power{cutAt: cutAt, trace: &b.trace}, over: make(chan struct{}), store: file}
	d.Control = control.New(control.Options{
		Kernel: kernel{b.kernel, d.power}, Store: store{seen{file, b}, d.power}, Directory: reached{b.book, d.power, b}, Host: "lb1",
		Queue: b.queue, Drift: b.policy, OverrideFor: time.Minute,
		Log: slog.New(slog.NewTextHandler(&b.trace, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() {
		defer close(d.over)
		if err := d.Run(ctx); err != nil {
			b.fault("Run: %w", err)
		}
	}()
	select {
	case <-d.Ready():
	case <-d.over:
	}
	b.d = d
}

// set is a SET, and what its manager may take for granted then.
func (b *bound) set(a act) {
	b.d.play(func(d *director, change lvs.Change) {
		mark := uint32(0)
		if a.what == "set" {
			mark = change.PutServers[0].Server.UpperThreshold
		}
		tx, err := d.Prepare(change)
		if err != nil {
			b.never[mark] = true
			return
		}
		if err := tx.Commit(); err != nil {
			b.never[mark] = !errors.Is(err, lvs.ErrOutcomeUnknown) && !strings.Contains(err.Error(), "it stands there") && !strings.Contains(err.Error(), "cannot be taken back")
			return
		}
		if a.undo {
			b.never[mark] = tx.Undo() == nil
			return
		}
		b.owed[mark] = true
		tx.Done()
	}, a.change)
}

func (b *bound) do(a act) {
	if b.d.isOff() {
		b.d.end()
		b.boot(0)
	}
	b.trace.add(a.String())
	switch a.what {
	case "set":
		b.set(a)
	case "override":
		// As a manager does it: with all else as it is shown.
		put := &a.change.PutServers[0]
		s := b.d.Snapshot()
		i, ok := s.Find(put.Service.String())
		if !ok || len(a.change.PutServers) == 0 {
			break
		}
		for _, row := range s.Services[i].Servers {
			if row.Server.Key == put.Server.Key {
				weight := put.Server.Weight
				put.Server = *row.Server
				put.Server.Weight = weight
				b.set(a)
				break
			}
		}
	case "edit":
		_ = b.book.Edit(a.change)
	case "follow":
		b.follow()
	case "away":
		b.book.Set(func(m *controltest.Mood) { m.Away = fmt.Errorf("%w: away", lvs.ErrUnavailable) })
	case "back":
		b.book.Set(func(m *controltest.Mood) { m.Away = nil })
	case "fate":
		b.book.Set(func(m *controltest.Mood) { m.Next, m.Lost = append(m.Next, a.err), a.lost })
	case "kernel":
		b.kernel.FailNext(0, a.err)
	case "reboot":
		b.d.end()
		if a.lost {
			b.kernel.Flush()
		}
		b.boot(a.cutAt)
	case "pass":
		time.Sleep(7 * time.Second)
	}
	synctest.Wait()
}

func (b *bound) follow() {
	b.d.play(func(d *director, _ lvs.Change) {
		if err := d.Follow(d.Kept(), b.book.Holds()); err != nil && !errors.Is(err, lvs.ErrUnavailable) {
			b.fault("Follow: %w", err)
		}
	}, lvs.Change{})
}

// check lets all settle, and compares directory, director, store and kernel.
func (b *bound) check() {
	b.d.end()
	b.book.Set(func(m *controltest.Mood) { *m = controltest.Mood{} })
	for _, what := range []string{"at the end", "after a restart"} {
		b.boot(0)
		for range 10 {
			b.follow()
			time.Sleep(20 * time.Second)
			synctest.Wait()
		}
		holds := b.book.Holds()
		if c := lvs.Between(b.d.Kept(), holds); !c.IsEmpty() {
			b.fault("%s: from what is kept to what the directory holds it takes %+v", what, c)
		}
		if err := shown(b.d.Snapshot(), holds); err != nil {
			b.fault("%s: %w", what, err)
		}
		a, err := b.kernel.Read(context.Background())
		if err != nil {
			b.fault("%w", err)
			return
		}
		if ours, _ := held(a); ours != wanted(holds) {
			b.fault("%s: the kernel does not hold what the directory says:\n%s", what, contrast(wanted(holds), ours))
		}
		stored, err := b.d.store.Load()
		if err != nil {
			b.fault("%w", err)
		}
		stored.Rows.Dangling = true
		if kept, err := new(lvs.Config).Apply(&stored.Rows); err != nil || described(kept) != described(holds) {
			b.fault("%s: the store does not hold what the directory says: %v", what, err)
		}
		if stored.Journal != nil || len(stored.Overlay.Overrides) > 0 {
			b.fault("%s: the store has still %+v, %+v", what, stored.Journal, stored.Overlay.Overrides)
		}
		for _, p := range stored.Overlay.Pending {
			if p.Conflict == "" {
				b.fault("%s: change %d waits still", what, p.ID)
			}
		}
		for mark := range b.owed {
			if mark != 0 && !b.written[mark] && !b.parked[mark] {
				b.fault("%s: change %d was accepted, and is lost", what, mark)
			}
		}
		for _, servers := range holds.Services {
			for _, s := range servers {
				if b.never[s.UpperThreshold] && s.UpperThreshold != 0 {
					b.fault("%s: change %d was refused, and is made", what, s.UpperThreshold)
				}
			}
		}
		b.d.end()
	}
}

// TestDirectory lets anything happen to a director and its directory: SETs that
// are accepted, refused and taken back, edits by others, outages, writes of which
// nobody knows the outcome, refusals of the kernel, crashes at any step, reboots.
// In the end directory, director, store and kernel say the same, no change that
// was accepted has vanished unseen, and none that was refused is there.
func TestDirectory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var list []act
		for n := range rapid.IntRange(1, 25).Draw(rt, "acts") {
			list = append(list, drawAct(rt, n+1))
		}
		queue := rapid.Bool().Draw(rt, "queue")
		policy := rapid.SampledFrom([]lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert}).Draw(rt, "policy")
		var b *bound
		synctest.Test(t, func(t *testing.T) {
			b = &bound{
				t: t, kernel: memory.New(memory.Options{}), path: filepath.Join(folder(t), "store.db"), book: controltest.New(), queue: queue, policy: policy,
				written: make(map[uint32]bool), parked: make(map[uint32]bool), owed: make(map[uint32]bool), never: make(map[uint32]bool),
			}
			// Timeouts that nobody asks for are the kernel's own affair.
			_ = b.book.Edit(lvs.Change{Timeouts: &lvs.Timeouts{TCP: 100}})
			b.boot(0)
			for _, a := range list {
				b.do(a)
			}
			b.check()
		})
		if len(b.faults) > 0 {
			lines := slices.DeleteFunc(strings.Split(b.trace.String(), "\n"), func(line string) bool { return strings.HasSuffix(line, "reading the kernel") })
			rt.Fatalf("%v\n%s", errors.Join(b.faults...), strings.Join(lines, "\n"))
		}
	})
}
