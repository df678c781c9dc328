package localstore

import (
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
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

// checkFree reports whether the pages that are said to be free are pages of the file,
// each once. bbolt writes to them unseen.
func (s *Store) checkFree() error {
	free := 0
	err := s.view(func(tx *bbolt.Tx) error {
		for id := 2; ; id++ { // after the two pages of bbolt's meta data
			page, err := tx.Page(id)
			if page == nil {
				return err
			}
			if page.Type == "free" {
				free++
			}
		}
	})
	if said := s.db.Stats().FreePageN; err == nil && free != said {
		return fmt.Errorf("%w (of %d free pages %d are there)", errDamaged, said, free)
	}
	return err
}
