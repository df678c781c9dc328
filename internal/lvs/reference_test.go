package lvs

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// TestReferences drives the rules of rows that name others: what is refused, of
// which kind and in which words.
func TestReferences(t *testing.T) {
	service := serviceOf(t, "tcp:10.0.0.1:80", func(s *Service) { s.Cluster = "web" })
	server := ServerAt{service.Key, serverOf(t, "10.0.0.11:80", func(s *Server) { s.Host = "rs1" })}
	member := NewMember(MemberID{"web", "rs1"})
	free, moved, sorry := service, service, service
	sorry.Cluster, sorry.SorryServer = "", "10.0.0.99:80"
	free.Cluster, moved.Cluster = "", "mail"
	volatileCluster, volatileHost, volatileMember := NewCluster("web"), NewHost("rs1"), member
	volatileCluster.Storage, volatileHost.Storage, volatileMember.Storage = Volatile, Volatile, Volatile
	weight := server
	weight.Server.Weight = 9
	elsewhere, sorryThere := server, service
	elsewhere.Server.Host, sorryThere.SorryServer = "rs2", "10.0.0.11:80"
	all := Change{
		PutServices: []Service{service}, PutServers: []ServerAt{server}, PutMembers: []Member{member},
		PutClusters: []Cluster{NewCluster("web"), NewCluster("mail")}, PutHosts: []Host{NewHost("rs1"), NewHost("rs2")},
	}
	full, err := new(Config).Apply(&all)
	if err != nil {
		t.Fatal(err)
	}
	theSorry := ServerID{sorry.Key, serverOf(t, "10.0.0.99:80", nil).Key}
	apologetic, err := new(Config).Apply(&Change{PutServices: []Service{sorry}, PutServers: []ServerAt{{sorry.Key, serverOf(t, "10.0.0.99:80", nil)}}})
	if err != nil {
		t.Fatal(err)
	}
	dangling, err := full.Apply(&Change{Dangling: true, DeleteHosts: []HostName{"rs1"}, DeleteClusters: []ClusterID{"web"}, PutMembers: []Member{member}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from   *Config
		change Change
		kind   error
		words  string
	}{
		"service of no cluster":          {new(Config), Change{PutServices: []Service{service}}, ErrConflict, "service tcp:10.0.0.1:80: there is no cluster web: create it first"},
		"server on no host":              {new(Config), Change{PutServices: []Service{free}, PutServers: []ServerAt{server}}, ErrConflict, "server 10.0.0.11:80 of service tcp:10.0.0.1:80: there is no host rs1"},
		"member of no cluster":           {new(Config), Change{PutMembers: []Member{member}, PutHosts: all.PutHosts}, ErrNotFound, "member rs1 of cluster web: there is no cluster web"},
		"member that is no host":         {new(Config), Change{PutMembers: []Member{member}, PutClusters: all.PutClusters}, ErrConflict, "member rs1 of cluster web: there is no host rs1"},
		"sorry server that is none":      {new(Config), Change{PutServices: []Service{sorry}}, ErrConflict, "service tcp:10.0.0.1:80: the service has no server 10.0.0.99:80: create it first"},
		"sorry server with its service":  {new(Config), Change{PutServices: []Service{sorry}, PutServers: []ServerAt{{sorry.Key, serverOf(t, "10.0.0.99:80", nil)}}}, nil, ""},
		"sorry server that goes":         {apologetic, Change{DeleteServers: []ServerID{theSorry}}, ErrConflict, "server 10.0.0.99:80 of service tcp:10.0.0.1:80: it is the sorry server of its service"},
		"sorry server with its name":     {apologetic, Change{DeleteServers: []ServerID{theSorry}, PutServices: []Service{free}}, nil, ""},
		"sorry server and service":       {apologetic, Change{DeleteServers: []ServerID{theSorry}, DeleteServices: []ServiceKey{sorry.Key}}, nil, ""},
		"dangling":                       {new(Config), Change{Dangling: true, PutServices: []Service{service}, PutServers: []ServerAt{server}, PutMembers: []Member{member}}, nil, ""},
		"cluster with services":          {full, Change{DeleteClusters: []ClusterID{"web"}}, ErrConflict, "cluster web: service tcp:10.0.0.1:80 still names it"},
		"cluster with its services":      {full, Change{DeleteClusters: []ClusterID{"web"}, DeleteServices: []ServiceKey{service.Key}}, nil, ""},
		"cluster whose services move":    {full, Change{DeleteClusters: []ClusterID{"web"}, PutServices: []Service{moved}}, nil, ""},
		"cluster whose services leave":   {full, Change{DeleteClusters: []ClusterID{"web"}, PutServices: []Service{free}}, nil, ""},
		"to a cluster that goes":         {full, Change{DeleteClusters: []ClusterID{"mail"}, PutServices: []Service{moved}}, ErrConflict, "the same request destroys cluster mail: leave that"},
		"to a host that goes":            {full, Change{DeleteHosts: []HostName{"rs2"}, PutServers: []ServerAt{elsewhere}}, ErrConflict, "server 10.0.0.11:80 of service tcp:10.0.0.1:80: the same request destroys host rs2: leave that"},
		"sorry server that it names":     {full, Change{DeleteServers: []ServerID{{sorry.Key, server.Server.Key}}, PutServices: []Service{sorryThere}}, ErrConflict, "the same request destroys server 10.0.0.11:80: leave that"},
		"server of a service that goes":  {full, Change{DeleteServices: []ServiceKey{service.Key}, PutServers: []ServerAt{weight}}, ErrNotFound, "server 10.0.0.11:80 of service tcp:10.0.0.1:80: the same request destroys the service"},
		"host with a server":             {full, Change{DeleteHosts: []HostName{"rs1"}, DeleteMembers: []MemberID{member.ID()}}, ErrConflict, "host rs1: server 10.0.0.11:80 of service tcp:10.0.0.1:80 still names it"},
		"host that is a member":          {full, Change{DeleteHosts: []HostName{"rs1"}, DeleteServers: []ServerID{{service.Key, server.Server.Key}}}, ErrConflict, "host rs1: member rs1 of cluster web still names it"},
		"host with all that names it":    {full, Change{DeleteHosts: []HostName{"rs1"}, DeleteServers: []ServerID{{service.Key, server.Server.Key}}, DeleteMembers: []MemberID{member.ID()}}, nil, ""},
		"host that is named by none":     {full, Change{DeleteHosts: []HostName{"rs2"}}, nil, ""},
		"destroyed and written":          {full, Change{DeleteHosts: []HostName{"rs2"}, PutHosts: []Host{NewHost("rs2")}}, ErrConflict, "host rs2: the same request destroys the host"},
		"kept in a volatile cluster":     {full, Change{PutClusters: []Cluster{volatileCluster}}, ErrInvalid, "cluster web: service tcp:10.0.0.1:80 is kept and names it"},
		"kept on a volatile host":        {full, Change{PutHosts: []Host{volatileHost}}, ErrInvalid, "host rs1: server 10.0.0.11:80 of service tcp:10.0.0.1:80 is kept and names it"},
		"kept member, volatile cluster":  {new(Config), Change{PutClusters: []Cluster{volatileCluster}, PutHosts: all.PutHosts, PutMembers: []Member{member}}, ErrInvalid, "member rs1 of cluster web: a row that is kept cannot name cluster web, which is volatile"},
		"volatile all":                   {new(Config), Change{PutClusters: []Cluster{volatileCluster}, PutHosts: []Host{volatileHost}, PutMembers: []Member{volatileMember}}, nil, ""},
		"what dangles may be written":    {dangling, Change{PutServers: []ServerAt{weight}, PutMembers: []Member{member}}, nil, ""},
		"and be given another cluster":   {dangling, Change{PutServices: []Service{moved}}, nil, ""},
		"and its host may come":          {dangling, Change{PutHosts: []Host{NewHost("rs1")}}, nil, ""},
		"another row may not name it":    {dangling, Change{PutMembers: []Member{NewMember(MemberID{"mail", "rs1"})}}, ErrConflict, "member rs1 of cluster mail: there is no host rs1"},
		"cluster whose name is no name":  {full, Change{PutClusters: []Cluster{NewCluster("Web")}}, ErrInvalid, `write "web"`},
		"host whose name is no name":     {full, Change{PutHosts: []Host{NewHost("a b")}}, ErrInvalid, "use a-z"},
		"cluster of a name of 33 octets": {full, Change{PutClusters: []Cluster{NewCluster(ClusterID(strings.Repeat("a", 33)))}}, ErrInvalid, "use 1 to 32"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.from.Apply(&c.change)
			if c.kind == nil && err != nil || c.kind != nil && (!errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words)) {
				t.Errorf("%v, want %v with %q", err, c.kind, c.words)
			}
		})
	}
}

func TestGroupCheck(t *testing.T) {
	for name, c := range map[string]struct {
		refusal      *Refusal
		field, words string
	}{
		"cluster":           {NewCluster("web").Check(), "", ""},
		"description":       {clusterOf(func(c *Cluster) { c.Description = strings.Repeat("x", 256) }).Check(), "Description", "at most 255"},
		"service type":      {clusterOf(func(c *Cluster) { c.ServiceType = strings.Repeat("x", 65) }).Check(), "ServiceType", "at most 64"},
		"addresses":         {clusterOf(func(c *Cluster) { c.VirtualAddresses = "192.0.2.1 192.0.2.10 2001:db8::1" }).Check(), "", ""},
		"order":             {clusterOf(func(c *Cluster) { c.VirtualAddresses = "2001:DB8::1  192.0.2.1" }).Check(), "VirtualAddresses", `write "192.0.2.1 2001:db8::1"`},
		"twice":             {clusterOf(func(c *Cluster) { c.VirtualAddresses = "192.0.2.1 192.0.2.1" }).Check(), "VirtualAddresses", `write "192.0.2.1"`},
		"no address":        {clusterOf(func(c *Cluster) { c.VirtualAddresses = "web" }).Check(), "VirtualAddresses", `"web" is no IP address`},
		"zone":              {clusterOf(func(c *Cluster) { c.VirtualAddresses = "fe80::1%eth0" }).Check(), "VirtualAddresses", "leave out %eth0"},
		"many":              {clusterOf(func(c *Cluster) { c.VirtualAddresses = strings.Repeat("192.0.2.1 ", 103) }).Check(), "VirtualAddresses", "at most 1024"},
		"admin status":      {clusterOf(func(c *Cluster) { c.AdminStatus = 0 }).Check(), "AdminStatus", "drain"},
		"drift policy":      {clusterOf(func(c *Cluster) { c.DriftPolicy = 4 }).Check(), "DriftPolicy", "alert"},
		"member":            {NewMember(MemberID{"web", "rs1"}).Check(), "", ""},
		"no role":           {Member{Priority: 1}.Check(), "Role", "realServer"},
		"priority":          {Member{Role: Backup, Priority: 256}.Check(), "Priority", "0 to 255"},
		"host":              {hostOf(func(h *Host) { h.Address, h.SnmpURI = netip.MustParseAddr("::1"), "snmp://user@[::1]:161" }).Check(), "", ""},
		"host, mapped":      {hostOf(func(h *Host) { h.Address = netip.MustParseAddr("::ffff:192.0.2.1") }).Check(), "Address", "write 192.0.2.1"},
		"host, processor":   {hostOf(func(h *Host) { h.CpuType = strings.Repeat("x", 65) }).Check(), "CpuType", "at most 64"},
		"host, interface":   {hostOf(func(h *Host) { h.InterfaceType = strings.Repeat("x", 65) }).Check(), "InterfaceType", "at most 64"},
		"host, roles":       {hostOf(func(h *Host) { h.RolePotential = 8 }).Check(), "RolePotential", "only"},
		"host, roles known": {hostOf(func(h *Host) { h.RolePotential = Backup.Bit() | LoadBalancer.Bit() | RealServer.Bit() }).Check(), "", ""},
		"host, no agent":    {hostOf(func(h *Host) { h.SnmpURI = "192.0.2.1" }).Check(), "SnmpURI", "RFC 4088"},
		"host, no name":     {hostOf(func(h *Host) { h.SnmpURI = "snmp://:161" }).Check(), "SnmpURI", "RFC 4088"},
		"host, port":        {hostOf(func(h *Host) { h.SnmpURI = "snmp://192.0.2.1:99999" }).Check(), "SnmpURI", "has the port 99999: use 1 to 65535"},
		"host, port 0":      {hostOf(func(h *Host) { h.SnmpURI = "snmp://192.0.2.1:0" }).Check(), "SnmpURI", "has the port 0: use 1 to 65535"},
		"host, password":    {hostOf(func(h *Host) { h.SnmpURI = "snmp://user:precious@192.0.2.1" }).Check(), "SnmpURI", "has a password, which all who may read it would see: leave it out"},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.refusal, c.field, c.words) })
	}
}

func clusterOf(edit func(*Cluster)) Cluster {
	c := NewCluster("web")
	edit(&c)
	return c
}

func hostOf(edit func(*Host)) Host {
	h := NewHost("rs1")
	edit(&h)
	return h
}

// TestTableOrder: names of a table stand by length, then by bytes.
func TestTableOrder(t *testing.T) {
	c, err := new(Config).Apply(&Change{
		PutHosts:    []Host{NewHost("rs10"), NewHost("rs2"), NewHost("b"), NewHost("rs1")},
		PutClusters: []Cluster{NewCluster("web"), NewCluster("db"), NewCluster("aaaa")},
		PutMembers:  []Member{NewMember(MemberID{"web", "rs10"}), NewMember(MemberID{"db", "b"}), NewMember(MemberID{"web", "rs2"}), NewMember(MemberID{"aaaa", "b"})},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for h := range c.Hosts {
		got += string(h.Name) + " "
	}
	for cluster := range c.Clusters {
		got += string(cluster.ID) + " "
	}
	for m := range c.Members {
		got += string(m.Cluster) + "/" + string(m.Host) + " "
	}
	if want := "b rs1 rs2 rs10 db web aaaa db/b web/rs2 web/rs10 aaaa/b "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if m := c.MembersOf("web"); len(m) != 2 || m[0].Host != "rs2" {
		t.Errorf("members of web: %v", m)
	}
}

func TestRefusalsOfURIsKeepSecrets(t *testing.T) {
	for _, uri := range []string{"snmp://user:precious@192.0.2.1", "http://user:precious@192.0.2.1", "snmp://precious@192.0.2.1:0", "snmp://user:precious %@192.0.2.1"} {
		if r := hostOf(func(h *Host) { h.SnmpURI = uri }).Check(); r == nil || strings.Contains(r.Error(), "precious") {
			t.Errorf("%s: %v", uri, r)
		}
	}
}
