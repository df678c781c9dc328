package schedule

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// turning is a schedule that runs in a bubble of synctest.
func turning(t *testing.T, parallel int) (*Schedule[int], func()) {
	t.Helper()
	s := New[int](parallel)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestSpreadOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tasks, interval = 2000, 10 * time.Second
		s, stop := turning(t, 50)
		defer stop()
		var mu sync.Mutex
		seconds := make(map[int]int)
		each := make([]int, tasks)
		start := time.Now()
		for i := range tasks {
			s.Put(i, interval, func(context.Context) bool {
				mu.Lock()
				defer mu.Unlock()
				seconds[int(time.Since(start)/time.Second)]++
				each[i]++
				return false
			})
		}
		time.Sleep(20*interval + time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		for i, n := range each {
			if n < 19 || n > 22 {
				t.Errorf("task %d ran %d times in 20 intervals", i, n)
			}
		}
		for second := range 200 {
			if n := seconds[second]; n < 120 || n > 2*200+60 {
				t.Errorf("%d tasks began in second %d, want about 200", n, second)
			}
		}
		if stats := s.Stats(); stats.Late != 0 || stats.Tasks != tasks {
			t.Errorf("%+v", stats)
		}
	})
}

func TestDeadHostsDelayNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parallel, interval = 20, 5 * time.Second
		s, stop := turning(t, parallel)
		defer stop()
		var mu sync.Mutex
		var atOnce, most int
		var pauses []time.Duration
		wait := func(d time.Duration) {
			mu.Lock()
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			time.Sleep(d)
			mu.Lock()
			atOnce--
			mu.Unlock()
		}
		for i := range 200 { // dead ones: far more than there is room for
			s.Put(i, interval, func(context.Context) bool {
				wait(4 * time.Second)
				return true
			})
		}
		time.Sleep(10 * interval) // now they are known
		for i := range 20 {
			var last time.Time
			s.Put(1000+i, interval, func(context.Context) bool {
				mu.Lock()
				if !last.IsZero() {
					pauses = append(pauses, time.Since(last))
				}
				last = time.Now()
				mu.Unlock()
				wait(10 * time.Millisecond)
				return false
			})
		}
		time.Sleep(20 * interval)
		mu.Lock()
		defer mu.Unlock()
		if most > parallel {
			t.Errorf("%d ran at once, want at most %d", most, parallel)
		}
		if len(pauses) < 20*17 {
			t.Errorf("the living ran %d times, want 20 tasks about 19 times each", len(pauses))
		}
		if longest := slices.Max(pauses); longest > interval+time.Second {
			t.Errorf("one that lives waited %s between two runs", longest)
		}
		if s.Stats().Late == 0 {
			t.Error("no run was left out, though there is not enough room")
		}
	})
}

func TestChangeAndDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := turning(t, 4)
		defer stop()
		ran := make(chan string, 1000)
		say := func(what string) func(context.Context) bool {
			return func(context.Context) bool { ran <- what; return false }
		}
		s.Put(1, time.Hour, say("hourly"))
		if time.Sleep(soon + time.Second); len(ran) != 1 {
			t.Errorf("a new task ran %d times within %s", len(ran), soon)
		}
		<-ran
		s.Put(1, time.Second, say("fast"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(ran); n < 9 || n > 11 {
			t.Errorf("it ran %d times in 10 s", n)
		}
		for len(ran) > 0 {
			if what := <-ran; what != "fast" {
				t.Errorf("%s ran", what)
			}
		}
		s.Delete(1)
		s.Delete(2)
		time.Sleep(10 * time.Second)
		if len(ran) > 0 || s.Stats().Tasks != 0 {
			t.Errorf("it ran after it was deleted; %+v", s.Stats())
		}
	})
}

func TestSlowTaskIsNotRunTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := turning(t, 4)
		defer stop()
		var mu sync.Mutex
		atOnce := 0
		s.Put(1, time.Second, func(context.Context) bool {
			mu.Lock()
			if atOnce++; atOnce > 1 {
				t.Error("it runs twice at once")
			}
			mu.Unlock()
			time.Sleep(3500 * time.Millisecond)
			mu.Lock()
			atOnce--
			mu.Unlock()
			return false
		})
		time.Sleep(time.Minute)
		if stats := s.Stats(); stats.Runs < 12 || stats.Late == 0 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		put := func(s *Schedule[int]) { s.Put(1, time.Second, func(context.Context) bool { return false }) }
		dead := New[int](2)
		if got := dead.Overdue(time.Now()); got != 0 {
			t.Errorf("without a task %s", got)
		}
		put(dead)
		live, stop := turning(t, 2)
		defer stop()
		put(live)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := live.Overdue(time.Now()); got != 0 {
			t.Errorf("one that turns: %s", got)
		}
		if got := dead.Overdue(time.Now()); got < 59*time.Second || got > time.Minute {
			t.Errorf("one that does not turn: %s", got)
		}
	})
}
