package ldapsync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Limits say how much may go from a director at a time because it has gone from
// the directory. What exceeds them waits for an operator.
type Limits struct {
	Rows    int           // so many services, and so many servers of services that stay; 0 = 5
	Percent int           // or so many of a hundred, if that is more; 0 = 20
	Within  time.Duration // what goes within this time counts together; 0 = 10 s
}

func (l Limits) withDefaults() Limits {
	return Limits{cmp.Or(l.Rows, 5), cmp.Or(l.Percent, 20), cmp.Or(l.Within, 10*time.Second)}
}

// allow returns how many of so many may go.
func (l Limits) allow(of int) int { return max(l.Rows, of*l.Percent/100) }

// row names a row of a Config, or the timeouts if nothing is set.
type row struct {
	service lvs.ServiceKey
	server  lvs.ServerKey
	cluster lvs.ClusterID // with host: the member
	host    lvs.HostName
	daemon  lvs.DaemonState
}

func (r row) String() string {
	switch {
	case !r.server.IsZero():
		return fmt.Sprintf("%s of %s", r.server, r.service)
	case !r.service.IsZero():
		return r.service.String()
	case r.cluster != "" && r.host != "":
		return fmt.Sprintf("%s of %s", r.host, r.cluster)
	case r.daemon != 0:
		return r.daemon.String()
	case r == row{}:
		return ""
	}
	return string(r.cluster) + string(r.host)
}

// kind returns the position of the kind in kinds.
func (r row) kind() int {
	switch {
	case !r.server.IsZero():
		return 1
	case !r.service.IsZero():
		return 0
	case r.cluster != "" && r.host != "":
		return 3
	case r.cluster != "":
		return 2
	case r.host != "":
		return 4
	case r.daemon != 0:
		return 5
	}
	return 6
}

var kinds = [...]string{"service", "server", "cluster", "member", "host", "sync daemon", "timeout setting"}

// held is what the directory wants of a row, and why it does not get it.
type held struct {
	value any // what the row would be, nil if it would go
	why   string
	stays bool // until the row is back or released; else while the reason lasts
}

// memory is what a guard remembers from one judgement to the next.
type memory struct {
	marks    map[lvs.HostName]string // the last write of each director; nil: none was looked at
	held     map[row]held
	id       uint32 // names what is held
	text     string // says it
	released map[row]any
	passed   []passed // lately
}

// passed are deletions that nobody was asked about.
type passed struct {
	at                time.Time
	services, servers int
}

// guard judges for the director on the host own.
type guard struct {
	Limits
	base Base
	own  lvs.HostName
}

// verdict is what may be handed to a director, and what the guard remembers
// once that has it.
type verdict struct {
	next *lvs.Config
	memory
}

// judge compares what a director has of the directory with what the directory
// says. Everything goes on but for deletions that nobody may have meant, which are
// left out of next, and changes of clusters that are not reconfigured without
// asking. Deletions are held, all of them that come together, when
//
//   - no service, no cluster, or nothing at all would be left;
//   - more would go than the limits allow;
//   - a cluster would have fewer services than it expects: those of the cluster.
//
// A deletion passes that was released, and one that another director was asked
// for: each new lcmsRequestId lets as many entries go as that director says it
// has deleted. What is held stays so until it is back in the directory, even if
// what remains of it would pass: whoever restores a directory does so entry by
// entry.
//
// A row whose entry is left aside was not deleted: it stays as it was. The servers
// of a service are followed all the same.
func (g guard) judge(kept *lvs.Config, view View, m memory, now time.Time) verdict {
	l := g.withDefaults()
	view.Config = withBelow(kept, view)
	v := verdict{next: view.Config, memory: memory{marks: make(map[lvs.HostName]string), id: m.id}}
	credit := 0
	for host, mark := range view.Marks {
		v.marks[host] = mark.RequestID
		if m.marks != nil && m.marks[host] != mark.RequestID {
			credit += int(mark.DeleteCount)
		}
	}
	for _, p := range m.passed {
		if now.Sub(p.at) < l.Within {
			v.passed = append(v.passed, p)
		}
	}
	delta := lvs.Between(kept, view.Config)
	if delta.IsEmpty() {
		return v
	}
	j := judgement{kept: kept, view: view.Config, delta: &delta, hold: make(map[row]held)}
	j.findManual()
	deletions := j.deletions()
	var aside map[row]bool
	if len(deletions) > 0 {
		aside = g.aside(view)
	}
	var fresh []row
	for _, r := range deletions {
		value, released := m.released[r]
		was, again := m.held[r]
		switch {
		case aside[r], j.gone[r.service] && aside[row{service: r.service}]:
			j.keep = append(j.keep, r)
		case released && value == nil:
		case j.manual[j.clusterOf(r)]:
			j.hold[r] = held{why: byHand(j.clusterOf(r))}
		case again && was.value == nil && was.stays:
			j.hold[r] = was
		default:
			fresh = append(fresh, r)
		}
	}
	j.holdPuts(m.released)
	if len(fresh) > credit {
		p := j.holdFresh(fresh, credit, l, v.passed)
		if p.at = now; p.services+p.servers > 0 {
			v.passed = append(v.passed, p)
		}
	}
	j.settle()
	if len(j.hold) > 0 {
		v.held = j.hold
		if v.text = m.text; !maps.Equal(v.held, m.held) {
			v.id = max(m.id+1, 1)
			v.text = j.words()
		}
	}
	if len(j.hold)+len(j.keep) > 0 {
		v.next = j.next()
	}
	return v
}

// withBelow returns what the directory says, with the services that a director has
// and whose entries are left aside as it has them, and their servers as the directory
// says.
func withBelow(kept *lvs.Config, view View) *lvs.Config {
	c := lvs.Change{Dangling: true}
	for p, servers := range view.Below {
		s, ok := kept.Service(p.Service)
		if _, there := view.Config.Service(p.Service); !ok || there || s.Cluster != p.Cluster {
			continue
		}
		c.PutServices = append(c.PutServices, s)
		for _, server := range servers {
			c.PutServers = append(c.PutServers, lvs.ServerAt{Service: s.Key, Server: server})
		}
	}
	if len(c.PutServices) == 0 {
		return view.Config
	}
	next, err := view.Config.Apply(&c)
	if err != nil {
		return view.Config // all of them stay as they were
	}
	return next
}

// aside returns the rows whose entries are left aside.
func (g guard) aside(view View) map[row]bool {
	rows := make(map[row]bool)
	for _, r := range view.Aside {
		rows[r] = true
	}
	for _, f := range view.Faults {
		p, err := g.base.Place(f.DN)
		if err != nil {
			continue
		}
		switch p.Kind {
		case Service:
			rows[row{service: p.Service}] = true
		case Server:
			rows[row{service: p.Service, server: p.Server}] = true
		case Cluster:
			rows[row{cluster: p.Cluster}] = true
		case Member:
			rows[row{cluster: p.Cluster, host: p.Host}] = true
		case Host:
			rows[row{host: p.Host}] = true
			if p.Host == g.own {
				rows[row{}] = true // has the timeouts
			}
		case SyncDaemon:
			if p.Host == g.own {
				rows[row{daemon: p.Daemon}] = true
			}
		}
	}
	return rows
}

// judgement is one in the making.
type judgement struct {
	kept, view *lvs.Config
	delta      *lvs.Change // from kept to view
	manual     map[lvs.ClusterID]bool
	gone       map[lvs.ServiceKey]bool // deleted in the directory
	hold       map[row]held
	keep       []row // whose entries are left aside
}

// findManual finds the clusters whose changes wait for an operator. What the
// directory says of it last holds. A director that has nothing yet takes
// everything: there is nothing to reconfigure.
func (j *judgement) findManual() {
	if nothing(j.kept) {
		return
	}
	add := func(c *lvs.Cluster) {
		if j.manual == nil {
			j.manual = make(map[lvs.ClusterID]bool)
		}
		j.manual[c.ID] = true
	}
	for c := range j.view.Clusters {
		if !c.AutoReconfigure {
			add(c)
		}
	}
	for c := range j.kept.Clusters {
		if _, there := j.view.Cluster(c.ID); !there && !c.AutoReconfigure {
			add(c)
		}
	}
}

// nothing reports whether a Config has no rows but daemons.
func nothing(c *lvs.Config) bool {
	if c.Len() > 0 {
		return false
	}
	for range c.Clusters {
		return false
	}
	for range c.Members {
		return false
	}
	for range c.Hosts {
		return false
	}
	return true
}

func hasClusters(c *lvs.Config) bool {
	for range c.Clusters {
		return true
	}
	return false
}

// deletions lists each row that would go, also those that go with another one.
func (j *judgement) deletions() []row {
	var rows []row
	put := make(map[lvs.MemberID]bool)
	for i := range j.delta.PutMembers {
		put[j.delta.PutMembers[i].ID()] = true
	}
	for _, id := range j.delta.DeleteClusters {
		rows = append(rows, row{cluster: id})
		for _, m := range j.kept.MembersOf(id) {
			if !put[m.ID()] {
				rows = append(rows, row{cluster: id, host: m.Host})
			}
		}
	}
	for _, id := range j.delta.DeleteMembers {
		rows = append(rows, row{cluster: id.Cluster, host: id.Host})
	}
	for _, n := range j.delta.DeleteHosts {
		rows = append(rows, row{host: n})
	}
	j.gone = make(map[lvs.ServiceKey]bool)
	for _, k := range j.delta.DeleteServices {
		j.gone[k] = true
		rows = append(rows, row{service: k})
		for _, s := range j.kept.Servers(k) {
			rows = append(rows, row{service: k, server: s.Key})
		}
	}
	for _, id := range j.delta.DeleteServers {
		rows = append(rows, row{service: id.Service, server: id.Server})
	}
	for _, state := range j.delta.DeleteDaemons {
		rows = append(rows, row{daemon: state})
	}
	if t := j.delta.Timeouts; t != nil && *t == (lvs.Timeouts{}) {
		rows = append(rows, row{})
	}
	return rows
}

// clusterOf returns the cluster that a row belongs to, or that it belonged to.
func (j *judgement) clusterOf(r row) lvs.ClusterID {
	if r.service.IsZero() {
		return r.cluster
	}
	has, ok := j.view.Service(r.service)
	had, was := j.kept.Service(r.service)
	if was && (!ok || j.manual[had.Cluster]) {
		return had.Cluster
	}
	return has.Cluster
}

func byHand(id lvs.ClusterID) string {
	return fmt.Sprintf("cluster %s is not reconfigured without asking (lcmsAutoReconfigure is FALSE)", id)
}

// holdPuts holds what is to be written to clusters that wait for an operator.
func (j *judgement) holdPuts(released map[row]any) {
	if len(j.manual) == 0 {
		return
	}
	put := func(r row, value any) {
		id := j.clusterOf(r)
		if j.manual[id] && released[r] != value {
			j.hold[r] = held{value: value, why: byHand(id)}
		}
	}
	for _, c := range j.delta.PutClusters {
		// Whether it waits is followed at once, and so is a cluster without anything.
		if had, ok := j.kept.Cluster(c.ID); ok {
			if had.AutoReconfigure = c.AutoReconfigure; had != c {
				put(row{cluster: c.ID}, c)
			}
		}
	}
	for _, m := range j.delta.PutMembers {
		put(row{cluster: m.Cluster, host: m.Host}, m)
	}
	for _, s := range j.delta.PutServices {
		put(row{service: s.Key}, s)
	}
	for _, s := range j.delta.PutServers {
		put(row{service: s.Service, server: s.Server.Key}, s.Server)
	}
}

// holdFresh holds those of the deletions that nobody was asked about, more than
// the credit of them, if they are too many, and returns how many pass.
func (j *judgement) holdFresh(fresh []row, credit int, l Limits, lately []passed) passed {
	now, before := j.count(fresh), passed{}
	perCluster := make(map[lvs.ClusterID]int)
	for _, r := range fresh {
		if r.kind() == 0 {
			perCluster[j.clusterOf(r)]++
		}
	}
	for _, p := range lately {
		before.services += p.services
		before.servers += p.servers
	}
	now.services, now.servers = min(now.services, len(fresh)-credit), min(now.servers, len(fresh)-credit)
	services, servers := j.kept.Len()+before.services, before.servers
	for _, list := range j.kept.Services {
		servers += len(list)
	}
	left := 0
	for _, n := range j.left() {
		left += n
	}
	why := ""
	exceeds := func(n, before, of int, what string) bool {
		if n == 0 || n+before <= l.allow(of) {
			return false
		}
		why = fmt.Sprintf("%d of %d %s would go, and no more than %d may without asking", n+before, of, what, l.allow(of))
		return true
	}
	switch {
	case left == 0 && j.kept.Len() > 0:
		why = fmt.Sprintf("no service would be left of %d", j.kept.Len())
	case nothing(j.view) && len(j.keep) == 0:
		why = "nothing would be left"
	case j.leavesNoCluster(fresh):
		why = "no cluster would be left"
	case exceeds(now.services, before.services, services, "services"):
	case exceeds(now.servers, before.servers, servers, "servers"):
	}
	if why != "" {
		for _, r := range fresh {
			j.hold[r] = held{why: why, stays: true}
		}
		return passed{}
	}
	j.holdExpected(fresh, perCluster)
	if len(j.hold) > 0 {
		fresh = slices.DeleteFunc(slices.Clone(fresh), func(r row) bool { _, waits := j.hold[r]; return waits })
		now = j.count(fresh)
	}
	return now
}

// leavesNoCluster reports whether clusters are among what goes, and none would be
// left.
func (j *judgement) leavesNoCluster(fresh []row) bool {
	isCluster := func(r row) bool { return r.cluster != "" && r.host == "" }
	return !hasClusters(j.view) && !slices.ContainsFunc(j.keep, isCluster) && slices.ContainsFunc(fresh, isCluster)
}

// count counts services, and servers of services that stay.
func (j *judgement) count(rows []row) (p passed) {
	for _, r := range rows {
		switch r.kind() {
		case 0:
			p.services++
		case 1:
			if !j.gone[r.service] {
				p.servers++
			}
		}
	}
	return p
}

// left counts the services that would be left, by cluster, if all deletions that
// are not held passed.
func (j *judgement) left() map[lvs.ClusterID]int {
	n := make(map[lvs.ClusterID]int)
	for s := range j.view.Services {
		if _, waits := j.hold[row{service: s.Key}]; !waits {
			n[s.Cluster]++
		} else if had, ok := j.kept.Service(s.Key); ok {
			n[had.Cluster]++
		}
	}
	for _, r := range j.keep {
		if had, ok := j.kept.Service(r.service); ok && r.kind() == 0 {
			n[had.Cluster]++
		}
	}
	return n
}

// holdExpected holds the deletions of clusters that would have fewer services
// than they expect. It is told how many each would lose.
func (j *judgement) holdExpected(fresh []row, lost map[lvs.ClusterID]int) {
	left, why := j.left(), make(map[lvs.ClusterID]string)
	for id := range lost {
		c, ok := j.view.Cluster(id)
		if !ok {
			c, _ = j.kept.Cluster(id)
		}
		if c.ExpectedServices == 0 {
			continue
		}
		if uint32(left[id]) < c.ExpectedServices {
			why[id] = fmt.Sprintf("cluster %s would have %d services, and expects %d", id, left[id], c.ExpectedServices)
		}
	}
	for _, r := range fresh {
		if w := why[j.clusterOf(r)]; w != "" && (r.kind() != 1 || j.gone[r.service]) {
			j.hold[r] = held{why: w, stays: true}
		}
	}
}

// settle leaves out what cannot be held by its own: servers whose service may
// go.
func (j *judgement) settle() {
	for r := range j.hold {
		if r.kind() != 1 || !j.gone[r.service] {
			continue
		}
		if _, waits := j.hold[row{service: r.service}]; !waits {
			delete(j.hold, r)
		}
	}
}

// next returns what the directory says, with the rows that are held or kept as
// the director has them.
func (j *judgement) next() *lvs.Config {
	back := lvs.Change{Dangling: true}
	for _, r := range slices.AppendSeq(slices.Clone(j.keep), maps.Keys(j.hold)) {
		switch r.kind() {
		case 0:
			if s, ok := j.kept.Service(r.service); ok {
				back.PutServices = append(back.PutServices, s)
			} else {
				back.DeleteServices = append(back.DeleteServices, r.service)
			}
		case 1:
			if s, ok := j.kept.Server(r.service, r.server); ok {
				back.PutServers = append(back.PutServers, lvs.ServerAt{Service: r.service, Server: s})
			} else {
				back.DeleteServers = append(back.DeleteServers, lvs.ServerID{Service: r.service, Server: r.server})
			}
		case 2:
			c, _ := j.kept.Cluster(r.cluster)
			if has, ok := j.view.Cluster(r.cluster); ok {
				c.AutoReconfigure = has.AutoReconfigure
			}
			back.PutClusters = append(back.PutClusters, c)
		case 3:
			if m, ok := j.kept.Member(lvs.MemberID{Cluster: r.cluster, Host: r.host}); ok {
				back.PutMembers = append(back.PutMembers, m)
			} else {
				back.DeleteMembers = append(back.DeleteMembers, lvs.MemberID{Cluster: r.cluster, Host: r.host})
			}
		case 4:
			h, _ := j.kept.Host(r.host)
			back.PutHosts = append(back.PutHosts, h)
		case 5:
			d, _ := j.kept.Daemon(r.daemon)
			back.PutDaemons = append(back.PutDaemons, d)
		default:
			t := j.kept.Timeouts()
			back.Timeouts = &t
		}
	}
	next, err := j.view.Apply(&back)
	if err != nil {
		// The director has had these rows, so this cannot be. If it is, nothing
		// changes.
		return j.kept
	}
	return next
}

// words says what is held, and why.
func (j *judgement) words() string {
	var deleted, changed [len(kinds)][]string
	reasons := make(map[string]bool)
	for r, h := range j.hold {
		reasons[h.why] = true
		if h.value == nil {
			deleted[r.kind()] = append(deleted[r.kind()], r.String())
		} else {
			changed[r.kind()] = append(changed[r.kind()], r.String())
		}
	}
	var parts []string
	if s := enumerate(deleted); s != "" {
		parts = append(parts, "deletion of "+s)
	}
	if s := enumerate(changed); s != "" {
		parts = append(parts, "change of "+s)
	}
	return fmt.Sprintf("%s: %s", strings.Join(parts, " and "), strings.Join(slices.Sorted(maps.Keys(reasons)), "; "))
}

// enumerate writes how many rows of each kind there are, and the first names.
func enumerate(rows [len(kinds)][]string) string {
	const most = 5
	var parts []string
	for kind, names := range rows {
		if len(names) == 0 {
			continue
		}
		s := fmt.Sprintf("%d %s", len(names), kinds[kind])
		if len(names) > 1 {
			s += "s"
		}
		if slices.Sort(names); names[0] != "" {
			more := ""
			if len(names) > most {
				names, more = names[:most], ", ..."
			}
			s += " (" + strings.Join(names, ", ") + more + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// releasable returns what is held, as it is to be remembered once it is released.
func (m memory) releasable() map[row]any {
	released := make(map[row]any, len(m.held))
	for r, h := range m.held {
		released[r] = h.value
	}
	return released
}
