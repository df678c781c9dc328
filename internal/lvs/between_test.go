package lvs

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawConfig makes a Config by random changes, on from another.
func drawConfig(rt *rapid.T, c *Config) *Config {
	for range rapid.IntRange(0, 8).Draw(rt, "changes") {
		if next, err := c.Apply(drawChange(rt)); err == nil {
			c = next
		}
	}
	return c
}

// TestBetweenLeadsFromOneToTheOther: also when the one shares with the other,
// and what is volatile stays.
func TestBetweenLeadsFromOneToTheOther(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		old := drawConfig(rt, new(Config))
		from := new(Config)
		if rapid.Bool().Draw(rt, "related") {
			from = old
		}
		want := durable(t, drawConfig(rt, from))
		change := Between(old, want)
		got, err := old.Apply(&change)
		if err != nil {
			rt.Fatalf("%+v is refused: %v", change, err)
		}
		settings := old.Settings() // which Between leaves out
		want, _ = want.Apply(&Change{Settings: &settings})
		if d := cmp.Diff(dump(want), dump(durable(t, got))); d != "" {
			rt.Fatalf("-want +got:\n%s", d)
		}
		if again := Between(got, want); !again.IsEmpty() {
			rt.Fatalf("a second time it is %+v", again)
		}
		for s, servers := range old.Services {
			if now, ok := got.Service(s.Key); s.Storage == Volatile && (!ok || now != *s && now.Storage == Volatile) {
				rt.Fatalf("volatile %s became %+v", s.Key, now)
			}
			for _, server := range servers {
				_, there := got.Service(s.Key)
				if _, ok := got.Server(s.Key, server.Key); server.Storage == Volatile && there && !ok {
					rt.Fatalf("volatile %s of %s is gone", server.Key, s.Key)
				}
			}
		}
	})
}

// largeChange makes so many services with ten servers each.
func largeChange(services int) *Change {
	c := new(Change)
	for i := range services {
		k, _ := AddressKey(TCP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80))
		c.PutServices = append(c.PutServices, NewService(k))
		for j := range 10 {
			server, _ := NewServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(i), byte(j)}), 80))
			c.PutServers = append(c.PutServers, ServerAt{k, NewServer(server)})
		}
	}
	return c
}

// TestBetweenIsCheap measures 100,000 servers of which one differs.
func TestBetweenIsCheap(t *testing.T) {
	rows := largeChange(10000)
	began := time.Now()
	old, refused := Assemble(rows)
	assembled := time.Since(began)
	if len(refused) > 0 {
		t.Fatal(refused[0])
	}
	rows.PutServers[77777].Server.Weight = 5
	apart, _ := Assemble(rows)
	shared, err := old.Apply(&Change{PutServers: rows.PutServers[77777:77778]})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Config{"sharing nothing": apart, "sharing most": shared} {
		var change Change
		took := time.Hour
		for range 5 { // one may be held up by whatever else the machine does
			began := time.Now()
			change = Between(old, c)
			took = min(took, time.Since(began))
		}
		if len(change.PutServers) != 1 || change.PutServers[0] != rows.PutServers[77777] || len(change.PutServices)+len(change.DeleteServers) > 0 {
			t.Errorf("%s: %+v", name, change)
		}
		t.Logf("assembled in %s, compared %s in %s", assembled, name, took)
		if took > time.Second {
			t.Errorf("%s: %s", name, took)
		}
	}
}

func TestAssembleTakesWhatIsValid(t *testing.T) {
	web, other := serviceOf(t, "tcp:10.0.0.1:80", func(s *Service) { s.Cluster = "web" }), serviceOf(t, "tcp:10.0.0.1:80", func(s *Service) { s.Cluster = "other" })
	bad := serviceOf(t, "tcp:10.0.0.2:80", func(s *Service) { s.Scheduler = "no/module" })
	waits := serviceOf(t, "tcp:10.0.0.3:80", func(s *Service) { s.Scheduler, s.Status = "", NotReady })
	good, direct := serverOf(t, "10.0.0.11:80", func(s *Server) { s.Host = "nowhere" }), serverOf(t, "10.0.0.12:81", func(s *Server) { s.Forwarding = DirectRoute })
	badHost := NewHost("h2")
	badHost.SnmpURI = "http://x"
	director := NewMember(MemberID{"web", "lb1"})
	director.Role = LoadBalancer
	c, refused := Assemble(&Change{
		PutServices: []Service{waits, web, other, bad},
		PutServers:  []ServerAt{{web.Key, direct}, {web.Key, good}, {bad.Key, good}, {web.Key, good}},
		PutHosts:    []Host{badHost, NewHost("h1"), NewHost("No")},
		PutClusters: []Cluster{NewCluster("web"), NewCluster("-")},
		PutMembers:  []Member{director, NewMember(MemberID{"web", "lb1"}), NewMember(MemberID{"absent", "nowhere"})},
		PutDaemons:  []SyncDaemon{NewSyncDaemon(DaemonMaster)},
		Timeouts:    &Timeouts{TCP: MaxTimeout + 1},
	})
	got := ""
	for _, r := range refused {
		got += fmt.Sprintf("%v [%s]\n", r, r.Field)
	}
	want := `host No: host "No": names are in lower case: write "no" []
host h2: "http://x" is no SNMP URI of at most 255 octets: write it like snmp://192.0.2.11:161 (RFC 4088) [SnmpURI]
cluster -: cluster "-": use a-z, 0-9, dot, underscore and hyphen, and begin with a letter or a digit []
member lb1 of cluster web: it is a member twice, as loadBalancer and as realServer: delete one []
service tcp:10.0.0.1:80: there are two of it, one of cluster web and one of cluster other: delete one [Cluster]
service tcp:10.0.0.2:80: scheduler "no/module" is no module name: use 1 to 15 letters, digits, - or _ [Scheduler]
server 10.0.0.11:80 of service tcp:10.0.0.1:80: there are two of it: delete one []
server 10.0.0.12:81 of service tcp:10.0.0.1:80: forwarding directRoute leaves the port as it is: the server's port must be the service's, 80, not 81 (or use masquerade) [Forwarding]
server 10.0.0.11:80 of service tcp:10.0.0.2:80: there is no such service, or it was refused: create or mend it []
sync daemon master: the network interface of the multicast is missing: set it [Interface]
timeout 2147484 s is too long: at most 2147483 s [TCP]
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("refusals: -want +got:\n%s", d)
	}
	valid, err := new(Config).Apply(&Change{
		Dangling: true, PutServices: []Service{waits, web}, PutServers: []ServerAt{{web.Key, good}}, PutHosts: []Host{NewHost("h1")},
		PutClusters: []Cluster{NewCluster("web")}, PutMembers: []Member{director, NewMember(MemberID{"absent", "nowhere"})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(dump(valid), dump(c)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
