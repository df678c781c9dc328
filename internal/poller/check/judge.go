package check

// Judge makes a health of results: so many good ones in a row make a server up
// that was down, so many bad ones make it down. Its zero value knows nothing.
type Judge struct {
	health Health // 0 as Unknown
	run    uint32 // results in a row that speak against health
	last   Health // of them
}

// NewJudge returns a judge that begins with what was known before.
func NewJudge(h Health) Judge { return Judge{health: h} }

// Health returns the judgement.
func (j *Judge) Health() Health {
	if j.health == 0 {
		return Unknown
	}
	return j.health
}

// Take takes a result in and reports whether the health has changed by it. As
// long as nothing is known one good result is enough: a monitor that has just
// started must not take servers out, nor leave them aside, without need.
func (j *Judge) Take(h Health, rise, fall uint32) (changed bool) {
	if h == j.Health() {
		j.run = 0
		return false
	}
	if h != j.last {
		j.run, j.last = 0, h
	}
	j.run++
	enough := fall // that the monitor cannot ask has to last, too
	if h == Up {
		enough = rise
		if j.Health() == Unknown {
			enough = 1
		}
	}
	if j.run < max(1, enough) {
		return false
	}
	j.health, j.run, j.last = h, 0, 0
	return true
}
