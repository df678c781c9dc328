package kill

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// power is what a director runs on. When it is cut, nothing more that the
// director does reaches the world: each of its goroutines ends where it next
// tries.
type power struct {
	mu    sync.Mutex
	cutAt int      // number of the step at which it is cut, from 1; 0 = never
	steps []string // that were come to
	off   bool
	trace *trace
}

// trace keeps the last lines of what happened.
type trace struct {
	mu    sync.Mutex
	lines []string
}

// Write takes one line.
func (t *trace) Write(line []byte) (int, error) {
	t.add(string(bytes.TrimSpace(line)))
	return len(line), nil
}

func (t *trace) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 150 {
		t.lines = slices.Delete(t.lines, 0, 50)
	}
	t.lines = append(t.lines, line)
}

func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// use does one thing to the world, unless the power is cut before or after.
func use[T any](p *power, name string, do func() (T, error)) (T, error) {
	p.step("before " + name)
	out, err := do()
	p.step("after " + name)
	return out, err
}

func (p *power) step(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.off {
		p.steps = append(p.steps, name)
		p.off = len(p.steps) == p.cutAt
		p.trace.add(name)
		if p.off {
			p.trace.add("the power is cut")
		}
	}
	if p.off {
		runtime.Goexit()
	}
}

// cut ends it now.
func (p *power) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
}

// isOff reports whether it has been cut.
func (p *power) isOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.off
}

// done returns the names of the steps so far.
func (p *power) done() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.steps...)
}

// kernel is a kernel that needs power to be reached.
type kernel struct {
	control.Kernel
	*power
}

func (k kernel) Read(ctx context.Context) (*lvs.Actual, error) {
	return use(k.power, "reading the kernel", func() (*lvs.Actual, error) { return k.Kernel.Read(ctx) })
}

func (k kernel) Apply(ctx context.Context, op lvs.Op) error {
	_, err := use(k.power, op.String(), func() (struct{}, error) { return struct{}{}, k.Kernel.Apply(ctx, op) })
	return err
}

// store is a store that needs power to be reached.
type store struct {
	control.Store
	*power
}

func (s store) Load() (lvs.Stored, error) { return use(s.power, "loading", s.Store.Load) }

func (s store) Save(r lvs.Record) error {
	_, err := use(s.power, "saving", func() (struct{}, error) { return struct{}{}, s.Store.Save(r) })
	return err
}

func (s store) Settle(generation uint64, changedAt time.Time) error {
	_, err := use(s.power, "settling", func() (struct{}, error) { return struct{}{}, s.Store.Settle(generation, changedAt) })
	return err
}
