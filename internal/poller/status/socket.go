package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// patience is how long either side waits for the other.
const patience = 10 * time.Second

// Serve hands the status out to whoever connects to a socket, until ctx ends.
// The socket is for the monitor's own user and group. One that a monitor left
// behind which has died is replaced.
func Serve(ctx context.Context, path string, get func() Status) error {
	listener, err := listen(path)
	if err != nil {
		return fmt.Errorf("status.socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if !sleep(ctx, time.Second) { // too many open files
				return nil
			}
			continue
		}
		group.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			_ = json.NewEncoder(conn).Encode(get())
		})
	}
}

func listen(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another monitor shows its status at %s: stop it, or name another socket", path)
	} else if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is there and no socket: move it away, or name another", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// Fetch asks the monitor that shows its status at a socket.
func Fetch(path string) (Status, error) {
	conn, err := net.DialTimeout("unix", path, patience)
	switch {
	case errors.Is(err, os.ErrPermission):
		return Status{}, fmt.Errorf("%s is for the user and the group of the monitor: become root, or one of that group", path)
	case err != nil:
		return Status{}, fmt.Errorf("no monitor answers at %s (%w): is lcms-poller running? Another socket is named by --socket", path, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	var s Status
	if err := json.NewDecoder(conn).Decode(&s); err != nil {
		return Status{}, fmt.Errorf("%s: the answer is no status: %w", path, err)
	}
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
