package lvs

import (
	"cmp"
	"slices"
)

// Between returns what makes new of old: both as the store keeps them, without
// rows that are volatile. The settings of the agent are left out. It is empty
// when both agree, and cheap where new shares with old.
func Between(old, new *Config) Change {
	c := Change{Dangling: true}
	if old.timeouts != new.timeouts {
		timeouts := new.timeouts
		c.Timeouts = &timeouts
	}
	merge(old.hosts, new.hosts, (*Host).compare, func(had, has *Host) {
		switch {
		case has != nil && has.Storage == NonVolatile:
			if had == nil || *had != *has {
				c.PutHosts = append(c.PutHosts, *has)
			}
		case had != nil && had.Storage == NonVolatile:
			c.DeleteHosts = append(c.DeleteHosts, had.Name)
		}
	})
	merge(old.clusters, new.clusters, (*Cluster).compare, func(had, has *Cluster) {
		switch {
		case has != nil && has.Storage == NonVolatile:
			if had == nil || *had != *has {
				c.PutClusters = append(c.PutClusters, *has)
			}
		case had != nil && had.Storage == NonVolatile:
			c.DeleteClusters = append(c.DeleteClusters, had.ID)
		}
	})
	merge(old.members, new.members, (*Member).compare, func(had, has *Member) {
		_, gone := slices.BinarySearchFunc(c.DeleteClusters, cmp.Or(had, has).Cluster, ClusterID.Compare)
		switch {
		case has != nil && has.Storage == NonVolatile:
			if had == nil || gone || *had != *has {
				c.PutMembers = append(c.PutMembers, *has)
			}
		case had != nil && had.Storage == NonVolatile && !gone:
			c.DeleteMembers = append(c.DeleteMembers, had.ID())
		}
	})
	merge(old.services, new.services, (*serviceConfig).compare, func(had, has *serviceConfig) {
		var before, after []*Server
		switch {
		case has != nil && has.service.Storage == NonVolatile:
			after = has.servers
			if had != nil {
				before = had.servers
			}
			if had == nil || had.service != has.service {
				c.PutServices = append(c.PutServices, has.service)
			}
		case had != nil && had.service.Storage == NonVolatile:
			c.DeleteServices = append(c.DeleteServices, had.service.Key)
			return
		}
		key := cmp.Or(had, has).service.Key
		merge(before, after, (*Server).compare, func(had, has *Server) {
			switch {
			case has != nil && has.Storage == NonVolatile:
				if had == nil || *had != *has {
					c.PutServers = append(c.PutServers, ServerAt{key, *has})
				}
			case had != nil && had.Storage == NonVolatile:
				c.DeleteServers = append(c.DeleteServers, ServerID{key, had.Key})
			}
		})
	})
	for _, state := range []DaemonState{DaemonMaster, DaemonBackup} {
		had, has := old.daemons[state], new.daemons[state]
		switch {
		case has != nil && has.Storage == NonVolatile:
			if had == nil || *had != *has {
				c.PutDaemons = append(c.PutDaemons, *has)
			}
		case had != nil && had.Storage == NonVolatile:
			c.DeleteDaemons = append(c.DeleteDaemons, state)
		}
	}
	return c
}

// merge walks two lists in one order and calls yield for each row that is in
// one of them, nil where it is not in the other. What the lists share it leaves
// out.
func merge[R any](old, new []*R, compare func(a, b *R) int, yield func(had, has *R)) {
	i, j := 0, 0
	for i < len(old) || j < len(new) {
		order := 0
		switch {
		case i == len(old):
			order = 1
		case j == len(new):
			order = -1
		case old[i] != new[j]:
			order = compare(old[i], new[j])
		}
		switch {
		case order < 0:
			yield(old[i], nil)
			i++
		case order > 0:
			yield(nil, new[j])
			j++
		default:
			if old[i] != new[j] {
				yield(old[i], new[j])
			}
			i, j = i+1, j+1
		}
	}
}
