package lvs

import (
	"fmt"
	"slices"
)

// Clusters calls yield for each cluster in table order, until it returns false.
// They are read-only.
func (c *Config) Clusters(yield func(*Cluster) bool) { each(c.clusters, yield) }

// Members calls yield for each member in table order, until it returns false.
// They are read-only.
func (c *Config) Members(yield func(*Member) bool) { each(c.members, yield) }

// Hosts calls yield for each host in table order, until it returns false. They
// are read-only.
func (c *Config) Hosts(yield func(*Host) bool) { each(c.hosts, yield) }

func each[R any](list []*R, yield func(*R) bool) {
	for _, r := range list {
		if !yield(r) {
			return
		}
	}
}

// Cluster returns the cluster named id.
func (c *Config) Cluster(id ClusterID) (Cluster, bool) {
	return find(c.clusters, &Cluster{ID: id}, (*Cluster).compare)
}

// Member returns the member named id.
func (c *Config) Member(id MemberID) (Member, bool) {
	return find(c.members, &Member{Cluster: id.Cluster, Host: id.Host}, (*Member).compare)
}

// Host returns the host named n.
func (c *Config) Host(n HostName) (Host, bool) {
	return find(c.hosts, &Host{Name: n}, (*Host).compare)
}

// MembersOf returns the members of a cluster in table order. They are
// read-only.
func (c *Config) MembersOf(id ClusterID) []*Member {
	low, _ := slices.BinarySearchFunc(c.members, id, func(m *Member, id ClusterID) int { return m.Cluster.Compare(id) })
	high := low
	for high < len(c.members) && c.members[high].Cluster == id {
		high++
	}
	return c.members[low:high:high]
}

// Touched returns the services of which the change decides, beside their
// circumstances, each once: those that it names, and those of clusters whose
// administrative status it changes from what old has; without old, of any
// cluster that it names.
func (c *Config) Touched(change *Change, old *Config) []ServiceKey {
	keys := change.Services()
	clusters := make(map[ClusterID]bool)
	for i := range change.PutClusters {
		put := &change.PutClusters[i]
		if old == nil || old.statusOf(put.ID) != put.inEffect() {
			clusters[put.ID] = true
		}
	}
	for _, id := range change.DeleteClusters {
		if old == nil || old.statusOf(id) != 0 {
			clusters[id] = true
		}
	}
	if len(clusters) == 0 {
		return keys
	}
	named := make(map[ServiceKey]bool, len(keys))
	for _, k := range keys {
		named[k] = true
	}
	for s := range c.Services {
		if clusters[s.Cluster] && !named[s.Key] {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

// statusOf returns the administrative status of a cluster that is in effect, 0
// if there is none.
func (c *Config) statusOf(id ClusterID) AdminStatus {
	if i, ok := slices.BinarySearchFunc(c.clusters, id, func(row *Cluster, id ClusterID) int { return row.ID.Compare(id) }); ok {
		return c.clusters[i].inEffect()
	}
	return 0
}

func (c *Cluster) inEffect() AdminStatus {
	if c.Status != Active {
		return 0
	}
	return c.AdminStatus
}

func find[R any](list []*R, like *R, compare func(a, b *R) int) (row R, ok bool) {
	i, ok := slices.BinarySearchFunc(list, like, compare)
	if ok {
		row = *list[i]
	}
	return row, ok
}

// edited returns a list without some rows and with others.
func edited[R any](list []*R, without []*R, with []R, compare func(a, b *R) int) []*R {
	if len(without)+len(with) == 0 {
		return list
	}
	list = slices.Clone(list)
	for _, r := range without {
		if i, ok := slices.BinarySearchFunc(list, r, compare); ok {
			list = slices.Delete(list, i, i+1)
		}
	}
	for i := range with {
		r := with[i]
		at, ok := slices.BinarySearchFunc(list, &r, compare)
		if !ok {
			list = slices.Insert(list, at, nil)
		}
		list[at] = &r
	}
	return list
}

// applyGroups makes what the change wants of clusters, members and hosts.
func (d *draft) applyGroups(change *Change) *Refusal {
	for _, row := range change.PutClusters {
		if slices.Contains(change.DeleteClusters, row.ID) {
			return twice(&Refusal{Cluster: row.ID}, "cluster")
		}
		if r := checkCluster(row); r != nil {
			return r
		}
	}
	for _, row := range change.PutMembers {
		if slices.Contains(change.DeleteMembers, row.ID()) {
			return twice(&Refusal{Cluster: row.Cluster, Host: row.Host}, "member")
		}
		if r := checkMember(row); r != nil {
			return r
		}
	}
	for _, row := range change.PutHosts {
		if slices.Contains(change.DeleteHosts, row.Name) {
			return twice(&Refusal{Host: row.Name}, "host")
		}
		if r := checkHost(row); r != nil {
			return r
		}
	}
	var clusters []*Cluster
	var members []*Member
	var hosts []*Host
	for _, id := range change.DeleteClusters {
		clusters = append(clusters, &Cluster{ID: id})
		members = append(members, d.next.MembersOf(id)...)
	}
	for _, id := range change.DeleteMembers {
		members = append(members, &Member{Cluster: id.Cluster, Host: id.Host})
	}
	for _, n := range change.DeleteHosts {
		hosts = append(hosts, &Host{Name: n})
	}
	d.next.clusters = edited(d.next.clusters, clusters, change.PutClusters, (*Cluster).compare)
	d.next.members = edited(d.next.members, members, change.PutMembers, (*Member).compare)
	d.next.hosts = edited(d.next.hosts, hosts, change.PutHosts, (*Host).compare)
	return nil
}

func twice(r *Refusal, what string) *Refusal {
	r.Kind, r.Reason = ErrConflict, fmt.Sprintf("the same request destroys the %s and writes to it: do one of both", what)
	return r
}

// checkCluster checks a row: the name always, the rest of one that is active.
func checkCluster(c Cluster) *Refusal {
	if _, err := ParseClusterID(string(c.ID)); err != nil {
		return &Refusal{Kind: ErrInvalid, Cluster: c.ID, Reason: err.Error()}
	}
	if c.Status != Active {
		return nil
	}
	return c.Check()
}

// checkMember is the same for a member.
func checkMember(m Member) *Refusal {
	_, err := ParseClusterID(string(m.Cluster))
	if err == nil {
		_, err = ParseHostName(string(m.Host))
	}
	if err != nil {
		return &Refusal{Kind: ErrInvalid, Cluster: m.Cluster, Host: m.Host, Reason: err.Error()}
	}
	if m.Status != Active {
		return nil
	}
	return m.Check()
}

// checkHost is the same for a host.
func checkHost(h Host) *Refusal {
	if _, err := ParseHostName(string(h.Name)); err != nil {
		return &Refusal{Kind: ErrInvalid, Host: h.Name, Reason: err.Error()}
	}
	if h.Status != Active {
		return nil
	}
	return h.Check()
}

// durableGroups is the part of Durable that concerns clusters, members and
// hosts.
func (c *Change) durableGroups(before *Config, d *Change) {
	for _, row := range c.PutClusters {
		old, had := before.Cluster(row.ID)
		switch {
		case row.Storage == NonVolatile:
			d.PutClusters = append(d.PutClusters, row)
		case had && old.Storage == NonVolatile:
			d.DeleteClusters = append(d.DeleteClusters, row.ID)
			for _, m := range before.MembersOf(row.ID) { // those that dangle stay
				written := slices.ContainsFunc(c.PutMembers, func(put Member) bool { return put.ID() == m.ID() })
				if m.Storage == NonVolatile && !written && !slices.Contains(c.DeleteMembers, m.ID()) {
					d.PutMembers = append(d.PutMembers, *m)
				}
			}
		}
	}
	for _, id := range c.DeleteClusters {
		old, _ := before.Cluster(id) // its members may be kept, though it is not there
		if old.Storage == NonVolatile || slices.ContainsFunc(before.MembersOf(id), func(m *Member) bool { return m.Storage == NonVolatile }) {
			d.DeleteClusters = append(d.DeleteClusters, id)
		}
	}
	for _, row := range c.PutMembers {
		old, had := before.Member(row.ID())
		switch {
		case row.Storage == NonVolatile:
			d.PutMembers = append(d.PutMembers, row)
		case had && old.Storage == NonVolatile:
			d.DeleteMembers = append(d.DeleteMembers, row.ID())
		}
	}
	for _, id := range c.DeleteMembers {
		if old, had := before.Member(id); had && old.Storage == NonVolatile {
			d.DeleteMembers = append(d.DeleteMembers, id)
		}
	}
	for _, row := range c.PutHosts {
		old, had := before.Host(row.Name)
		switch {
		case row.Storage == NonVolatile:
			d.PutHosts = append(d.PutHosts, row)
		case had && old.Storage == NonVolatile:
			d.DeleteHosts = append(d.DeleteHosts, row.Name)
		}
	}
	for _, n := range c.DeleteHosts {
		if old, had := before.Host(n); had && old.Storage == NonVolatile {
			d.DeleteHosts = append(d.DeleteHosts, n)
		}
	}
}

// inverseGroups is the part of Inverse that concerns clusters, members and
// hosts.
func (c *Change) inverseGroups(before *Config, inv *Change) {
	restoreMember := func(id MemberID) {
		if old, had := before.Member(id); had {
			inv.PutMembers = append(inv.PutMembers, old)
		} else {
			inv.DeleteMembers = append(inv.DeleteMembers, id)
		}
	}
	restoreCluster := func(id ClusterID) {
		old, had := before.Cluster(id)
		if had {
			inv.PutClusters = append(inv.PutClusters, old)
		} else {
			inv.DeleteClusters = append(inv.DeleteClusters, id)
		}
	}
	restoreHost := func(n HostName) {
		if old, had := before.Host(n); had {
			inv.PutHosts = append(inv.PutHosts, old)
		} else {
			inv.DeleteHosts = append(inv.DeleteHosts, n)
		}
	}
	for i := range c.PutClusters {
		restoreCluster(c.PutClusters[i].ID)
		for _, m := range before.MembersOf(c.PutClusters[i].ID) { // they would go with a cluster that was not there
			inv.PutMembers = append(inv.PutMembers, *m)
		}
	}
	for _, id := range c.DeleteClusters {
		restoreCluster(id)
		for _, m := range before.MembersOf(id) {
			inv.PutMembers = append(inv.PutMembers, *m)
		}
	}
	for i := range c.PutMembers {
		restoreMember(c.PutMembers[i].ID())
	}
	for _, id := range c.DeleteMembers {
		restoreMember(id)
	}
	for i := range c.PutHosts {
		restoreHost(c.PutHosts[i].Name)
	}
	for _, n := range c.DeleteHosts {
		restoreHost(n)
	}
}
