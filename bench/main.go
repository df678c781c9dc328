package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds   int
	rows     int
	only     string
	quick    bool
	out      string
	subagent string
}

func run(args []string) error {
	if len(args) == 4 && args[0] == goAgentXCommand {
		n, err1 := strconv.Atoi(args[2])
		perService, err2 := strconv.Atoi(args[3])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		return serveGoAgentX(args[1], makeRows(n, perService))
	}
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 6, "how often each provider is measured; medians are over rounds")
	flags.IntVar(&o.rows, "rows", 500, "servers in the table of the phases many and single, a multiple of 10")
	flags.StringVar(&o.only, "only", strings.Join(phases, ","), "phases to run")
	flags.BoolVar(&o.quick, "quick", false, "a smoke run: two rounds, no table above 10,000 rows")
	flags.StringVar(&o.out, "out", "", "file for all samples, as tab-separated values")
	flags.StringVar(&o.subagent, "subagent", "", "an lcms-subagent that is built already")
	if err := flags.Parse(args); err != nil {
		return err
	}
	only := strings.Split(o.only, ",")
	for _, phase := range only {
		if !slices.Contains(phases, phase) {
			return fmt.Errorf("-only %s: the phases are %s", phase, strings.Join(phases, ", "))
		}
	}
	sizes := []int{500, 1000, 10_000, 100_000}
	if o.quick {
		o.rounds, sizes = 2, sizes[:3]
	}
	if o.rounds < 1 || o.rows < 20 || o.rows%serversPerService != 0 {
		return errors.New("-rounds is at least 1, -rows a multiple of 10 from 20 on")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	dir, err := os.MkdirTemp("", "lcms-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := newWorkshop(ctx, dir, o.subagent)
	if err != nil {
		return err
	}
	b := &bench{
		workshop: w, progress: os.Stderr, rounds: o.rounds, quick: o.quick,
		results: make(map[key]series), memory: make(map[kind]map[int]memory),
		loads: make(map[kind]time.Duration), lost: make(map[kind]int),
	}
	for round := range o.rounds {
		if slices.Contains(only, phaseMany) {
			if err := b.compare(ctx, phaseMany, round, o.rows, serversPerService, []kind{lcms, lcmsStored, container, floor, goAgentX}); err != nil {
				return err
			}
		}
		if slices.Contains(only, phaseSingle) {
			if err := b.compare(ctx, phaseSingle, round, o.rows, o.rows, []kind{lcms, container, floor}); err != nil {
				return err
			}
		}
		if slices.Contains(only, phaseInform) {
			if err := b.inform(ctx, round); err != nil {
				return err
			}
		}
	}
	if slices.Contains(only, phaseGrowth) {
		if err := b.grow(ctx, sizes); err != nil {
			return err
		}
	}
	b.report(os.Stdout, o.rows, sizes)
	if o.out != "" {
		if err := b.write(o.out); err != nil {
			return err
		}
	}
	if len(b.failures) > 0 {
		return fmt.Errorf("%d measurements failed", len(b.failures))
	}
	return nil
}
