package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// sample is what one work cost one stack.
type sample struct {
	varbinds int
	wall     time.Duration
	usage
}

func (a sample) plus(b sample) sample {
	return sample{a.varbinds + b.varbinds, a.wall + b.wall, usage{a.snmpd + b.snmpd, a.provider + b.provider}}
}

// measure does a work once.
func (s *stack) measure(w work, amount int) (sample, error) {
	m, err := dial(s.port, patience)
	if err != nil {
		return sample{}, err
	}
	defer m.close()
	if w.prepare != nil {
		if err := w.prepare(s, m, amount); err != nil {
			return sample{}, fmt.Errorf("%s, %s: %w", s.kind, w.name, err)
		}
	}
	before, err := s.usage()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	n, failure := w.do(s, m, amount)
	wall := time.Since(began)
	after, err := s.usage()
	if err := errors.Join(failure, err); err != nil {
		return sample{}, fmt.Errorf("%s, %s: %w", s.kind, w.name, err)
	}
	return sample{n, wall, usage{after.snmpd - before.snmpd, after.provider - before.provider}}, nil
}

// digest is a hash of the whole table, of lcmsServerLastChange the lengths only.
// It warms the stack up too.
func (s *stack) digest() (uint64, error) {
	m, err := dial(s.port, patience)
	if err != nil {
		return 0, err
	}
	defer m.close()
	h := fnv.New64a()
	_, err = walk(m, columns, nil, repetitions10, len(s.rows), func(column int, name []byte, tag byte, value []byte) {
		h.Write(name)
		h.Write([]byte{tag, byte(len(value))})
		if !slices.Equal(columns[column], lastChange) {
			h.Write(value)
		}
	})
	return h.Sum64(), err
}

// A figure is one number of a sample.
type figure func(sample) float64

func snmpdCPU(s sample) float64    { return micros(s.snmpd) / float64(s.varbinds) }
func providerCPU(s sample) float64 { return micros(s.provider) / float64(s.varbinds) }
func rate(s sample) float64        { return float64(s.varbinds) / s.wall.Seconds() }

// load is the share of one processor that the provider used, in percent.
func load(s sample) float64 { return 100 * s.provider.Seconds() / s.wall.Seconds() }

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// series is what was measured of one work on one stack, a sample for each round.
type series map[int]sample

// values returns a figure of all rounds in ascending order.
func (s series) values(f figure) []float64 {
	var v []float64
	for _, x := range s {
		v = append(v, f(x))
	}
	slices.Sort(v)
	return v
}

// ratios returns the quotients of a figure in the rounds that both have, in
// ascending order.
func ratios(a, b series, f figure) []float64 {
	var v []float64
	for round, x := range a {
		if y, ok := b[round]; ok && f(y) > 0 {
			v = append(v, f(x)/f(y))
		}
	}
	slices.Sort(v)
	return v
}

// median returns the middle of sorted values, 0 of none.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
