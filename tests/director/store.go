package director

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// Store is what the file of the embedded store held at one moment.
type Store struct {
	Sum  [sha256.Size]byte
	Rows map[string]string // by bucket and key: services/tcp:192.0.2.1:80
}

// Settled reports whether nothing is left to be done for the last change, so
// that the file stays as it is until there is another one.
func (s *Store) Settled() bool {
	_, journal := s.Rows["meta/journal"]
	return !journal
}

// Store reads a copy of the store's file, which the subagent may have open.
func (d *Director) Store() *Store {
	d.t.Helper()
	var s *Store
	err := Poll(d.Limit(), func() (err error) {
		s, err = d.readStore()
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// SettledStore waits until the store is settled, and returns it.
func (d *Director) SettledStore() *Store {
	d.t.Helper()
	var s *Store
	err := Poll(d.Limit(), func() error {
		if s = d.Store(); s.Settled() {
			return nil
		}
		// It is settled when the kernel is read next, which is sooner when
		// somebody looks.
		if _, err := d.ask(d.root()+kernelState, d.Limit()); err != nil {
			return Final{err}
		}
		return errors.New("the store keeps a journal")
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// readStore fails while the file is being written.
func (d *Director) readStore() (*Store, error) {
	first, err := os.ReadFile(d.opts.StorePath)
	if err != nil {
		return nil, err
	}
	again, err := os.ReadFile(d.opts.StorePath)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, errors.New("the store is being written")
	}
	copied := d.path("copy.db")
	if err := os.WriteFile(copied, again, 0o600); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(copied, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("a copy of the store: %w", err)
	}
	defer db.Close()
	s := &Store{Sum: sha256.Sum256(again), Rows: make(map[string]string)}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, text []byte) error {
				s.Rows[string(bucket)+"/"+string(key)] = string(text)
				return nil
			})
		})
	})
	return s, err
}
