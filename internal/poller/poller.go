package poller

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/check"
	"github.com/lcms-project/lcms/internal/poller/config"
	"github.com/lcms-project/lcms/internal/poller/director"
	"github.com/lcms-project/lcms/internal/poller/load"
	"github.com/lcms-project/lcms/internal/poller/schedule"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/status"
	"github.com/lcms-project/lcms/internal/poller/weight"
)

// patience is how long a director is waited for, and how often it is asked: it
// may hold a request back while a SET is made.
const (
	patience = 3 * time.Second
	attempts = 2
)

// Poller is the monitor.
type Poller struct {
	config  config.Config
	version string
	log     *slog.Logger
	since   time.Time

	directors []*director.Director
	toLead    *snmp.Client // asks directors
	toHosts   *snmp.Client // asks hosts
	checks    *schedule.Schedule[lvs.ServerID]
	loads     *schedule.Schedule[netip.AddrPort]

	mu       sync.Mutex
	views    []*director.View // of directors, nil = not read yet
	traffic  []traffic        // of directors
	services map[lvs.ServiceKey]*service
	servers  map[lvs.ServerID]*server
	hosts    map[netip.AddrPort]*host
	asked    int  // servers that were checked
	silent   int  // those of them that gave no answer at all
	isolated bool // none of them did
}

// traffic is what a director told of connections, last and before.
type traffic struct {
	at, before time.Time
	now, then  map[lvs.ServerID]director.Traffic
}

// service is one that is watched.
type service struct {
	key       lvs.ServiceKey
	policy    weight.Policy
	slowStart time.Duration
	balancer  *weight.Balancer
	panic     bool
	servers   []*server
}

// server is one of its servers.
type server struct {
	id      lvs.ServerID
	name    string // of its host
	weight  uint32 // as configured
	spec    lvs.HealthCheck
	plan    *plan // nil: it is not checked
	judge   check.Judge
	last    check.Result
	at      time.Time // of last; zero: not checked yet
	since   time.Time // of the health; zero: as it was found
	back    time.Time // when it came up after it was down
	host    *host     // nil: its load is not asked for
	advised uint32    // from where the next advice goes on, 0 = from the last
	advice  weight.Advice
}

// plan is how a server is checked, from when its check was made or changed until it
// is the next time. Whether a run still counts is told by which plan it is of, never
// by what it asks: probes cannot be compared.
type plan struct{ probe check.Probe }

// host is a machine that is asked for its load.
type host struct {
	agent    snmp.Agent
	names    map[string]bool // by which directors know it
	measure  load.Host
	load     load.Load
	err      error // why its load is not known
	surveyed bool
}

// New returns a monitor that does nothing yet.
func New(c config.Config, version string, log *slog.Logger) *Poller {
	p := &Poller{
		config: c, version: version, log: log, since: time.Now(),
		toLead: snmp.NewClient(patience, attempts), toHosts: snmp.NewClient(c.Load.Timeout, c.Load.Attempts),
		checks: schedule.New[lvs.ServerID](c.Checks.Parallel), loads: schedule.New[netip.AddrPort](c.Load.Parallel),
		views: make([]*director.View, len(c.Directors)), traffic: make([]traffic, len(c.Directors)),
		services: make(map[lvs.ServiceKey]*service), servers: make(map[lvs.ServerID]*server), hosts: make(map[netip.AddrPort]*host),
	}
	for i, d := range c.Directors {
		p.directors = append(p.directors, director.New(director.Options{
			Name: d.Name, Agent: d.Agent, Root: c.Root, Poll: c.DirectorPoll, Traffic: c.Load.Interval, Via: p.toLead, Log: log,
			Changed:     func(v *director.View) { p.viewed(i, v) },
			TrafficRead: func(at time.Time, t map[lvs.ServerID]director.Traffic) { p.counted(i, at, t) },
		}))
	}
	return p
}

// Run watches until ctx ends.
func (p *Poller) Run(ctx context.Context) error {
	defer p.toLead.Close()
	defer p.toHosts.Close()
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range p.directors {
		g.Go(func() error { return d.Run(ctx) })
	}
	g.Go(func() error { return p.checks.Run(ctx) })
	g.Go(func() error { return p.loads.Run(ctx) })
	g.Go(func() error { return p.weigh(ctx) })
	g.Go(func() error { return status.Serve(ctx, p.config.Socket, p.Status) })
	return g.Wait()
}

// counted takes in how many connections a director has made.
func (p *Poller) counted(i int, at time.Time, t map[lvs.ServerID]director.Traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.traffic[i]
	p.traffic[i] = traffic{at: at, before: was.at, now: t, then: was.now}
}

// rate returns the new connections per second of a server, over all directors;
// false if it is not known.
func (p *Poller) rate(id lvs.ServerID, now time.Time) (float64, bool) {
	sum, known := 0.0, false
	for _, t := range p.traffic {
		a, had := t.then[id]
		b, has := t.now[id]
		seconds := t.at.Sub(t.before).Seconds()
		if !had || !has || seconds <= 0 || now.Sub(t.at) > p.config.Weights.Stale {
			continue
		}
		if b.Connections >= a.Connections { // else they began again
			sum += float64(b.Connections-a.Connections) / seconds
			known = true
		}
	}
	return sum, known
}

// oper returns what the first director that has a server tells of it.
func (p *Poller) oper(id lvs.ServerID) (director.Traffic, bool) {
	for _, t := range p.traffic {
		if one, ok := t.now[id]; ok {
			return one, true
		}
	}
	return director.Traffic{}, false
}
