package localstore

import (
	"errors"
	"fmt"
	"runtime/debug"
)

var errDamaged = errors.New("the file is damaged")

// mend is what to do about a damaged file.
const mend = "restore it from a backup, or move it away to begin with an empty one"

// sound does what reads the pages of the file. bbolt relies on them: at one that is
// garbled it panics, and where the file was cut short the memory faults into which it
// is mapped.
func sound(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w (%v)", errDamaged, r)
		}
	}()
	return do()
}
