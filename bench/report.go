package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// report prints what was found for people.
func (b *bench) report(w io.Writer, rows int, sizes []int) {
	b.reportPhase(w, phaseMany, rows, fmt.Sprintf("%d servers, %d services of %d", rows, rows/serversPerService, serversPerService))
	b.reportPhase(w, phaseSingle, rows, fmt.Sprintf("%d servers, all of one service", rows))
	b.reportInform(w)
	b.reportGrowth(w, sizes)
	b.reportTargets(w, rows, sizes)
	for _, r := range b.remarks {
		fmt.Fprintln(w, "REMARK:", r)
	}
	for _, f := range b.failures {
		fmt.Fprintln(w, "FAILED:", f)
	}
}

var kinds = []kind{lcms, lcmsStored, container, floor, goAgentX}

func (b *bench) reportPhase(w io.Writer, phase string, rows int, title string) {
	begun := false
	for _, t := range tasks {
		for _, k := range kinds {
			s := b.results[key{phase, k, rows, t.name}]
			if s == nil {
				continue
			}
			if !begun {
				begun = true
				fmt.Fprintf(w, "\n%s; CPU in us per varbind, minimum and median of %d rounds\n", title, b.rounds)
				fmt.Fprintf(w, "%-17s %-27s %15s %15s %11s\n", "work", "provider", "snmpd", "provider", "varbinds/s")
			}
			a, p, r := s.values(snmpdCPU), s.values(providerCPU), s.values(rate)
			fmt.Fprintf(w, "%-17s %-27s %7.2f %7.2f %7.2f %7.2f %11.0f\n", t.name, k, a[0], median(a), p[0], median(p), median(r))
		}
	}
}

func (b *bench) reportInform(w io.Writer) {
	for i, k := range []kind{lcms, container} {
		s := b.results[key{phaseInform, k, rowsToTell, inform.name}]
		if s == nil {
			continue
		}
		if i == 0 {
			fmt.Fprintf(w, "\ninforms of %d servers; CPU in us per inform, minimum and median of %d rounds\n", rowsToTell, b.rounds)
			fmt.Fprintf(w, "%-17s %-27s %15s %15s\n", "work", "provider", "snmpd", "provider")
		}
		a, p := s.values(snmpdCPU), s.values(providerCPU)
		fmt.Fprintf(w, "%-17s %-27s %7.2f %7.2f %7.2f %7.2f\n", inform.name, k, a[0], median(a), p[0], median(p))
	}
}

func (b *bench) reportGrowth(w io.Writer, sizes []int) {
	if len(b.memory) == 0 {
		return
	}
	fmt.Fprintf(w, "\ngrowth; CPU of the provider in us per varbind, median of %d rounds\n%-17s %-27s", b.rounds, "work", "provider")
	for _, n := range sizes {
		fmt.Fprintf(w, " %8d", n)
	}
	fmt.Fprintln(w, " rows")
	for _, work := range []work{part1, part10} {
		for _, k := range []kind{lcms, container, floor} {
			fmt.Fprintf(w, "%-17s %-27s", work.name, k)
			for _, n := range sizes {
				fmt.Fprintf(w, " %8.2f", median(b.results[key{phaseGrowth, k, n, work.name}].values(providerCPU)))
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "%-17s %-27s", "looked at, % CPU", lcms)
	for _, n := range sizes {
		fmt.Fprintf(w, " %8.2f", median(b.results[key{phaseGrowth, lcms, n, watch.name}].values(load)))
	}
	most := sizes[len(sizes)-1]
	fmt.Fprintf(w, "\n\nmemory at %d rows, what %d rows have taken off, in octets per row\n", most, sizes[0])
	fmt.Fprintf(w, "%-27s %10s %10s %14s\n", "provider", "RssAnon", "VmRSS", "loaded in")
	for _, k := range kinds {
		if b.memory[k] == nil {
			continue
		}
		m := b.perRow(k, sizes)
		fmt.Fprintf(w, "%-27s %10d %10d %13.1fs\n", k, m.anonymous, m.resident, b.loads[k].Seconds())
	}
}

// perRow returns what one row of a large table takes.
func (b *bench) perRow(k kind, sizes []int) memory {
	least, most := sizes[0], sizes[len(sizes)-1]
	small, large := b.memory[k][least], b.memory[k][most]
	return memory{(large.anonymous - small.anonymous) / (most - least), (large.resident - small.resident) / (most - least)}
}

// target is a ratio that is to be reached.
type target struct {
	what    string
	limit   float64
	atLeast bool // else at most
	ratios  []float64
}

func (t target) reached() bool {
	if m := median(t.ratios); t.atLeast {
		return m >= t.limit
	} else {
		return m <= t.limit
	}
}

// targets returns those that were measured.
func (b *bench) targets(rows int, sizes []int) []target {
	var list []target
	add := func(what string, sign string, limit float64, ratios []float64) {
		if len(ratios) > 0 {
			list = append(list, target{what, limit, sign == ">=", ratios})
		}
	}
	against := func(other kind, w work, f figure) []float64 {
		return ratios(b.results[key{phaseMany, lcms, rows, w.name}], b.results[key{phaseMany, other, rows, w.name}], f)
	}
	add("walk, 1 column: CPU to C", "<=", 0.55, against(container, walk1, providerCPU))
	add("walk, 1 column: CPU to floor", "<=", 1.8, against(floor, walk1, providerCPU))
	add("walk, 10 columns: CPU to C", "<=", 0.4, against(container, walk10, providerCPU))
	add("walk, 10 columns: CPU to floor", "<=", 2, against(floor, walk10, providerCPU))
	add("walk, 1 column: varbinds/s to floor", ">=", 0.85, against(floor, walk1, rate))
	add("walk, 1 column: varbinds/s to C", ">=", 1.5, against(container, walk1, rate))
	add("walk, 10 columns: varbinds/s to floor", ">=", 0.85, against(floor, walk10, rate))
	add("walk, 10 columns: varbinds/s to C", ">=", 1.5, against(container, walk10, rate))
	add("GET 1: CPU to C", "<=", 0.7, against(container, get1, providerCPU))
	add("SET 1, volatile: CPU to C", "<=", 0.6, against(container, set1, providerCPU))
	add("SET 1, sustained, volatile: CPU to C", "<=", 0.6, against(container, setLong, providerCPU))
	add("SET 20, volatile: CPU to C", "<=", 0.45, against(container, set20, providerCPU))
	add("SET 20, sustained, volatile: CPU to C", "<=", 0.45, against(container, set20Long, providerCPU))
	add("eight managers: varbinds/s to floor", ">=", 0.8, against(floor, eight, rate))
	if s := b.results[key{phaseMany, lcms, rows, eight.name}]; s != nil || b.lost[lcms] > 0 {
		add("eight managers: PDUs lost", "<=", 0, []float64{float64(b.lost[lcms])})
	}
	add("inform: CPU to C", "<=", 0.6,
		ratios(b.results[key{phaseInform, lcms, rowsToTell, inform.name}], b.results[key{phaseInform, container, rowsToTell, inform.name}], providerCPU))
	if most := sizes[len(sizes)-1]; len(b.memory) > 0 {
		for _, w := range []work{part1, part10} {
			add(fmt.Sprintf("%s: CPU at %d rows to 1000", w.name, most), "<=", 1.25,
				ratios(b.results[key{phaseGrowth, lcms, most, w.name}], b.results[key{phaseGrowth, lcms, 1000, w.name}], providerCPU))
		}
		add("memory per row, VmRSS, in octets", "<=", 1024, []float64{float64(b.perRow(lcms, sizes).resident)})
	}
	return list
}

func (b *bench) reportTargets(w io.Writer, rows int, sizes []int) {
	fmt.Fprintf(w, "\ntargets of lcms-subagent; medians of the ratios of %d rounds, with the range\n", b.rounds)
	for _, t := range b.targets(rows, sizes) {
		sign, verdict := "<=", "MISS"
		if t.atLeast {
			sign = ">="
		}
		if t.reached() {
			verdict = "pass"
		}
		fmt.Fprintf(w, "%-44s %8.2f %s %7.2f  %s", t.what, median(t.ratios), sign, t.limit, verdict)
		if len(t.ratios) > 1 {
			fmt.Fprintf(w, "  (%.2f to %.2f)", t.ratios[0], t.ratios[len(t.ratios)-1])
		}
		fmt.Fprintln(w)
	}
	if b.lost[goAgentX] > 0 {
		fmt.Fprintln(w, "go-agentx lost answers when eight managers walked at once.")
	}
}

// write makes the file of all samples.
func (b *bench) write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "phase\tprovider\trows\twork\tround\tvarbinds\twall_s\tsnmpd_us_per_varbind\tprovider_us_per_varbind")
	order := func(a, b key) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.work, b.work), cmp.Compare(a.rows, b.rows), cmp.Compare(a.kind, b.kind))
	}
	for _, k := range slices.SortedFunc(maps.Keys(b.results), order) {
		for _, round := range slices.Sorted(maps.Keys(b.results[k])) {
			x := b.results[k][round]
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\t%.6f\t%.3f\t%.3f\n", k.phase, k.kind, k.rows, k.work, round+1, x.varbinds, x.wall.Seconds(), snmpdCPU(x), providerCPU(x))
		}
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
