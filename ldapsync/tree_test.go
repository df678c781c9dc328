package ldapsync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
)

// shelf is a directory in memory: what a server would hold.
type shelf struct {
	base    Base
	entries map[entryUUID]*paper
	last    uint64
}

// paper is an entry. It hangs on the one above it, as in a server.
type paper struct {
	id         entryUUID
	above      *paper // nil: the base
	rdn        string
	attributes []*ldap.EntryAttribute
}

func (p *paper) dn(base Base) string {
	if p.above == nil {
		return base.String()
	}
	return p.rdn + "," + p.above.dn(base)
}

func (p *paper) entry(base Base) *ldap.Entry {
	return &ldap.Entry{DN: p.dn(base), Attributes: p.attributes}
}

func (p *paper) below(other *paper) bool {
	for ; p != nil; p = p.above {
		if p == other {
			return true
		}
	}
	return false
}

func newShelf(base Base) *shelf {
	s := &shelf{base: base, entries: make(map[entryUUID]*paper)}
	s.add(nil, "")
	return s
}

func (s *shelf) add(above *paper, rdn string, attributes ...*ldap.EntryAttribute) *paper {
	s.last++
	p := &paper{above: above, rdn: rdn, attributes: attributes}
	for i := range 8 {
		p.id[i] = byte(s.last >> (56 - 8*i))
	}
	p.id[15] = 1
	s.entries[p.id] = p
	return p
}

// all returns the entries in the order in which they were added.
func (s *shelf) all() []*paper {
	var list []*paper
	for _, p := range s.entries {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *paper) int { return strings.Compare(string(a.id[:]), string(b.id[:])) })
	return list
}

func (s *shelf) taken(above *paper, rdn string) bool {
	for _, p := range s.entries {
		if p.above == above && nameOf(p.rdn) == nameOf(rdn) {
			return true
		}
	}
	return false
}

func (s *shelf) leaf(p *paper) bool {
	for _, other := range s.entries {
		if other.above == p {
			return false
		}
	}
	return true
}

// load returns a tree that has read all at once, in a random order.
func (s *shelf) load(own lvs.HostName, shuffle func([]*paper)) *Tree {
	t := NewTree(s.base, own)
	list := s.all()
	shuffle(list)
	b := t.begin(true)
	for _, p := range list {
		b.put(p.id, p.entry(s.base))
	}
	b.commit(true, nil)
	return t
}

// The few names that are drawn collide often.
var (
	drawnNames = []string{
		"ou=host", "OU=Load_Cluster", "ou=virtual_service", "ou=load_balancer", "ou=backup_server", "ou=real_server", "ou=archive",
		"cn=lb1", "cn=lb2", "cn=rs1", "cn=Bad Host", `cn=a\,b`, "cn=a+sn=b",
		"lcmsClusterId=web", "lcmsClusterId=mail", "lcmsClusterId=UPPER",
		"lcmsKey=tcp:192.0.2.1:80", "lcmskey=udp:[2001:db8::1]:53", "lcmsKey=fwm4:7", "lcmsKey=tcp:192.0.2.1:080",
		"lcmsKey=10.0.0.1:80", "lcmsKey=10.0.0.2:80", "lcmsKey=[2001:db8::2]:53", "lcmsSyncState=master",
	}
	drawnClasses = []string{"lcmsHost", "lcmsSyncDaemon", "lcmsCluster", "lcmsClusterMember", "lcmsVirtualService", "lcmsRealServer"}
)

// fittingName draws a name, mostly one that suits the place above.
func fittingName(t *rapid.T, base Base, above *paper) (rdn, class string) {
	rdn = rapid.SampledFrom(drawnNames).Draw(t, "name")
	p, _ := base.Place(above.dn(base))
	suits := func(names ...string) {
		if rapid.IntRange(0, 9).Draw(t, "suits") > 0 {
			rdn = rapid.SampledFrom(names).Draw(t, "suiting name")
		}
	}
	switch p.Kind {
	case Root:
		suits("ou=host", "ou=load_cluster", "ou=virtual_service")
	case Hosts:
		suits("cn=lb1", "cn=lb2", "cn=rs1")
	case Clusters:
		suits("lcmsClusterId=web", "lcmsClusterId=mail")
	case Cluster:
		suits("ou=virtual_service", "ou=load_balancer", "ou=real_server")
	case Members:
		suits("cn=lb1", "cn=lb2", "cn=rs1")
	case Services:
		suits("lcmsKey=tcp:192.0.2.1:80", "lcmsKey=udp:[2001:db8::1]:53", "lcmsKey=fwm4:7")
	case Service:
		suits("lcmsKey=10.0.0.1:80", "lcmsKey=10.0.0.2:80", "lcmsKey=[2001:db8::2]:53")
	}
	if p, err := base.Place(rdn + "," + above.dn(base)); err == nil && classes[p.Kind] != nil && rapid.IntRange(0, 9).Draw(t, "classy") > 0 {
		return rdn, classes[p.Kind].objectClass()
	}
	if rapid.Bool().Draw(t, "plain") {
		return rdn, "organizationalUnit"
	}
	return rdn, rapid.SampledFrom(drawnClasses).Draw(t, "class")
}

func drawAttributes(t *rapid.T, class string) []*ldap.EntryAttribute {
	list := []*ldap.EntryAttribute{ldap.NewEntryAttribute("objectClass", []string{"top", class})}
	add := func(name string, values ...string) {
		if v := rapid.SampledFrom(append(values, "")).Draw(t, name); v != "" {
			list = append(list, ldap.NewEntryAttribute(name, []string{v}))
		}
	}
	add("createTimestamp", "20260101000000Z", "20260101000001Z")
	add("lcmsRowStatus", "active", "active", "notInService")
	switch class {
	case "lcmsVirtualService":
		add("lcmsScheduler", "wlc", "rr")
		add("lcmsPersistenceTimeout", "300", "99999999999")
	case "lcmsRealServer":
		add("lcmsWeight", "1", "2", "x")
		add("lcmsForwarding", "tunnel", "masquerade")
		add("lcmsHostRef", "cn=rs1,ou=host,dc=example", "cn=lb1,ou=host,dc=example")
	case "lcmsHost":
		add("lcmsMemorySize", "1", "2")
		if rapid.Bool().Draw(t, "director") {
			list[0].Values = append(list[0].Values, "lcmsDirector")
			add("lcmsRequestId", "a", "b")
			add("lcmsTcpTimeout", "10", "20")
		}
	case "lcmsCluster":
		add("description", "a", "b")
	case "lcmsClusterMember":
		add("lcmsPriority", "1", "2")
	case "lcmsSyncDaemon":
		add("lcmsSyncInterface", "eth0", "eth1")
	}
	return list
}

// change makes one change, and returns what it was made to.
func (s *shelf) change(t *rapid.T) (p *paper, gone bool) {
	all := s.all()
	switch rapid.IntRange(0, 5).Draw(t, "operation") {
	case 0, 1, 2:
		above := rapid.SampledFrom(all).Draw(t, "above")
		rdn, class := fittingName(t, s.base, above)
		if s.taken(above, rdn) {
			return nil, false
		}
		return s.add(above, rdn, drawAttributes(t, class)...), false
	case 3:
		p := rapid.SampledFrom(all).Draw(t, "modified")
		class := p.attributes
		if len(class) > 0 {
			p.attributes = drawAttributes(t, class[0].Values[1])
		}
		return p, false
	case 4:
		p := rapid.SampledFrom(all).Draw(t, "renamed")
		above := rapid.SampledFrom(append(all, p.above, p.above)).Draw(t, "to")
		if p.above == nil || above == nil || above.below(p) {
			return nil, false
		}
		rdn := p.rdn
		if rapid.Bool().Draw(t, "named anew") {
			rdn, _ = fittingName(t, s.base, above)
		}
		if s.taken(above, rdn) {
			return nil, false
		}
		p.above, p.rdn = above, rdn
		return p, false
	default:
		p := rapid.SampledFrom(all).Draw(t, "deleted")
		if p.above == nil || !s.leaf(p) {
			return nil, false
		}
		delete(s.entries, p.id)
		return p, true
	}
}

// told is a View in words.
func told(v View) []string {
	var list []string
	add := func(what string, row any) { list = append(list, fmt.Sprintf("%s %+v", what, row)) }
	v.Config.Hosts(func(h *lvs.Host) bool { add("host", *h); return true })
	v.Config.Clusters(func(c *lvs.Cluster) bool { add("cluster", *c); return true })
	v.Config.Members(func(m *lvs.Member) bool { add("member", *m); return true })
	for s, servers := range v.Config.Services {
		add("service", *s)
		for _, server := range servers {
			add("server", *server)
		}
	}
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		if d, ok := v.Config.Daemon(state); ok {
			add("daemon", d)
		}
	}
	add("timeouts", v.Config.Timeouts())
	var below []string
	for p, servers := range v.Below {
		below = append(below, fmt.Sprintf("aside %+v", p))
		for _, s := range servers {
			below = append(below, fmt.Sprintf("server of %+v: %+v", p, s))
		}
	}
	slices.Sort(below)
	list = append(list, below...)
	for _, f := range v.Faults {
		add("fault", *f)
	}
	for _, r := range v.Remarks {
		add("remark", r)
	}
	add("entries", v.Entries)
	add("marks", v.Marks)
	return list
}

// However a tree came by what the directory holds, it says the same as one that
// has read all of it at once.
func TestTreeIsWhatTheDirectoryHolds(t *testing.T) {
	base, err := ParseBase("dc=example")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shuffle := func(list []*paper) {
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		s := newShelf(base)
		tree := s.load("lb1", shuffle)
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			how := rapid.SampledFrom([]string{"live", "incremental", "present", "full", "broken"}).Draw(t, "how")
			var changed []*paper
			var deleted []entryUUID
			for range rapid.IntRange(1, 25).Draw(t, "changes") {
				p, gone := s.change(t)
				if p == nil {
					continue
				}
				if how == "live" {
					b := tree.begin(false)
					if gone {
						b.gone(p.id)
					} else {
						b.put(p.id, p.entry(base))
					}
					b.commit(false, nil)
				}
				changed = slices.DeleteFunc(changed, func(other *paper) bool { return other == p })
				if gone {
					deleted = append(deleted, p.id)
				} else {
					changed = append(changed, p)
				}
			}
			if how == "live" {
				changed, deleted = nil, nil
			}
			all := s.all()
			shuffle(all)
			shuffle(changed)
			if how == "broken" {
				// A refresh that ends too early: nothing of it counts.
				before := told(tree.View())
				b := tree.begin(true)
				for _, p := range all[:random.IntN(len(all))] {
					b.put(p.id, p.entry(base))
				}
				if diff := cmp.Diff(before, told(tree.View())); diff != "" {
					t.Fatalf("half a refresh shows (-before +after):\n%s", diff)
				}
				how = "present"
			}
			b := tree.begin(true)
			switch how {
			case "incremental":
				for _, id := range deleted {
					b.gone(id)
				}
				for _, p := range changed {
					b.put(p.id, p.entry(base))
				}
				b.commit(false, nil)
			case "present":
				for _, p := range all {
					if slices.Contains(changed, p) {
						b.put(p.id, p.entry(base))
					} else {
						b.present(p.id)
					}
				}
				b.present(entryUUID{1, 2, 3}) // which we must not see
				b.commit(true, nil)
			case "full":
				for _, p := range all {
					b.put(p.id, p.entry(base))
				}
				b.commit(true, nil)
			}
			want := s.load("lb1", shuffle).View()
			if diff := cmp.Diff(told(want), told(tree.View())); diff != "" {
				t.Fatalf("after %s (-read at once +tree):\n%s", how, diff)
			}
			if nodes, want := count(tree.root), len(s.entries); nodes != want {
				t.Fatalf("%d nodes for %d entries", nodes, want)
			}
		}
	})
}

// count returns how many nodes there are.
func count(n *node) int {
	total := 1
	for c := range n.children {
		total += count(c)
	}
	return total
}
