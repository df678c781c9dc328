package lvs

import (
	"cmp"
	"fmt"
	"slices"
)

// checkReferences checks that every row which the change writes names clusters,
// hosts and sorry servers that are there, and that no row is left naming one that the change
// deletes or makes volatile. What a row named before it may go on naming.
func (c *Config) checkReferences(next *Config, change *Change) *Refusal {
	if change.Dangling {
		return nil
	}
	for i := range change.PutServices {
		s := &change.PutServices[i]
		if old, had := c.Service(s.Key); had && old.Cluster == s.Cluster && old.Storage == s.Storage {
			continue
		}
		if r := next.checkClusterOf(s.Cluster, s.Storage, change); r != nil {
			r.Service, r.Field = s.Key, cmp.Or(r.Field, "Cluster")
			return r
		}
	}
	for i := range change.PutServices {
		s := &change.PutServices[i]
		if old, had := c.Service(s.Key); s.SorryServer == "" || had && old.SorryServer == s.SorryServer {
			continue
		}
		if k, err := ParseServerKey(s.SorryServer); err == nil {
			if _, ok := next.Server(s.Key, k); !ok {
				reason := fmt.Sprintf("the service has no server %s: create it first, or in the same request", k)
				if slices.Contains(change.DeleteServers, ServerID{s.Key, k}) {
					reason = fmt.Sprintf("the same request destroys server %s: leave that, or name another", k)
				}
				return &Refusal{Kind: ErrConflict, Service: s.Key, Field: "SorryServer", Reason: reason}
			}
		}
	}
	before := c.Cursor()
	for i := range change.PutServers {
		s := &change.PutServers[i]
		if old := before.Server(s.Service, s.Server.Key); old != nil && old.Host == s.Server.Host && old.Storage == s.Server.Storage {
			continue
		}
		if r := next.checkHostOf(s.Server.Host, s.Server.Storage, change); r != nil {
			r.Service, r.Server, r.Field = s.Service, s.Server.Key, cmp.Or(r.Field, "Host")
			return r
		}
	}
	for i := range change.PutMembers {
		m := &change.PutMembers[i]
		if old, had := c.Member(m.ID()); had && old.Storage == m.Storage {
			continue
		}
		r := next.checkClusterOf(m.Cluster, m.Storage, change)
		if r != nil && r.Kind == ErrConflict {
			r.Kind = ErrNotFound // it is what the member is in, as the service of a server
		}
		if r == nil {
			r = next.checkHostOf(m.Host, m.Storage, change)
		}
		if r != nil {
			r.Cluster, r.Host = m.Cluster, m.Host
			return r
		}
	}
	if r := c.checkSorry(next, change); r != nil {
		return r
	}
	return c.checkReferred(next, change)
}

// checkSorry checks that no service is left naming a server that the change
// deletes.
func (c *Config) checkSorry(next *Config, change *Change) *Refusal {
	for _, id := range change.DeleteServers {
		s, _ := next.Service(id.Service)
		if server, had := c.Server(id.Service, id.Server); had && s.IsSorry(&server) && !next.hasServer(id) {
			return &Refusal{Kind: ErrConflict, Service: id.Service, Server: id.Server,
				Reason: "it is the sorry server of its service: let that name another or none, in the same request if you like"}
		}
	}
	return nil
}

// checkReferred checks the clusters and hosts that the change deletes, or no
// longer keeps, against the rows that name them.
func (c *Config) checkReferred(next *Config, change *Change) *Refusal {
	if len(change.PutClusters)+len(change.PutHosts)+len(change.DeleteClusters)+len(change.DeleteHosts) == 0 {
		return nil
	}
	lostClusters, lostHosts := make(map[ClusterID]bool), make(map[HostName]bool) // true: deleted; false: volatile
	for i := range change.PutClusters {
		row := &change.PutClusters[i]
		if old, had := c.Cluster(row.ID); row.Storage == Volatile && !(had && old.Storage == Volatile) {
			lostClusters[row.ID] = false
		}
	}
	for i := range change.PutHosts {
		row := &change.PutHosts[i]
		if old, had := c.Host(row.Name); row.Storage == Volatile && !(had && old.Storage == Volatile) {
			lostHosts[row.Name] = false
		}
	}
	for _, id := range change.DeleteClusters {
		if c.hasCluster(id) {
			lostClusters[id] = true
		}
	}
	for _, n := range change.DeleteHosts {
		if c.hasHost(n) {
			lostHosts[n] = true
		}
	}
	if len(lostClusters)+len(lostHosts) == 0 {
		return nil
	}
	// refusal of a loss that a row stands against, nil if it does not
	refusal := func(deleted, lost bool, kept Storage, what string) *Refusal {
		switch {
		case !lost || !deleted && kept != NonVolatile:
			return nil
		case deleted:
			return &Refusal{Kind: ErrConflict, Reason: what + " still names it: destroy that first or let it name another, in the same request if you like"}
		}
		return &Refusal{Kind: ErrInvalid, Field: "Storage", Reason: what + " is kept and names it: it must be kept too"}
	}
	for _, sc := range next.services {
		deleted, lost := lostClusters[sc.service.Cluster]
		if r := refusal(deleted, lost, sc.service.Storage, "service "+sc.text); r != nil {
			r.Cluster = sc.service.Cluster
			return r
		}
		if len(lostHosts) == 0 {
			continue
		}
		for _, s := range sc.servers {
			deleted, lost := lostHosts[s.Host]
			if !lost {
				continue
			}
			if r := refusal(deleted, lost, s.Storage, fmt.Sprintf("server %s of service %s", s.Key, sc.text)); r != nil {
				r.Host = s.Host
				return r
			}
		}
	}
	for _, m := range next.members {
		what := fmt.Sprintf("member %s of cluster %s", m.Host, m.Cluster)
		deleted, lost := lostClusters[m.Cluster]
		if r := refusal(deleted, lost, m.Storage, what); r != nil {
			r.Cluster = m.Cluster
			return r
		}
		deleted, lost = lostHosts[m.Host]
		if r := refusal(deleted, lost, m.Storage, what); r != nil {
			r.Host = m.Host
			return r
		}
	}
	return nil
}

func (c *Config) hasCluster(id ClusterID) bool { _, ok := c.Cluster(id); return ok }
func (c *Config) hasHost(n HostName) bool      { _, ok := c.Host(n); return ok }
func (c *Config) hasServer(id ServerID) bool   { _, ok := c.Server(id.Service, id.Server); return ok }

// checkClusterOf checks that a row of the change which is kept in this way may name
// a cluster. The refusal is without the row.
func (c *Config) checkClusterOf(id ClusterID, storage Storage, change *Change) *Refusal {
	if id == "" {
		return nil
	}
	cluster, ok := c.Cluster(id)
	destroyed := !ok && slices.Contains(change.DeleteClusters, id)
	return checkReferent("cluster", string(id), ok, destroyed, cluster.Storage == Volatile && storage == NonVolatile)
}

// checkHostOf is the same for a host.
func (c *Config) checkHostOf(n HostName, storage Storage, change *Change) *Refusal {
	if n == "" {
		return nil
	}
	host, ok := c.Host(n)
	destroyed := !ok && slices.Contains(change.DeleteHosts, n)
	return checkReferent("host", string(n), ok, destroyed, host.Storage == Volatile && storage == NonVolatile)
}

func checkReferent(what, name string, there, destroyed, outlived bool) *Refusal {
	switch {
	case destroyed:
		return &Refusal{Kind: ErrConflict, Reason: fmt.Sprintf("the same request destroys %s %s: leave that, or name another", what, name)}
	case !there:
		return &Refusal{Kind: ErrConflict, Reason: fmt.Sprintf("there is no %s %s: create it first, or in the same request", what, name)}
	case outlived:
		return &Refusal{Kind: ErrInvalid, Field: "Storage", Reason: fmt.Sprintf("a row that is kept cannot name %s %s, which is volatile: make the %s nonVolatile or the row volatile", what, name, what)}
	}
	return nil
}
