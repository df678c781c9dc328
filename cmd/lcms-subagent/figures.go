package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/internal/lcmsmib"
	"github.com/lcms-project/lcms/internal/notify"
)

// figures collects what the agent says of its own cost.
func figures(s agentx.Stats, n notify.Stats) lcmsmib.Agent {
	return lcmsmib.Agent{
		Requests:    s.Requests,
		Varbinds:    s.Varbinds,
		Sets:        s.Sets,
		SetFailures: s.SetFailures,
		Reconnects:  uint32(s.Reconnects()),
		CPU:         cpuTime(),
		Memory:      residentMemory(),

		Notifications: lcmsmib.Notifications(n),
	}
}

// cpuTime returns the processor time of this process, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot happen with valid arguments, getrusage(2)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMemory returns the octets of this process in memory (proc(5),
// /proc/self/statm), 0 where there is no proc file system.
func residentMemory() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * uint64(os.Getpagesize())
}
