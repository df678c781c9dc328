package ldapsync

import (
	"math/rand/v2"
	"time"
)

// providers say which server is tried next, and when.
type providers struct {
	n          int // how many there are; the first is to be preferred
	round      []int
	wait       time.Duration // before the next round
	min, max   time.Duration
	calm       time.Duration // the first has to be well before it is gone back to
	usual      time.Duration // the same, as long as that went well
	cameBackAt time.Time     // when the first was last gone back to
}

// ending says how a session ended.
type ending uint8

const (
	failed  ending = iota // it never got to follow
	severed               // the server, or the connection to it, is gone
	hung                  // the server does not answer
	anew                  // by us, to begin anew with the same server
	goBack                // by us, to go back to the first
)

// next returns the server to be tried.
func (p *providers) next() int {
	if len(p.round) == 0 {
		for i := range p.n {
			p.round = append(p.round, i)
		}
	}
	i := p.round[0]
	p.round = p.round[1:]
	return i
}

// ended notes how a session with a server ended that followed for some time, and
// returns how long to wait before the next.
func (p *providers) ended(i int, how ending, lived time.Duration, now time.Time) time.Duration {
	if lived >= p.max {
		p.wait = 0
	}
	if i == 0 && !p.cameBackAt.IsZero() && how != anew {
		// It was not well, after all: the next time it has to be so for longer.
		if now.Sub(p.cameBackAt) < 4*p.calm {
			p.calm = min(2*p.calm, 40*p.usual)
		} else {
			p.calm = p.usual
		}
		p.cameBackAt = time.Time{}
	}
	switch how {
	case anew:
		p.round = append([]int{i}, p.others(i)...)
		return 0
	case goBack:
		p.round, p.cameBackAt = nil, now
		return 0
	case hung:
		p.round = append(p.others(i), i)
		if p.n > 1 {
			return 0
		}
	case severed:
		// It may have been the connection only.
		p.round = append([]int{i}, p.others(i)...)
		if lived >= p.min && p.wait == 0 {
			return 0
		}
	case failed:
		if len(p.round) > 0 {
			return 0
		}
	}
	p.wait = min(max(2*p.wait, p.min), p.max)
	return p.wait/2 + rand.N(p.wait/2+1)
}

func (p *providers) others(i int) []int {
	var list []int
	for k := range p.n {
		if k != i {
			list = append(list, k)
		}
	}
	return list
}
