package ldapsync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lcms-project/lcms/internal/lvs"
)

// View is what a tree says to a director. It never changes.
type View struct {
	// Config has the rows that are valid, but for services that other directors
	// serve. An entry that is left aside is not in it, though the directory has it:
	// a row that is missing, and has a fault, was not deleted.
	Config *lvs.Config
	Faults []*Fault // entries that are left aside, in the order of their DNs
	// Below has the servers of each service that is left aside, by the place of that: a
	// director that has the service follows them.
	Below map[Place][]lvs.Server
	// Aside are the rows that entries made before they were left aside. Their names and
	// places may not tell it any more.
	Aside   []row
	Remarks []string // what is odd, and used all the same
	Entries int      // that say something to LCMS
	// Marks are what directors say of their last write (see marker.go), by host.
	Marks map[lvs.HostName]Director
}

// look is what the last View was made of, and what has changed since.
type look struct {
	view    View
	serves  map[lvs.ClusterID]bool // of the clusters that name directors, whether ours is one
	names   map[lvs.HostName]bool  // of the hosts
	refused map[string][]*Fault    // by the text of the key, or by the name of another table
	remarks map[string][]string    // by the same

	// What has changed since.
	keys                                         map[string]struct{} // of services
	hosts, marks, clusters, members, own, faults bool
}

func (l *look) begin() {
	l.view = View{Config: &lvs.Config{}, Marks: map[lvs.HostName]Director{}}
	l.names, l.serves = make(map[lvs.HostName]bool), make(map[lvs.ClusterID]bool)
	l.refused, l.remarks, l.keys = make(map[string][]*Fault), make(map[string][]string), make(map[string]struct{})
}

// View returns what the tree says. It costs as much as has changed since the last
// one, with which it shares the rest.
func (t *Tree) View() View {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := &t.look
	if len(l.keys) == 0 && !(l.hosts || l.marks || l.clusters || l.members || l.own || l.faults) {
		l.view.Entries = t.ours
		return l.view
	}
	if l.members {
		t.lookAtDirectors()
	}
	if l.marks {
		l.view.Marks = make(map[lvs.HostName]Director)
		for n := range t.groups[Host] {
			if m, ok := n.value.(Machine); ok && m.IsDirector {
				l.view.Marks[m.Name] = m.Director
			}
		}
	}
	if l.hosts {
		t.lookAtNames()
	}
	config, err := t.assemble(false)
	if err != nil {
		config, _ = t.assemble(true)
	}
	l.view.Config = config
	t.gather()
	l.keys = make(map[string]struct{})
	l.hosts, l.marks, l.clusters, l.members, l.own, l.faults = false, false, false, false, false, false
	l.view.Entries = t.ours
	return l.view
}

// lookAtDirectors notes which clusters are served by the own host. Where a member
// stands says what it is, also if it has a fault or is not active: neither hands
// the services of a cluster to everybody.
func (t *Tree) lookAtDirectors() {
	before := t.look.serves
	serves := make(map[lvs.ClusterID]bool)
	for n := range t.groups[Member] {
		p, err := t.placeOf(n)
		if err != nil || p.Kind != Member || !p.Role.Directs() {
			continue
		}
		m, ok := n.value.(lvs.Member)
		active := !ok || m.Status == lvs.Active
		serves[p.Cluster] = serves[p.Cluster] || p.Host == t.own && active
	}
	t.look.serves = serves
	changed := make(map[lvs.ClusterID]bool)
	for _, both := range []map[lvs.ClusterID]bool{before, serves} {
		for id := range both {
			changed[id] = served(before, id) != served(serves, id)
		}
	}
	for key, list := range t.services {
		for _, n := range list {
			if changed[n.value.(lvs.Service).Cluster] {
				t.look.keys[key] = struct{}{}
			}
		}
	}
}

// served reports whether the own host serves a cluster. One that names no
// director is served by all.
func served(serves map[lvs.ClusterID]bool, id lvs.ClusterID) bool {
	ours, named := serves[id]
	return ours || !named
}

// lookAtNames notes which hosts there are.
func (t *Tree) lookAtNames() {
	names := make(map[lvs.HostName]bool)
	for n := range t.groups[Host] {
		if m, ok := n.value.(Machine); ok {
			names[m.Name] = true
		}
	}
	if maps.Equal(names, t.look.names) {
		return
	}
	t.look.names, t.look.members = names, true
	for key := range t.services {
		if n := t.first(key); n != nil {
			t.remark(key, n)
		}
	}
}

// assemble makes the Config anew where something has changed, or all of it.
func (t *Tree) assemble(all bool) (*lvs.Config, error) {
	l := &t.look
	old := l.view.Config
	// Of many, all are made anew: it is quicker than one by one.
	all = all || len(l.keys) > 64+len(t.services)/64
	if all {
		l.hosts, l.clusters, l.members, l.own = true, true, true, true
		for key := range t.services {
			l.keys[key] = struct{}{}
		}
	}
	before, rows := &lvs.Change{}, &lvs.Change{}
	timeouts := old.Timeouts()
	before.Timeouts, rows.Timeouts = &timeouts, &timeouts
	if l.hosts || l.clusters || l.members || l.own {
		delete(l.refused, "")
	}
	if l.hosts {
		old.Hosts(func(h *lvs.Host) bool { before.PutHosts = append(before.PutHosts, *h); return true })
		for _, n := range sorted(t.groups[Host]) {
			if m, ok := n.value.(Machine); ok {
				rows.PutHosts = append(rows.PutHosts, m.Host)
			}
		}
	}
	if l.clusters {
		old.Clusters(func(c *lvs.Cluster) bool { before.PutClusters = append(before.PutClusters, *c); return true })
		for _, n := range sorted(t.groups[Cluster]) {
			if c, ok := n.value.(lvs.Cluster); ok {
				rows.PutClusters = append(rows.PutClusters, c)
			}
		}
	}
	if l.members || l.clusters { // Apply takes the members of a cluster away with it
		old.Members(func(m *lvs.Member) bool { before.PutMembers = append(before.PutMembers, *m); return true })
		t.putMembers(rows)
	}
	if l.own {
		t.putOwn(before, rows)
	}
	for key := range l.keys {
		t.putService(key, before, rows)
	}
	next, refused := lvs.Assemble(rows)
	for _, r := range refused {
		t.refuse(r)
	}
	if all {
		return next, nil
	}
	part, _ := lvs.Assemble(before)
	change := lvs.Between(part, next)
	if change.IsEmpty() {
		return old, nil
	}
	return old.Apply(&change)
}

// putMembers adds the rows of members. A host is one member of a cluster.
func (t *Tree) putMembers(rows *lvs.Change) {
	l := &t.look
	l.refused["members"], l.remarks["members"] = nil, nil
	first := make(map[lvs.MemberID]*node)
	for _, n := range sorted(t.groups[Member]) {
		m, ok := n.value.(lvs.Member)
		if !ok {
			continue
		}
		if other := first[m.ID()]; other != nil {
			l.refused["members"] = append(l.refused["members"], &Fault{DN: t.dn(n), Reason: "it is a member already, by the older " + t.dn(other) + ": delete one of the two"})
			continue
		}
		first[m.ID()] = n
		rows.PutMembers = append(rows.PutMembers, m)
		if !l.names[m.Host] {
			l.remarks["members"] = append(l.remarks["members"], t.dn(n)+": there is no host "+string(m.Host)+": add it, or delete the member")
		}
	}
}

// putOwn adds what the own host has for itself.
func (t *Tree) putOwn(before, rows *lvs.Change) {
	old := t.look.view.Config
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		if d, ok := old.Daemon(state); ok {
			before.PutDaemons = append(before.PutDaemons, d)
		}
	}
	rows.Timeouts = &lvs.Timeouts{}
	for n := range t.groups[Host] {
		if m, ok := n.value.(Machine); ok && m.Name == t.own {
			rows.Timeouts = &m.Timeouts
		}
	}
	for n := range t.groups[SyncDaemon] {
		d, ok := n.value.(lvs.SyncDaemon)
		if p, err := t.placeOf(n); ok && err == nil && p.Host == t.own {
			rows.PutDaemons = append(rows.PutDaemons, d)
		}
	}
}

// putService adds the rows of a service, before and now.
func (t *Tree) putService(key string, before, rows *lvs.Change) {
	l := &t.look
	delete(l.refused, key)
	delete(l.remarks, key)
	if k, err := lvs.ParseServiceKey(key); err == nil {
		if s, ok := l.view.Config.Service(k); ok {
			before.PutServices = append(before.PutServices, s)
			for _, server := range l.view.Config.Servers(k) {
				before.PutServers = append(before.PutServers, lvs.ServerAt{Service: k, Server: *server})
			}
		}
	}
	n := t.first(key)
	if n == nil {
		return
	}
	for _, other := range t.services[key] {
		if other != n && served(l.serves, other.value.(lvs.Service).Cluster) {
			l.refused[key] = append(l.refused[key], &Fault{DN: t.dn(other), Attribute: "lcmsKey", Value: key,
				Reason: "there is the same service already, the older " + t.dn(n) + ": delete one of the two"})
		}
	}
	s := n.value.(lvs.Service)
	rows.PutServices = append(rows.PutServices, s)
	for c := range n.children {
		server, ok := c.value.(lvs.Server)
		if !ok {
			continue
		}
		rows.PutServers = append(rows.PutServers, lvs.ServerAt{Service: s.Key, Server: server})
	}
	t.remark(key, n)
}

// remark notes what is odd about the servers of a service.
func (t *Tree) remark(key string, n *node) {
	l := &t.look
	delete(l.remarks, key)
	for c := range n.children {
		if s, ok := c.value.(lvs.Server); ok && s.Host != "" && !l.names[s.Host] {
			l.remarks[key] = append(l.remarks[key], t.dn(c)+": lcmsHostRef: there is no host "+string(s.Host)+": add it, or correct the reference")
		}
	}
}

// first returns which of the services with a key is the one of this director, the
// oldest; nil if none is.
func (t *Tree) first(key string) *node {
	var first *node
	for _, n := range t.services[key] {
		if served(t.look.serves, n.value.(lvs.Service).Cluster) && (first == nil || n.compare(first) < 0) {
			first = n
		}
	}
	return first
}

// refuse notes what Assemble has left out. All but how a server suits its service
// has been looked at before.
func (t *Tree) refuse(r *lvs.Refusal) {
	key, f := r.Service.String(), &Fault{DN: t.base.text, Reason: r.Error()}
	if n := t.first(key); n != nil {
		p := Place{Kind: Server, Service: r.Service, Server: r.Server}
		f = t.base.Refused(Object{Place: p}, r)
		f.DN = t.dn(n)
		if c := n.child(serverName(r.Server)); c != nil {
			f.DN = t.dn(c)
		}
	}
	t.look.refused[key] = append(t.look.refused[key], f)
}

func serverName(k lvs.ServerKey) string { return "lcmsKey=" + k.String() }

// gather lists the faults and the remarks.
func (t *Tree) gather() {
	l := &t.look
	l.view.Faults, l.view.Below, l.view.Aside, l.view.Remarks = nil, nil, nil, nil
	for n := range t.faulty {
		if n.was != nil {
			l.view.Aside = append(l.view.Aside, *n.was)
		}
		t.gatherBelow(n)
		if t.belowFault(n) {
			continue
		}
		f := &Fault{DN: t.dn(n)}
		if n.fault != nil {
			f.Attribute, f.Value, f.Reason = n.fault.attribute, n.fault.value, n.fault.reason
		} else {
			f.Reason = fmt.Sprintf("it stands below no %s: make one of the entry above, or move it below one", serviceTable.name)
		}
		l.view.Faults = append(l.view.Faults, f)
	}
	for _, list := range l.refused {
		l.view.Faults = append(l.view.Faults, list...)
	}
	for _, list := range l.remarks {
		l.view.Remarks = append(l.view.Remarks, list...)
	}
	slices.SortFunc(l.view.Faults, func(a, b *Fault) int { return cmp.Or(cmp.Compare(a.DN, b.DN), cmp.Compare(a.Attribute, b.Attribute)) })
	slices.Sort(l.view.Remarks)
}

// gatherBelow lists the servers of a service that is left aside for another reason
// than its name or its place: which one it is is known.
func (t *Tree) gatherBelow(n *node) {
	p, err := t.placeOf(n)
	if n.class != Service || err != nil || p.Kind != Service {
		return
	}
	servers, service := []lvs.Server{}, lvs.NewService(p.Service)
	for c := range n.children {
		s, ok := c.value.(lvs.Server)
		if !ok {
			continue
		}
		if r := s.Check(&service); r != nil {
			f := t.base.Refused(Object{Place: Place{Kind: Server}}, r)
			f.DN = t.dn(c)
			t.look.view.Faults = append(t.look.view.Faults, f)
			continue
		}
		servers = append(servers, s)
	}
	if t.look.view.Below == nil {
		t.look.view.Below = make(map[Place][]lvs.Server)
	}
	t.look.view.Below[p] = servers
}

// belowFault reports whether n has but the fault of an entry above it.
func (t *Tree) belowFault(n *node) bool {
	for up := n.parent; up != nil; up = up.parent {
		if up.fault == nil {
			continue
		}
		_, err := t.placeOf(n.parent)
		p, wrong := t.placeOf(n)
		return n.fault == nil || err != nil || wrong == nil && p.Kind != n.class
	}
	return false
}

// sorted returns entries, those first that are taken where only one can be.
func sorted(set map[*node]struct{}) []*node {
	return slices.SortedFunc(maps.Keys(set), (*node).compare)
}
