// Package controltest has a directory in memory, for tests of whoever writes to
// one through control.
package controltest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Mood is how a Directory behaves.
type Mood struct {
	Away  error         // why it takes no writes; nil: it does
	Next  []error       // what becomes of the next writes; nil: what should
	Lost  bool          // a write of unknown outcome is not made
	Delay time.Duration // before each write is made
	Begun chan struct{} // is told of each write that begins, if not nil
}

// Directory is a directory in memory. Like a real one it takes a change only
// where it is as the writer believes. It implements control.Directory and is safe
// for concurrent use.
type Directory struct {
	mu      sync.Mutex
	mood    Mood
	holds   *lvs.Config
	writers []lvs.Requester
}

// New returns an empty directory.
func New() *Directory { return &Directory{holds: new(lvs.Config)} }

// Set changes how the directory behaves.
func (d *Directory) Set(change func(*Mood)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.mood)
}

// Holds returns what is in the directory.
func (d *Directory) Holds() *lvs.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holds
}

// Writers returns who has asked for each write, also for those that were refused.
func (d *Directory) Writers() []lvs.Requester {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]lvs.Requester(nil), d.writers...)
}

// Edit changes the directory as somebody else does.
func (d *Directory) Edit(change lvs.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.apply(change)
}

func (d *Directory) apply(change lvs.Change) error {
	change.Dangling = true
	next, err := d.holds.Apply(&change)
	if err == nil {
		d.holds = next
	}
	return err
}

// Writable implements control.Directory.
func (d *Directory) Writable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mood.Away
}

// Write implements control.Directory.
func (d *Directory) Write(ctx context.Context, change *lvs.Change, before *lvs.Config, by lvs.Requester) error {
	d.mu.Lock()
	delay, begun := d.mood.Delay, d.mood.Begun
	d.mu.Unlock()
	if begun != nil {
		begun <- struct{}{}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", lvs.ErrUnavailable, ctx.Err())
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writers = append(d.writers, by)
	var fate error
	if len(d.mood.Next) > 0 {
		fate, d.mood.Next = d.mood.Next[0], d.mood.Next[1:]
	}
	switch {
	case d.mood.Away != nil:
		return d.mood.Away
	case errors.Is(fate, lvs.ErrOutcomeUnknown) && !d.mood.Lost:
	case fate != nil:
		return fate
	}
	if change.Settings != nil || change.Lock != nil {
		return fmt.Errorf("%w: no place for it", lvs.ErrInvalid)
	}
	if !reflect.DeepEqual(change.Inverse(before), change.Inverse(d.holds)) {
		return fmt.Errorf("%w: somebody else has just changed it", lvs.ErrConflict)
	}
	if err := d.apply(*change); err != nil {
		return fmt.Errorf("%w: %w", lvs.ErrInvalid, err)
	}
	return fate
}

// Release implements control.Directory.
func (d *Directory) Release(uint32) error { return nil }

// Resync implements control.Directory.
func (d *Directory) Resync() {}
