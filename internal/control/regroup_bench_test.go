package control

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// BenchmarkRegroup makes rows of 1,000 hosts, 1,000 members and 100 clusters with
// 10,000 servers anew: those of one cluster, which is what a change of a state
// costs, and all of them.
func BenchmarkRegroup(b *testing.B) {
	c := New(Options{Host: "d1"})
	change := lvs.Change{Dangling: true}
	for i := range 1000 {
		host, cluster := lvs.HostName(fmt.Sprintf("h%d", i)), lvs.ClusterID(fmt.Sprintf("c%d", i/10))
		change.PutHosts = append(change.PutHosts, lvs.NewHost(host))
		change.PutMembers = append(change.PutMembers, lvs.NewMember(lvs.MemberID{Cluster: cluster, Host: host}))
		if i%10 == 0 {
			change.PutClusters = append(change.PutClusters, lvs.NewCluster(cluster))
		}
		key, err := lvs.AddressKey(lvs.TCP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80))
		if err != nil {
			b.Fatal(err)
		}
		s := lvs.NewService(key)
		s.Cluster = cluster
		change.PutServices = append(change.PutServices, s)
		for j := range 10 {
			k, err := lvs.NewServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), byte(j)}), 80))
			if err != nil {
				b.Fatal(err)
			}
			server := lvs.NewServer(k)
			server.Host = lvs.HostName(fmt.Sprintf("h%d", i/10*10+j))
			change.PutServers = append(change.PutServers, lvs.ServerAt{Service: key, Server: server})
		}
	}
	var err error
	if c.desired, err = c.desired.Apply(&change); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	for s := range c.desired.Services {
		c.update(s.Key, nil, now)
	}
	c.reconciled = true
	for name, stale := range map[string]func(){"one": func() { c.restless["c7"] = true }, "all": func() { c.regrouping = true }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stale()
				c.regroup()
			}
			if len(c.groupRows.members) != 1000 {
				b.Fatal(len(c.groupRows.members))
			}
		})
	}
}
