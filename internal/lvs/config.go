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
}

type serviceConfig struct {
	text    string // of the key, by which it is found
	service Service
	servers []*Server // in the order of ServerKey.Compare
}

func (s *serviceConfig) compare(other *serviceConfig) int { return compareNames(s.text, other.text) }

// Service returns the service named k.
func (c *Config) Service(k ServiceKey) (Service, bool) {
	if i, ok := c.find(k); ok {
		return c.services[i].service, true
	}
	return Service{}, false
}

// Server returns a server of a service.
func (c *Config) Server(k ServiceKey, s ServerKey) (Server, bool) {
	if server := c.FindServer(k, s); server != nil {
		return *server, true
	}
	return Server{}, false
}

// FindServer returns a server of a service, nil if it is not there. It is
// read-only.
func (c *Config) FindServer(k ServiceKey, s ServerKey) *Server {
	if i, ok := c.find(k); ok {
		if j, ok := c.services[i].find(s); ok {
			return c.services[i].servers[j]
		}
	}
	return nil
}

// Servers returns the servers of a service in table order. They are read-only.
func (c *Config) Servers(k ServiceKey) []*Server {
	if i, ok := c.find(k); ok {
		return c.services[i].servers
	}
	return nil
}

// ServersNamed returns those servers of a service that there are of so many
// names, in the order of these. They are read-only.
func (c *Config) ServersNamed(k ServiceKey, names []ServerKey) []*Server {
	i, ok := c.find(k)
	if !ok {
		return nil
	}
	servers := make([]*Server, 0, len(names))
	for _, name := range names {
		if j, ok := c.services[i].find(name); ok {
			servers = append(servers, c.services[i].servers[j])
		}
	}
	return servers
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
		switch order := compareText(c.services[middle].text, text); {
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

// find is the same for the servers of a service.
func (s *serviceConfig) find(k ServerKey) (int, bool) {
	var a, b [64]byte
	text := k.AppendTo(a[:0])
	low, high := 0, len(s.servers)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if s.servers[middle].Key == k {
			return middle, true
		}
		if compareTexts(s.servers[middle].Key.AppendTo(b[:0]), text) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, false
}

// Apply returns the Config that change makes of c, or a *Refusal and no
// Config. Every touched row is checked; the order within the change does not
// matter. Adopt must have been expanded before (see Change.Expand).
func (c *Config) Apply(change *Change) (*Config, error) {
	d := draft{next: *c}
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
			if j, ok := sc.find(id.Server); ok {
				sc.servers = slices.Delete(sc.servers, j, j+1)
			}
		}
	}
	for i := range change.PutServers {
		put := change.PutServers[i]
		sc := d.own(put.Service, false)
		if sc == nil {
			return nil, &Refusal{
				Kind: ErrNotFound, Service: put.Service, Server: put.Server.Key,
				Reason: "there is no such service: create it first, or in the same request",
			}
		}
		j, ok := sc.find(put.Server.Key)
		if !ok {
			sc.servers = slices.Insert(sc.servers, j, nil)
		}
		sc.servers[j] = &put.Server
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
	for i := range change.PutServers {
		put := &change.PutServers[i]
		j, _ := d.next.find(put.Service)
		if r := checkServer(&put.Server, &d.next.services[j].service); r != nil {
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
	return s.Check(*service)
}

// draft is a Config in the making; own copies a service before the first write.
type draft struct {
	next  Config
	owned map[ServiceKey]*serviceConfig
}

func (d *draft) own(k ServiceKey, create bool) *serviceConfig {
	if sc := d.owned[k]; sc != nil {
		return sc
	}
	i, ok := d.next.find(k)
	sc := &serviceConfig{}
	switch {
	case ok:
		*sc = serviceConfig{text: d.next.services[i].text, service: d.next.services[i].service, servers: slices.Clone(d.next.services[i].servers)}
		d.next.services[i] = sc
	case create:
		d.next.services = slices.Insert(d.next.services, i, sc)
		sc.text, sc.service.Key = k.String(), k
	default:
		return nil
	}
	if d.owned == nil {
		d.owned = make(map[ServiceKey]*serviceConfig)
	}
	d.owned[k] = sc
	return sc
}
