package localstore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/lcms-project/lcms/internal/lvs"
)

// version is the layout of the file. A file of another version is refused.
const version = 1

var errLayout = errors.New("it has layout")

var (
	services  = []byte("services")  // key text -> lvs.Service
	servers   = []byte("servers")   // service key text, space, server key text -> lvs.Server
	daemons   = []byte("daemons")   // state text -> lvs.SyncDaemon
	clusters  = []byte("clusters")  // name -> lvs.Cluster
	members   = []byte("members")   // name of the cluster, space, name of the host -> lvs.Member
	hosts     = []byte("hosts")     // name -> lvs.Host
	overrides = []byte("overrides") // key text, for a server as in servers -> lvs.Override
	pending   = []byte("pending")   // ID -> lvs.Pending
	meta      = []byte("meta")

	metaVersion    = []byte("version")
	metaGeneration = []byte("generation")
	metaChangedAt  = []byte("changedAt")
	metaTimeouts   = []byte("timeouts")
	metaSettings   = []byte("settings")
	metaJournal    = []byte("journal")
)

// Store is an open file. It is safe for concurrent use.
type Store struct {
	db   *bbolt.DB
	path string
}

// Open opens the file at path and creates it, with its folder, if there is
// none. Only one process can have it open.
func Open(path string) (*Store, error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, fmt.Errorf("store %s: there is no folder %s (%w): create the folder and let %s own it, or set store.path", path, folder, withoutPath(err), runner())
	}
	there, err := look(path)
	if err != nil {
		return nil, fmt.Errorf("store %s cannot be opened: %w", path, err)
	}
	if !there {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("store %s cannot be made: %w", path, explain(path, err))
		}
	}
	s, err := openFile(path, bbolt.Options{})
	if err != nil {
		return nil, err
	}
	if err = s.checkFree(); err == nil {
		err = s.init()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("store %s: %w", path, explain(path, err))
	}
	return s, nil
}

// Read returns all that the file at path keeps, and changes nothing. It fails
// while a process has the file open, and with fs.ErrNotExist where there is none.
func Read(path string) (lvs.Stored, error) {
	if there, err := look(path); err != nil {
		return lvs.Stored{}, fmt.Errorf("store %s cannot be opened: %w", path, err)
	} else if !there {
		return lvs.Stored{}, fmt.Errorf("store %s: %w", path, fs.ErrNotExist)
	}
	s, err := openFile(path, bbolt.Options{ReadOnly: true})
	if err != nil {
		return lvs.Stored{}, err
	}
	defer s.Close()
	return s.Load()
}

func openFile(path string, options bbolt.Options) (*Store, error) {
	options.Timeout = time.Second
	var db *bbolt.DB
	err := sound(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &options)
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout) && options.ReadOnly:
		return nil, fmt.Errorf("store %s is in use by another process: stop the lcms-subagent to read it", path)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("store %s is in use by another process: is another lcms-subagent running?", path)
	case err != nil:
		return nil, fmt.Errorf("store %s cannot be opened: %w", path, explain(path, damage(err)))
	}
	return &Store{db, path}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) init() error {
	var found uint64
	err := s.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{services, servers, daemons, clusters, members, hosts, overrides, pending, meta} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		m := tx.Bucket(meta)
		switch found = parseNumber(m.Get(metaVersion)); found {
		case 0:
			return m.Put(metaVersion, number(version))
		case version:
			return nil
		}
		return errLayout
	})
	if errors.Is(err, errLayout) {
		return fmt.Errorf("%w %d, this program knows layout %d: use the program that wrote it, or move it away to begin with an empty one", err, found, version)
	}
	return err
}

func (s *Store) update(do func(*bbolt.Tx) error) error {
	return sound(func() error { return s.db.Update(do) })
}

func (s *Store) view(do func(*bbolt.Tx) error) error {
	return sound(func() error { return s.db.View(do) })
}

// Load returns all that is kept.
func (s *Store) Load() (lvs.Stored, error) {
	var out lvs.Stored
	err := s.view(func(tx *bbolt.Tx) error {
		err := errors.Join(
			each(tx, services, func(_ []byte, v lvs.Service) { out.Rows.PutServices = append(out.Rows.PutServices, v) }),
			each(tx, servers, func(k []byte, v lvs.Server) {
				service, _, _ := bytes.Cut(k, []byte(" "))
				key, _ := lvs.ParseServiceKey(string(service)) // a bad one is refused as a missing service
				out.Rows.PutServers = append(out.Rows.PutServers, lvs.ServerAt{Service: key, Server: v})
			}),
			each(tx, daemons, func(_ []byte, v lvs.SyncDaemon) { out.Rows.PutDaemons = append(out.Rows.PutDaemons, v) }),
			each(tx, clusters, func(_ []byte, v lvs.Cluster) { out.Rows.PutClusters = append(out.Rows.PutClusters, v) }),
			each(tx, members, func(_ []byte, v lvs.Member) { out.Rows.PutMembers = append(out.Rows.PutMembers, v) }),
			each(tx, hosts, func(_ []byte, v lvs.Host) { out.Rows.PutHosts = append(out.Rows.PutHosts, v) }),
			each(tx, overrides, func(_ []byte, v lvs.Override) { out.Overlay.Overrides = append(out.Overlay.Overrides, v) }),
			each(tx, pending, func(_ []byte, v lvs.Pending) { out.Overlay.Pending = append(out.Overlay.Pending, v) }),
		)
		if err != nil {
			return err
		}
		m := tx.Bucket(meta)
		out.Generation = parseNumber(m.Get(metaGeneration))
		return errors.Join(
			read(m, metaChangedAt, &out.ChangedAt),
			read(m, metaTimeouts, &out.Rows.Timeouts),
			read(m, metaSettings, &out.Rows.Settings),
			read(m, metaJournal, &out.Journal),
		)
	})
	if err != nil {
		return lvs.Stored{}, fmt.Errorf("store %s: %w", s.path, explain(s.path, damage(err)))
	}
	return out, nil
}

// Save keeps a change with its journal, all or nothing.
func (s *Store) Save(r lvs.Record) error {
	err := s.update(func(tx *bbolt.Tx) error {
		m := tx.Bucket(meta)
		return errors.Join(
			apply(tx, &r.Change),
			overlay(tx, &r.Overlay),
			write(m, metaJournal, r.Journal),
			stamp(m, r.Generation, r.ChangedAt),
		)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, explain(s.path, err))
	}
	return nil
}

// Settle forgets the journal and keeps the generation: what was saved last is
// final and done.
func (s *Store) Settle(generation uint64, changedAt time.Time) error {
	err := s.update(func(tx *bbolt.Tx) error {
		m := tx.Bucket(meta)
		return errors.Join(m.Delete(metaJournal), stamp(m, generation, changedAt))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, explain(s.path, err))
	}
	return nil
}

func stamp(m *bbolt.Bucket, generation uint64, changedAt time.Time) error {
	return errors.Join(m.Put(metaGeneration, number(generation)), write(m, metaChangedAt, changedAt))
}

func apply(tx *bbolt.Tx, c *lvs.Change) error {
	var errs []error
	for _, k := range c.DeleteServices {
		errs = append(errs, remove(tx, services, servers, k.String()))
	}
	for _, id := range c.DeleteServers {
		errs = append(errs, tx.Bucket(servers).Delete(serverKey(id.Service, id.Server)))
	}
	for _, v := range c.PutServices {
		errs = append(errs, write(tx.Bucket(services), []byte(v.Key.String()), v))
	}
	for _, v := range c.PutServers {
		errs = append(errs, write(tx.Bucket(servers), serverKey(v.Service, v.Server.Key), v.Server))
	}
	for _, state := range c.DeleteDaemons {
		errs = append(errs, tx.Bucket(daemons).Delete([]byte(state.String())))
	}
	for _, v := range c.PutDaemons {
		errs = append(errs, write(tx.Bucket(daemons), []byte(v.State.String()), v))
	}
	for _, id := range c.DeleteClusters {
		errs = append(errs, remove(tx, clusters, members, string(id)))
	}
	for _, id := range c.DeleteMembers {
		errs = append(errs, tx.Bucket(members).Delete(memberKey(id)))
	}
	for _, n := range c.DeleteHosts {
		errs = append(errs, tx.Bucket(hosts).Delete([]byte(n)))
	}
	for _, v := range c.PutClusters {
		errs = append(errs, write(tx.Bucket(clusters), []byte(v.ID), v))
	}
	for _, v := range c.PutMembers {
		errs = append(errs, write(tx.Bucket(members), memberKey(v.ID()), v))
	}
	for _, v := range c.PutHosts {
		errs = append(errs, write(tx.Bucket(hosts), []byte(v.Name), v))
	}
	switch {
	case c.Timeouts == nil:
	case *c.Timeouts == lvs.Timeouts{}: // the kernel's own, as without the key
		errs = append(errs, tx.Bucket(meta).Delete(metaTimeouts))
	default:
		errs = append(errs, write(tx.Bucket(meta), metaTimeouts, c.Timeouts))
	}
	switch {
	case c.Settings == nil:
	case *c.Settings == lvs.DefaultSettings():
		errs = append(errs, tx.Bucket(meta).Delete(metaSettings))
	default:
		errs = append(errs, write(tx.Bucket(meta), metaSettings, c.Settings))
	}
	return errors.Join(errs...)
}

// overlay changes what lies over the rows.
func overlay(tx *bbolt.Tx, c *lvs.OverlayChange) error {
	var errs []error
	for _, id := range c.DropOverrides {
		errs = append(errs, tx.Bucket(overrides).Delete(overrideKey(id)))
	}
	for _, v := range c.PutOverrides {
		errs = append(errs, write(tx.Bucket(overrides), overrideKey(v.ServerID), v))
	}
	for _, id := range c.DropPending {
		errs = append(errs, tx.Bucket(pending).Delete(number(id)))
	}
	for _, v := range c.PutPending {
		errs = append(errs, write(tx.Bucket(pending), number(v.ID), v))
	}
	return errors.Join(errs...)
}

func overrideKey(id lvs.ServerID) []byte {
	if id.Server.IsZero() {
		return id.Service.AppendTo(nil)
	}
	return serverKey(id.Service, id.Server)
}

// remove deletes a row and those in another bucket whose keys begin with its
// name.
func remove(tx *bbolt.Tx, rows, below []byte, name string) error {
	errs := []error{tx.Bucket(rows).Delete([]byte(name))}
	prefix := []byte(name + " ")
	cursor := tx.Bucket(below).Cursor()
	for key, _ := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = cursor.Seek(prefix) {
		errs = append(errs, cursor.Delete())
	}
	return errors.Join(errs...)
}

func memberKey(id lvs.MemberID) []byte { return []byte(string(id.Cluster) + " " + string(id.Host)) }

func serverKey(service lvs.ServiceKey, server lvs.ServerKey) []byte {
	return server.AppendTo(append(service.AppendTo(nil), ' '))
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parseNumber(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func write(b *bbolt.Bucket, key []byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, text)
}

// read leaves v alone when there is no such key.
func read(b *bbolt.Bucket, key []byte, v any) error {
	text := b.Get(key)
	if text == nil {
		return nil
	}
	return decode(key, text, v)
}

func decode(key, text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%q cannot be read: %w", key, err)
	}
	return nil
}

// each decodes every value of a bucket.
func each[V any](tx *bbolt.Tx, bucket []byte, yield func(key []byte, v V)) error {
	return tx.Bucket(bucket).ForEach(func(key, text []byte) error {
		var v V
		if err := decode(key, text, &v); err != nil {
			return fmt.Errorf("%s: %w", bucket, err)
		}
		yield(key, v)
		return nil
	})
}
