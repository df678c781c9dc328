package kill

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/lvs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var policies = map[string]lvs.DriftPolicy{"enforce": lvs.DriftEnforce, "alert": lvs.DriftAlert, "adopt": lvs.DriftAdopt}

var scripts = map[string]script{"accepted": accepted, "undone": undone, "abandoned": abandoned}

var changes = map[string]func() lvs.Change{"large": large, "settings": settings}

// course is one row of the matrix.
type course struct {
	policy  lvs.DriftPolicy
	script  script
	change  func() lvs.Change
	first   fate   // of the director that makes the change
	then    []fate // of those that come after it
	reboots bool   // with the first, the machine goes down
}

// run lives through a course, and returns the steps of its last director but
// one, which is the last whose fate is given.
func (c course) run(t *testing.T) (steps []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, c.policy, c.change())
		d := w.boot(c.first)
		d.play(c.script, c.change())
		steps = d.done()
		d.end()
		if c.reboots {
			w.kernel, w.foreign, w.counters = memory.New(memory.Options{}), "", nil
		}
		for _, f := range c.then {
			w.lenient = w.lenient || f.refuseAt > 0
			d = w.boot(f)
			if !d.isOff() {
				d.await()
			}
			steps = d.done()
			d.end()
		}
		for _, round := range []string{"restarted", "restarted again"} {
			d = w.boot(fate{})
			d.await()
			if err := w.check(d); err != nil {
				t.Errorf("%s after %q:\n%v", round, last(steps), err)
			}
			if round == "restarted again" {
				continue
			}
			d.end()
		}
		defer d.end()
		if t.Failed() {
			return
		}
		// Nothing is left that stands in the way of the next change.
		w.promise = nothing
		if described(w.now(d)) == described(w.before) {
			d.play(accepted, c.change())
			if err := w.check(d); err != nil {
				t.Errorf("the next change after %q:\n%v", last(steps), err)
			}
		}
	})
	return steps
}

// now returns the desired state that the store holds.
func (w *world) now(d *director) *lvs.Config {
	stored, err := d.store.Load()
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := new(lvs.Config).Apply(&stored.Rows)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func last(steps []string) string {
	if len(steps) == 0 {
		return "nothing"
	}
	return steps[len(steps)-1]
}

// busy returns how many steps it takes until nothing is left to be done.
func busy(steps []string) int {
	for i, s := range slices.Backward(steps) {
		if s != "before reading the kernel" && s != "after reading the kernel" {
			return min(i+3, len(steps))
		}
	}
	return 0
}

// operations returns how many operations on the kernel there are in steps.
func operations(steps []string) (n int) {
	for _, s := range steps {
		switch s {
		case "before reading the kernel", "before loading", "before saving", "before settling":
		default:
			if s[:6] == "before" {
				n++
			}
		}
	}
	return n
}

// each runs a test for every policy, script and change.
func each(t *testing.T, test func(*testing.T, course)) {
	for policy, p := range policies {
		for name, s := range scripts {
			for what, change := range changes {
				t.Run(fmt.Sprintf("%s/%s/%s", policy, name, what), func(t *testing.T) {
					test(t, course{policy: p, script: s, change: change})
				})
			}
		}
	}
}

// sweep runs a course with every value of n up to the limit, until one fails.
func (c *course) sweep(t *testing.T, n *int, limit int, run func()) { c.sample(t, n, 1, 1, limit, run) }

// coarse is sweep with only every few values.
func (c *course) coarse(t *testing.T, n *int, limit int, run func()) {
	c.sample(t, n, 1+len(t.Name())%3, min(thinness, 3), limit, run)
}

// nested is sweep within a sweep that is now at outer: only every thinness-th
// value, beginning with another one each time.
func (c *course) nested(t *testing.T, n *int, outer, limit int, run func()) {
	c.sample(t, n, 1+outer%thinness, thinness, limit, run)
}

func (c *course) sample(t *testing.T, n *int, first, step, limit int, run func()) {
	for *n = first; *n <= limit && !t.Failed(); *n += step {
		run()
		if t.Failed() {
			t.Logf("first %+v, then %+v", c.first, c.then)
		}
	}
	*n = 0
}

// thinness is how much is left out of sweeps within sweeps. A soak leaves out
// nothing, but of sweeps within those.
var thinness = func() int {
	if os.Getenv("LCMS_SOAK") != "" {
		return 1
	}
	return 59
}()

// thinnest is the same of sweeps within those, which would take hours.
var thinnest = max(thinness, 7)

func TestCrash(t *testing.T) {
	each(t, func(t *testing.T, c course) {
		n := busy(c.run(t))
		c.sweep(t, &c.first.cutAt, n, func() { c.run(t) })
		t.Logf("%d steps", n)
	})
}

// TestRefusal has the kernel refuse each operation of a change, of its undoing
// and of its end, and crashes all the same.
func TestRefusal(t *testing.T) {
	each(t, func(t *testing.T, c course) {
		runs := 0
		n := operations(c.run(t))
		for _, c.first.refusal = range refusals {
			c.sweep(t, &c.first.refuseAt, n, func() {
				steps := busy(c.run(t))
				c.nested(t, &c.first.cutAt, c.first.refuseAt, steps, func() { c.run(t); runs++ })
			})
		}
		t.Logf("%d operations, %d runs", n, runs)
	})
}

// refusals are those after which the kernel has to be believed, and those
// after which the operation may have been done all the same.
var refusals = []error{lvs.ErrInvalid, lvs.ErrUnavailable}

// TestFullStore fails each write to the store, and crashes all the same.
func TestFullStore(t *testing.T) {
	each(t, func(t *testing.T, c course) {
		c.sweep(t, &c.first.failAt, 3, func() {
			steps := busy(c.run(t))
			c.nested(t, &c.first.cutAt, c.first.failAt, steps, func() { c.run(t) })
		})
	})
}

// TestCrashTwice crashes in the course of the mending.
func TestCrashTwice(t *testing.T) {
	each(t, func(t *testing.T, c course) {
		runs := 0
		n := busy(c.run(t))
		c.then = make([]fate, 1)
		c.coarse(t, &c.first.cutAt, n, func() {
			m := busy(c.run(t))
			c.nested(t, &c.then[0].cutAt, c.first.cutAt, m, func() { c.run(t); runs++ })
		})
		t.Logf("%d runs", runs)
	})
}

// TestRefusalOfMending has the kernel refuse each operation of the mending,
// again and again, and crashes in the course of what follows.
func TestRefusalOfMending(t *testing.T) {
	each(t, func(t *testing.T, c course) {
		runs := 0
		n := busy(c.run(t))
		c.then = make([]fate, 1)
		c.then[0].stubborn = true
		for _, refusal := range refusals {
			c.then[0].refusal = refusal
			c.coarse(t, &c.first.cutAt, n, func() {
				ops := operations(c.run(t))
				c.nested(t, &c.then[0].refuseAt, c.first.cutAt, ops, func() {
					m := busy(c.run(t))
					c.sample(t, &c.then[0].cutAt, 1+(c.first.cutAt+c.then[0].refuseAt)%thinnest, thinnest, m, func() { c.run(t); runs++ })
				})
			})
		}
		t.Logf("%d runs", runs)
	})
}

// TestReboot loses the kernel's table with the crash, and has the store fail
// when it is to note that.
func TestReboot(t *testing.T) {
	each(t, func(t *testing.T, c course) {
		c.reboots = true
		n := busy(c.run(t))
		c.then = make([]fate, 1)
		for _, c.then[0].failAt = range []int{0, 1} {
			c.coarse(t, &c.first.cutAt, n, func() {
				m := busy(c.run(t))
				c.nested(t, &c.then[0].cutAt, c.first.cutAt, m, func() { c.run(t) })
			})
		}
	})
}
