package director

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

const (
	// reread is when the tables are read though nothing seems to have changed:
	// health may have been reported by somebody else.
	reread = time.Minute
	// settle is how long reports are gathered, so that one SET has many.
	settle = 50 * time.Millisecond
	// tick is when it is looked for reports that grow old.
	tick = time.Second
	// pause is waited after a failure.
	pause = 2 * time.Second
)

// Options say which director it is and who wants to know of it.
type Options struct {
	Name    string
	Agent   snmp.Agent
	Root    snmp.OID      // of LCMS-MIB
	Poll    time.Duration // between two looks for changes
	Traffic time.Duration // between two readings of connections
	Via     snmp.Asker
	Log     *slog.Logger
	// Changed is called when the configuration was read, TrafficRead when
	// connections were. They must be quick.
	Changed     func(*View)
	TrafficRead func(at time.Time, t map[lvs.ServerID]Traffic)
}

// Director follows one director.
type Director struct {
	opts  Options
	agent snmp.Agent
	root  snmp.OID
	wake  chan struct{} // of capacity 1

	mu          sync.Mutex
	seen        *View
	servers     map[lvs.ServerID]ServerReport
	hosts       map[string]HostReport
	inventory   map[string]Inventory
	toldServers map[lvs.ServerID]told[ServerReport]
	toldHosts   map[string]told[HostReport]
	goneServers map[lvs.ServerID]bool // refused; until the next view
	readErr     error
	sendErr     error
	readAt      time.Time
	sentAt      time.Time
	sets        uint64
	refused     uint64
}

// New returns a director that is not followed yet.
func New(o Options) *Director {
	return &Director{
		opts: o, agent: o.Agent, root: o.Root, wake: make(chan struct{}, 1),
		servers: make(map[lvs.ServerID]ServerReport), hosts: make(map[string]HostReport), inventory: make(map[string]Inventory),
		toldServers: make(map[lvs.ServerID]told[ServerReport]), toldHosts: make(map[string]told[HostReport]),
		goneServers: make(map[lvs.ServerID]bool),
	}
}

// Status is how the monitor stands to a director.
type Status struct {
	Name      string
	Address   string
	ReadAt    time.Time // when it was last asked with success; zero: never
	ReadError string    // "" = it answers
	SentAt    time.Time
	SendError string // "" = it takes reports
	Services  int
	Servers   int
	Hosts     int
	Sets      uint64
	Refused   uint64 // rows
}

// Status returns how things are.
func (d *Director) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Status{
		Name: d.opts.Name, Address: d.agent.Address.String(), ReadAt: d.readAt, SentAt: d.sentAt, Sets: d.sets, Refused: d.refused,
		ReadError: textOf(d.readErr), SendError: textOf(d.sendErr),
	}
	if d.seen != nil {
		s.Services, s.Hosts = len(d.seen.Services), len(d.seen.Hosts)
		for _, service := range d.seen.Services {
			s.Servers += len(service.Servers)
		}
	}
	return s
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Run follows the director until ctx ends. Reading and reporting do not wait for
// each other.
func (d *Director) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.follow(ctx) })
	g.Go(func() error { return d.tell(ctx) })
	g.Go(func() error { return d.watch(ctx) })
	return g.Wait()
}

// follow reads the configuration whenever it has changed.
func (d *Director) follow(ctx context.Context) error {
	var known *View
	var read time.Time
	for {
		generation, err := d.generation(ctx)
		began := time.Now()
		if err == nil && (known == nil || known.Generation != generation || time.Since(read) >= reread) {
			var v *View
			if v, err = d.view(ctx); err == nil {
				v.Generation = generation // if it changes meanwhile, it is read again
				known, read = v, time.Now()
				d.mu.Lock()
				if d.seen != nil && (d.readErr != nil || generation < d.seen.Generation) {
					// It may have started anew, and forgotten what it was told.
					clear(d.toldServers)
					clear(d.toldHosts)
				}
				for _, service := range v.Services {
					for _, s := range service.Servers {
						if t, ok := d.toldServers[s.ID]; ok && t.report.Health != s.Health && t.at.Before(began) {
							delete(d.toldServers, s.ID) // forgotten there, or told otherwise by somebody else
						}
					}
				}
				d.seen = v
				clear(d.goneServers)
				d.mu.Unlock()
				d.opts.Changed(v)
				d.nudge()
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		d.note(&d.readErr, &d.readAt, "reading", err)
		if !sleep(ctx, d.opts.Poll) {
			return nil
		}
	}
}

// watch reads the connections, as long as the director is there.
func (d *Director) watch(ctx context.Context) error {
	for sleep(ctx, d.opts.Traffic) {
		if !d.there() {
			continue
		}
		at := time.Now()
		if t, err := d.traffic(ctx); err == nil {
			d.opts.TrafficRead(at, t)
		} else if ctx.Err() == nil {
			d.opts.Log.Debug("cannot read connections", "director", d.opts.Name, "error", err)
		}
	}
	return nil
}

// there reports whether the director answers.
func (d *Director) there() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen != nil && d.readErr == nil
}

// tell sends what is to be told.
func (d *Director) tell(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
			if !sleep(ctx, settle) {
				return nil
			}
		case <-ticker.C:
		}
		parts := d.due(time.Now())
		if len(parts) == 0 {
			continue
		}
		err := d.send(ctx, parts)
		if ctx.Err() != nil {
			return nil
		}
		d.note(&d.sendErr, &d.sentAt, "reporting", err)
		if err != nil && !sleep(ctx, pause) {
			return nil
		}
	}
}

// note keeps the outcome of something, and logs when it turns.
func (d *Director) note(last *error, at *time.Time, doing string, err error) {
	d.mu.Lock()
	before := *last
	*last = err
	if err == nil {
		*at = time.Now()
	}
	d.mu.Unlock()
	switch {
	case err != nil && textOf(before) != err.Error():
		d.opts.Log.Warn("director is away", "director", d.opts.Name, "doing", doing, "error", err)
	case err == nil && before != nil:
		d.opts.Log.Info("director is back", "director", d.opts.Name, "doing", doing)
	}
}

// sleep reports whether ctx is still on after some time.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
