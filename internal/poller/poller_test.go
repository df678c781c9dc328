package poller

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/check"
	"github.com/lcms-project/lcms/internal/poller/config"
	"github.com/lcms-project/lcms/internal/poller/director"
	"github.com/lcms-project/lcms/internal/poller/load"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/snmp/snmptest"
	"github.com/lcms-project/lcms/internal/poller/status"
)

// newPoller is a monitor of a director that is played by the test.
func newPoller(t *testing.T, edit func(*config.Config)) *Poller {
	t.Helper()
	c := config.Default()
	c.Directors = []config.Director{{Name: "lb1", Agent: snmp.Agent{Address: netip.MustParseAddrPort("127.0.0.1:9"), Credentials: &snmp.Credentials{Community: "x"}}}}
	c.Socket = filepath.Join(t.TempDir(), "s")
	edit(&c)
	return New(c, "test", slog.New(slog.DiscardHandler))
}

// viewOf has one service with servers at addresses.
func viewOf(t *testing.T, c lvs.HealthCheck, policy lvs.WeightPolicy, servers ...netip.AddrPort) *director.View {
	t.Helper()
	key, err := lvs.ParseServiceKey("udp:192.0.2.1:53")
	if err != nil {
		t.Fatal(err)
	}
	s := &director.Service{Key: key, Check: c, Policy: policy}
	for i, at := range servers {
		server, err := lvs.NewServerKey(at)
		if err != nil {
			t.Fatal(err)
		}
		s.Servers = append(s.Servers, &director.Server{ID: lvs.ServerID{Service: key, Server: server}, Host: fmt.Sprintf("rs%d", i+1), Weight: 1, Health: uint8(check.Unknown)})
	}
	return &director.View{Services: map[lvs.ServiceKey]*director.Service{key: s}, Hosts: map[string]*director.Host{}}
}

// run runs the checks of a monitor until the test ends.
func run(t *testing.T, p *Poller) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.checks.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func eventually(t *testing.T, p *Poller, what string, ok func(status.Status) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s := p.Status()
		if ok(s) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s: %+v", what, s)
		}
	}
}

// silent are servers that take datagrams and answer only when they are told to.
func silent(t *testing.T, n int) (servers []netip.AddrPort, answer func(i int)) {
	t.Helper()
	var mu sync.Mutex
	answers := make(map[int]bool)
	for i := range n {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() {
			b := make([]byte, 100)
			for {
				_, from, err := conn.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				mu.Lock()
				if answers[i] {
					conn.WriteToUDPAddrPort([]byte("pong"), from)
				}
				mu.Unlock()
			}
		}()
		servers = append(servers, conn.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	return servers, func(i int) {
		mu.Lock()
		defer mu.Unlock()
		answers[i] = true
	}
}

func TestMonitorThatIsCutOffDoubtsItself(t *testing.T) {
	p := newPoller(t, func(*config.Config) {})
	run(t, p)
	servers, answer := silent(t, 3)
	// The timeout leaves a busy machine the time to answer.
	c := lvs.HealthCheck{CheckType: lvs.CheckUDP, CheckTarget: "send=ping expect=pong", CheckInterval: 500, CheckTimeout: 500, CheckRise: 1, CheckFall: 2}
	p.viewed(0, viewOf(t, c, lvs.WeightStatic, servers...))
	eventually(t, p, "all are silent", func(s status.Status) bool {
		return strings.Contains(s.Isolated, "cut off") && s.Servers[0].Health == "down" && s.Servers[1].Health == "down" && s.Servers[2].Health == "down"
	})
	answer(1)
	eventually(t, p, "one answers", func(s status.Status) bool {
		return s.Isolated == "" && s.Servers[1].Health == "up" && s.Servers[0].Health == "down" && strings.Contains(s.Servers[0].Detail, "no answer in time")
	})
	p.viewed(0, viewOf(t, c, lvs.WeightStatic, servers[0]))
	eventually(t, p, "two are not watched any more", func(s status.Status) bool { return len(s.Servers) == 1 && s.Checks.Planned == 1 })
	p.viewed(0, &director.View{})
	if p.asked != 0 || p.silent != 0 {
		t.Errorf("%d checked and %d silent are counted of none", p.asked, p.silent)
	}
}

// TestNothingFlapsAtAStart begins with what the director was told before.
func TestNothingFlapsAtAStart(t *testing.T) {
	p := newPoller(t, func(*config.Config) {})
	servers, _ := silent(t, 1)
	v := viewOf(t, lvs.HealthCheck{CheckType: lvs.CheckTCP, CheckInterval: 5000, CheckTimeout: 1000, CheckRise: 2, CheckFall: 3}, lvs.WeightStatic, servers...)
	for _, s := range v.Services {
		s.Servers[0].Health = uint8(check.Down)
	}
	p.viewed(0, v)
	if s := p.Status().Servers[0]; s.Health != "down" || !s.Checked.IsZero() {
		t.Errorf("%+v", s)
	}
	for _, s := range v.Services {
		s.Check.CheckTarget = "nonsense=1"
	}
	p.viewed(0, v)
	if s := p.Status().Servers[0]; s.Health != "unknown" || !strings.Contains(s.Detail, "cannot be checked: check target") {
		t.Errorf("%+v", s)
	}
	for _, s := range v.Services {
		s.Check = lvs.NewHealthCheck()
	}
	p.viewed(0, v)
	if s := p.Status(); s.Servers[0].Check != "none" || s.Servers[0].Detail != "" || s.Checks.Planned != 0 {
		t.Errorf("%+v", s)
	}
}

// TestWeightsFollowLoad gives two hosts the same connections, of which one is
// twice as busy by them.
func TestWeightsFollowLoad(t *testing.T) {
	p := newPoller(t, func(c *config.Config) {
		c.Hosts = []config.Hosts{{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Port: 161, Credentials: &snmp.Credentials{Community: "x"}}}
	})
	v := viewOf(t, lvs.NewHealthCheck(), lvs.WeightCapacity, netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("10.0.0.2:53"))
	p.viewed(0, v)
	var own *service
	for _, own = range p.services {
	}
	now, connections := time.Now(), uint64(0)
	for range 40 {
		now, connections = now.Add(10*time.Second), connections+1000
		counters := make(map[lvs.ServerID]director.Traffic)
		for i, s := range own.servers {
			counters[s.id] = director.Traffic{Connections: connections, OperWeight: 7}
			s.host.load = load.Load{At: now, CPU: 0.3 * float64(i+1), Source: "test", LoadAverage: math.NaN()}
		}
		p.counted(0, now, counters)
		p.advise(own, now, nil)
	}
	s := p.Status()
	a, b := s.Servers[0], s.Servers[1]
	if ratio := float64(a.Advised) / float64(b.Advised); ratio < 1.7 || ratio > 2.4 || a.Rate != 100 && a.Rate != 0 || a.Oper != 7 || !strings.Contains(a.Reason, "capacity") || a.Busy != 0.3 {
		t.Errorf("%+v\n%+v", a, b)
	}
	for i, h := range s.Hosts {
		if h.Name != fmt.Sprintf("rs%d", i+1) || h.CPU < 0.29 || h.LoadAverage != -1 {
			t.Errorf("%+v", h)
		}
	}
	// Another monitor has advised b meanwhile.
	p.advise(own, now.Add(10*time.Second), map[lvs.ServerID]uint32{own.servers[1].id: 90})
	if s := p.Status().Servers; s[0].Advised != a.Advised || s[1].Advised != 90 || !strings.Contains(s[1].Reason, "another monitor") {
		t.Errorf("%+v\n%+v", s[0], s[1])
	}
	// A change of the service leaves weights where they are.
	for _, s := range v.Services {
		s.SlowStart = time.Minute
	}
	p.viewed(0, v)
	p.advise(p.services[own.key], now.Add(20*time.Second), nil)
	if s := p.Status().Servers; s[0].Advised != a.Advised || s[1].Advised != 90 {
		t.Errorf("%+v\n%+v", s[0], s[1])
	}
	// The kernel's counters began again: what is between tells nothing.
	p.counted(0, now.Add(10*time.Second), map[lvs.ServerID]director.Traffic{own.servers[0].id: {Connections: 5}})
	if r, ok := p.rate(own.servers[0].id, now.Add(10*time.Second)); ok {
		t.Errorf("rate %v", r)
	}
}

// TestHosts finds where hosts are asked, and names those that cannot be.
func TestHosts(t *testing.T) {
	agent := snmptest.Start(t, "127.0.0.1")
	agent.Raw(func([]byte) []byte { return []byte("garbage") })
	p := newPoller(t, func(c *config.Config) {
		c.Load.Timeout, c.Load.Attempts = 200*time.Millisecond, 1
		c.Hosts = []config.Hosts{{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Port: 9, Credentials: &snmp.Credentials{Community: "x"}}}
	})
	t.Cleanup(p.toHosts.Close)
	v := viewOf(t, lvs.NewHealthCheck(), lvs.WeightStatic, netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("127.0.0.7:53"), netip.MustParseAddrPort("192.0.2.1:53"))
	v.Hosts = map[string]*director.Host{
		"rs1": {Name: "rs1", SnmpURI: "snmp://" + agent.Address.String()},
		"rs3": {Name: "rs3", Address: netip.MustParseAddr("192.0.2.9")},
		"lb1": {Name: "lb1", Address: netip.MustParseAddr("127.0.0.8")},
		"lb2": {Name: "lb2", SnmpURI: "snmp://127.0.0.9:99999"}, // of a director that takes it
	}
	p.viewed(0, v)
	for _, h := range p.hosts {
		p.measure(t.Context(), h)
	}
	s := p.Status()
	found := make(map[string]string)
	for _, h := range s.Hosts {
		found[h.Name] = h.Address + " " + h.Error
	}
	for name, want := range map[string][]string{
		"rs1": {agent.Address.String(), "no SNMPv2c message"},
		"rs2": {"127.0.0.7:9", "no answer within 200ms, asked 1 times; the host may be down"},
		"lb1": {"127.0.0.8:9", "no answer"},
		"lb2": {"127.0.0.9:9", "no answer"},
	} {
		for _, word := range want {
			if !strings.Contains(found[name], word) {
				t.Errorf("host %s: %q lacks %q", name, found[name], word)
			}
		}
	}
	if len(found) != 4 {
		t.Errorf("hosts %v", found)
	}
	var b strings.Builder
	if err := status.Write(&b, s, false); err != nil || !strings.Contains(b.String(), "4 without load") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("%v\n%s", err, &b)
	}
	if _, err := p.ask(t.Context(), netip.MustParseAddr("192.0.2.1"), 0, snmp.MustOID("1.3.6.1")); err == nil || !strings.Contains(err.Error(), "add it to networks") {
		t.Errorf("a host without credentials: %v", err)
	}
}

// TestBrokenCounters has a host answer whose counters go back.
func TestBrokenCounters(t *testing.T) {
	agent := snmptest.Start(t, "127.0.0.1")
	p := newPoller(t, func(c *config.Config) {
		c.Hosts = []config.Hosts{{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Port: 9, Credentials: &snmp.Credentials{Community: "public"}}}
	})
	t.Cleanup(p.toHosts.Close)
	p.viewed(0, &director.View{Hosts: map[string]*director.Host{"rs1": {Name: "rs1", SnmpURI: "snmp://" + agent.Address.String()}}})
	for i, want := range []string{"", "its processor counters", ""} {
		ticks := []uint64{100, 50, 60}[i]
		agent.Serve(snmp.Varbind{Name: snmp.MustOID("1.3.6.1.4.1.2021.11.50.0"), Value: snmp.Value{Type: snmp.TypeCounter32, Num: ticks}},
			snmp.Varbind{Name: snmp.MustOID("1.3.6.1.4.1.2021.11.53.0"), Value: snmp.Value{Type: snmp.TypeCounter32, Num: ticks}})
		for _, h := range p.hosts {
			p.measure(t.Context(), h)
		}
		s := p.Status()
		var b strings.Builder
		if err := status.Write(&b, s, false); err != nil || !strings.Contains(s.Hosts[0].Error, want) || (want == "") != (s.Hosts[0].Error == "") || !strings.Contains(b.String(), want) {
			t.Errorf("reading %d: %v, %+v\n%s", i, err, s.Hosts[0], &b)
		}
	}
}

// TestThousandDeadHosts asks them beside some that live: the dead are named, the
// others are asked in time, and nothing grows without bound.
func TestThousandDeadHosts(t *testing.T) {
	const dead, living = 1000, 20
	p := newPoller(t, func(c *config.Config) {
		c.Load = config.Load{Interval: time.Second, Timeout: 500 * time.Millisecond, Attempts: 2, Parallel: 256}
		c.Hosts = []config.Hosts{{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Port: 9, Credentials: &snmp.Credentials{Community: "public"}}}
	})
	v := &director.View{Hosts: make(map[string]*director.Host)}
	for i := range dead {
		name := fmt.Sprintf("dead%d", i)
		v.Hosts[name] = &director.Host{Name: name, Address: netip.AddrFrom4([4]byte{127, 7, byte(i / 250), byte(1 + i%250)})}
	}
	var agents []*snmptest.Agent
	for i := range living {
		name := fmt.Sprintf("living%d", i)
		agents = append(agents, snmptest.Start(t, "127.0.0.1",
			snmp.Varbind{Name: snmp.MustOID("1.3.6.1.4.1.2021.11.50.0"), Value: snmp.Value{Type: snmp.TypeCounter32, Num: 1}},
			snmp.Varbind{Name: snmp.MustOID("1.3.6.1.4.1.2021.11.53.0"), Value: snmp.Value{Type: snmp.TypeCounter32, Num: 1}}))
		v.Hosts[name] = &director.Host{Name: name, SnmpURI: "snmp://" + agents[i].Address.String()}
	}
	p.viewed(0, v)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.loads.Run(ctx)
	}()
	eventually(t, p, "the dead are named", func(s status.Status) bool {
		named := 0
		for _, h := range s.Hosts {
			if strings.HasPrefix(h.Name, "dead") && strings.Contains(h.Error, "no answer within") {
				named++
			} else if strings.HasPrefix(h.Name, "living") && h.Error != "" {
				t.Fatalf("%+v", h)
			}
		}
		return named == dead
	})
	before := make([]int, living)
	for i, a := range agents {
		before[i] = a.Asked()
	}
	eventually(t, p, "the living are asked as before", func(s status.Status) bool {
		if s.Loads.Running > 256 {
			t.Fatalf("%d run at once", s.Loads.Running)
		}
		for i, a := range agents {
			if a.Asked() < before[i]+5 {
				return false
			}
		}
		return true
	})
	cancel()
	p.toHosts.Close()
	<-done
}
