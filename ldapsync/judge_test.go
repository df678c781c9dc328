package ldapsync

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Monday is when judgements begin.
var monday = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// assembled builds a Config of rows.
func assembled(t interface{ Fatalf(string, ...any) }, c lvs.Change) *lvs.Config {
	config, refused := lvs.Assemble(&c)
	for _, r := range refused {
		t.Fatalf("%v", r)
	}
	return config
}

// nth returns the nth of some services.
func nth(n int) lvs.ServiceKey {
	s := serverKey(n)
	return serviceKey("tcp:" + s.String())
}

// farm is a Config of services in clusters, each with servers.
type farm map[lvs.ClusterID]struct{ services, servers int }

// config numbers the services from 0 on in the order of the clusters.
func (f farm) change() lvs.Change {
	var c lvs.Change
	n := 0
	for _, id := range slices.Sorted(maps.Keys(f)) {
		if id != "" {
			c.PutClusters = append(c.PutClusters, lvs.NewCluster(id))
		}
		for range f[id].services {
			s := lvs.NewService(nth(n))
			s.Cluster = id
			c.PutServices = append(c.PutServices, s)
			for i := range f[id].servers {
				c.PutServers = append(c.PutServers, lvs.ServerAt{Service: s.Key, Server: server(i + 1)})
			}
			n++
		}
	}
	return c
}

// fewer returns a change that deletes the services from one to before another.
func fewer(from, to int) lvs.Change {
	c := lvs.Change{Dangling: true}
	for n := from; n < to; n++ {
		c.DeleteServices = append(c.DeleteServices, nth(n))
	}
	return c
}

func fewerServers(service, n int) lvs.Change {
	var c lvs.Change
	for i := range n {
		c.DeleteServers = append(c.DeleteServers, lvs.ServerID{Service: nth(service), Server: server(i + 1).Key})
	}
	return c
}

func changed(t *testing.T, c *lvs.Config, changes ...lvs.Change) *lvs.Config {
	t.Helper()
	for i := range changes {
		changes[i].Dangling = true
		next, err := c.Apply(&changes[i])
		if err != nil {
			t.Fatal(err)
		}
		c = next
	}
	return c
}

func sameConfig(a, b *lvs.Config) bool {
	ab, ba := lvs.Between(a, b), lvs.Between(b, a)
	return ab.IsEmpty() && ba.IsEmpty()
}

func TestGuard(t *testing.T) {
	web := lvs.NewCluster("web")
	byHand := web
	byHand.AutoReconfigure = false
	expecting := func(n uint32) lvs.Change {
		c := web
		c.ExpectedServices = n
		return lvs.Change{PutClusters: []lvs.Cluster{c}}
	}
	heavier := func(n int) lvs.Change {
		s := server(1)
		s.Weight = 77
		return lvs.Change{PutServers: []lvs.ServerAt{{Service: nth(n), Server: s}}}
	}
	member := lvs.NewMember(lvs.MemberID{Cluster: "web", Host: "rs1"})
	join := func(ms ...lvs.Member) lvs.Change { return lvs.Change{PutMembers: ms} }
	manual := lvs.Change{PutClusters: []lvs.Cluster{byHand}}
	host := lvs.Change{PutHosts: []lvs.Host{lvs.NewHost("lb1")}}

	for _, test := range []struct {
		name     string
		kept     farm
		prepare  []lvs.Change // of kept
		change   []lvs.Change // from kept to the directory
		marks    map[lvs.HostName]Director
		held     int    // rows
		why      string // part of the words
		goesOn   lvs.Change
		services int // of next
	}{
		{name: "same", kept: farm{"": {3, 2}}, services: 3},
		{name: "additions", kept: farm{"": {1, 1}}, change: []lvs.Change{farm{"": {30, 2}}.change()}, services: 30},
		{name: "few deletions", kept: farm{"": {10, 3}}, change: []lvs.Change{fewer(0, 5)}, services: 5},
		{name: "too many deletions", kept: farm{"": {10, 3}}, change: []lvs.Change{fewer(0, 6)}, held: 24, services: 10,
			why: "6 of 10 services would go, and no more than 5 may without asking"},
		{name: "a fifth of many", kept: farm{"": {100, 1}}, change: []lvs.Change{fewer(0, 20)}, services: 80},
		{name: "more than a fifth of many", kept: farm{"": {100, 1}}, change: []lvs.Change{fewer(0, 21)}, held: 42, services: 100, why: "21 of 100"},
		{name: "few servers", kept: farm{"": {2, 10}}, change: []lvs.Change{fewerServers(0, 5)}, services: 2},
		{name: "too many servers", kept: farm{"": {2, 10}}, change: []lvs.Change{fewerServers(0, 6)}, held: 6, services: 2, why: "6 of 20 servers would go"},
		{name: "a service with many servers", kept: farm{"": {2, 10}}, change: []lvs.Change{fewer(0, 1)}, services: 1},
		{name: "last service", kept: farm{"": {1, 1}}, change: []lvs.Change{fewer(0, 1)}, held: 2, services: 1, why: "no service would be left of 1"},
		{name: "everything", kept: farm{"web": {3, 1}}, prepare: []lvs.Change{join(member), host},
			change: []lvs.Change{fewer(0, 3), {DeleteClusters: []lvs.ClusterID{"web"}, DeleteHosts: []lvs.HostName{"lb1"}}}, held: 9, services: 3, why: "no service would be left of 3"},
		{name: "all but services", prepare: []lvs.Change{host}, change: []lvs.Change{{DeleteHosts: []lvs.HostName{"lb1"}}}, held: 1, why: "nothing would be left"},
		{name: "the place of the clusters is gone", kept: farm{"": {3, 1}, "web": {2, 1}}, change: []lvs.Change{fewer(3, 5), {DeleteClusters: []lvs.ClusterID{"web"}}}, held: 5, services: 5,
			why: "no cluster would be left"},
		{name: "additions go on beside", kept: farm{"": {10, 1}}, change: []lvs.Change{fewer(0, 9), heavier(9), {PutHosts: []lvs.Host{lvs.NewHost("lb9")}}}, held: 18, services: 10},
		{name: "asked for elsewhere", kept: farm{"": {10, 1}}, change: []lvs.Change{fewer(0, 10)}, services: 0,
			marks: map[lvs.HostName]Director{"lb2": {RequestID: "new", DeleteCount: 20}}},
		{name: "asked for elsewhere, before", kept: farm{"": {10, 1}}, change: []lvs.Change{fewer(0, 10)}, held: 20, services: 10,
			marks: map[lvs.HostName]Director{"lb2": {RequestID: "old", DeleteCount: 20}}},
		{name: "asked for elsewhere, and a few more", kept: farm{"": {20, 1}}, change: []lvs.Change{fewer(0, 10)}, services: 10,
			marks: map[lvs.HostName]Director{"lb2": {RequestID: "new", DeleteCount: 15}}},
		{name: "asked for elsewhere, and many more", kept: farm{"": {30, 1}}, change: []lvs.Change{fewer(0, 20)}, held: 40, services: 30,
			marks: map[lvs.HostName]Director{"lb2": {RequestID: "new", DeleteCount: 15}}},
		{name: "asked for elsewhere one by one while this one was away", kept: farm{"": {10, 1}}, change: []lvs.Change{fewer(0, 8)}, held: 16, services: 10,
			marks: map[lvs.HostName]Director{"lb2": {RequestID: "new", DeleteCount: 2}}, why: "8 of 10 services would go"},
		{name: "fewer than expected", kept: farm{"": {5, 1}, "web": {4, 1}}, prepare: []lvs.Change{expecting(4)}, change: []lvs.Change{fewer(4, 6)}, held: 2, services: 8,
			why: "cluster web would have 3 services, and expects 4"},
		{name: "as many as expected", kept: farm{"web": {4, 1}}, prepare: []lvs.Change{expecting(3)}, change: []lvs.Change{fewer(0, 1)}, services: 3},
		{name: "fewer are expected from now on", kept: farm{"web": {4, 1}}, prepare: []lvs.Change{expecting(4)}, change: []lvs.Change{expecting(3), fewer(0, 1)}, services: 3},
		{name: "a server where more services are expected", kept: farm{"web": {2, 2}}, prepare: []lvs.Change{expecting(4)}, change: []lvs.Change{fewerServers(0, 1)}, services: 2},
		{name: "by hand", kept: farm{"": {1, 1}, "web": {2, 1}}, prepare: []lvs.Change{manual}, change: []lvs.Change{heavier(0), heavier(1), fewer(2, 3), join(member)},
			held: 4, services: 3, why: "cluster web is not reconfigured without asking"},
		{name: "by hand from now on", kept: farm{"web": {2, 1}}, change: []lvs.Change{manual, heavier(0)}, held: 1, services: 2},
		{name: "by hand no longer", kept: farm{"web": {2, 1}}, prepare: []lvs.Change{manual}, change: []lvs.Change{{PutClusters: []lvs.Cluster{web}}, heavier(0)}, services: 2},
		{name: "by hand, and new", kept: farm{"": {1, 1}}, change: []lvs.Change{farm{"": {1, 1}, "web": {2, 1}}.change(), manual}, held: 4, services: 1},
		{name: "by hand, at first", change: []lvs.Change{farm{"web": {2, 1}}.change(), manual}, services: 2},
		{name: "timeouts with all the rest", kept: farm{"": {1, 1}}, prepare: []lvs.Change{{Timeouts: &lvs.Timeouts{TCP: 900}}},
			change: []lvs.Change{fewer(0, 1), {Timeouts: &lvs.Timeouts{}}}, held: 3, services: 1, why: "1 timeout setting"},
	} {
		t.Run(test.name, func(t *testing.T) {
			kept := changed(t, assembled(t, test.kept.change()), test.prepare...)
			view := View{Config: changed(t, kept, test.change...), Marks: test.marks}
			v := guard{}.judge(kept, view, memory{marks: map[lvs.HostName]string{"lb2": "old"}}, monday)
			if len(v.held) != test.held || !strings.Contains(v.text, test.why) {
				t.Errorf("held %d rows, want %d: %s", len(v.held), test.held, v.text)
			}
			if v.next.Len() != test.services {
				t.Errorf("next has %d services, want %d", v.next.Len(), test.services)
			}
			if test.held == 0 {
				if v.next != view.Config {
					t.Error("next is not what the directory says")
				}
				return
			}
			if v.id == 0 {
				t.Error("what is held has no id")
			}
			for r, h := range v.held {
				if h.value == nil && !has(v.next, r) {
					t.Errorf("%v is held and not there", r)
				}
			}
			// Once it is released, all is as the directory says.
			m := v.memory
			m.released = m.releasable()
			if v = (guard{}).judge(v.next, view, m, monday); len(v.held) != 0 || v.next != view.Config {
				t.Errorf("after the release: held %s", v.text)
			}
		})
	}
}

// has reports whether a Config has a row.
func has(c *lvs.Config, r row) (ok bool) {
	switch r.kind() {
	case 0:
		_, ok = c.Service(r.service)
	case 1:
		_, ok = c.Server(r.service, r.server)
	case 2:
		_, ok = c.Cluster(r.cluster)
	case 3:
		_, ok = c.Member(lvs.MemberID{Cluster: r.cluster, Host: r.host})
	case 4:
		_, ok = c.Host(r.host)
	case 5:
		_, ok = c.Daemon(r.daemon)
	default:
		ok = c.Timeouts() != (lvs.Timeouts{})
	}
	return ok
}

// Whoever restores a directory does so entry by entry. Nothing of what is still
// missing may go, though each rest would pass by its own.
func TestHoldLastsUntilAllIsBack(t *testing.T) {
	kept := assembled(t, farm{"web": {10, 3}}.change())
	m := memory{}
	v := guard{}.judge(kept, View{Config: &lvs.Config{}}, m, monday)
	ids := map[uint32]bool{v.id: true}
	var c lvs.Change
	all := farm{"web": {10, 3}}.change()
	directory := &lvs.Config{}
	back := func(one lvs.Change) {
		directory = changed(t, directory, one)
		before := v.id
		v = guard{}.judge(v.next, View{Config: directory}, v.memory, monday)
		if !sameConfig(v.next, kept) {
			d := lvs.Between(kept, v.next)
			t.Fatalf("the director lost %+v", d)
		}
		if len(v.held) > 0 && ids[v.id] && v.id != before {
			t.Fatalf("id %d names two holds", v.id)
		}
		ids[v.id] = true
	}
	c.PutClusters = all.PutClusters
	back(c)
	for _, s := range all.PutServices {
		back(lvs.Change{PutServices: []lvs.Service{s}})
	}
	for _, s := range all.PutServers {
		back(lvs.Change{PutServers: []lvs.ServerAt{s}})
	}
	if len(v.held) != 0 || v.text != "" || v.next != directory {
		t.Errorf("all is back and held: %s", v.text)
	}
	if want := len(all.PutClusters) + len(all.PutServices) + len(all.PutServers); len(ids) < want {
		t.Errorf("%d ids, want %d: the id changes with what is held", len(ids), want)
	}
	if again := (guard{}).judge(v.next, View{Config: directory}, v.memory, monday); again.id != v.id {
		t.Errorf("id %d, was %d", again.id, v.id)
	}
}

// Somebody deletes everything, one by one.
func TestDeletionsCountTogether(t *testing.T) {
	kept := assembled(t, farm{"": {100, 1}}.change())
	directory, v := kept, verdict{next: kept}
	now := monday
	for n := range 100 {
		directory = changed(t, directory, fewer(n, n+1))
		v = guard{}.judge(v.next, View{Config: directory}, v.memory, now)
		now = now.Add(20 * time.Millisecond)
	}
	if v.next.Len() != 80 || len(v.held) != 160 {
		t.Errorf("%d services are left, %d rows are held", v.next.Len(), len(v.held))
	}
	// Slowly, it is meant.
	directory, v = kept, verdict{next: kept}
	for n := range 50 {
		directory = changed(t, directory, fewer(n, n+1))
		v = guard{}.judge(v.next, View{Config: directory}, v.memory, now)
		now = now.Add(time.Minute)
	}
	if v.next.Len() != 50 || len(v.held) != 0 {
		t.Errorf("%d services are left, %d rows are held", v.next.Len(), len(v.held))
	}
}

// A release is of what was shown, not of what has come since.
func TestReleaseIsExact(t *testing.T) {
	kept := assembled(t, farm{"": {30, 1}}.change())
	first := View{Config: changed(t, kept, fewer(0, 10))}
	v := guard{}.judge(kept, first, memory{}, monday)
	m := v.memory
	m.released = m.releasable()
	second := View{Config: changed(t, first.Config, fewer(10, 29))}
	v = guard{}.judge(v.next, second, m, monday)
	if v.next.Len() != 20 || len(v.held) != 38 {
		t.Errorf("%d services are left, %d rows are held", v.next.Len(), len(v.held))
	}
	// What was released and came back is not released any more.
	v = guard{}.judge(v.next, View{Config: kept}, v.memory, monday)
	if v = (guard{}).judge(v.next, first, v.memory, monday); v.next.Len() != 30 {
		t.Errorf("%d services are left", v.next.Len())
	}
}

// Whatever the directory says, no more goes than may, all else goes on, and a
// release of everything makes both the same.
func TestGuardNeverLetsTooMuchGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kept, m := &lvs.Config{}, memory{}
		limits := Limits{Rows: rapid.IntRange(1, 4).Draw(t, "rows"), Percent: 20}
		at := monday
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			view := View{Config: drawFarm(t)}
			at = at.Add(time.Hour)
			v := guard{Limits: limits}.judge(kept, view, m, at)
			lost := lvs.Between(kept, v.next)
			if n := len(lost.DeleteServices); n > limits.allow(kept.Len()) {
				t.Fatalf("%d of %d services go", n, kept.Len())
			}
			if kept.Len() > 0 && v.next.Len() == 0 {
				t.Fatal("no service is left")
			}
			servers := 0
			for _, list := range kept.Services {
				servers += len(list)
			}
			if n := len(lost.DeleteServers); n > limits.allow(servers) {
				t.Fatalf("%d of %d servers go", n, servers)
			}
			for c := range v.next.Clusters {
				left, deleted := 0, 0
				for s := range v.next.Services {
					if s.Cluster == c.ID {
						left++
					}
				}
				for _, k := range lost.DeleteServices {
					if s, _ := kept.Service(k); s.Cluster == c.ID {
						deleted++
					}
				}
				if deleted > 0 && left < int(c.ExpectedServices) {
					t.Fatalf("%d services of cluster %s go, %d are left, and it expects %d", deleted, c.ID, left, c.ExpectedServices)
				}
			}
			missing := lvs.Between(v.next, view.Config)
			if len(v.held) == 0 {
				if v.next != view.Config {
					t.Fatal("nothing is held, and next is not what the directory says")
				}
			} else if missing.IsEmpty() {
				t.Fatalf("held, and nothing is missing: %s", v.text)
			}
			if !reconfiguredByHand(v.next) && len(missing.PutServices)+len(missing.PutServers)+len(missing.PutClusters)+len(missing.PutHosts) > 0 {
				t.Fatalf("additions are held: %+v", missing)
			}
			if rapid.Bool().Draw(t, "release") {
				r := v.memory
				r.released = r.releasable()
				if v = (guard{Limits: limits}).judge(v.next, view, r, at); len(v.held) != 0 || v.next != view.Config {
					t.Fatalf("after the release: held %s", v.text)
				}
			}
			kept, m = v.next, v.memory
		}
	})
}

func reconfiguredByHand(c *lvs.Config) bool {
	for c := range c.Clusters {
		if !c.AutoReconfigure {
			return true
		}
	}
	return false
}

// drawFarm draws a Config whose services are often the same.
func drawFarm(t *rapid.T) *lvs.Config {
	c := lvs.Change{Dangling: true}
	ids := []lvs.ClusterID{"a", "b"}
	for _, id := range ids {
		if rapid.Bool().Draw(t, "cluster") {
			row := lvs.NewCluster(id)
			row.AutoReconfigure = rapid.IntRange(0, 4).Draw(t, "auto") > 0
			row.ExpectedServices = uint32(rapid.IntRange(0, 3).Draw(t, "expected"))
			c.PutClusters = append(c.PutClusters, row)
		}
	}
	for n := range rapid.IntRange(0, 12).Draw(t, "most") {
		if rapid.IntRange(0, 3).Draw(t, "there") == 0 {
			continue
		}
		s := lvs.NewService(nth(n))
		s.Cluster = ids[n%2]
		if rapid.IntRange(0, 9).Draw(t, "moved") == 0 {
			s.Cluster = ids[(n+1)%2]
		}
		c.PutServices = append(c.PutServices, s)
		for i := range rapid.IntRange(0, 4).Draw(t, "servers") {
			row := server(i + 1)
			row.Weight = uint32(rapid.IntRange(1, 2).Draw(t, "weight"))
			c.PutServers = append(c.PutServers, lvs.ServerAt{Service: s.Key, Server: row})
		}
	}
	if rapid.Bool().Draw(t, "host") {
		c.PutHosts = append(c.PutHosts, lvs.NewHost("lb1"))
	}
	return assembled(t, c)
}

// An entry that cannot be is no entry that is not there.
func TestWhatIsLeftAsideStays(t *testing.T) {
	b := mustBase(t, "dc=example")
	all := farm{"": {1, 1}, "web": {3, 4}}.change()
	all.PutHosts = []lvs.Host{lvs.NewHost("lb1"), lvs.NewHost("lb2")}
	all.PutMembers = []lvs.Member{lvs.NewMember(lvs.MemberID{Cluster: "web", Host: "lb2"})}
	daemon := lvs.NewSyncDaemon(lvs.DaemonMaster)
	daemon.Interface = "eth0"
	all.PutDaemons = []lvs.SyncDaemon{daemon}
	all.Timeouts = &lvs.Timeouts{TCP: 900}
	kept := assembled(t, all)
	gone := fewer(0, 4)
	gone.DeleteHosts = []lvs.HostName{"lb1", "lb2"}
	gone.DeleteClusters = []lvs.ClusterID{"web"}
	gone.DeleteDaemons = []lvs.DaemonState{lvs.DaemonMaster}
	gone.Timeouts = &lvs.Timeouts{}
	view := View{Config: changed(t, kept, gone)}
	for n := range 4 {
		s, _ := kept.Service(nth(n))
		view.Faults = append(view.Faults, &Fault{DN: b.DN(serviceObject(s).Place)})
	}
	for _, p := range []Place{
		{Kind: Host, Host: "lb1"}, {Kind: Host, Host: "lb2"}, {Kind: Cluster, Cluster: "web"},
		{Kind: Member, Cluster: "web", Role: lvs.RealServer, Host: "lb2"}, {Kind: SyncDaemon, Host: "lb1", Daemon: lvs.DaemonMaster},
	} {
		view.Faults = append(view.Faults, &Fault{DN: b.DN(p)})
	}
	v := guard{base: b, own: "lb1"}.judge(kept, view, memory{}, monday)
	if len(v.held) != 0 || !sameConfig(v.next, kept) {
		d := lvs.Between(kept, v.next)
		t.Errorf("held %q, changed %+v", v.text, d)
	}
	view.Faults = view.Faults[1:]
	v = guard{base: b, own: "lb1"}.judge(kept, view, memory{}, monday)
	if _, there := v.next.Service(nth(0)); there || v.next.Len() != 3 {
		t.Errorf("%d services are left", v.next.Len())
	}
}
