package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Within calls f on a thread that is in the network namespace of a host of
// topology.sh. What f starts stays there: connections, listeners, programs. f must
// do so itself and not by another goroutine.
func Within(host string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	there, err := os.Open(filepath.Join("/run/netns", host))
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns to %s: %w", host, err)
	}
	defer func() { // also when f ends the goroutine, as t.Fatal does
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // the thread can be used for nothing any more
		}
	}()
	return f()
}
