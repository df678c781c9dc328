package notify

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/agentxtest"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a master that notes what it accepts.
type receiver struct {
	mu       sync.Mutex
	err      error         // what it answers
	delay    time.Duration // before it answers
	settings lvs.Settings
	got      []string
	numbers  []uint32
	times    []time.Time
}

func (r *receiver) send(ctx context.Context, events []Numbered) []error {
	errs := make([]error, len(events))
	r.mu.Lock()
	delay, away := r.delay, r.err
	r.mu.Unlock()
	for i, e := range events {
		if errs[i] = away; delay > 0 && !sleep(ctx, delay) {
			errs[i] = ctx.Err()
			continue
		}
		r.set(func() {
			r.numbers = append(r.numbers, e.Sequence)
			if errs[i] == nil {
				r.got = append(r.got, text(e.Event))
				r.times = append(r.times, time.Now())
			}
		})
	}
	return errs
}

func (r *receiver) wants() lvs.Settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings
}

// set changes the receiver while it is used.
func (r *receiver) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func text(e control.Event) string { return fmt.Sprintf("%d %s %d", e.Kind, e.Server, e.State) }

// event is one of the nth server of a service.
func event(kind control.EventKind, n int, state control.OperStatus) control.Event {
	service, _ := lvs.ParseServiceKey("tcp:192.0.2.1:80")
	server, _ := lvs.NewServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 80))
	return control.Event{Kind: kind, Service: service, Server: server, State: state}
}

// run runs a queue in a bubble of synctest until the test is over.
func run(t *testing.T, r *receiver, rows int) *Queue {
	t.Helper()
	q := New(Options{Send: r.send, Settings: r.wants, Log: slog.New(slog.DiscardHandler), Rows: rows})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- q.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return q
}

// settle lets a minute pass and everything that is due happen.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

var errAway = fmt.Errorf("test: %w", agentx.ErrNotConnected)

func TestNewestStateOfEachRowIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{err: errAway}
		q := run(t, r, 0)
		for _, e := range []control.Event{
			event(control.ServerStateChange, 1, control.OperDown),
			event(control.ServerStateChange, 2, control.OperDown),
			event(control.ServerOverload, 1, control.OperOverloaded),
			event(control.ServerOverloadClear, 1, control.OperUp), // clears before it was told
			event(control.ServerStateChange, 1, control.OperDrained),
			event(control.ServerDrained, 1, control.OperDrained),
			event(control.ServerStateChange, 1, control.OperUp),
			event(control.ServerStateChange, 2, control.OperUp),
		} {
			q.Add(e)
		}
		time.Sleep(time.Minute)
		r.set(func() { r.err = nil })
		settle()
		// Row 1 comes first, for it waited first; its last message is its state.
		want := []string{"5 10.0.0.1:80 1", "3 10.0.0.1:80 4", "1 10.0.0.1:80 1", "1 10.0.0.2:80 1"}
		if !slices.Equal(r.got, want) {
			t.Errorf("got %q, want %q", r.got, want)
		}
		if s := q.Stats(); s != (Stats{Sent: 4, Coalesced: 4}) {
			t.Errorf("%+v", s)
		}
	})
}

// Members are rows of their own; the loss of the directory and what is held of
// it are told side by side, each as it is in the end.
func TestDirectoryAndMembersAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{err: errAway}
		q := run(t, r, 0)
		member := func(host lvs.HostName, state control.OperStatus) control.Event {
			return control.Event{Kind: control.MemberStateChange, Member: lvs.MemberID{Cluster: "shop", Host: host}, State: state}
		}
		for _, e := range []control.Event{
			member("rs1", control.OperFailed), member("rs2", control.OperFailed), member("rs1", control.OperUp),
			{Kind: control.DirectoryLost}, {Kind: control.DirectoryHold}, {Kind: control.DirectoryRestored},
			{Kind: control.KernelLost},
		} {
			q.Add(e)
		}
		time.Sleep(time.Minute)
		r.set(func() { r.err = nil })
		settle()
		kinds := map[string]int{}
		for _, s := range r.got {
			kinds[s]++
		}
		want := map[string]int{"15  1": 1, "15  7": 1, "12  0": 1, "13  0": 1, "9  0": 1}
		if !maps.Equal(kinds, want) {
			t.Errorf("got %v, want %v", kinds, want)
		}
	})
}

func TestOverflowDropsWhatWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{err: errAway}
		q := run(t, r, 10)
		for i := range 25 {
			q.Add(event(control.ServerStateChange, i, control.OperDown))
		}
		synctest.Wait() // what was being sent is back
		if n := q.Stats().Queued; n != 10 {
			t.Errorf("%d wait", n)
		}
		r.set(func() { r.err = nil })
		settle()
		if len(r.got) != 10 || r.got[0] != "1 10.0.0.15:80 2" || r.got[9] != "1 10.0.0.24:80 2" {
			t.Errorf("got %q", r.got)
		}
		if s := q.Stats(); s != (Stats{Sent: 10, Dropped: 15}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestMutedKindsAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{err: errAway, settings: lvs.Settings{Muted: 1 << (control.ServerDrained - 1)}}
		q := run(t, r, 0)
		q.Add(event(control.ServerDrained, 1, control.OperDrained))
		q.Add(event(control.ServerStateChange, 1, control.OperDrained))
		q.Add(event(control.ServerOverload, 2, control.OperOverloaded))
		synctest.Wait()
		// One more is muted while it waits.
		r.set(func() { r.err, r.settings.Muted = nil, r.settings.Muted|1<<(control.ServerStateChange-1) })
		settle()
		if want := []string{"4 10.0.0.2:80 5"}; !slices.Equal(r.got, want) {
			t.Errorf("got %q, want %q", r.got, want)
		}
		if s := q.Stats(); s != (Stats{Sent: 1}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestRateIsKeptAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{settings: lvs.Settings{NotificationRate: 10}}
		q := run(t, r, 50)
		for i := range 10 { // as many as go at once
			q.Add(event(control.ServerDrained, i, control.OperDrained))
		}
		synctest.Wait()
		for range 3 { // the rows are more than may wait, and each is told thrice
			for i := range 60 {
				q.Add(event(control.ServerStateChange, i, control.OperDown))
			}
		}
		for i := range 60 {
			q.Add(event(control.ServerStateChange, i, control.OperUp))
		}
		settle()
		s := q.Stats()
		if s.Dropped+s.Coalesced != 0 || s.Sent+s.Suppressed != 250 || s.Queued != 0 || s.Sent < 50 {
			t.Errorf("%+v", s)
		}
		if last := r.got[len(r.got)-1]; last != "1 10.0.0.59:80 1" {
			t.Errorf("the last is %q", last)
		}
		// Ten at once, and ten in every second after it.
		for i, at := range r.times {
			if i+20 < len(r.times) && r.times[i+20].Sub(at) < 990*time.Millisecond {
				t.Errorf("the notifications %d to %d come within %s", i, i+20, r.times[i+20].Sub(at))
			}
		}
		if took := r.times[len(r.times)-1].Sub(r.times[0]); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("%d were sent in %s", s.Sent, took)
		}
		// Without the limit they come at once, but for the end, which is no full window.
		r.set(func() { r.settings.NotificationRate = 0 })
		begin := time.Now()
		for i := range 40 {
			q.Add(event(control.ServerStateChange, i, control.OperDown))
		}
		time.Sleep(together)
		synctest.Wait()
		if n := q.Stats().Queued; n != 0 {
			t.Errorf("%d wait after %s", n, time.Since(begin))
		}
	})
}

// TestTogether: what comes alone is sent at once, what follows soon is sent together,
// and a full window at once.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		q := run(t, r, 0)
		began, next := time.Now(), 0
		add := func(n int) {
			for range n {
				q.Add(event(control.ServerStateChange, next, control.OperDown))
				next++
			}
			synctest.Wait()
		}
		add(1)
		time.Sleep(together / 2)
		add(2)
		time.Sleep(together / 4)
		add(1)
		time.Sleep(together)
		add(window - 1)
		add(1)
		time.Sleep(2 * together)
		add(1)
		var want []time.Duration
		for at, n := range map[time.Duration]int{0: 1, together: 3, together * 7 / 4: window, together * 15 / 4: 1} {
			want = append(want, slices.Repeat([]time.Duration{at}, n)...)
		}
		slices.Sort(want)
		var got []time.Duration
		for _, at := range r.times {
			got = append(got, at.Sub(began))
		}
		if !slices.Equal(got, want) {
			t.Errorf("sent after %v, want %v", got, want)
		}
	})
}

func TestAttemptsKeepTheirNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{err: errAway}
		q := run(t, r, 0)
		q.Add(event(control.ServerStateChange, 1, control.OperDown))
		time.Sleep(retryAfter)
		q.Add(event(control.ServerStateChange, 2, control.OperDown))
		time.Sleep(10 * retryAfter)
		r.set(func() { r.err = nil })
		settle()
		attempts := len(r.numbers)
		slices.Sort(r.numbers)
		if want := []uint32{1, 2}; len(r.got) != 2 || attempts < 10 || !slices.Equal(slices.Compact(r.numbers), want) {
			t.Errorf("got %q in %d attempts with the numbers %v", r.got, attempts, r.numbers)
		}
	})
}

func TestRefusedIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{err: &agentx.ResponseError{Code: agentx.ProcessingError}}
		q := run(t, r, 0)
		q.Add(event(control.ServerStateChange, 1, control.OperDown))
		settle()
		if s := q.Stats(); s != (Stats{Dropped: 1}) || len(r.numbers) != 1 {
			t.Errorf("%+v after %d attempts", s, len(r.numbers))
		}
	})
}

// TestAddNeverWaits floods a queue whose master does not answer: Add comes back
// at once, and what waits stays bounded.
func TestAddNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{delay: time.Hour}
		q := run(t, r, 100)
		begin := time.Now()
		for i := range 10000 {
			q.Add(event(control.ServerStateChange, i%2000, control.OperDown))
			q.Add(event(control.ServerDrained, i%2000, control.OperDown))
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("Add waited %s", took)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(q.rows) > 100 || q.order.Len() != len(q.rows) || q.stats.Queued > 200+window { // some of them are being sent
			t.Errorf("%d rows and %d events wait", len(q.rows), q.stats.Queued)
		}
	})
}

// TestEveryEventIsCountedOnce adds at random to a master that comes and goes.
func TestEveryEventIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{settings: lvs.DefaultSettings(), delay: time.Millisecond}
		q := run(t, r, 20)
		random := rand.New(rand.NewPCG(1, 2))
		kinds := []control.EventKind{control.ServerStateChange, control.ServerDrained, control.ServerOverload, control.ServerOverloadClear}
		const added = 5000
		for range added {
			e := event(kinds[random.IntN(len(kinds))], random.IntN(30), control.OperStatus(1+random.IntN(7)))
			q.Add(e)
			switch random.IntN(40) {
			case 0:
				r.set(func() { r.err = errAway })
			case 1, 2:
				r.set(func() { r.err = nil })
			case 3:
				time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			}
			if s := q.Stats(); s.Queued > 20*3 {
				t.Fatalf("%+v", s)
			}
		}
		r.set(func() { r.err = nil })
		settle()
		s := q.Stats()
		if s.Sent+s.Dropped+s.Suppressed+s.Coalesced != added || s.Queued != 0 || int(s.Sent) != len(r.got) {
			t.Errorf("%+v", s)
		}
		if s.Dropped == 0 || s.Suppressed == 0 || s.Coalesced == 0 {
			t.Errorf("not every fate was met: %+v", s)
		}
	})
}

// stopped gives a queue events while the master is away, and stops it when the
// master is as the receiver says. It returns how long the stop took.
func stopped(t *testing.T, r *receiver, events int) (*Queue, time.Duration) {
	t.Helper()
	q := New(Options{Send: r.send, Settings: r.wants, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- q.Run(ctx) }()
	err := r.err
	r.set(func() { r.err = errAway })
	for i := range events {
		q.Add(event(control.ServerStateChange, i, control.OperDown))
	}
	synctest.Wait()
	r.set(func() { r.err, r.numbers = err, nil })
	began := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return q, time.Since(began)
}

// TestStopSendsWhatWaits: at a clean stop the master gets what still waits, as
// far as two seconds and the limit of the rate go.
func TestStopSendsWhatWaits(t *testing.T) {
	for name, tc := range map[string]struct {
		rate        uint32
		delay       time.Duration // of the master's answers
		err         error         // that it answers
		events      int
		sent, left  int
		least, most time.Duration
	}{
		"nothing waits":            {events: 0},
		"all at once":              {events: 500, sent: 500},
		"as fast as the rate goes": {rate: 10, events: 25, sent: 25, least: 1400 * time.Millisecond, most: 1600 * time.Millisecond},
		"no longer than it lasts":  {rate: 10, events: 100, sent: 29, left: 71, least: linger, most: linger},
		"a master that is away":    {err: errAway, events: 100, left: 100},
		"a master that hangs":      {delay: time.Hour, events: 100, left: 100, least: linger, most: linger},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{settings: lvs.Settings{NotificationRate: tc.rate}, delay: tc.delay, err: tc.err}
				q, took := stopped(t, r, tc.events)
				if s := q.Stats(); int(s.Sent) != tc.sent || s.Queued != tc.left || len(r.got) != tc.sent {
					t.Errorf("%+v of %d, %d received; want %d sent and %d left", s, tc.events, len(r.got), tc.sent, tc.left)
				}
				if took < tc.least || took > tc.most {
					t.Errorf("the stop took %s, want %s to %s", took, tc.least, tc.most)
				}
				if unique := slices.Compact(slices.Clone(r.numbers)); len(unique) != len(r.numbers) {
					t.Errorf("sent twice: %v", r.numbers)
				}
			})
		})
	}
}

// TestStopDoesNotSendTwice: what is on its way at a stop is waited for, and not
// sent again.
func TestStopDoesNotSendTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{delay: time.Second}
		q := New(Options{Send: r.send, Settings: r.wants, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- q.Run(ctx) }()
		q.Add(event(control.ServerStateChange, 1, control.OperDown))
		time.Sleep(500 * time.Millisecond)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := q.Stats(); s != (Stats{Sent: 1}) || !slices.Equal(r.numbers, []uint32{1}) {
			t.Errorf("%+v with the numbers %v", s, r.numbers)
		}
	})
}

// TestWhatWasOnItsWayIsSentAgain loses the connection under a notification: it
// comes again with its number, once.
func TestWhatWasOnItsWayIsSentAgain(t *testing.T) {
	master := agentxtest.New()
	defer master.Close()
	session := agentx.New(agentx.Options{Dial: master.Dial, Handler: nobody{}, Registrations: []agentx.Registration{{Subtree: smi.OID{1, 3, 6, 1, 4, 1, 1}}}, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond})
	var mu sync.Mutex
	var seen []uint64
	master.Answer(func(_ agentx.Header, p agentx.PDU) *agentx.ResponsePDU {
		n, ok := p.(*agentx.NotifyPDU)
		if !ok {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		number := n.Varbinds[1].Value.Num
		first := !slices.Contains(seen, number)
		seen = append(seen, number)
		if number == 3 && first {
			go func() {
				if s, err := master.Subagent(context.Background()); err == nil {
					s.Drop()
				}
			}()
			return agentxtest.Silence
		}
		return nil
	})
	q := New(Options{
		Log: slog.New(slog.DiscardHandler), Settings: func() lvs.Settings { return lvs.Settings{} },
		Send: func(ctx context.Context, events []Numbered) []error {
			var list [][]smi.Varbind
			for _, e := range events {
				list = append(list, []smi.Varbind{
					{Name: smi.MustParseOID("1.3.6.1.6.3.1.1.4.1.0"), Value: smi.ObjectIdentifier(smi.OID{1, 3})},
					{Name: smi.OID{1, 3, 1}, Value: smi.Unsigned32(e.Sequence)},
				})
			}
			return session.NotifyAll(ctx, "", list)
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = session.Run(ctx) })
	group.Go(func() { _ = q.Run(ctx) })
	defer group.Wait()
	defer cancel()
	for i := range 5 {
		q.Add(event(control.ServerStateChange, i, control.OperDown))
	}
	deadline := time.Now().Add(time.Minute)
	for q.Stats().Sent < 5 {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", q.Stats())
		}
		time.Sleep(time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	times := make(map[uint64]int)
	var order []uint64
	for _, n := range seen {
		if times[n]++; times[n] == 1 {
			order = append(order, n)
		}
	}
	// Those that were sent with the third may have lost their answers with it.
	if !slices.Equal(order, []uint64{1, 2, 3, 4, 5}) || times[3] != 2 || len(seen) > 10 || slices.Max(slices.Collect(maps.Values(times))) > 2 {
		t.Errorf("the master saw %v", seen)
	}
}

type nobody struct{}

func (nobody) View(string) (agentx.View, bool) { return nil, false }

func TestChangesOfSeveralObjectsAreNotCoalesced(t *testing.T) {
	q := New(Options{Settings: func() lvs.Settings { return lvs.Settings{} }, Send: func(context.Context, []Numbered) []error { panic("not used") }})
	object := []uint32{1, 3, 6}
	q.Add(control.Event{Kind: control.ConfigChange, Object: object, Request: 1})
	q.Add(control.Event{Kind: control.ConfigChange, Object: object, Request: 2})
	if s := q.Stats(); s.Queued != 1 || s.Coalesced != 1 {
		t.Errorf("one object twice: %+v", s)
	}
	q.Add(control.Event{Kind: control.ConfigChange, Object: object, Request: 3, More: 2})
	q.Add(control.Event{Kind: control.ConfigChange, Object: object, Request: 6, More: 2})
	if s := q.Stats(); s.Queued != 3 || s.Coalesced != 1 {
		t.Errorf("several objects: %+v", s)
	}
}
