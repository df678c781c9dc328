//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	mu   sync.Mutex
	hits = map[string]int{}
)

// Hit marks a point at which a test may stop the program.
func Hit(name string) {
	mu.Lock()
	hits[name]++
	n := hits[name]
	mu.Unlock()
	for _, rule := range strings.Split(os.Getenv("LCMS_FAILPOINT"), ",") {
		point, action, _ := strings.Cut(rule, "=")
		at := 1
		if p, count, ok := strings.Cut(point, "#"); ok {
			point = p
			at, _ = strconv.Atoi(count)
		}
		if point != name || at != n {
			continue
		}
		fmt.Fprintln(os.Stderr, "failpoint", name, "reached:", action)
		verb, argument, given := strings.Cut(action, ":")
		number, _ := strconv.Atoi(argument)
		if verb == "sleep" {
			time.Sleep(time.Duration(number) * time.Millisecond)
			continue
		}
		pid := os.Getpid()
		if given {
			pid = number
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			fmt.Fprintln(os.Stderr, "failpoint", name, err)
		}
		if pid == os.Getpid() {
			select {} // the signal is on its way
		}
	}
}
