package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/lvs"
)

// TestSoak lets a director live one life after the other on the same kernel and
// store: random changes, valid and not, accepted, undone and forgotten; others
// who edit the kernel; a kernel that refuses; crashes at any moment, reboots.
// At quiet points all of it is compared with a model. LCMS_SOAK says how long,
// LCMS_SEED which one to repeat.
func TestSoak(t *testing.T) {
	limit := 20 * time.Second
	if text := os.Getenv("LCMS_SOAK"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LCMS_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LCMS_SEED=%d", seed)
	s := &soak{random: rand.New(rand.NewPCG(seed, 0)), count: make(map[string]int)}
	s.w = &world{kernel: memory.New(memory.Options{}), path: filepath.Join(folder(t), "store.db"), before: new(lvs.Config), after: new(lvs.Config)}
	var first usage
	lives := 0
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && !t.Failed(); lives++ {
		synctest.Test(t, s.life)
		if lives == 20 {
			first = measure()
		}
	}
	t.Logf("%d lives: %v", lives, s.count)
	if lives <= 20 || t.Failed() {
		return
	}
	last := measure()
	t.Logf("first %+v, last %+v", first, last)
	if last.goroutines > first.goroutines || last.files > first.files || last.heap > 2*first.heap+4<<20 {
		t.Error("it grows")
	}
}

// usage is what a process has of things that may leak.
type usage struct {
	goroutines, files int
	heap              uint64
}

func measure() usage {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd")
	return usage{runtime.NumGoroutine(), len(files), m.HeapAlloc}
}

// soak is a world with its model: world.before is what has been accepted,
// world.after what may have been too.
type soak struct {
	w      *world
	random *rand.Rand
	count  map[string]int

	trouble string // what happened before the last comparison that failed
}

func (s *soak) chance(percent int) bool { return s.random.IntN(100) < percent }

func pick[T any](s *soak, from []T) T { return from[s.random.IntN(len(from))] }

// life is some hundred things that happen to one director after the other.
func (s *soak) life(t *testing.T) {
	s.w.t = t
	s.w.policy = pick(s, []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt})
	s.appear()
	d := s.w.boot(s.fate())
	for range 100 {
		if t.Failed() {
			break
		}
		if d.isOff() {
			d = s.revive(d)
			continue
		}
		switch n := s.random.IntN(100); {
		case n < 50:
			s.change(d)
		case n < 70:
			s.meddle()
		case n < 80:
			s.w.kernel.FailNext(0, pick(s, refusals))
			s.count["refusals of the kernel"]++
		case n < 83:
			s.w.kernel.FailRead(fmt.Errorf("%w: not now", lvs.ErrUnavailable))
			s.count["readings that fail"]++
		case n < 86:
			d.end()
			s.count["ends"]++
			d = s.w.boot(s.fate())
		case n < 92:
			s.quiet(d)
		}
		time.Sleep(time.Duration(s.random.IntN(4000)) * time.Millisecond)
	}
	d.end()
	s.resolve()
	d = s.w.boot(fate{})
	s.quiet(d)
	d.end()
	s.count["lives with policy "+fmt.Sprint(s.w.policy)]++
}

// fate lets most directors die in the midst of something.
func (s *soak) fate() fate {
	f := fate{}
	if s.chance(80) {
		f.cutAt = 1 + s.random.IntN(300)
	}
	if s.chance(20) {
		f.failAt = 1 + s.random.IntN(10)
	}
	return f
}

// revive starts a director after a crash.
func (s *soak) revive(d *director) *director {
	d.end()
	s.count["crashes"]++
	s.resolve()
	f := s.fate()
	if s.chance(10) {
		s.w.kernel = memory.New(memory.Options{})
		s.appear()
		s.count["reboots"]++
	}
	return s.w.boot(f)
}

// resolve finds out what has become of the change that was under way.
func (s *soak) resolve() {
	w := s.w
	if !w.promise.after {
		w.after = w.before
	}
	if !w.promise.before {
		w.before = w.after
	}
	w.promise = either
}

// appear lets the service of somebody else be in the kernel.
func (s *soak) appear() {
	for s.w.kernel.Apply(context.Background(), lvs.Op{Do: lvs.SetTimeouts}) != nil {
		// Refusals are left from an earlier life.
	}
	_ = s.w.kernel.Apply(context.Background(), lvs.Op{Do: lvs.AddService, Service: new(service(foreign).ServiceSpec)}) // it may be there
	_ = s.w.kernel.Apply(context.Background(), lvs.Op{Do: lvs.AddServer, Service: new(service(foreign).ServiceSpec), Server: new(server(foreign, "10.0.0.11:80", 1).Server.ServerSpec)})
	_, s.w.foreign = held(s.w.read())
}

var services = []string{edited, grown, deleted, downed, calm, added}

func servers(service string) (texts []string) {
	port := service[strings.LastIndex(service, ":")+1:]
	if strings.HasPrefix(service, "fwm") {
		port = "0"
	}
	for i := range 6 {
		texts = append(texts, fmt.Sprintf("10.0.0.%d:%s", i+1, port))
	}
	return texts
}

// draw returns a change upon the model, which may not be right.
func (s *soak) draw() lvs.Change {
	var c lvs.Change
	touched := make(map[string]bool)
	for range 1 + s.random.IntN(8) {
		at := pick(s, services)
		to := pick(s, servers(at))
		name := at
		n := s.random.IntN(20)
		if n >= 7 {
			name += to
		}
		if touched[name] {
			continue
		}
		touched[name] = true
		switch {
		case n < 5:
			v := service(at)
			v.Scheduler = pick(s, []string{"rr", "wrr", "lc", "wlc", "sh"})
			v.AdminStatus = pick(s, []lvs.AdminStatus{lvs.AdminUp, lvs.AdminUp, lvs.AdminUp, lvs.AdminDrain, lvs.AdminDown})
			v.Status = pick(s, []lvs.Status{lvs.Active, lvs.Active, lvs.Active, lvs.NotInService})
			if s.chance(3) {
				v.Scheduler = "nope"
			}
			c.PutServices = append(c.PutServices, v)
		case n < 7:
			c.DeleteServices = append(c.DeleteServices, serviceKey(at))
		case n < 15:
			v := server(at, to, uint32(s.random.IntN(9)))
			v.Server.AdminStatus = pick(s, []lvs.AdminStatus{lvs.AdminUp, lvs.AdminUp, lvs.AdminUp, lvs.AdminDrain, lvs.AdminDown})
			v.Server.UpperThreshold, v.Server.LowerThreshold = uint32(s.random.IntN(50)), uint32(s.random.IntN(3))
			c.PutServers = append(c.PutServers, v)
		case n < 18:
			c.DeleteServers = append(c.DeleteServers, id(at, to))
		case n == 18:
			state := pick(s, []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup})
			c.PutDaemons, c.DeleteDaemons = nil, nil
			if s.chance(60) {
				c.PutDaemons = []lvs.SyncDaemon{daemon(state, uint8(s.random.IntN(5)))}
			} else {
				c.DeleteDaemons = []lvs.DaemonState{state}
			}
		default:
			c.Timeouts = &lvs.Timeouts{TCP: uint32(100 + s.random.IntN(9)), UDP: uint32(100 + s.random.IntN(9))}
		}
	}
	return c
}

// change makes one, and knows what has to come of it.
func (s *soak) change(d *director) {
	w := s.w
	s.resolve()
	if described(w.before) != described(w.after) {
		return // not known yet
	}
	change := s.draw()
	next, wrong := w.before.Apply(&change)
	for _, v := range change.PutServices {
		if v.Scheduler == "nope" {
			wrong = errors.New("no such scheduler")
		}
	}
	way := pick(s, []string{"accepted", "accepted", "accepted", "undone", "abandoned"})
	d.play(func(d *director, change lvs.Change) {
		tx, err := d.Prepare(change)
		switch {
		case err == nil && wrong != nil:
			w.t.Errorf("accepted, and is wrong: %v", wrong)
			return
		case err != nil && wrong != nil:
			s.count["wrong changes"]++
			return
		case errors.Is(err, lvs.ErrUnavailable):
			s.count["changes that came at the wrong time"]++
			return
		case err != nil:
			w.t.Errorf("refused, and is right: %v", err)
			return
		}
		s.count["changes "+way]++
		w.trace.add(fmt.Sprintf("%s: %+v", way, change))
		w.after = next
		d.promise(either)
		if tx.Commit() != nil {
			// Taking it back may have failed at the store, until it is tried
			// again; after a crash before that, it is finished.
			if !d.failing {
				d.promise(nothing)
			}
			s.count["changes the kernel or the store refused"]++
			return
		}
		switch way {
		case "accepted":
			d.promise(all)
			tx.Done()
		case "undone":
			if tx.Undo() == nil {
				d.promise(nothing)
			}
		default:
			time.Sleep(40 * time.Second)
			_ = tx.Undo()
		}
	}, change)
}

// meddle lets somebody else edit the kernel: his own service, or under the
// policy enforce ours too.
func (s *soak) meddle() {
	a := s.w.read()
	at := pick(s, a.Services)
	if s.w.policy != lvs.DriftEnforce || s.chance(20) {
		at = a.Services[slices.IndexFunc(a.Services, func(v *lvs.ActualService) bool { return v.Key == serviceKey(foreign) })]
	}
	op := lvs.Op{Do: lvs.EditService, Service: new(at.ServiceSpec)}
	op.Service.Scheduler = pick(s, []string{"rr", "sh"})
	if ours := at.Key != serviceKey(foreign); len(at.Servers) > 0 && s.chance(70) {
		op.Do, op.Server = pick(s, []lvs.Operation{lvs.EditServer, lvs.AddServer, lvs.DeleteServer}), new(pick(s, at.Servers).ServerSpec)
		op.Server.Weight = uint32(s.random.IntN(100))
		if op.Do == lvs.AddServer {
			op.Server = new(server(at.Key.String(), pick(s, servers(at.Key.String())), 50).Server.ServerSpec)
		}
	} else if ours && s.chance(20) {
		op.Do = lvs.DeleteService
	}
	err := s.w.kernel.Apply(context.Background(), op) // it may be refused, as what is there twice
	s.w.trace.add(fmt.Sprintf("somebody else: %s: %v", op, err))
	_, s.w.foreign = held(s.w.read())
	s.count["edits by others"]++
}

// quiet waits until nothing is left to be done, and compares everything with
// the model.
func (s *soak) quiet(d *director) {
	w := s.w
	var err error
	s.trouble = ""
	for range 100 {
		if d.isOff() {
			return
		}
		if err != nil && s.trouble == "" {
			s.trouble = w.trace.String()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err = s.compare(d); err == nil {
			s.count["quiet points"]++
			return
		}
	}
	if !d.isOff() {
		w.t.Errorf("policy %d: %v\n%v\n%s", w.policy, err, s.count, s.trouble)
	}
}

func (s *soak) compare(d *director) error {
	w := s.w
	stored, err := d.store.Load()
	if err != nil {
		return err
	}
	if stored.Journal != nil {
		return fmt.Errorf("the store keeps a journal: %+v", *stored.Journal)
	}
	desired, err := new(lvs.Config).Apply(&stored.Rows)
	if err != nil {
		return err
	}
	s.resolve()
	switch described(desired) {
	case described(w.before):
		w.after = w.before
	case described(w.after):
		w.before = w.after
	default:
		return fmt.Errorf("the store does not hold what was accepted:\n%s", contrast(described(w.before), described(desired)))
	}
	a := w.read()
	ours, others := held(a)
	if want := wanted(desired); cutTimeouts(ours) != cutTimeouts(want) {
		return fmt.Errorf("the kernel does not hold what it should:\n%s", contrast(want, ours))
	}
	if ops := lvs.DiffTimeouts(desired.Timeouts(), a.Timeouts); len(ops) > 0 {
		return fmt.Errorf("the timeouts are %+v, want %+v", a.Timeouts, desired.Timeouts())
	}
	if others != w.foreign {
		return fmt.Errorf("what belongs to others is\n%s\nand was\n%s", others, w.foreign)
	}
	if stored.Generation != d.Snapshot().Director.Generation {
		return fmt.Errorf("generation %d is stored, %d is shown", stored.Generation, d.Snapshot().Director.Generation)
	}
	return shown(d.Snapshot(), desired)
}

// cutTimeouts leaves out the timeouts: where none is asked for, those of an
// earlier change stay.
func cutTimeouts(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, "timeouts ") })
	return strings.Join(lines, "\n")
}
