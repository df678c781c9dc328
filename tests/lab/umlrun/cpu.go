package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/internal/claim"
)

// onOneCPU calls start on a thread that may use one processor only, which what it starts
// inherits. A guest has one processor, and each of its system calls goes back and forth
// between two processes of the host: on the same processor that costs less than half. It
// is the one that has the fewest guests.
func onOneCPU(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return start()
	}
	one, ok := takeCPU(&allowed)
	if !ok || unix.SchedSetaffinity(0, &one) != nil {
		return start()
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &allowed); err != nil {
			panic(err) // it was allowed before
		}
	}()
	return start()
}

// most is how many guests may be on one processor.
const most = 64

// takeCPU returns an allowed processor that has the fewest guests, with this one on it
// until this process ends.
func takeCPU(allowed *unix.CPUSet) (one unix.CPUSet, ok bool) {
	for others := range most {
		for cpu := range len(allowed) * 64 {
			if allowed.IsSet(cpu) && claim.Name(fmt.Sprintf("umlrun-cpu-%d-%d", cpu, others)) == nil {
				one.Set(cpu)
				return one, true
			}
		}
	}
	return one, false
}
