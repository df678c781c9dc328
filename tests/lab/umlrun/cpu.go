package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
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
			if allowed.IsSet(cpu) && take(cpu, others) {
				one.Set(cpu)
				return one, true
			}
		}
	}
	return one, false
}

// take makes a place on a processor this process's if it is nobody's. What says so is a
// name that the host gives to one process and takes back when that ends.
func take(cpu, place int) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@lcms-umlrun-cpu-%d-%d", cpu, place)}) != nil {
		unix.Close(fd)
		return false
	}
	return true // fd stays open
}
