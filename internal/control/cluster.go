package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// ClusterRow is a cluster with all that is known of it.
type ClusterRow struct {
	Cluster lvs.Cluster
	Oper
	ActiveDirector lvs.HostName // that serves it, "" = none that is known
	Services       uint32       // of it on this director
	Servers        uint32
	ServersUp      uint32
	Generation     uint64 // grows with every change of the cluster or of what is in it
}

// MemberRow is a member with all that is known of it.
type MemberRow struct {
	Member lvs.Member
	Oper
}

// groups are the rows of clusters, members and hosts, each in table order. What
// is published never changes.
type groups struct {
	clusters []*ClusterRow
	members  []*MemberRow
	hosts    []*HostRow
}

// counts are how many there are of each status, with one to show for it.
type counts struct {
	by      [OperFailed + 1]uint32
	all     uint32
	example [OperFailed + 1]example
}

// example is a service, or a server of it, and why it is as it is. It is texts: a
// row would keep the whole reading that it was made of.
type example struct {
	service string
	server  string // "" for the service
	reason  string
}

func (n *counts) add(status OperStatus, e example) {
	if n.by[status] == 0 {
		n.example[status] = e
	}
	n.by[status]++
	n.all++
}

// severities orders the states of parts by what they say of the whole: it takes
// connections if one of them does, and else is as the first of these.
var severities = []OperStatus{OperUp, OperOverloaded, OperFailed, OperDown, OperDraining, OperDrained, OperAbsent}

// sum says how the whole is, and why. what are the parts, in words.
func (n *counts) sum(what string) (OperStatus, string) {
	var found []OperStatus
	for _, s := range severities {
		if n.by[s] > 0 {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0:
		return OperAbsent, "it has no " + what
	case found[0] != OperUp:
		return found[0], fmt.Sprintf("none of its %d %s takes new connections: %s", n.all, what, n.example[found[0]])
	case len(found) == 1:
		return OperUp, fmt.Sprintf("takes new connections: all of its %d %s do", n.all, what)
	}
	return OperUp, fmt.Sprintf("takes new connections: %d of its %d %s do; %s", n.by[OperUp], n.all, what, n.example[found[1]])
}

func (e example) String() string {
	if e.server != "" {
		return fmt.Sprintf("server %s of service %s: %s", e.server, e.service, e.reason)
	}
	return fmt.Sprintf("service %s: %s", e.service, e.reason)
}

// tally is what the services of a cluster, or those of none, say of it and of
// hosts.
type tally struct {
	counts
	servers, up uint32
	members     map[lvs.HostName]*counts // of the servers that name a host
	serving     map[lvs.HostName]bool    // hosts of which the kernel holds one
}

// count counts the services of the clusters that are restless, or with all of
// every one.
func (c *Control) count(all bool) map[lvs.ClusterID]*tally {
	tallies := make(map[lvs.ClusterID]*tally)
	of := func(id lvs.ClusterID) *tally {
		t := tallies[id]
		if t == nil {
			t = &tally{members: make(map[lvs.HostName]*counts), serving: make(map[lvs.HostName]bool)}
			tallies[id] = t
		}
		return t
	}
	for id := range c.restless {
		of(id)
	}
	for _, g := range c.ordered() {
		row := g.row
		if row.External || !all && !c.restless[row.Service.Cluster] {
			continue
		}
		t := of(row.Service.Cluster)
		t.add(row.Oper.Status, example{service: row.Text, reason: row.Reason})
		t.servers += uint32(len(row.Servers))
		t.up += row.ServersUp
		for i := range row.Servers {
			s := row.Servers[i].ServerState
			host := s.Server.Host
			if host == "" {
				continue
			}
			if row.Servers[i].InKernel() {
				t.serving[host] = true
			}
			n := t.members[host]
			if n == nil {
				n = new(counts)
				t.members[host] = n
			}
			n.add(s.Oper.Status, example{row.Text, s.Text, s.Reason})
		}
	}
	return tallies
}

// stale notes what has to be made anew when a row of a service is another one. A
// nil row is one that is not there.
func (c *Control) stale(old, row *ServiceRow) {
	if old != nil && row != nil && old.Service.Cluster == row.Service.Cluster && old.External == row.External && old.Oper.Status == row.Oper.Status && old.Reason == row.Reason &&
		sameCounts(old, row) {
		return
	}
	for _, r := range []*ServiceRow{old, row} {
		if r != nil {
			c.restless[r.Service.Cluster] = true
		}
	}
}

// sameCounts reports whether count finds the same in the servers of two rows.
func sameCounts(a, b *ServiceRow) bool {
	if !sameNames(a, b) || a.ServersUp != b.ServersUp {
		return false
	}
	for i := range a.Servers {
		x, y := &a.Servers[i], &b.Servers[i]
		if x.InKernel() != y.InKernel() {
			return false
		}
		if x.ServerState != y.ServerState &&
			(x.Oper.Status != y.Oper.Status || x.Reason != y.Reason || x.Server.Host != y.Server.Host) {
			return false
		}
	}
	return true
}

// regroup makes the rows of clusters, members and hosts anew where something
// that they are made of has changed, and tells which members are in another
// state. A row that stays the same is kept.
func (c *Control) regroup() {
	all := c.regrouping
	if !all && len(c.restless) == 0 || c.open != nil {
		return
	}
	now := c.now()
	if all {
		clear(c.tallies)
		for cluster := range c.desired.Clusters {
			c.restless[cluster.ID] = true
		}
	}
	hosts := all
	for id, t := range c.count(all) {
		if old := c.tallies[id]; old == nil || !maps.Equal(old.serving, t.serving) {
			hosts = true
		}
		c.tallies[id] = t
	}
	known := c.reconciled && c.regrouped // there is something to compare with
	next := groups{
		clusters: make([]*ClusterRow, 0, len(c.groupRows.clusters)),
		members:  make([]*MemberRow, 0, len(c.groupRows.members)),
		hosts:    c.groupRows.hosts,
	}
	at := 0
	for cluster := range c.desired.Clusters {
		old := previous(c.groupRows.clusters, &at, func(r *ClusterRow) int { return r.Cluster.ID.Compare(cluster.ID) }, nil)
		row := old
		if old == nil || c.restless[cluster.ID] {
			row = c.clusterRow(old, cluster, known, now)
			hosts = hosts || old == nil || old.ActiveDirector != row.ActiveDirector
		}
		next.clusters = append(next.clusters, row)
	}
	at = 0
	gone := func(r *MemberRow) { c.clear(alarmKey{kind: MemberStateChange, member: r.Member.ID()}, now) }
	for m := range c.desired.Members {
		old := previous(c.groupRows.members, &at, func(r *MemberRow) int { return r.Member.ID().Compare(m.ID()) }, gone)
		row := old
		if old == nil || all || c.restless[m.Cluster] {
			row = c.memberRow(old, m, known, now)
			c.compareMember(old, row, known, now)
		}
		next.members = append(next.members, row)
	}
	for _, r := range c.groupRows.members[at:] {
		gone(r)
	}
	if hosts {
		next.hosts = c.hostRows(c.roles(next.clusters), now)
	}
	c.groupRows = next
	c.regrouping, c.regrouped = false, c.reconciled
	clear(c.restless)
}

// clusterRow makes the row of a cluster from the one before, nil if there was
// none.
func (c *Control) clusterRow(old *ClusterRow, cluster *lvs.Cluster, known bool, now time.Time) *ClusterRow {
	directors, t := directorsOf(c.desired.MembersOf(cluster.ID)), c.tallies[cluster.ID]
	row := ClusterRow{
		Cluster: *cluster, ActiveDirector: c.activeDirector(cluster, directors, t),
		Services: t.all, Servers: t.servers, ServersUp: t.up, Generation: c.generations[cluster.ID],
	}
	status, reason := c.operCluster(cluster, directors, t)
	var before *Oper
	same := false
	if old != nil {
		before, same = &old.Oper, old.Cluster == *cluster && old.Generation == row.Generation
	}
	row.Oper = nextOper(before, status, reason, same, known, now)
	if old != nil && *old == row {
		return old
	}
	return &row
}

// memberRow is the same for a member.
func (c *Control) memberRow(old *MemberRow, m *lvs.Member, known bool, now time.Time) *MemberRow {
	row := MemberRow{Member: *m}
	var n *counts
	if t := c.tallies[m.Cluster]; t != nil {
		n = t.members[m.Host]
	}
	status, reason := c.operMember(m, n)
	var before *Oper
	if old != nil {
		before = &old.Oper
	}
	row.Oper = nextOper(before, status, reason, old != nil && old.Member == *m, known, now)
	if old != nil && *old == row {
		return old
	}
	return &row
}

// roles says what each host does, by the rows of the clusters and by the servers
// that the kernel holds.
func (c *Control) roles(clusters []*ClusterRow) map[lvs.HostName]lvs.Roles {
	roles := make(map[lvs.HostName]lvs.Roles)
	for _, t := range c.tallies {
		for host := range t.serving {
			roles[host] |= lvs.RealServer.Bit()
		}
	}
	for _, row := range clusters {
		if row.ActiveDirector != "" {
			roles[row.ActiveDirector] |= lvs.LoadBalancer.Bit()
		}
		for _, d := range directorsOf(c.desired.MembersOf(row.Cluster.ID)) {
			if d.Host != row.ActiveDirector {
				roles[d.Host] |= lvs.Backup.Bit()
			}
		}
	}
	return roles
}

// previous returns the row that was there before, nil if there was none. It is
// asked in table order; at says how far it came, and gone, if set, is told of the
// rows that it passes by.
func previous[R any](rows []*R, at *int, compare func(*R) int, gone func(*R)) *R {
	for *at < len(rows) {
		row := rows[*at]
		order := compare(row)
		if order > 0 {
			return nil
		}
		*at++
		if order == 0 {
			return row
		}
		if gone != nil {
			gone(row)
		}
	}
	return nil
}

// nextOper makes the operational side of a row from the one before, nil if there
// was none. same says that the configuration is, known that the state before was
// a true one.
func nextOper(old *Oper, status OperStatus, reason string, same, known bool, now time.Time) Oper {
	if old == nil {
		return Oper{Status: status, Reason: reason, LastChange: momentOf(now)}
	}
	next := *old
	if status != next.Status && known {
		next.Transitions++
	}
	if status != next.Status || !same {
		next.LastChange = momentOf(now)
	}
	next.Status, next.Reason = status, reason
	return next
}

// compareMember tells what changed between two rows of a member, and keeps its
// alarm.
func (c *Control) compareMember(old, row *MemberRow, known bool, now time.Time) {
	if !c.reconciled {
		return
	}
	status := row.Oper.Status
	if known && old != nil && old.Oper.Status != status {
		c.emit(Event{Kind: MemberStateChange, Time: now, Member: row.Member.ID(), Role: row.Member.Role, State: status, Text: row.Reason})
	}
	c.alarm(alarmKey{kind: MemberStateChange, member: row.Member.ID()}, status == OperFailed || status == OperDown, Major, row.Reason, now)
}

// directorsOf returns the members that are directors, the one that is to serve
// first: those of role loadBalancer come before backups, and among them the one
// with the highest priority.
func directorsOf(members []*lvs.Member) []*lvs.Member {
	var list []*lvs.Member
	for _, m := range members {
		if m.Status == lvs.Active && m.Role.Directs() {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b *lvs.Member) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(b.Priority, a.Priority))
	})
	return list
}

// activeDirector names the director that serves a cluster: the first of those
// that it names, or this one when it names none and the kernel holds a service.
func (c *Control) activeDirector(cluster *lvs.Cluster, directors []*lvs.Member, t *tally) lvs.HostName {
	switch {
	case cluster.Status != lvs.Active || cluster.AdminStatus == lvs.AdminDown:
		return ""
	case len(directors) > 0:
		return directors[0].Host
	case t.all > t.by[OperAbsent]+t.by[OperFailed]:
		return c.host
	}
	return ""
}

// operCluster says how a cluster is, and why.
func (c *Control) operCluster(cluster *lvs.Cluster, directors []*lvs.Member, t *tally) (OperStatus, string) {
	ours := slices.ContainsFunc(directors, func(m *lvs.Member) bool { return m.Host == c.host })
	switch {
	case cluster.Status != lvs.Active:
		return OperAbsent, "the row is " + cluster.Status.String()
	case cluster.AdminStatus == lvs.AdminDown:
		return OperAbsent, "down by its administrator"
	case t.all == 0 && len(directors) > 0 && !ours:
		return OperAbsent, fmt.Sprintf("served by other directors: ask the agent on %s", directors[0].Host)
	}
	return t.sum("services")
}

// operMember says how a member is, and why. n are its servers in the services of
// the cluster, nil if there are none.
func (c *Control) operMember(m *lvs.Member, n *counts) (OperStatus, string) {
	cluster, there := c.desired.Cluster(m.Cluster)
	switch {
	case m.Status != lvs.Active:
		return OperAbsent, "the row is " + m.Status.String()
	case there && cluster.Status != lvs.Active:
		return OperAbsent, "the row of its cluster is " + cluster.Status.String()
	case there && cluster.AdminStatus == lvs.AdminDown:
		return OperAbsent, "its cluster is down by its administrator"
	case !m.Role.Directs() && n == nil:
		return OperAbsent, "no server of the cluster's services names its host"
	case !m.Role.Directs():
		return n.sum("servers")
	case m.Host != c.host:
		return OperAbsent, "another director: its own agent tells how it is"
	case c.director.Kernel != KernelOK:
		return OperFailed, "this director: " + orText(c.director.KernelError, "the kernel has not answered yet")
	}
	if first := directorsOf(c.desired.MembersOf(m.Cluster))[0]; first.Host != m.Host {
		return OperUp, fmt.Sprintf("this director: it stands by for %s", first.Host)
	}
	return OperUp, "this director: it balances the cluster"
}

// changed notes which clusters a change has been about, when it has been made of
// what before was.
func (c *Control) changed(change *lvs.Change, before, next *lvs.Config) {
	touched := make(map[lvs.ClusterID]bool)
	for i := range change.PutClusters {
		touched[change.PutClusters[i].ID] = true
	}
	for i := range change.PutMembers {
		touched[change.PutMembers[i].Cluster] = true
	}
	for _, id := range change.DeleteMembers {
		touched[id.Cluster] = true
	}
	for _, key := range change.Services() {
		for _, at := range []lvs.Cursor{before.Cursor(), next.Cursor()} {
			if s := at.Service(key); s != nil && s.Cluster != "" {
				touched[s.Cluster] = true
			}
		}
	}
	for id := range touched {
		c.generations[id]++
		c.restless[id] = true
	}
	for _, id := range change.DeleteClusters {
		delete(c.generations, id)
	}
	rows := len(change.PutClusters) + len(change.DeleteClusters) + len(change.PutMembers) + len(change.DeleteMembers) + len(change.PutHosts) + len(change.DeleteHosts)
	c.regrouping = c.regrouping || rows > 0
}
