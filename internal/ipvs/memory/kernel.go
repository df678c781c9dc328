package memory

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lcms-project/lcms/internal/ipvs/rules"
	"github.com/lcms-project/lcms/internal/lvs"
)

// Options say what the kernel is like. The zero value is Debian's.
type Options struct {
	Schedulers []string // names it can load; nil = those of Linux 6.1
	Engines    []string // persistence engines it can load; nil = sip
	Interfaces []string // network interfaces that exist, each with MTU 1500; nil = whichever is named
	Now        func() time.Time
}

// Kernel is an IPVS kernel in memory. Its methods may be called from several
// goroutines at once.
type Kernel struct {
	schedulers []string
	engines    []string
	interfaces []string
	now        func() time.Time

	mu        sync.Mutex
	services  []*service
	index     map[lvs.ServiceKey]*service
	mixed     int // servers whose IP version is not their service's
	timeouts  lvs.Timeouts
	daemons   []lvs.Daemon
	totals    counters
	traffic   map[lvs.ServiceKey]Traffic
	sinceTick time.Duration      // of Advance, since the estimator last ran
	found     []lvs.ActualServer // the servers of the service that is being read
	failures  failures
}

type service struct {
	lvs.ServiceSpec
	counters
	servers []*server
	index   map[lvs.ServerKey]*server // of servers; nil while there are few
	read    *lvs.ActualService        // as it was last read
}

// few is how many servers are found without an index.
const few = 32

func (s *service) server(key lvs.ServerKey) *server {
	if s.index != nil {
		return s.index[key]
	}
	for _, d := range s.servers {
		if d.Key == key {
			return d
		}
	}
	return nil
}

func (s *service) add(d *server) {
	s.servers = append(s.servers, d)
	switch {
	case s.index != nil:
		s.index[d.Key] = d
	case len(s.servers) > few:
		s.index = make(map[lvs.ServerKey]*server)
		for _, d := range s.servers {
			s.index[d.Key] = d
		}
	}
}

func (s *service) remove(d *server) {
	s.servers = remove(s.servers, d)
	delete(s.index, d.Key)
}

type server struct {
	lvs.ServerSpec
	*use // nil as long as nobody has come to it
}

// use is what clients have made of a server.
type use struct {
	counters
	connections
}

// used returns the use of a server for changing it.
func (d *server) used() *use {
	if d.use == nil {
		d.use = new(use)
	}
	return d.use
}

// New returns an empty kernel.
func New(o Options) *Kernel {
	k := &Kernel{
		schedulers: o.Schedulers,
		engines:    o.Engines,
		interfaces: o.Interfaces,
		now:        o.Now,
		index:      make(map[lvs.ServiceKey]*service),
		timeouts:   lvs.Timeouts{TCP: 900, TCPFin: 120, UDP: 300},
		traffic:    make(map[lvs.ServiceKey]Traffic),
	}
	if k.schedulers == nil {
		k.schedulers = []string{"none", "rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq"}
	}
	if k.engines == nil {
		k.engines = []string{"sip"}
	}
	if k.now == nil {
		k.now = time.Now
	}
	return k
}

// Read returns a copy of everything the kernel holds, in no particular order.
func (k *Kernel) Read(ctx context.Context) (*lvs.Actual, error) {
	k.mu.Lock()
	delay, err := k.failures.read()
	k.mu.Unlock()
	if delay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	a := &lvs.Actual{
		Version:             "1.2.1",
		ConnectionTableSize: 4096,
		Timeouts:            k.timeouts,
		Services:            make([]*lvs.ActualService, len(k.services)),
		Daemons:             slices.Clone(k.daemons),
		Totals:              k.totals.Stats,
	}
	for i, s := range k.services {
		a.Services[i] = k.readService(s)
	}
	a.At = k.now()
	return a, nil
}

// readService returns what it returned last where that is still so.
func (k *Kernel) readService(s *service) *lvs.ActualService {
	k.found = k.found[:0]
	for _, d := range s.servers {
		found := lvs.ActualServer{ServerSpec: d.ServerSpec}
		if d.use != nil {
			found.Stats, found.ActiveConnections, found.InactiveConnections = d.Stats, d.active, d.inactive
			if s.PersistenceTimeout > 0 {
				found.PersistentConnections = d.active
			}
		}
		k.found = append(k.found, found)
	}
	now := lvs.ActualService{ServiceSpec: s.ServiceSpec, Stats: s.Stats, Servers: k.found}
	if s.read == nil || !s.read.Same(&now) {
		kept := now // not &now, which would put every now on the heap
		kept.Servers = slices.Clone(k.found)
		s.read = &kept
	}
	return s.read
}

// Apply does one operation, or refuses it as the real kernel does.
func (k *Kernel) Apply(ctx context.Context, op lvs.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.failures.apply(op.Do); err != nil {
		return err
	}
	if errno := k.apply(op); errno != 0 {
		return rules.Translate(op, errno)
	}
	return nil
}

// Supports returns nil if the kernel has the scheduler and the persistence
// engine; "" stands for no engine.
func (k *Kernel) Supports(scheduler, engine string) error {
	if !slices.Contains(k.schedulers, scheduler) {
		return rules.Missing("Scheduler", scheduler)
	}
	if engine != "" && !slices.Contains(k.engines, engine) {
		return rules.Missing("PersistenceEngine", engine)
	}
	return nil
}

// Zero sets the counters of a service and its servers to 0; the zero key
// stands for the counters of everything, the totals included.
func (k *Kernel) Zero(ctx context.Context, key lvs.ServiceKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	zero := k.services
	if !key.IsZero() {
		s := k.index[key]
		if s == nil {
			return rules.Translate(lvs.Op{Do: lvs.EditService, Service: &lvs.ServiceSpec{Key: key}}, syscall.ESRCH)
		}
		zero = []*service{s}
	} else {
		k.totals = counters{}
	}
	for _, s := range zero {
		s.counters = counters{}
		for _, d := range s.servers {
			if d.use != nil {
				d.counters = counters{}
			}
		}
	}
	return nil
}

// Flush deletes every service, as another program may.
func (k *Kernel) Flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.services, k.mixed = nil, 0
	clear(k.index)
}
