package director

import (
	"errors"
	"fmt"
	"time"
)

// Final is an error that more patience does not mend.
type Final struct{ Err error }

func (f Final) Error() string { return f.Err.Error() }

// Unwrap returns the error itself.
func (f Final) Unwrap() error { return f.Err }

// Poll calls check until it succeeds, at first often and then twenty times a
// second. It gives up after limit, or at once when the error is Final.
func Poll(limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for pause := 5 * time.Millisecond; ; pause = min(pause*5/4, 50*time.Millisecond) {
		err := check()
		var final Final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return final.Err
		case time.Now().After(deadline):
			return fmt.Errorf("not within %s: %w", limit, err)
		}
		time.Sleep(pause)
	}
}
