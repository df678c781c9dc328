package lvs

import (
	"net/netip"
	"strings"
	"testing"
)

func serviceOf(t testing.TB, text string, edit func(*Service)) Service {
	t.Helper()
	k, err := ParseServiceKey(text)
	if err != nil {
		t.Fatal(err)
	}
	s := NewService(k)
	if edit != nil {
		edit(&s)
	}
	return s
}

func serverOf(t testing.TB, text string, edit func(*Server)) Server {
	t.Helper()
	k, err := ParseServerKey(text)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(k)
	if edit != nil {
		edit(&s)
	}
	return s
}

// check compares a refusal with the field and words it should have; "" means
// none.
func check(t *testing.T, r *Refusal, field, words string) {
	t.Helper()
	switch {
	case field == "" && r != nil:
		t.Errorf("refused: %v", r)
	case field != "" && (r == nil || r.Field != field || !strings.Contains(r.Reason, words)):
		t.Errorf("got %+v, want field %s with %q", r, field, words)
	}
}

func TestServiceCheck(t *testing.T) {
	for name, c := range map[string]struct {
		key          string
		edit         func(*Service)
		field, words string
	}{
		"bare":                  {"tcp:10.0.0.1:80", nil, "", ""},
		"bare mark":             {"fwm6:7", nil, "", ""},
		"no scheduler":          {"tcp:10.0.0.1:80", func(s *Service) { s.Scheduler = "" }, "Scheduler", "module name"},
		"scheduler of 16":       {"tcp:10.0.0.1:80", func(s *Service) { s.Scheduler = "abcdefghijklmnop" }, "Scheduler", "1 to 15"},
		"scheduler with slash":  {"tcp:10.0.0.1:80", func(s *Service) { s.Scheduler = "../rr" }, "Scheduler", "module name"},
		"unknown scheduler":     {"tcp:10.0.0.1:80", func(s *Service) { s.Scheduler = "own_one" }, "", ""},
		"engine alone":          {"udp:10.0.0.1:5060", func(s *Service) { s.PersistenceEngine = "sip" }, "PersistenceEngine", "timeout"},
		"engine, persistent":    {"udp:10.0.0.1:5060", func(s *Service) { s.PersistenceEngine, s.PersistenceTimeout = "sip", 60 }, "", ""},
		"port 0":                {"tcp:10.0.0.1:0", nil, "PersistenceTimeout", "every port"},
		"port 0, persistent":    {"tcp:10.0.0.1:0", func(s *Service) { s.PersistenceTimeout = 300 }, "", ""},
		"timeout":               {"tcp:10.0.0.1:80", func(s *Service) { s.PersistenceTimeout = MaxTimeout + 1 }, "PersistenceTimeout", "at most"},
		"netmask 0":             {"tcp:10.0.0.1:80", func(s *Service) { s.PersistenceNetmask = 0 }, "PersistenceNetmask", "1 to 32"},
		"netmask 33":            {"tcp:10.0.0.1:80", func(s *Service) { s.PersistenceNetmask = 33 }, "PersistenceNetmask", "1 to 32"},
		"netmask 64 of v6":      {"tcp:[2001:db8::1]:80", func(s *Service) { s.PersistenceNetmask = 64 }, "", ""},
		"one packet over tcp":   {"tcp:10.0.0.1:80", func(s *Service) { s.OnePacket = true }, "OnePacket", "udp"},
		"one packet over udp":   {"udp:10.0.0.1:53", func(s *Service) { s.OnePacket = true }, "", ""},
		"one packet for a mark": {"fwm4:1", func(s *Service) { s.OnePacket = true }, "", ""},
		"name":                  {"tcp:10.0.0.1:80", func(s *Service) { s.Name = strings.Repeat("n", 65) }, "Name", "at most 64"},
		"quorum of none":        {"tcp:10.0.0.1:80", func(s *Service) { s.Quorum = 0 }, "Quorum", "1 to 65535"},
		"no policy":             {"tcp:10.0.0.1:80", func(s *Service) { s.WeightPolicy = 4 }, "WeightPolicy", "static, capacity or feedback"},
		"slow start of hours":   {"tcp:10.0.0.1:80", func(s *Service) { s.SlowStart = 3601 }, "SlowStart", "at most 3600"},
		"sorry server by name":  {"tcp:10.0.0.1:80", func(s *Service) { s.SorryServer = "sorry:80" }, "SorryServer", "sorry server"},
		"sorry server":          {"tcp:10.0.0.1:80", func(s *Service) { s.SorryServer = "10.0.0.99:80" }, "", ""},
		"no check type":         {"tcp:10.0.0.1:80", func(s *Service) { s.CheckType = 11 }, "CheckType", "none, tcp"},
		"check without end":     {"tcp:10.0.0.1:80", func(s *Service) { s.CheckInterval = 1999 }, "CheckTimeout", "must end before the next"},
		"check all the time":    {"tcp:10.0.0.1:80", func(s *Service) { s.CheckInterval = 99 }, "CheckInterval", "100 to"},
		"no rise":               {"tcp:10.0.0.1:80", func(s *Service) { s.CheckRise = 0 }, "CheckRise", "1 to 100"},
		"fall of 101":           {"tcp:10.0.0.1:80", func(s *Service) { s.CheckFall = 101 }, "CheckFall", "1 to 100"},
		"target of no check":    {"tcp:10.0.0.1:80", func(s *Service) { s.CheckTarget = "/" }, "CheckTarget", "takes nothing"},
	} {
		t.Run(name, func(t *testing.T) { check(t, serviceOf(t, c.key, c.edit).Check(), c.field, c.words) })
	}
}

func TestServerCheck(t *testing.T) {
	forwarding := func(f Forwarding) func(*Server) { return func(s *Server) { s.Forwarding = f } }
	for name, c := range map[string]struct {
		service, key string
		edit         func(*Server)
		field, words string
	}{
		"bare":                     {"tcp:10.0.0.1:80", "10.0.0.11:8080", nil, "", ""},
		"direct, same port":        {"tcp:10.0.0.1:80", "10.0.0.11:80", forwarding(DirectRoute), "", ""},
		"direct, other port":       {"tcp:10.0.0.1:80", "10.0.0.11:81", forwarding(DirectRoute), "Forwarding", "must be the service's, 80"},
		"direct, mark":             {"fwm4:1", "10.0.0.11:0", forwarding(DirectRoute), "", ""},
		"tunnel, other port":       {"tcp:10.0.0.1:80", "10.0.0.11:0", forwarding(Tunnel), "Forwarding", "must be"},
		"local":                    {"tcp:10.0.0.1:80", "127.0.0.1:8080", forwarding(Local), "", ""},
		"bypass":                   {"tcp:10.0.0.1:80", "10.0.0.11:80", forwarding(Bypass), "Forwarding", "cannot be asked for"},
		"v6 of v4":                 {"tcp:10.0.0.1:80", "[2001:db8::1]:80", nil, "Forwarding", "tunnel only"},
		"v6 of v4 by tunnel":       {"tcp:10.0.0.1:80", "[2001:db8::1]:80", forwarding(Tunnel), "", ""},
		"multicast":                {"tcp:10.0.0.1:80", "224.0.0.1:80", nil, "Key", "224.0.0.1 is a multicast address, of a group of hosts: write the address of the server itself"},
		"link-local":               {"tcp:[2001:db8::1]:80", "[fe80::1]:80", nil, "Key", "fe80::1 is a link-local address, which says nothing without the link: write a global"},
		"unspecified":              {"tcp:10.0.0.1:80", "0.0.0.0:80", nil, "Key", "0.0.0.0 stands for any address: write"},
		"broadcast":                {"tcp:10.0.0.1:80", "255.255.255.255:80", nil, "Key", "is the broadcast address of all hosts: write"},
		"weight":                   {"tcp:10.0.0.1:80", "10.0.0.11:80", func(s *Server) { s.Weight = 65536 }, "Weight", "65535"},
		"thresholds":               {"tcp:10.0.0.1:80", "10.0.0.11:80", func(s *Server) { s.UpperThreshold, s.LowerThreshold = 5, 6 }, "LowerThreshold", "above"},
		"lower alone":              {"tcp:10.0.0.1:80", "10.0.0.11:80", func(s *Server) { s.LowerThreshold = 6 }, "LowerThreshold", "above"},
		"gue without port":         {"tcp:10.0.0.1:80", "10.0.0.11:80", func(s *Server) { s.Forwarding, s.TunnelType = Tunnel, GUE }, "TunnelPort", "UDP port"},
		"gue":                      {"tcp:10.0.0.1:80", "10.0.0.11:80", func(s *Server) { s.Forwarding, s.TunnelType, s.TunnelPort = Tunnel, GUE, 6080 }, "", ""},
		"flags that do not exist":  {"tcp:10.0.0.1:80", "10.0.0.11:80", func(s *Server) { s.TunnelFlags = 8 }, "TunnelFlags", "only"},
		"tunnel type out of range": {"tcp:10.0.0.1:80", "10.0.0.11:80", func(s *Server) { s.TunnelType = 3 }, "TunnelType", "gre"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, serverOf(t, c.key, c.edit).Check(new(serviceOf(t, c.service, nil))), c.field, c.words)
		})
	}
}

func TestSyncDaemonCheck(t *testing.T) {
	for name, c := range map[string]struct {
		edit         func(*SyncDaemon)
		field, words string
	}{
		"bare":           {func(*SyncDaemon) {}, "Interface", "missing"},
		"with interface": {func(d *SyncDaemon) { d.Interface = "eth0" }, "", ""},
		"bad interface":  {func(d *SyncDaemon) { d.Interface = "eth 0" }, "Interface", "no name"},
		"short messages": {func(d *SyncDaemon) { d.Interface, d.MaxLength = "eth0", 512 }, "MaxLength", "1024 to"},
		"unicast group":  {func(d *SyncDaemon) { d.Interface, d.Group = "eth0", netip.MustParseAddr("10.0.0.1") }, "Group", "multicast"},
		"mapped group":   {func(d *SyncDaemon) { d.Interface, d.Group = "eth0", netip.MustParseAddr("::ffff:224.0.0.81") }, "Group", "write 224.0.0.81"},
		"v6 group":       {func(d *SyncDaemon) { d.Interface, d.Group = "eth0", netip.MustParseAddr("ff02::81") }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewSyncDaemon(DaemonMaster)
			c.edit(&d)
			check(t, d.Check(), c.field, c.words)
		})
	}
}
