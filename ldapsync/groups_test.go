package ldapsync

import (
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

// shop is a cluster with all that can be in it: two hosts, their servers, and a
// director, which is the one that writes.
func shop() lvs.Change {
	cluster := lvs.NewCluster("shop")
	cluster.Description, cluster.VirtualAddresses, cluster.DriftPolicy = "Läden", "192.0.2.1 2001:db8::1", lvs.DriftAlert
	cluster.ExpectedServices, cluster.AutoReconfigure = 1, false
	service := lvs.NewService(web)
	service.Cluster = "shop"
	c := lvs.Change{PutClusters: []lvs.Cluster{cluster}, PutServices: []lvs.Service{service}, Timeouts: &lvs.Timeouts{TCP: 900, UDP: 30}}
	for n, host := range []lvs.HostName{"rs1", "rs2"} {
		h := lvs.NewHost(host)
		h.Address, h.CpuType, h.SnmpURI, h.RolePotential = serverKey(n).Addr(), "4 x", "snmp://192.0.2.9", lvs.RealServer.Bit()
		c.PutHosts = append(c.PutHosts, h)
		c.PutMembers = append(c.PutMembers, lvs.NewMember(lvs.MemberID{Cluster: "shop", Host: host}))
		s := server(n)
		s.Host = host
		c.PutServers = append(c.PutServers, lvs.ServerAt{Service: web, Server: s})
	}
	own := lvs.NewHost("lb1")
	own.MemorySize = 2048
	balancer := lvs.NewMember(lvs.MemberID{Cluster: "shop", Host: "lb1"})
	balancer.Role, balancer.Priority = lvs.LoadBalancer, 200
	c.PutHosts, c.PutMembers = append(c.PutHosts, own), append(c.PutMembers, balancer)
	return c
}

// TestWritesOfGroups makes a cluster in one write, changes each part of it, moves
// its service with the servers to another cluster, and deletes it.
func TestWritesOfGroups(t *testing.T) {
	for name, options := range map[string]func(*site){"transactions": func(*site) {}, "one by one": (*site).withoutTransactions} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ldaptest.Options{})
			options(s)
			made := shop()
			s.mustWrite(made)
			s.holds(s.config)
			own := func() *ldaptest.Entry {
				t.Helper()
				e, err := s.Read("cn=lb1,ou=host," + s.Base())
				if err != nil {
					t.Fatal(err)
				}
				return &e
			}
			if e := own(); e.Value(requestID) == "" || e.Value("lcmsMemorySize") != "2048" || e.Value("lcmsTcpTimeout") != "900" || e.Value(lastWriter) != "alice" {
				t.Errorf("the own host is %v", e)
			}

			// Each part is changed, and the own host in the same write as its mark.
			edit := shop()
			edit.PutClusters[0].AdminStatus, edit.PutClusters[0].DriftPolicy = lvs.AdminDrain, 0
			edit.PutHosts[0].Address, edit.PutHosts[0].CpuType = serverKey(9).Addr(), ""
			edit.PutHosts[2].MemorySize = 4096
			edit.PutMembers[0].Priority = 7
			edit.Timeouts = &lvs.Timeouts{UDP: 40}
			id := own().Value(requestID)
			s.mustWrite(edit)
			s.holds(s.config)
			if e := own(); e.Value(requestID) == id || e.Value("lcmsMemorySize") != "4096" || e.Value("lcmsTcpTimeout") != "" {
				t.Errorf("the own host is %v", e)
			}
			s.unchanged(func() { s.mustWrite(edit) })

			// A role is a place: the entry moves.
			edit.PutMembers[1].Role = lvs.Backup
			s.mustWrite(lvs.Change{PutMembers: edit.PutMembers[1:2]})
			s.holds(s.config)

			// The service goes to a new cluster with its servers: one is changed, one
			// deleted and one added on the way, and the old cluster is deleted.
			before := s.config
			other, moved, heavy := lvs.NewCluster("mart"), edit.PutServices[0], edit.PutServers[0]
			moved.Cluster, moved.Name = "mart", "moved"
			heavy.Server.Weight = 42
			move := lvs.Change{
				PutClusters: []lvs.Cluster{other}, DeleteClusters: []lvs.ClusterID{"shop"}, PutServices: []lvs.Service{moved},
				PutServers:    []lvs.ServerAt{heavy, {Service: web, Server: server(7)}},
				DeleteServers: []lvs.ServerID{{Service: web, Server: serverKey(1)}},
			}
			s.mustWrite(move)
			s.holds(s.config)
			if list, err := s.Search("(lcmsClusterId=shop)"); err != nil || len(list) > 0 {
				t.Errorf("of the old cluster there is %v, %v", list, err)
			}
			s.mustWrite(move.Inverse(before))
			s.holds(before)

			// Out of every cluster, and then all is deleted.
			moved.Cluster = ""
			s.mustWrite(lvs.Change{PutServices: []lvs.Service{moved}})
			s.holds(s.config)
			s.mustWrite(lvs.Change{DeleteServices: []lvs.ServiceKey{web}, DeleteClusters: []lvs.ClusterID{"shop", "mart"}, DeleteHosts: []lvs.HostName{"rs1", "rs2"}, Timeouts: &lvs.Timeouts{}})
			s.holds(s.config)
			s.unchanged(func() {
				kindOf(t, s.write(lvs.Change{DeleteHosts: []lvs.HostName{"lb1"}}), lvs.ErrConflict, "own host")
			})
		})
	}
}

// TestFirstWriteOfEachKind: whatever comes first, the own host is made for its
// mark, with what is to be known of it.
func TestFirstWriteOfEachKind(t *testing.T) {
	own := lvs.NewHost("lb1")
	own.CpuType = "8 x"
	master := lvs.NewSyncDaemon(lvs.DaemonMaster)
	master.Interface = "eth0"
	for name, c := range map[string]lvs.Change{
		"timeouts":    {Timeouts: &lvs.Timeouts{TCP: 5}},
		"own host":    {PutHosts: []lvs.Host{own}},
		"both":        {PutHosts: []lvs.Host{own}, Timeouts: &lvs.Timeouts{TCP: 5}, PutDaemons: []lvs.SyncDaemon{master}},
		"cluster":     {PutClusters: []lvs.Cluster{lvs.NewCluster("shop")}},
		"sync daemon": {PutDaemons: []lvs.SyncDaemon{master}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ldaptest.Options{})
			if err := s.DeleteTree("ou=host," + s.Base()); err != nil {
				t.Fatal(err)
			}
			s.mustWrite(c)
			s.holds(s.config)
			e, err := s.Read("cn=lb1,ou=host," + s.Base())
			if err != nil || e.Value(requestID) == "" || !slices.Contains(e.Attributes["objectClass"], directorClass) {
				t.Errorf("the own host is %v, %v", e, err)
			}
		})
	}
}

// TestOwnHostOfAnAdministrator: what somebody else has made of the own host stays,
// and becomes a director's.
func TestOwnHostOfAnAdministrator(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	if err := s.Add("dn: cn=lb1,ou=host," + s.Base() + "\nobjectClass: device\nobjectClass: lcmsHost\ncn: lb1\nserialNumber: 17\n"); err != nil {
		t.Fatal(err)
	}
	s.mustWrite(lvs.Change{Timeouts: &lvs.Timeouts{TCP: 5}})
	s.holds(s.config)
	e, err := s.Read("cn=lb1,ou=host," + s.Base())
	if err != nil || e.Value("serialNumber") != "17" || e.Value(requestID) == "" || e.Value("lcmsTcpTimeout") != "5" {
		t.Errorf("the own host is %v, %v", e, err)
	}
}

// TestStaleGroupsChangeNothing: what somebody else has done to groups meanwhile is
// told, and nothing of the write is made.
func TestStaleGroupsChangeNothing(t *testing.T) {
	replace := func(s *site, rdn, attribute, value string) error {
		return s.Modify("dn: " + rdn + "," + s.Base() + "\nchangetype: modify\nreplace: " + attribute + "\n" + attribute + ": " + value + "\n")
	}
	const cluster = "lcmsClusterId=shop,ou=load_cluster"
	edit := shop()
	edit.PutClusters[0].AdminStatus = lvs.AdminDown
	edit.PutHosts[0].CpuType, edit.PutHosts[2].CpuType = "8 x", "8 x"
	backup := edit.PutMembers[0]
	backup.Role = lvs.Backup
	for name, tc := range map[string]struct {
		between func(s *site) error
		change  lvs.Change
		words   []string
	}{
		"cluster edited": {func(s *site) error { return replace(s, cluster, "lcmsServiceType", "web") },
			lvs.Change{PutHosts: edit.PutHosts[:1], PutClusters: edit.PutClusters}, []string{"cluster shop", "has just been changed"}},
		"cluster gone": {func(s *site) error { return s.DeleteTree(cluster + "," + s.Base()) },
			lvs.Change{PutClusters: edit.PutClusters}, []string{"cluster shop", "no longer there"}},
		"cluster created": {func(s *site) error {
			return s.Add("dn: lcmsClusterId=mart,ou=load_cluster," + s.Base() + "\nobjectClass: lcmsCluster\nlcmsClusterId: mart\n")
		}, lvs.Change{PutClusters: []lvs.Cluster{lvs.NewCluster("mart")}}, []string{"cluster mart", "has just been created"}},
		"member edited": {func(s *site) error { return replace(s, "cn=rs1,ou=real_server,"+cluster, "lcmsPriority", "3") },
			lvs.Change{PutMembers: []lvs.Member{backup}}, []string{"member rs1 of cluster shop", "has just been changed"}},
		"member gone": {func(s *site) error { return s.Delete("cn=rs1,ou=real_server," + cluster + "," + s.Base()) },
			lvs.Change{PutMembers: []lvs.Member{backup}}, []string{"no longer there"}},
		"host edited": {func(s *site) error { return replace(s, "cn=rs1,ou=host", "lcmsMemorySize", "3") },
			lvs.Change{PutHosts: edit.PutHosts[:1]}, []string{"host rs1", "has just been changed"}},
		"host cannot be": {func(s *site) error { return replace(s, "cn=rs1,ou=host", "lcmsSnmpUri", "http://x") },
			lvs.Change{PutHosts: edit.PutHosts[:1]}, []string{"lcmsSnmpUri"}},
		"own host edited": {func(s *site) error { return replace(s, "cn=lb1,ou=host", "lcmsMemorySize", "3") },
			lvs.Change{PutHosts: edit.PutHosts[2:]}, []string{"host lb1", "has just been changed"}},
		"timeouts edited": {func(s *site) error { return replace(s, "cn=lb1,ou=host", "lcmsUdpTimeout", "3") },
			lvs.Change{Timeouts: &lvs.Timeouts{TCP: 7}}, []string{"has just been changed"}},
		"host created": {func(s *site) error {
			return s.Add("dn: cn=rs9,ou=host," + s.Base() + "\nobjectClass: device\nobjectClass: lcmsHost\ncn: rs9\n")
		}, lvs.Change{PutHosts: []lvs.Host{lvs.NewHost("rs9")}}, []string{"host rs9", "has just been created"}},
		"host of others": {func(s *site) error {
			return s.Add("dn: cn=rs9,ou=host," + s.Base() + "\nobjectClass: device\ncn: rs9\n")
		}, lvs.Change{PutHosts: []lvs.Host{lvs.NewHost("rs9")}}, []string{"add the objectClass lcmsHost"}},
		"cluster with services of other directors": {func(s *site) error {
			return s.Add("dn: lcmsKey=tcp:192.0.2.9:80,ou=virtual_service," + cluster + "," + s.Base() + "\nobjectClass: lcmsVirtualService\nlcmsKey: tcp:192.0.2.9:80\n")
		}, lvs.Change{DeleteClusters: []lvs.ClusterID{"shop"}, DeleteServices: []lvs.ServiceKey{web}}, []string{"cluster shop", "tcp:192.0.2.9:80", "would be deleted with it"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ldaptest.Options{})
			s.mustWrite(shop())
			if err := tc.between(s); err != nil {
				t.Fatal(err)
			}
			s.unchanged(func() { kindOf(t, s.write(tc.change), lvs.ErrConflict, tc.words...) })
		})
	}
}

// TestImpossibleGroupsAreRefused: what could not be read back does not reach the
// server, and nothing of the write is made.
func TestImpossibleGroupsAreRefused(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	heavy, cluster, host := shop(), shop(), shop()
	heavy.PutServers[1].Server.Status, heavy.PutServers[1].Server.Weight = lvs.NotReady, 1<<30
	cluster.PutClusters[0].Status, cluster.PutClusters[0].VirtualAddresses = lvs.NotReady, "nowhere"
	host.PutHosts[0].Status, host.PutHosts[0].CpuType = lvs.NotReady, strings.Repeat("x", lvs.MaxType+1)
	for attribute, c := range map[string]lvs.Change{"lcmsWeight": heavy, "lcmsVirtualAddress": cluster, "lcmsCpuType": host} {
		s.unchanged(func() { kindOf(t, s.write(c), lvs.ErrInvalid, attribute) })
	}
}
