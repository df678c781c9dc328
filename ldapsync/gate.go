package ldapsync

import (
	"slices"
	"time"
)

// gate is shut while the director has made a write that the tree does not show
// yet, because what the tree says is older than what the director has, and while
// nobody knows what became of one: a part of it may still be taken back.
type gate struct {
	writing string    // id of a write that is being made
	doubt   bool      // one was not made, as far as is known, and this is not settled
	id      string    // of the last that was made, until the tree shows it
	since   time.Time // when either began
	older   []string  // ids of writes before that
	count   uint64    // of writes that were begun or made
	asked   bool      // for all to be read anew, because it does not come
}

// old notes ids of writes that are older than what is to be waited for.
func (g *gate) old(ids ...string) {
	const most = 256
	for _, id := range ids {
		if id != "" && !slices.Contains(g.older, id) {
			g.older = append(g.older, id)
		}
	}
	if n := len(g.older) - most; n > 0 {
		g.older = slices.Delete(g.older, 0, n)
	}
}

// begin notes that a write is being made, when the tree shows another one.
func (g *gate) begin(id, shown string, now time.Time) {
	g.old(shown, g.id)
	g.writing, g.since, g.asked = id, now, false
	g.count++
}

// end notes whether it was made.
func (g *gate) end(id string, made bool, now time.Time) {
	if g.writing == id {
		g.writing = ""
	}
	if made {
		g.id = id
	} else {
		g.doubt = true
	}
	g.since, g.asked = now, false
	g.count++
}

// settled notes that it is known what became of every write.
func (g *gate) settled() { g.doubt = false }

// open reports whether the tree, which shows a write, is as new as the director.
// An id that was never heard of is newer: it ended a write of which nobody knew
// the outcome.
func (g *gate) open(shown string) bool {
	if g.writing != "" || g.doubt {
		return false
	}
	if g.id == "" || shown == g.id || shown != "" && !slices.Contains(g.older, shown) {
		g.old(g.id, shown)
		g.id = ""
		return true
	}
	return false
}

// giveUp opens the gate whatever the tree shows.
func (g *gate) giveUp() {
	g.old(g.id, g.writing)
	g.id, g.writing, g.doubt = "", "", false
}
