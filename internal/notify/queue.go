package notify

import (
	"container/list"
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// DefaultRows is how many rows may have something to tell at a time.
const DefaultRows = 1000

// Options are what a Queue needs.
type Options struct {
	// Send gives a few events to the master, in order, and waits for its answers:
	// it returns the error of each. A *agentx.ResponseError means that the master
	// does not want it; after any other error it is sent again.
	Send func(ctx context.Context, events []Numbered) []error
	// Settings returns what the operator wants. It must not wait.
	Settings func() lvs.Settings
	Log      *slog.Logger
	Rows     int // that may wait; 0 = DefaultRows
}

// Stats count what became of the events that were added. Each is counted once,
// those of muted kinds never.
type Stats struct {
	Sent       uint64 // accepted by the master
	Dropped    uint64 // lost: too many rows waited, or the master refused
	Suppressed uint64 // as dropped or coalesced, but for the limit of the rate
	Coalesced  uint64 // replaced by a newer one of the same kind and row
	Queued     int    // that wait now, or are being sent
}

// Queue holds the events that wait to be sent. Make one with New.
type Queue struct {
	opts Options
	wake chan struct{} // enough was added

	mu      sync.Mutex
	rows    map[rowKey]*list.Element
	order   *list.List // of *row, the one that has waited longest first
	stats   Stats
	limited bool   // it is the limit of the rate that lets rows wait
	enough  int    // how many have to wait for wake
	last    uint32 // sequence number
}

// rowKey tells apart what may wait side by side.
type rowKey struct {
	service lvs.ServiceKey
	server  lvs.ServerKey
	drift   control.DriftKind
	object  string // of a change of the configuration of this object alone
	request uint32 // of one of several objects
	member  lvs.MemberID
	kernel  bool
	remote  bool // the directory
}

// row is what there is to tell about one row, the oldest first, one of each
// topic.
type row struct {
	key   rowKey
	items []Numbered
}

// Numbered is an event on its way. It keeps the number of the first attempt.
type Numbered struct {
	control.Event
	Sequence uint32 // 0 before the first attempt
}

// New returns an empty queue.
func New(o Options) *Queue {
	if o.Rows == 0 {
		o.Rows = DefaultRows
	}
	return &Queue{opts: o, wake: make(chan struct{}, 1), rows: make(map[rowKey]*list.Element), order: list.New(), enough: 1}
}

// Stats returns the counters.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats
}

// Add puts an event into the queue. It never waits.
func (q *Queue) Add(e control.Event) {
	if muted(q.opts.Settings(), e.Kind) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	key := keyOf(&e)
	at := q.rows[key]
	if at == nil {
		if len(q.rows) >= q.opts.Rows {
			q.dropOldest()
		}
		at = q.order.PushBack(&row{key: key})
		q.rows[key] = at
	}
	r := at.Value.(*row)
	if i := r.find(e.Kind); i >= 0 {
		r.items = slices.Delete(r.items, i, i+1)
		q.stats.Queued--
		q.replaced()
	}
	r.items = append(r.items, Numbered{Event: e})
	q.stats.Queued++
	if q.stats.Queued < q.enough {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// wakeAt has Run woken when so many wait.
func (q *Queue) wakeAt(enough int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enough = enough
}

// take removes the event that is next; ok is false when there is none. more
// says whether the rate lets a window follow at once. The event counts as one
// that waits until count or giveBack.
func (q *Queue) take(more bool) (it Numbered, ok bool) {
	settings := q.opts.Settings()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limited = !more
	for at := q.order.Front(); at != nil; at = q.order.Front() {
		r := at.Value.(*row)
		it, r.items = r.items[0], r.items[1:]
		if len(r.items) == 0 {
			q.order.Remove(at)
			delete(q.rows, r.key)
		}
		if muted(settings, it.Kind) {
			q.stats.Queued--
			continue
		}
		if it.Sequence == 0 {
			q.last++
			q.last = max(q.last, 1) // 0 is no number
			it.Sequence = q.last
		}
		return it, true
	}
	return Numbered{}, false
}

// giveBack puts an event that could not be sent in front again. A newer one of the same
// row that came meanwhile takes its place.
func (q *Queue) giveBack(it Numbered) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := keyOf(&it.Event)
	at := q.rows[key]
	if at != nil {
		q.order.MoveToFront(at)
	}
	switch {
	case at != nil && at.Value.(*row).find(it.Kind) >= 0:
		q.stats.Queued--
		q.replaced()
		return
	case at == nil && len(q.rows) >= q.opts.Rows:
		q.stats.Queued--
		q.stats.Dropped++
		return
	case at == nil:
		at = q.order.PushFront(&row{key: key})
		q.rows[key] = at
	}
	r := at.Value.(*row)
	r.items = slices.Insert(r.items, 0, it)
}

// replaced counts an event whose place a newer one has taken.
func (q *Queue) replaced() {
	if q.limited {
		q.stats.Suppressed++
	} else {
		q.stats.Coalesced++
	}
}

// dropOldest makes room for another row.
func (q *Queue) dropOldest() {
	at := q.order.Front()
	r := at.Value.(*row)
	q.order.Remove(at)
	delete(q.rows, r.key)
	q.stats.Queued -= len(r.items)
	if q.limited {
		q.stats.Suppressed += uint64(len(r.items))
	} else {
		q.stats.Dropped += uint64(len(r.items))
	}
}

// topic names the kinds of which a newer one says all that an older one did: a
// condition and its clear are one topic.
func topic(k control.EventKind) control.EventKind {
	switch k {
	case control.ServerOverloadClear:
		return control.ServerOverload
	case control.DriftCleared:
		return control.DriftDetected
	case control.KernelRestored:
		return control.KernelLost
	case control.DirectoryRestored:
		return control.DirectoryLost
	case control.DirectoryHoldReleased:
		return control.DirectoryHold
	}
	return k
}

// find returns the position of what waits of the same topic, -1 if nothing does.
func (r *row) find(k control.EventKind) int {
	return slices.IndexFunc(r.items, func(it Numbered) bool { return topic(it.Kind) == topic(k) })
}

// keyOf returns the row that an event is about. Changes of several objects are
// each a row of their own: a newer one does not say what an older one did.
func keyOf(e *control.Event) rowKey {
	switch e.Kind {
	case control.KernelLost, control.KernelRestored:
		return rowKey{kernel: true}
	case control.DirectoryLost, control.DirectoryRestored, control.DirectoryHold, control.DirectoryHoldReleased:
		return rowKey{remote: true}
	case control.MemberStateChange:
		return rowKey{member: e.Member}
	case control.DriftDetected, control.DriftCleared:
		return rowKey{service: e.Service, server: e.Server, drift: e.Drift}
	case control.ConfigChange:
		if e.More > 0 || e.Object == nil {
			return rowKey{request: e.Request}
		}
		object := make([]byte, 0, 2*len(e.Object))
		for _, sub := range e.Object {
			object = binary.AppendUvarint(object, uint64(sub))
		}
		return rowKey{object: string(object)}
	}
	return rowKey{service: e.Service, server: e.Server}
}

func muted(s lvs.Settings, k control.EventKind) bool { return s.Muted&(1<<(k-1)) != 0 }
