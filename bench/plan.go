package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// bench is one run with its results.
type bench struct {
	workshop *workshop
	progress io.Writer
	rounds   int
	quick    bool
	results  map[key]series
	memory   map[kind]map[int]memory // by kind and rows, after all walks
	loads    map[kind]time.Duration  // how long the largest table took to be there
	lost     map[kind]int            // of eight managers, those that were not answered
	failures []string
	remarks  []string // on what peers did wrong
}

// key says what a series is about.
type key struct {
	phase string
	kind  kind
	rows  int
	work  string
}

// The phases.
const (
	phaseMany   = "many"   // services with ten servers each
	phaseSingle = "single" // one service with all servers
	phaseInform = "inform" // services with ten servers each, and somebody who is told
	phaseGrowth = "growth" // from small tables to large ones
)

var phases = []string{phaseMany, phaseSingle, phaseInform, phaseGrowth}

// task is a work with how much of it is done how often in each round. The
// stacks take turns each time, so that what disturbs the machine disturbs all.
type task struct {
	work
	amount, times int
	except        []kind
}

var tasks = []task{
	{walk1, 10, 3, nil},
	{walk10, 4, 5, nil},
	{get1, 250, 8, nil},
	{set1, 125, 8, []kind{goAgentX}},
	{set20, 25, 8, []kind{goAgentX}},
	{setLong, 2500, 1, []kind{goAgentX, lcmsStored}},
	{set20Long, 500, 1, []kind{goAgentX, lcmsStored}},
	{eight, 1, 2, []kind{goAgentX}},
}

// compare runs one round of a phase on fresh stacks with tables of n rows.
func (b *bench) compare(ctx context.Context, phase string, round, n, perService int, kinds []kind) error {
	fmt.Fprintf(b.progress, "%s, round %d of %d\n", phase, round+1, b.rounds)
	rows := makeRows(n, perService)
	var stacks []*stack
	defer func() { stop(stacks) }()
	for _, k := range kinds {
		s, err := b.workshop.start(k, rows, false)
		if err != nil {
			return err
		}
		stacks = append(stacks, s)
	}
	if err := sameTable(stacks); err != nil {
		return err
	}
	for _, t := range tasks {
		if err := b.perform(ctx, phase, round, t, stacks); err != nil {
			return err
		}
	}
	if i := slices.Index(kinds, goAgentX); i >= 0 && round == b.rounds-1 {
		b.together(goAgentX, stacks[i]) // the last thing: it may not recover
	}
	return nil
}

// rowsToTell is how many rows the phase inform has: as many as may wait in the
// queue of lcms-subagent.
const rowsToTell = 1000

// inform runs one round of the phase inform on fresh stacks.
func (b *bench) inform(ctx context.Context, round int) error {
	fmt.Fprintf(b.progress, "%s, round %d of %d\n", phaseInform, round+1, b.rounds)
	rows := makeRows(rowsToTell, serversPerService)
	var stacks []*stack
	defer func() { stop(stacks) }()
	for _, k := range []kind{lcms, container} {
		s, err := b.workshop.start(k, rows, true)
		if err != nil {
			return err
		}
		stacks = append(stacks, s)
	}
	if err := b.perform(ctx, phaseInform, round, task{inform, rowsToTell, 40, nil}, stacks); err != nil {
		return err
	}
	for _, s := range stacks {
		n := s.sink.repeated()
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%s, round %d: %s: %d informs came twice", phaseInform, round+1, s.kind, n)
		if s.isLCMS() {
			b.failures = append(b.failures, text)
		} else { // of a peer: it says nothing of lcms-subagent
			b.remarks = append(b.remarks, text)
		}
	}
	return nil
}

func stop(stacks []*stack) {
	for _, s := range stacks {
		s.stop()
	}
}

// sameTable checks that all stacks serve the same names, types and values.
func sameTable(stacks []*stack) error {
	var want uint64
	for i, s := range stacks {
		got, err := s.digest()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", s.kind, err)
		case i == 0:
			want = got
		case got != want:
			return fmt.Errorf("%s does not serve the same table as %s", s.kind, stacks[0].kind)
		}
	}
	return nil
}

// perform does a task on all stacks in turn and keeps the sums of the round.
func (b *bench) perform(ctx context.Context, phase string, round int, t task, stacks []*stack) error {
	sums := make([]sample, len(stacks))
	failed := make([]bool, len(stacks))
	if b.quick {
		t.times = 1
	}
	for turn := range t.times {
		for j := range stacks {
			i := (j + turn + round) % len(stacks)
			if failed[i] || slices.Contains(t.except, stacks[i].kind) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			x, err := stacks[i].measure(t.work, t.amount)
			if err != nil {
				failed[i] = true
				b.failures = append(b.failures, fmt.Sprintf("%s, round %d: %v", phase, round+1, err))
				if errors.Is(err, errLost) {
					b.lost[stacks[i].kind]++
				}
			}
			sums[i] = sums[i].plus(x)
		}
	}
	for i, s := range stacks {
		if sums[i].varbinds == 0 || failed[i] {
			continue
		}
		k := key{phase, s.kind, len(s.rows), t.name}
		if b.results[k] == nil {
			b.results[k] = make(series)
		}
		b.results[k][round] = sums[i]
	}
	return nil
}

// together lets eight managers walk a stack that is expected to lose answers,
// and says so in the progress.
func (b *bench) together(k kind, s *stack) {
	_, err := s.measure(eight, 1)
	fmt.Fprintf(b.progress, "%s, eight managers: %v\n", k, err)
	if errors.Is(err, errLost) {
		b.lost[k]++
	}
}

// grow compares small tables with large ones. The stacks stay for all rounds.
func (b *bench) grow(ctx context.Context, sizes []int) error {
	var stacks []*stack
	defer func() { stop(stacks) }()
	for i, n := range sizes {
		fmt.Fprintf(b.progress, "%s, %d rows\n", phaseGrowth, n)
		kinds := []kind{lcms, container, floor}
		if i == 0 || i == len(sizes)-1 {
			kinds = append(kinds, lcmsStored) // for its memory
		}
		rows := makeRows(n, serversPerService)
		first := len(stacks)
		for _, k := range kinds {
			s, err := b.workshop.start(k, rows, false)
			if err != nil {
				return err
			}
			stacks = append(stacks, s)
			b.loads[k] = s.load
		}
		if err := sameTable(stacks[first:]); err != nil {
			return err
		}
	}
	var ours, peers []*stack
	for _, s := range stacks {
		switch s.kind {
		case lcms:
			ours = append(ours, s)
		case container, floor:
			peers = append(peers, s)
		}
	}
	for round := range b.rounds {
		fmt.Fprintf(b.progress, "%s, round %d of %d\n", phaseGrowth, round+1, b.rounds)
		for _, t := range []task{{part1, 10, 3, nil}, {part10, 10, 3, nil}} {
			if err := b.perform(ctx, phaseGrowth, round, t, peers); err != nil {
				return err
			}
		}
		// Ours reads the kernel now and then: walk for longer than the pauses.
		for _, t := range []task{{part1, 20, 5, nil}, {part10, 10, 5, nil}, {watch, 40, 1, nil}} {
			if err := b.perform(ctx, phaseGrowth, round, t, ours); err != nil {
				return err
			}
		}
	}
	for _, s := range stacks {
		m, err := s.provider.memory()
		if err != nil {
			return err
		}
		if b.memory[s.kind] == nil {
			b.memory[s.kind] = make(map[int]memory)
		}
		b.memory[s.kind][len(s.rows)] = m
	}
	return nil
}
