// Package systemd tells the service manager how a daemon is, if there is one and
// the unit asks (sd_notify(3), Type=notify and WatchdogSec= of systemd.service(5)).
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready says that the daemon does its work from now on.
func Ready(log *slog.Logger) { tell(log, daemon.SdNotifyReady) }

// Stopping says that it is about to end.
func Stopping(log *slog.Logger) { tell(log, daemon.SdNotifyStopping) }

// Watchdog says again and again that the daemon still works, as long as turning
// says that it has within the time that the unit allows. It returns when ctx
// ends, at once where no unit asks.
func Watchdog(ctx context.Context, log *slog.Logger, turning func(within time.Duration) bool) error {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("systemd's watchdog: %w", err)
	}
	if within == 0 {
		return nil
	}
	ticker := time.NewTicker(within / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if turning(within) {
				tell(log, daemon.SdNotifyWatchdog)
			}
		}
	}
}

func tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", "error", err)
	}
}
