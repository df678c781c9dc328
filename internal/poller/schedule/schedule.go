// Package schedule runs many small tasks again and again, each at its own
// interval, spread over time, on a bounded number of goroutines.
//
// A task that found nobody at the other end is suspected to be slow the next
// time too: it waits for one of the half of the goroutines that such tasks may
// use. So a thousand dead hosts delay each other and nobody else.
package schedule

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// soon is how long a new task waits at most.
const soon = 10 * time.Second

// Stats count what a Schedule does.
type Stats struct {
	Tasks   int    // that are planned
	Running int    // at the moment
	Runs    uint64 // that have ended
	Late    uint64 // runs that were left out: the one before had not ended, or had not begun
}

// Schedule plans tasks that are named by keys. It may be used from many
// goroutines.
type Schedule[K comparable] struct {
	parallel int
	wake     chan struct{} // of capacity 1

	mu      sync.Mutex
	tasks   map[K]*task
	due     queue
	ready   []*task // that could not begin yet, in order
	slow    []*task // the same of those that are suspected to be slow
	running int
	slowly  int // of those running
	stats   Stats
}

type task struct {
	interval time.Duration
	run      func(ctx context.Context) (silent bool)
	at       time.Time // when it is due next
	index    int       // in the queue
	first    bool      // it has not run yet
	busy     bool      // it runs or waits for its turn
	silent   bool      // the last time nobody was there
	gone     bool      // it was deleted
}

// New returns a schedule that runs so many tasks at once at most.
func New[K comparable](parallel int) *Schedule[K] {
	return &Schedule[K]{parallel: max(2, parallel), wake: make(chan struct{}, 1), tasks: make(map[K]*task)}
}

// Put plans a task, or changes the one of that name: what it did before counts
// on. run must return soon after its context ends; it reports whether nobody
// answered in time.
func (s *Schedule[K]) Put(key K, interval time.Duration, run func(ctx context.Context) (silent bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	t := s.tasks[key]
	if t == nil {
		t = &task{first: true, at: now.Add(part(min(interval, soon)))}
		s.tasks[key] = t
		heap.Push(&s.due, t)
	} else if t.interval != interval {
		if next := now.Add(part(interval)); next.Before(t.at) {
			t.at = next
			heap.Fix(&s.due, t.index)
		}
	}
	t.interval, t.run = interval, run
	s.nudge()
}

// Delete forgets a task. A run that has begun goes on to its end.
func (s *Schedule[K]) Delete(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[key]; t != nil {
		t.gone = true
		delete(s.tasks, key)
		heap.Remove(&s.due, t.index)
	}
}

// Stats returns the counters.
func (s *Schedule[K]) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Tasks, stats.Running = len(s.tasks), s.running
	return stats
}

// Overdue returns for how long a task has been due that nobody has planned: next to
// nothing, unless Run does not turn.
func (s *Schedule[K]) Overdue(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.due) == 0 {
		return 0
	}
	return max(0, now.Sub(s.due[0].at))
}

// Run runs tasks until ctx ends, and returns when the last has.
func (s *Schedule[K]) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
		begin, pause := s.turn(time.Now())
		for _, t := range begin {
			group.Go(func() { s.do(ctx, t) })
		}
		timer.Reset(pause)
	}
}

// turn plans what is due, and returns what can begin now and how long there is
// nothing more to do.
func (s *Schedule[K]) turn(now time.Time) (begin []*task, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.due) > 0 && !s.due[0].at.After(now) {
		t := s.due[0]
		switch {
		case t.busy:
			s.stats.Late++
		case t.silent:
			t.busy = true
			s.slow = append(s.slow, t)
		default:
			t.busy = true
			s.ready = append(s.ready, t)
		}
		t.next(now)
		heap.Fix(&s.due, 0)
	}
	for s.running < s.parallel && len(s.ready) > 0 {
		begin, s.ready = append(begin, s.ready[0]), s.ready[1:]
		s.running++
	}
	for s.running < s.parallel && s.slowly < s.parallel/2 && len(s.slow) > 0 {
		begin, s.slow = append(begin, s.slow[0]), s.slow[1:]
		s.running++
		s.slowly++
	}
	if len(s.due) == 0 {
		return begin, time.Hour
	}
	return begin, s.due[0].at.Sub(now)
}

// next says when a task is due again. The first pause is shorter, by chance:
// tasks that were made together part then for good.
func (t *task) next(now time.Time) {
	if t.first {
		t.first = false
		t.at = t.at.Add(t.interval/2 + part(t.interval/2))
	} else {
		t.at = t.at.Add(t.interval)
	}
	if !t.at.After(now) { // the machine was asleep or much too slow
		t.at = now.Add(part(t.interval))
	}
}

func (s *Schedule[K]) do(ctx context.Context, t *task) {
	s.mu.Lock()
	slowly, gone, run := t.silent, t.gone, t.run
	s.mu.Unlock()
	silent := slowly
	if !gone && ctx.Err() == nil {
		silent = run(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.busy, t.silent = false, silent
	s.running--
	if slowly {
		s.slowly--
	}
	s.stats.Runs++
	if len(s.ready)+len(s.slow) > 0 {
		s.nudge()
	}
}

func (s *Schedule[K]) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// part returns a random part of a time, never nothing.
func part(d time.Duration) time.Duration { return 1 + rand.N(max(d, 1)) }

// queue is a heap of tasks, the next due first.
type queue []*task

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	t := x.(*task)
	t.index = len(*q)
	*q = append(*q, t)
}
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return t
}
