package lvs

// Source says who asked for a change.
type Source uint8

// The sources of changes, numbered as lcmsRequestSource of LCMS-MIB.
const (
	SourceSNMP      Source = 1
	SourceDirectory Source = 2
	SourceConsole   Source = 3
	SourceDrift     Source = 4
	SourceMonitor   Source = 5
	SourceAgent     Source = 6 // the agent itself: start, repair
)

// Change is everything that one request wants, in no particular order. It is
// made whole or not at all.
type Change struct {
	Source Source

	// Adopt names services that somebody else put into the kernel and that
	// are to become ours as they are, with their servers. A Put of the same
	// service or of its servers goes on top.
	Adopt []ServiceKey

	// Base is what the rows were made of, where only some of their fields are asked
	// for; nil: all are.
	Base *Config `json:"-"`

	// Dangling lets rows name clusters and hosts that are not there, and lets
	// those be deleted that are still named: where rows come one after the
	// other, or come back as they were.
	Dangling bool `json:",omitempty"`

	PutClusters    []Cluster   `json:",omitempty"`
	DeleteClusters []ClusterID `json:",omitempty"` // with all their members
	PutMembers     []Member    `json:",omitempty"`
	DeleteMembers  []MemberID  `json:",omitempty"`
	PutHosts       []Host      `json:",omitempty"`
	DeleteHosts    []HostName  `json:",omitempty"`
	PutServices    []Service
	DeleteServices []ServiceKey // with all their servers
	PutServers     []ServerAt
	DeleteServers  []ServerID
	PutDaemons     []SyncDaemon
	DeleteDaemons  []DaemonState
	Timeouts       *Timeouts // 0 in a field: leave it to the kernel
	Settings       *Settings // of the agent
	Lock           *int32    // new value of the optional lock across a SET

	// What follows describes or asks for a moment and is never stored.

	HostReports []HostReport `json:"-"` // what a monitor has measured
	Reports     []Report     `json:"-"` // what a monitor has found of servers
	HoldRelease *uint32      `json:"-"` // names what is held of the directory and is to be applied
	SyncNow     *int32       `json:"-"` // new value of the lock with which all of the directory is read anew
}

// ServerID names a server of a service.
type ServerID struct {
	Service ServiceKey
	Server  ServerKey
}

// ServerAt is a server with the service it belongs to.
type ServerAt struct {
	Service ServiceKey
	Server  Server
}

// IsEmpty reports whether the change asks for nothing.
func (c *Change) IsEmpty() bool {
	return !c.Configures() && len(c.HostReports)+len(c.Reports) == 0 && c.HoldRelease == nil && c.SyncNow == nil
}

// Configures reports whether the change is about the configuration. One that is
// not needs no kernel and makes no new generation.
func (c *Change) Configures() bool {
	return len(c.PutClusters)+len(c.DeleteClusters)+len(c.PutMembers)+len(c.DeleteMembers)+len(c.PutHosts)+len(c.DeleteHosts)+
		len(c.Adopt)+len(c.PutServices)+len(c.DeleteServices)+len(c.PutServers)+len(c.DeleteServers)+
		len(c.PutDaemons)+len(c.DeleteDaemons) > 0 || c.Timeouts != nil || c.Settings != nil || c.Lock != nil
}

// IsReport reports whether the change is nothing but what a monitor has
// measured.
func (c *Change) IsReport() bool {
	return len(c.HostReports)+len(c.Reports) > 0 && !c.Configures() && c.HoldRelease == nil && c.SyncNow == nil
}

// Services returns the services that the change touches, each once.
func (c *Change) Services() []ServiceKey {
	var keys []ServiceKey
	seen := make(map[ServiceKey]bool)
	add := func(k ServiceKey) {
		if n := len(keys); n > 0 && keys[n-1] == k || seen[k] {
			return
		}
		seen[k] = true
		keys = append(keys, k)
	}
	for _, k := range c.Adopt {
		add(k)
	}
	for i := range c.PutServices {
		add(c.PutServices[i].Key)
	}
	for _, k := range c.DeleteServices {
		add(k)
	}
	for i := range c.PutServers {
		add(c.PutServers[i].Service)
	}
	for _, id := range c.DeleteServers {
		add(id.Service)
	}
	for i := range c.Reports {
		add(c.Reports[i].Service)
	}
	return keys
}

// Durable returns the part of the change that concerns the store: rows that
// are NonVolatile, and as deletions those that were so in before and are no
// longer.
func (c *Change) Durable(before *Config) Change {
	d := Change{Source: c.Source, Dangling: c.Dangling, Timeouts: c.Timeouts, Settings: c.Settings}
	c.durableGroups(before, &d)
	for _, s := range c.PutServices {
		old, had := before.Service(s.Key)
		switch {
		case s.Storage == NonVolatile:
			d.PutServices = append(d.PutServices, s)
		case had && old.Storage == NonVolatile:
			d.DeleteServices = append(d.DeleteServices, s.Key)
		}
	}
	for _, k := range c.DeleteServices {
		if old, had := before.Service(k); had && old.Storage == NonVolatile {
			d.DeleteServices = append(d.DeleteServices, k)
		}
	}
	at := before.Cursor()
	for i := range c.PutServers {
		s := &c.PutServers[i]
		if s.Server.Storage == NonVolatile {
			d.PutServers = append(d.PutServers, *s)
		} else if old := at.Server(s.Service, s.Server.Key); old != nil && old.Storage == NonVolatile {
			d.DeleteServers = append(d.DeleteServers, ServerID{s.Service, s.Server.Key})
		}
	}
	for _, id := range c.DeleteServers {
		if old, had := before.Server(id.Service, id.Server); had && old.Storage == NonVolatile {
			d.DeleteServers = append(d.DeleteServers, id)
		}
	}
	for _, s := range c.PutDaemons {
		old, had := before.Daemon(s.State)
		switch {
		case s.Storage == NonVolatile:
			d.PutDaemons = append(d.PutDaemons, s)
		case had && old.Storage == NonVolatile:
			d.DeleteDaemons = append(d.DeleteDaemons, s.State)
		}
	}
	for _, state := range c.DeleteDaemons {
		if old, had := before.Daemon(state); had && old.Storage == NonVolatile {
			d.DeleteDaemons = append(d.DeleteDaemons, state)
		}
	}
	return d
}

// Inverse returns the change that takes c back, when before is what c was
// applied to.
func (c *Change) Inverse(before *Config) Change {
	inv := Change{Source: c.Source, Dangling: true}
	c.inverseGroups(before, &inv)
	restore := func(k ServiceKey) {
		old, had := before.Service(k)
		if !had {
			inv.DeleteServices = append(inv.DeleteServices, k)
			return
		}
		inv.PutServices = append(inv.PutServices, old)
	}
	for _, k := range c.Adopt {
		restore(k)
	}
	for _, s := range c.PutServices {
		restore(s.Key)
	}
	for _, k := range c.DeleteServices {
		restore(k)
		for _, s := range before.Servers(k) {
			inv.PutServers = append(inv.PutServers, ServerAt{k, *s})
		}
	}
	restoreServer := func(id ServerID) {
		if _, had := before.Service(id.Service); !had {
			return // goes with its service
		}
		if old, had := before.Server(id.Service, id.Server); had {
			inv.PutServers = append(inv.PutServers, ServerAt{id.Service, old})
		} else {
			inv.DeleteServers = append(inv.DeleteServers, id)
		}
	}
	for _, s := range c.PutServers {
		restoreServer(ServerID{s.Service, s.Server.Key})
	}
	for _, id := range c.DeleteServers {
		restoreServer(id)
	}
	restoreDaemon := func(state DaemonState) {
		if old, had := before.Daemon(state); had {
			inv.PutDaemons = append(inv.PutDaemons, old)
		} else {
			inv.DeleteDaemons = append(inv.DeleteDaemons, state)
		}
	}
	for _, d := range c.PutDaemons {
		restoreDaemon(d.State)
	}
	for _, state := range c.DeleteDaemons {
		restoreDaemon(state)
	}
	if c.Timeouts != nil {
		old := before.Timeouts()
		inv.Timeouts = &old
	}
	if c.Settings != nil {
		old := before.Settings()
		inv.Settings = &old
	}
	return inv
}
