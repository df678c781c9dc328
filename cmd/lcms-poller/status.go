package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/internal/poller/status"
)

const (
	// every is how often a status that is watched is shown anew.
	every = 2 * time.Second
	// home goes to the first line of a terminal and clears the rest (ECMA-48, CUP
	// and ED).
	home = "\x1b[H\x1b[J"
)

// view is how a status is to be shown.
type view struct {
	socket string
	watch  bool
	json   bool
}

// print shows the status, again and again if it is to be watched. While the
// monitor is away, that is shown and waited for.
func (v *view) print(ctx context.Context, out *os.File) error {
	colours := isTerminal(out) && os.Getenv("NO_COLOR") == ""
	for {
		s, err := status.Fetch(v.socket)
		if err != nil && !v.watch {
			return err
		}
		if v.watch && isTerminal(out) {
			if _, err := io.WriteString(out, home); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			_, err = fmt.Fprintln(out, err)
		case v.json:
			encoder := json.NewEncoder(out)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(s)
		default:
			err = status.Write(out, s, colours)
		}
		if err != nil || !v.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
