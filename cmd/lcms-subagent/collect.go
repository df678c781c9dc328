package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may pile up before it is collected. A small heap may grow
// by spare, because collecting it every few megabytes costs more processor
// time than answering; a large one by a fifth, because its readings of the
// kernel die at once.
const (
	spare        = 16 << 20
	leastPercent = 20
	// A heap that grows suddenly is bounded too until the next look at it.
	smallest = 4 << 20
	// A heap that holds so much more memory than it uses gives it back.
	idleBytes = 32 << 20
)

// tuneCollector fits the garbage collector to the size of the heap, until ctx
// ends. It leaves it alone where the operator has set GOGC.
func tuneCollector(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	set := 0
	for {
		metrics.Read(samples)
		live, free := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		if percent := collectPercent(live); percent != set {
			set = percent
			debug.SetGCPercent(percent)
		}
		if free > max(idleBytes, live/2) {
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// collectPercent returns the GOGC for so many live octets, in steps so that it
// is not set all the time.
func collectPercent(live uint64) int {
	percent := int(spare * 100 / max(live, smallest))
	if percent >= 100 {
		return percent / 100 * 100
	}
	return max(leastPercent, percent/25*25)
}
