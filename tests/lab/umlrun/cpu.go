package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// onOwnCPU calls start on a thread that may use one processor only, which what it
// starts inherits. A guest has one processor, and each of its system calls goes back
// and forth between two processes of the host: on the same processor that costs less
// than half. No other guest has this one. When each has a guest already, start is left
// to the host's scheduler.
func onOwnCPU(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return start()
	}
	for cpu := range len(allowed) * 64 {
		if !allowed.IsSet(cpu) || !reserveCPU(cpu) {
			continue
		}
		var own unix.CPUSet
		own.Set(cpu)
		if unix.SchedSetaffinity(0, &own) == nil {
			defer func() {
				if err := unix.SchedSetaffinity(0, &allowed); err != nil {
					panic(err) // it was allowed before
				}
			}()
		}
		break
	}
	return start()
}

// reserveCPU reports whether a processor is this process's from now on. What says so is
// a name that the host gives to one process and takes back when that ends.
func reserveCPU(cpu int) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@lcms-umlrun-cpu-%d", cpu)}) != nil {
		unix.Close(fd)
		return false
	}
	return true // fd stays open
}
