package systemd

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// manager is a service manager that notes what it is told.
func manager(t *testing.T, within time.Duration) <-chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	if within > 0 {
		t.Setenv("WATCHDOG_USEC", strconv.FormatInt(within.Microseconds(), 10))
	}
	told := make(chan string, 100)
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	return told
}

func TestStatesAreTold(t *testing.T) {
	told := manager(t, 0)
	Ready(slog.Default())
	Stopping(slog.Default())
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		if got := <-told; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	// A unit without WatchdogSec asks for nothing.
	if err := Watchdog(t.Context(), slog.Default(), nil); err != nil {
		t.Error(err)
	}
}

func TestWatchdogStopsWithTheWork(t *testing.T) {
	const within = 30 * time.Millisecond
	told := manager(t, within)
	ctx, cancel := context.WithCancel(t.Context())
	turns := 0
	done := make(chan error)
	idle := make(chan bool)
	go func() {
		done <- Watchdog(ctx, slog.Default(), func(asked time.Duration) bool {
			if asked != within {
				t.Errorf("asked for %s", asked)
			}
			if turns++; turns == 4 {
				close(idle)
			}
			return turns < 3
		})
	}()
	<-idle
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for range 2 {
		if got := <-told; got != "WATCHDOG=1" {
			t.Errorf("told %q", got)
		}
	}
	select {
	case got := <-told:
		t.Errorf("told %q of a daemon that does nothing", got)
	default:
	}
}

func TestWatchdogSaysWhatIsWrong(t *testing.T) {
	manager(t, 0)
	t.Setenv("WATCHDOG_USEC", "soon")
	if err := Watchdog(t.Context(), slog.Default(), nil); err == nil {
		t.Error("WATCHDOG_USEC=soon is no error")
	}
}
