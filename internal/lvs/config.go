package lvs

import (
	"fmt"
	"slices"
)

// Config is the desired state: every service with its servers, the clusters
// with their members, the hosts, the sync daemons, the timeouts and the
// settings of the agent. A Config never changes: Apply returns a new one that
// shares with the old what is the same. The zero Config is empty.
type Config struct {
	services []*serviceConfig // in the order of ServiceKey.Compare
	clusters []*Cluster       // in the order of ClusterID.Compare
	members  []*Member        // in the order of MemberID.Compare
	hosts    []*Host          // in the order of HostName.Compare
	daemons  [3]*SyncDaemon   // by state
	timeouts Timeouts
	settings *Settings // nil: the defaults
	age      uint64    // how many changes made it of the first one
}

type serviceConfig struct {
	text    string // of the key, by which it is found
	service Service
	servers []*Server // in the order of ServerKey.Compare
	age     uint64    // of the Config that it was copied for
}

func (s *serviceConfig) compare(other *serviceConfig) int { return CompareTexts(s.text, other.text) }

// Service returns the service named k.
func (c *Config) Service(k ServiceKey) (Service, bool) {
	at := c.Cursor()
	if s := at.Service(k); s != nil {
		return *s, true
	}
	return Service{}, false
}

// Server returns a server of a service.
func (c *Config) Server(k ServiceKey, s ServerKey) (Server, bool) {
	at := c.Cursor()
	if server := at.Server(k, s); server != nil {
		return *server, true
	}
	return Server{}, false
}

// Servers returns the servers of a service in table order. They are read-only.
func (c *Config) Servers(k ServiceKey) []*Server {
	at := c.Cursor()
	return at.Servers(k)
}

// Cursor returns what finds rows of c one after the other.
func (c *Config) Cursor() Cursor { return Cursor{config: c} }

// Cursor finds services and servers. It is quick where each is the one that was
// found before, or the next in table order.
type Cursor struct {
	config *Config
	in     *serviceConfig
	next   int // in its servers
}

// Service returns a service, nil if it is not there. It is read-only, and as
// every row it never changes.
func (u *Cursor) Service(k ServiceKey) *Service {
	if u.in == nil || u.in.service.Key != k {
		i, ok := u.config.find(k)
		if !ok {
			return nil
		}
		u.in, u.next = u.config.services[i], 0
	}
	return &u.in.service
}

// Servers returns the servers of a service in table order. They are read-only.
func (u *Cursor) Servers(k ServiceKey) []*Server {
	if u.Service(k) == nil {
		return nil
	}
	return u.in.servers
}

// ServersNamed returns those servers of a service that there are of so many
// names, in the order of these. They are read-only.
func (u *Cursor) ServersNamed(k ServiceKey, names []ServerKey) []*Server {
	servers := make([]*Server, 0, len(names))
	for _, name := range names {
		if s := u.Server(k, name); s != nil {
			servers = append(servers, s)
		}
	}
	return servers
}

// Server returns a server of a service, nil if it is not there. It is read-only.
func (u *Cursor) Server(k ServiceKey, s ServerKey) *Server {
	if u.Service(k) == nil {
		return nil
	}
	i, ok := u.in.find(u.next, s)
	if !ok {
		return nil
	}
	u.next = i + 1
	return u.in.servers[i]
}

// Services calls yield for each service and its servers in table order, until
// it returns false. The servers are read-only.
func (c *Config) Services(yield func(*Service, []*Server) bool) {
	for _, s := range c.services {
		if !yield(&s.service, s.servers) {
			return
		}
	}
}

// Len returns how many services there are.
func (c *Config) Len() int { return len(c.services) }

// Daemon returns the sync daemon of a state.
func (c *Config) Daemon(state DaemonState) (SyncDaemon, bool) {
	if int(state) < len(c.daemons) && c.daemons[state] != nil {
		return *c.daemons[state], true
	}
	return SyncDaemon{}, false
}

// Timeouts returns the desired timeouts; 0 means that the kernel's stays.
func (c *Config) Timeouts() Timeouts { return c.timeouts }

// Settings returns the settings of the agent.
func (c *Config) Settings() Settings {
	if c.settings == nil {
		return DefaultSettings()
	}
	return *c.settings
}

// find returns the position of a service, or where it would stand. The search
// is written out, because a function value would move the text to the heap.
func (c *Config) find(k ServiceKey) (int, bool) {
	var buf [64]byte
	text := k.AppendTo(buf[:0])
	low, high := 0, len(c.services)
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch order := CompareTexts(c.services[middle].text, text); {
		case order == 0:
			return middle, true
		case order < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, false
}

// find returns the position of a server, or where it would stand. It is quick
// where that is the likely one.
func (s *serviceConfig) find(likely int, k ServerKey) (int, bool) {
	if likely < len(s.servers) && s.servers[likely].Key == k {
		return likely, true
	}
	return slices.BinarySearchFunc(s.servers, k, func(s *Server, k ServerKey) int { return s.Key.Compare(k) })
}

// Apply returns the Config that change makes of c, or a *Refusal and no
// Config. Every touched row is checked; the order within the change does not
// matter. Adopt must have been expanded before (see Change.Expand).
func (c *Config) Apply(change *Change) (*Config, error) {
	d := draft{next: *c}
	d.next.age++
	d.next.services = slices.Clone(c.services)
	if r := d.applyGroups(change); r != nil {
		return nil, r
	}
	for _, k := range change.DeleteServices {
		if i, ok := d.next.find(k); ok {
			d.next.services = slices.Delete(d.next.services, i, i+1)
		}
	}
	for _, s := range change.PutServices {
		if slices.Contains(change.DeleteServices, s.Key) {
			return nil, &Refusal{Kind: ErrConflict, Service: s.Key, Reason: "the same request destroys the service and writes to it: do one of both"}
		}
		if s.Status == Active {
			if r := s.Check(); r != nil {
				return nil, r
			}
		}
		d.own(s.Key, true).service = s
	}
	for _, id := range change.DeleteServers {
		if sc := d.own(id.Service, false); sc != nil {
			if j, ok := sc.find(0, id.Server); ok {
				sc.servers = slices.Delete(sc.servers, j, j+1)
			}
		}
	}
	var sc *serviceConfig
	next := 0
	for i := range change.PutServers {
		put := &change.PutServers[i]
		if sc == nil || sc.service.Key != put.Service {
			sc, next = d.own(put.Service, false), 0
		}
		if sc == nil {
			reason := "there is no such service: create it first, or in the same request"
			if slices.Contains(change.DeleteServices, put.Service) {
				reason = "the same request destroys the service and writes to this server: do one of both"
			}
			return nil, &Refusal{Kind: ErrNotFound, Service: put.Service, Server: put.Server.Key, Reason: reason}
		}
		j, ok := sc.find(next, put.Server.Key)
		if !ok {
			sc.servers = slices.Insert(sc.servers, j, nil)
		}
		server := put.Server
		sc.servers[j], next = &server, j+1
	}
	if r := d.checkServers(change); r != nil {
		return nil, r
	}
	if r := c.checkReferences(&d.next, change); r != nil {
		return nil, r
	}
	for _, daemon := range change.PutDaemons {
		if daemon.Status == Active {
			if r := daemon.Check(); r != nil {
				return nil, r
			}
		}
		d.next.daemons[daemon.State] = &daemon
	}
	for _, state := range change.DeleteDaemons {
		d.next.daemons[state] = nil
	}
	if change.Timeouts != nil {
		if r := change.Timeouts.Check(); r != nil {
			return nil, r
		}
		d.next.timeouts = *change.Timeouts
	}
	if change.Settings != nil {
		if r := change.Settings.Check(); r != nil {
			return nil, r
		}
		settings := *change.Settings
		d.next.settings = &settings
	}
	return &d.next, nil
}

// checkServers checks the written servers, and all servers of the services
// that were written, because what a server may be depends on its service.
func (d *draft) checkServers(change *Change) *Refusal {
	at := d.next.Cursor()
	for i := range change.PutServers {
		put := &change.PutServers[i]
		if r := checkServer(&put.Server, at.Service(put.Service)); r != nil {
			return r
		}
	}
	for i := range change.PutServices {
		j, _ := d.next.find(change.PutServices[i].Key)
		for _, s := range d.next.services[j].servers {
			r := checkServer(s, &d.next.services[j].service)
			if r == nil {
				continue
			}
			// The fault is in what was written: the service.
			return &Refusal{Kind: r.Kind, Service: r.Service, Field: r.Field, Reason: fmt.Sprintf("its server %s: %s", s.Key, r.Reason)}
		}
	}
	return nil
}

func checkServer(s *Server, service *Service) *Refusal {
	if s.Storage == NonVolatile && service.Storage == Volatile {
		return &Refusal{
			Kind: ErrInvalid, Service: service.Key, Server: s.Key, Field: "Storage",
			Reason: "a server cannot outlive its service: make the service nonVolatile or the server volatile",
		}
	}
	if s.Status != Active {
		return nil
	}
	return s.Check(service)
}

// draft is a Config in the making; own copies a service before the first write.
type draft struct{ next Config }

func (d *draft) own(k ServiceKey, create bool) *serviceConfig {
	i, ok := d.next.find(k)
	switch {
	case ok && d.next.services[i].age == d.next.age:
		return d.next.services[i]
	case ok:
		sc := *d.next.services[i]
		sc.servers, sc.age = slices.Clone(sc.servers), d.next.age
		d.next.services[i] = &sc
	case create:
		sc := &serviceConfig{text: k.String(), age: d.next.age}
		sc.service.Key = k
		d.next.services = slices.Insert(d.next.services, i, sc)
	default:
		return nil
	}
	return d.next.services[i]
}
