package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// look reports whether there is a store at path. An empty file is none yet. A link
// that leads nowhere is refused: what it names may only be not mounted.
func look(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if target, err := os.Readlink(path); err == nil {
			return false, fmt.Errorf("it is a link to %s, which is not there: mount or restore that, or set store.path to where the store belongs", target)
		}
		return false, nil
	case err != nil:
		return false, explain(path, err)
	case info.IsDir():
		return false, errors.New("it is a folder: set store.path to a file in it")
	case !info.Mode().IsRegular():
		return false, errors.New("it is no regular file: set store.path to one")
	}
	return info.Size() > 0, nil
}

// create makes an empty store beside path and moves it there when it is whole and on
// the disk, so that a start which fails or is killed leaves nothing that stands in the
// way of the next. The lock on the folder keeps out another start meanwhile.
func create(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil // another start has made it
	}
	beside := path + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer os.Remove(beside)
	db, err := bbolt.Open(beside, 0o600, nil)
	if err != nil {
		return err
	}
	s := &Store{db, beside}
	if err := errors.Join(s.init(), s.Close()); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	// Some file systems cannot do that, and say so with EINVAL.
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
