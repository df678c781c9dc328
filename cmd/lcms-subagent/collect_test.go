package main

import "testing"

func TestCollectPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 4 << 20: 400, 8 << 20: 200, 16 << 20: 100, 20 << 20: 75, 40 << 20: 25, 70 << 20: 20, 1 << 30: 20} {
		if got := collectPercent(live); got != want {
			t.Errorf("%d live octets: %d, want %d", live, got, want)
		}
	}
}
