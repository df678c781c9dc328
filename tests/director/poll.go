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

// Poll calls check until it succeeds. It gives up after limit, or at once when
// the error is Final. It waits for twice as long as it looks, so that looking does
// not keep those busy that are waited for.
func Poll(limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		began := time.Now()
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
		time.Sleep(min(max(2*time.Since(began), 5*time.Millisecond), time.Second/2))
	}
}
