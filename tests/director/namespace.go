package director

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Within calls f on a thread that is in the network namespace at a path. What f
// starts stays there: connections, listeners, programs. f must do so itself and not
// by another goroutine. A program that goes there first, such as nsenter, costs as
// much as what it starts in a guest where that is slow.
func Within(namespace string, f func() error) error {
	// The thread comes back instead of ending: daemons die with the one that
	// started them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	there, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns to %s: %w", namespace, err)
	}
	defer func() { // also when f ends the goroutine, as t.Fatal does
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // the thread can be used for nothing any more
		}
	}()
	return f()
}
