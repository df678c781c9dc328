package lvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// dump renders a Config completely, so that two can be compared.
func dump(c *Config) string {
	out := fmt.Sprintln(c.Timeouts(), c.Settings())
	for h := range c.Hosts {
		out += fmt.Sprintf("%+v\n", *h)
	}
	for cluster := range c.Clusters {
		out += fmt.Sprintf("%+v\n", *cluster)
	}
	for m := range c.Members {
		out += fmt.Sprintf("%+v\n", *m)
	}
	for s, servers := range c.Services {
		out += fmt.Sprintf("%+v\n", *s)
		for _, server := range servers {
			out += fmt.Sprintf("  %+v\n", *server)
		}
	}
	for _, state := range []DaemonState{DaemonMaster, DaemonBackup} {
		if d, ok := c.Daemon(state); ok {
			out += fmt.Sprintf("%+v\n", d)
		}
	}
	return out
}

// drawChange makes a change that is often valid.
func drawChange(rt *rapid.T) *Change {
	service := func() Service {
		n := rapid.IntRange(1, 4).Draw(rt, "service")
		k, _ := AddressKey(TCP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 80))
		s := NewService(k)
		s.Scheduler = rapid.SampledFrom([]string{"rr", "wlc", "sh"}).Draw(rt, "scheduler")
		s.Cluster = rapid.SampledFrom([]ClusterID{"", "a", "bb"}).Draw(rt, "cluster")
		s.AdminStatus = rapid.SampledFrom([]AdminStatus{AdminUp, AdminDrain, AdminDown}).Draw(rt, "admin")
		s.Status = rapid.SampledFrom([]Status{Active, Active, NotInService}).Draw(rt, "status")
		return s
	}
	server := func() Server {
		n := rapid.IntRange(1, 5).Draw(rt, "server")
		k, _ := NewServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(n)}), 80))
		s := NewServer(k)
		s.Weight = rapid.Uint32Range(0, 3).Draw(rt, "weight")
		s.Host = rapid.SampledFrom([]HostName{"", "", "h1", "h10"}).Draw(rt, "host")
		s.AdminStatus = rapid.SampledFrom([]AdminStatus{AdminUp, AdminDrain, AdminDown}).Draw(rt, "admin")
		s.Storage = rapid.SampledFrom([]Storage{NonVolatile, Volatile}).Draw(rt, "storage")
		return s
	}
	c := &Change{Source: SourceSNMP}
	seen := map[any]bool{}
	for range rapid.IntRange(1, 6).Draw(rt, "edits") {
		s := service()
		id := ServerID{s.Key, server().Key}
		switch rapid.IntRange(0, 5).Draw(rt, "kind") {
		case 0, 1:
			if !seen[s.Key] {
				c.PutServices = append(c.PutServices, s)
			}
			seen[s.Key] = true
		case 2:
			if !seen[s.Key] {
				c.DeleteServices = append(c.DeleteServices, s.Key)
			}
			seen[s.Key] = true
		case 3, 4:
			put := server()
			id.Server = put.Key
			if !seen[id] {
				c.PutServers = append(c.PutServers, ServerAt{s.Key, put})
			}
			seen[id] = true
		case 5:
			if !seen[id] {
				c.DeleteServers = append(c.DeleteServers, id)
			}
			seen[id] = true
		}
	}
	drawGroups(rt, c)
	if rapid.Bool().Draw(rt, "timeouts") {
		c.Timeouts = &Timeouts{TCP: rapid.Uint32Range(1, 9).Draw(rt, "tcp")}
	}
	if rapid.Bool().Draw(rt, "settings") {
		c.Settings = &Settings{Muted: rapid.Uint32Range(0, 3).Draw(rt, "muted"), NotificationRate: rapid.Uint32Range(MaxNotificationRate-3, MaxNotificationRate+1).Draw(rt, "rate")}
	}
	return c
}

// drawGroups adds edits of clusters, members and hosts.
func drawGroups(rt *rapid.T, c *Change) {
	storage := rapid.SampledFrom([]Storage{NonVolatile, NonVolatile, Volatile})
	seen := map[any]bool{}
	for range rapid.IntRange(0, 4).Draw(rt, "groups") {
		cluster := NewCluster(rapid.SampledFrom([]ClusterID{"a", "bb"}).Draw(rt, "id"))
		host := NewHost(rapid.SampledFrom([]HostName{"h1", "h2", "h10"}).Draw(rt, "name"))
		member := NewMember(MemberID{cluster.ID, host.Name})
		cluster.Storage, host.Storage, member.Storage = storage.Draw(rt, "s"), storage.Draw(rt, "s"), storage.Draw(rt, "s")
		cluster.AdminStatus = rapid.SampledFrom([]AdminStatus{AdminUp, AdminDown}).Draw(rt, "admin")
		member.Role = rapid.SampledFrom([]Role{LoadBalancer, RealServer}).Draw(rt, "role")
		host.MemorySize = rapid.Uint32Range(0, 2).Draw(rt, "memory")
		put := rapid.IntRange(0, 2).Draw(rt, "put") > 0
		switch rapid.IntRange(0, 2).Draw(rt, "what") {
		case 0:
			if !seen[cluster.ID] && put {
				c.PutClusters = append(c.PutClusters, cluster)
			} else if !seen[cluster.ID] {
				c.DeleteClusters = append(c.DeleteClusters, cluster.ID)
			}
			seen[cluster.ID] = true
		case 1:
			if !seen[member.ID()] && put {
				c.PutMembers = append(c.PutMembers, member)
			} else if !seen[member.ID()] {
				c.DeleteMembers = append(c.DeleteMembers, member.ID())
			}
			seen[member.ID()] = true
		case 2:
			if !seen[host.Name] && put {
				c.PutHosts = append(c.PutHosts, host)
			} else if !seen[host.Name] {
				c.DeleteHosts = append(c.DeleteHosts, host.Name)
			}
			seen[host.Name] = true
		}
	}
	c.Dangling = rapid.Bool().Draw(rt, "dangling")
}

// TestApplyLeavesTheOldAndInverseRestoresIt drives random changes: the old
// Config never changes, a refusal gives nothing, and the inverse leads back.
func TestApplyLeavesTheOldAndInverseRestoresIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := new(Config)
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			before := dump(c)
			change := drawChange(rt)
			next, err := c.Apply(change)
			if now := dump(c); now != before {
				rt.Fatalf("Apply changed its receiver:\n%s", cmp.Diff(before, now))
			}
			var refusal *Refusal
			if err != nil {
				if next != nil || !errors.As(err, &refusal) {
					rt.Fatalf("refused with %v and %v", err, next)
				}
				continue
			}
			inverse := change.Inverse(c)
			back, err := next.Apply(&inverse)
			if err != nil {
				rt.Fatalf("the inverse is refused: %v", err)
			}
			if got := dump(back); got != before {
				rt.Fatalf("the inverse does not lead back:\n%s", cmp.Diff(before, got))
			}
			c = next
		}
	})
}

// durable returns what is kept of a Config.
func durable(t *testing.T, c *Config) *Config {
	timeouts, settings := c.Timeouts(), c.Settings()
	change := &Change{Dangling: true, Timeouts: &timeouts, Settings: &settings}
	for h := range c.Hosts {
		if h.Storage == NonVolatile {
			change.PutHosts = append(change.PutHosts, *h)
		}
	}
	for cluster := range c.Clusters {
		if cluster.Storage == NonVolatile {
			change.PutClusters = append(change.PutClusters, *cluster)
		}
	}
	for m := range c.Members {
		if m.Storage == NonVolatile {
			change.PutMembers = append(change.PutMembers, *m)
		}
	}
	for s, servers := range c.Services {
		if s.Storage == NonVolatile {
			change.PutServices = append(change.PutServices, *s)
		}
		for _, server := range servers {
			if server.Storage == NonVolatile {
				change.PutServers = append(change.PutServers, ServerAt{s.Key, *server})
			}
		}
	}
	for _, state := range []DaemonState{DaemonMaster, DaemonBackup} {
		if d, ok := c.Daemon(state); ok && d.Storage == NonVolatile {
			change.PutDaemons = append(change.PutDaemons, d)
		}
	}
	out, err := new(Config).Apply(change)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDurableKeepsTheStoreInStep: what a store makes of the durable parts is
// the nonVolatile part of the Config, forwards and back.
func TestDurableKeepsTheStoreInStep(t *testing.T) {
	kept := func(c *Config) string { return dump(durable(t, c)) }
	rapid.Check(t, func(rt *rapid.T) {
		c, store := new(Config), new(Config)
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			change := drawChange(rt)
			next, err := c.Apply(change)
			if err != nil {
				continue
			}
			durable := change.Durable(c)
			if store, err = store.Apply(&durable); err != nil {
				rt.Fatalf("the store refuses: %v", err)
			}
			if want, got := kept(next), dump(store); want != got {
				rt.Fatalf("-want +got:\n%s", cmp.Diff(want, got))
			}
			if rapid.Bool().Draw(rt, "undo") {
				inverse := change.Inverse(c)
				durable := inverse.Durable(next)
				if store, err = store.Apply(&durable); err != nil {
					rt.Fatalf("the store refuses the way back: %v", err)
				}
				next = c
			}
			c = next
			if want, got := kept(c), dump(store); want != got {
				rt.Fatalf("after undo: -want +got:\n%s", cmp.Diff(want, got))
			}
		}
	})
}

// TestDiffLeadsToTheTarget carries out plans on a kernel of its own and holds
// the result against the target; then it takes every operation back.
func TestDiffLeadsToTheTarget(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func() *Config {
			c := new(Config)
			for range 5 {
				if next, err := c.Apply(drawChange(rt)); err == nil {
					c = next
				}
			}
			return c
		}
		from, to := draw(), draw()
		keys := map[ServiceKey]bool{}
		for s := range from.Services {
			keys[s.Key] = true
		}
		for s := range to.Services {
			keys[s.Key] = true
		}
		for k := range keys {
			have := hold(from, k)
			want := hold(to, k)
			var plan, again Plan
			plan.Diff(target(to, k), have.Target())
			before := clone(have)
			now := have
			for _, op := range plan.Ops {
				now = run(rt, now, op)
			}
			undone := clone(now)
			for _, op := range slices.Backward(plan.Ops) {
				undone = run(rt, undone, op.Inverse())
			}
			if d := cmp.Diff(sorted(before), sorted(undone), cmp.AllowUnexported(ServiceKey{}, ServerKey{}), addrs); d != "" {
				rt.Fatalf("the inverses do not lead back:\n%s", d)
			}
			for _, op := range plan.Deletes {
				now = run(rt, now, op)
			}
			if d := cmp.Diff(sorted(want), sorted(now), cmp.AllowUnexported(ServiceKey{}, ServerKey{}), addrs); d != "" {
				rt.Fatalf("-want +got:\n%s", d)
			}
			again.Diff(target(to, k), now.Target())
			if len(again.Ops)+len(again.Deletes) > 0 {
				rt.Fatalf("a second Diff wants %v", again)
			}
		}
	})
}

var addrs = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func target(c *Config, k ServiceKey) Target {
	s, ok := c.Service(k)
	if !ok {
		return Target{}
	}
	around := c.Circumstances(&s)
	return Effective(&s, c.Servers(k), &around)
}

// hold is a kernel that holds exactly what it should.
func hold(c *Config, k ServiceKey) *ActualService {
	t := target(c, k)
	if t.Service == nil {
		return nil
	}
	a := &ActualService{ServiceSpec: *t.Service}
	for _, s := range t.Servers {
		a.Servers = append(a.Servers, ActualServer{ServerSpec: s})
	}
	return a
}

func clone(a *ActualService) *ActualService {
	if a == nil {
		return nil
	}
	b := *a
	b.Servers = slices.Clone(a.Servers)
	return &b
}

func sorted(a *ActualService) *ActualService {
	b := clone(a)
	if b != nil {
		slices.SortFunc(b.Servers, func(x, y ActualServer) int { return x.Key.Compare(y.Key) })
		if len(b.Servers) == 0 {
			b.Servers = nil
		}
	}
	return b
}

// run does an operation with the kernel's own refusals.
func run(rt *rapid.T, a *ActualService, op Op) *ActualService {
	refuse := func(why string) { rt.Fatalf("%s: %s", op, why) }
	at := -1
	if a != nil && op.Server != nil {
		at = slices.IndexFunc(a.Servers, func(s ActualServer) bool { return s.Key == op.Server.Key })
	}
	switch op.Do {
	case AddService:
		if a != nil {
			refuse("exists")
		}
		return &ActualService{ServiceSpec: *op.Service}
	case DeleteService:
		if a == nil {
			refuse("is not there")
		}
		return nil
	case EditService:
		if a == nil {
			refuse("is not there")
		}
		a.ServiceSpec = *op.Service
	case AddServer:
		if a == nil || at >= 0 {
			refuse("exists or has no service")
		}
		a.Servers = append(a.Servers, ActualServer{ServerSpec: *op.Server})
	case EditServer:
		if at < 0 {
			refuse("is not there")
		}
		a.Servers[at].ServerSpec = *op.Server
	case DeleteServer:
		if at < 0 {
			refuse("is not there")
		}
		a.Servers = slices.Delete(a.Servers, at, at+1)
	}
	return a
}

func TestDaemonsAreRestartedToChange(t *testing.T) {
	d := NewSyncDaemon(DaemonMaster)
	d.Interface = "eth0"
	c, err := new(Config).Apply(&Change{PutDaemons: []SyncDaemon{d}})
	if err != nil {
		t.Fatal(err)
	}
	running := d.Daemon
	running.Group, running.Port, running.TTL, running.MaxLength = netip.MustParseAddr("224.0.0.81"), 8848, 1, 1472
	if ops := DiffDaemons(c, []Daemon{running}); len(ops) != 0 {
		t.Errorf("the kernel's defaults are taken for a difference: %v", ops)
	}
	running.SyncID = 3
	ops := DiffDaemons(c, []Daemon{running})
	if len(ops) != 2 || ops[0].Do != StopDaemon || ops[1].Do != StartDaemon {
		t.Errorf("%v", ops)
	}
	if ops := DiffDaemons(new(Config), []Daemon{running}); len(ops) != 0 {
		t.Errorf("somebody else's daemon is touched: %v", ops)
	}
}
