package notify

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lcms-project/lcms/agentx"
)

// retryAfter is how long to wait after a failure before the next attempt. It
// costs next to nothing while there is no session.
const retryAfter = 200 * time.Millisecond

// complainAfter spaces what is logged about lost notifications.
const complainAfter = time.Minute

// linger is how long Run goes on after the end of its context.
const linger = 2 * time.Second

// Run sends what is added until ctx ends, and then what still waits: no faster
// than before, for two seconds at most, and only while the master takes it. It
// returns nil.
func (q *Queue) Run(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		sleep(sending, linger)
		cancel()
	})()
	defer func() {
		if n := q.Stats().Queued; n > 0 {
			q.opts.Log.Warn("stopping with notifications that were not sent; managers should walk lcmsAlarmTable", "waiting", n)
		}
	}()
	var rate bucket
	var complaints complaint
	for {
		running := ctx
		if ctx.Err() != nil {
			if sending.Err() != nil || q.Stats().Queued == 0 {
				return nil
			}
			running = sending
		}
		if lost := q.Stats().Dropped; complaints.due(lost, time.Now()) {
			q.opts.Log.Warn("notifications were lost: too many waited for snmpd; managers should walk lcmsAlarmTable", "lost", lost)
		}
		batch, wait := q.next(&rate)
		switch {
		case len(batch) > 0:
		case wait > 0:
			sleep(running, wait)
			continue
		default:
			select {
			case <-ctx.Done():
			case <-q.wake:
			}
			continue
		}
		if q.send(sending, batch, &rate) {
			q.gather(ctx)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		sleep(ctx, retryAfter)
	}
}

// window is how many notifications are with the master at a time: it is woken
// once for all of them. It loses some when there are many.
const window = 8

// together is how long notifications that follow others are left to come together:
// to send one costs nearly as much as to send a few. Who comes first is sent at once.
const together = 100 * time.Millisecond

// gather waits until a window is full, or those that follow had time to come.
func (q *Queue) gather(ctx context.Context) {
	q.wakeAt(window)
	defer q.wakeAt(1)
	timer := time.NewTimer(together)
	defer timer.Stop()
	for q.Stats().Queued < window {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-q.wake:
		}
	}
}

// next takes what may be sent now. If that is nothing because of the limit of
// the rate, it returns how long to wait.
func (q *Queue) next(rate *bucket) (batch []Numbered, wait time.Duration) {
	for len(batch) < window {
		if wait = rate.wait(q.opts.Settings().NotificationRate, time.Now()); wait > 0 {
			break
		}
		it, ok := q.take(rate.more())
		if !ok {
			break
		}
		rate.spend()
		batch = append(batch, it)
	}
	return batch, wait
}

// send sends what was taken, and gives back, in their order, those of which
// nobody knows what became. It reports whether there were none.
func (q *Queue) send(ctx context.Context, batch []Numbered, rate *bucket) (all bool) {
	all = true
	errs := q.opts.Send(ctx, batch)
	for i, it := range slices.Backward(batch) {
		var refused *agentx.ResponseError
		switch err := errs[i]; {
		case err == nil:
			q.count(&q.stats.Sent)
		case errors.As(err, &refused) && refused.Code != agentx.NotOpen:
			rate.refund()
			q.count(&q.stats.Dropped)
			q.opts.Log.Error("the master agent does not take a notification", "error", err)
		default:
			rate.refund()
			q.giveBack(it)
			all = false
		}
	}
	return all
}

// count counts what became of the event that was taken.
func (q *Queue) count(counter *uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Queued--
	*counter++
}

// sleep waits; it reports false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// bucket limits the rate: it fills by the rate and holds what comes in a
// second.
type bucket struct {
	rate   float64 // 0 = no limit
	tokens float64
	filled time.Time
}

// wait returns how long to wait for the next tokens, as many as there may be
// notifications together by then. A bucket whose rate is changed begins full.
func (b *bucket) wait(rate uint32, now time.Time) time.Duration {
	if r := float64(rate); r != b.rate || b.filled.IsZero() {
		*b = bucket{rate: r, tokens: r}
	} else {
		b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*b.rate, b.rate)
	}
	b.filled = now
	if b.rate == 0 || b.tokens >= 1 {
		return 0
	}
	enough := min(max(b.rate*together.Seconds(), 1), window)
	return time.Duration((enough-b.tokens)/b.rate*float64(time.Second)) + time.Microsecond
}

// more reports whether a window can follow the next one.
func (b *bucket) more() bool { return b.rate == 0 || b.tokens >= 1+window }

func (b *bucket) spend()  { b.tokens-- }
func (b *bucket) refund() { b.tokens++ }

// complaint says when it is time to complain again about what grows.
type complaint struct {
	told uint64
	at   time.Time
}

func (c *complaint) due(n uint64, now time.Time) bool {
	if n == c.told || !c.at.IsZero() && now.Sub(c.at) < complainAfter {
		return false
	}
	c.told, c.at = n, now
	return true
}
