package ldapsync

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func newProviders(n int) *providers {
	return &providers{n: n, min: 500 * time.Millisecond, max: 30 * time.Second, calm: 15 * time.Second, usual: 15 * time.Second}
}

func TestProvidersAreTriedInOrder(t *testing.T) {
	type step struct {
		how   ending
		lived time.Duration
		waits bool // before the next
	}
	long := time.Hour
	for _, test := range []struct {
		name  string
		n     int
		steps []step
		tried []int
	}{
		{"each once, then a pause", 3, []step{{failed, 0, false}, {failed, 0, false}, {failed, 0, true}, {failed, 0, false}}, []int{0, 1, 2, 0}},
		{"one", 1, []step{{failed, 0, true}, {failed, 0, true}}, []int{0, 0}},
		{"a connection that is cut", 2, []step{{severed, long, false}, {severed, long, false}}, []int{0, 0}},
		{"one that is cut soon", 2, []step{{severed, time.Millisecond, true}}, []int{0}},
		{"one that is killed", 3, []step{{severed, long, false}, {failed, 0, false}, {severed, long, false}, {failed, 0, false}, {failed, 0, false}}, []int{0, 0, 1, 1, 0}},
		{"one that hangs", 2, []step{{hung, long, false}, {hung, long, false}}, []int{0, 1}},
		{"the only one hangs", 1, []step{{hung, long, true}}, []int{0}},
		{"anew with the same", 2, []step{{failed, 0, false}, {anew, 0, false}, {failed, 0, false}}, []int{0, 1, 1}},
		{"back to the first", 2, []step{{failed, 0, false}, {goBack, long, false}, {severed, long, false}}, []int{0, 1, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProviders(test.n)
			var tried []int
			for k, s := range test.steps {
				i := p.next()
				tried = append(tried, i)
				if wait := p.ended(i, s.how, s.lived, monday); (wait > 0) != s.waits {
					t.Errorf("step %d waits %s", k, wait)
				}
			}
			if !slices.Equal(tried, test.tried) {
				t.Errorf("tried %v, want %v", tried, test.tried)
			}
		})
	}
}

func TestProvidersBackOff(t *testing.T) {
	p := newProviders(1)
	want := 500 * time.Millisecond
	for range 10 {
		wait := p.ended(p.next(), failed, 0, monday)
		if wait < want/2 || wait > want {
			t.Errorf("waits %s, want %s to %s", wait, want/2, want)
		}
		want = min(2*want, 30*time.Second)
	}
	if wait := p.ended(p.next(), severed, time.Minute, monday); wait != 0 {
		t.Errorf("after a minute of following it waits %s", wait)
	}
}

// A first server that is never well for long is gone back to ever more rarely.
func TestProvidersDoNotFlap(t *testing.T) {
	p, now := newProviders(2), monday
	for k := range 4 {
		if want := 15 * time.Second << k; p.calm != want {
			t.Errorf("the %d. time the first has to be well for %s, want %s", k+1, p.calm, want)
		}
		p.next() // 0
		p.ended(0, failed, 0, now)
		p.next() // 1
		now = now.Add(p.calm)
		p.ended(1, goBack, p.calm, now)
		now = now.Add(10 * time.Second)
		if i := p.next(); i != 0 {
			t.Fatalf("%d is tried", i)
		}
		p.ended(0, hung, 10*time.Second, now)
		p.next() // 1
		p.ended(1, anew, 0, now)
		p.round = nil
	}
	p.cameBackAt = now
	p.ended(0, severed, 24*time.Hour, now.Add(24*time.Hour))
	if p.calm != p.usual {
		t.Errorf("after a day with the first it has to be well for %s", p.calm)
	}
}

func TestGate(t *testing.T) {
	type do struct {
		what, id string // begin, made, unmade, settled or shown
		open     bool
	}
	for _, test := range []struct {
		name  string
		steps []do
	}{
		{"no write", []do{{"shown", "a", true}, {"shown", "", true}}},
		{"a write", []do{{"shown", "a", true}, {"begin", "b", false}, {"shown", "a", false}, {"shown", "b", false}, {"made", "b", false}, {"shown", "a", false}, {"shown", "b", true}, {"shown", "b", true}}},
		{"one that is not made", []do{{"shown", "a", true}, {"begin", "b", false}, {"unmade", "b", false}, {"shown", "a", false}, {"settled", "", false}, {"shown", "a", true}}},
		{"one after the other", []do{{"begin", "b", false}, {"made", "b", false}, {"begin", "c", false}, {"made", "c", false}, {"shown", "b", false}, {"shown", "c", true}}},
		{"the second is not made", []do{{"begin", "b", false}, {"made", "b", false}, {"begin", "c", false}, {"unmade", "c", false}, {"settled", "", false}, {"shown", "", false}, {"shown", "b", true}}},
		{"one that nobody knows of", []do{{"shown", "a", true}, {"begin", "b", false}, {"made", "b", false}, {"shown", "fence", true}}},
		{"an older server", []do{{"begin", "b", false}, {"made", "b", false}, {"shown", "b", true}, {"begin", "c", false}, {"made", "c", false}, {"shown", "b", false}, {"shown", "c", true}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var g gate
			shown := ""
			for k, s := range test.steps {
				switch s.what {
				case "begin":
					g.begin(s.id, shown, monday)
				case "settled":
					g.settled()
				case "made", "unmade":
					g.end(s.id, s.what == "made", monday)
				default:
					shown = s.id
					if got := g.open(s.id); got != s.open {
						t.Errorf("step %d: open %t", k, got)
					}
				}
			}
		})
	}
	var g gate
	for n := range 1000 {
		id := fmt.Sprint(n)
		g.begin(id, "", monday)
		g.end(id, true, monday)
	}
	if len(g.older) > 256 {
		t.Errorf("%d ids are remembered", len(g.older))
	}
	if g.giveUp(); !g.open("whatever") {
		t.Error("shut after giving up")
	}
}

func TestNewestOfEachServer(t *testing.T) {
	a1, a2 := "20260101000000.000001Z#000000#001#000000", "20260101000000.000002Z#000000#001#000000"
	b1 := "20260101000000.000009Z#000000#002#000000"
	if got := newest([]string{a2}, nil, []string{a1, b1}); !slices.Equal(got, []string{a2, b1}) {
		t.Errorf("newest: %v", got)
	}
}
