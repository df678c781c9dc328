package ipvstest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// servers are servers of every kind for a service of either IP version.
func servers(t *testing.T, service lvs.ServiceKey) []lvs.ServerSpec {
	own, other := serverKey(t, "10.0.0.11:8080"), serverKey(t, "[2001:db8:1::11]:8080")
	if service.Family() == lvs.IPv6 {
		own, other = other, own
	}
	all := []lvs.ServerSpec{
		{Key: own, Forwarding: lvs.Local},
		{Key: own, Forwarding: lvs.DirectRoute, Weight: 1},
		{Key: own, Forwarding: lvs.Bypass, Weight: 1}, // as other programs may leave it
		{Key: own, UpperThreshold: 10},
		{Key: own, UpperThreshold: 4294967295, LowerThreshold: 4294967295},
	}
	for _, weight := range []uint32{0, 1, 255, 256, 300, 65535, 2147483647} {
		all = append(all, lvs.ServerSpec{Key: own, Weight: weight})
	}
	for _, key := range []lvs.ServerKey{own, other} {
		for flags := range lvs.TunnelFlags(4) {
			all = append(all,
				lvs.ServerSpec{Key: key, Forwarding: lvs.Tunnel, Weight: 1, TunnelFlags: flags},
				lvs.ServerSpec{Key: key, Forwarding: lvs.Tunnel, Weight: 1, TunnelType: lvs.GRE, TunnelFlags: flags},
				lvs.ServerSpec{Key: key, Forwarding: lvs.Tunnel, Weight: 1, TunnelType: lvs.GUE, TunnelPort: 6080, TunnelFlags: flags})
		}
	}
	return all
}

func testServers(t *testing.T, k Kernel) {
	for _, text := range []string{"tcp:192.0.2.1:80", "udp:[2001:db8::1]:53", "fwm4:7", "fwm6:7"} {
		service := variants(serviceKey(t, text))[0]
		apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(service)})
		for i, server := range servers(t, service.Key) {
			add := lvs.Op{Do: lvs.AddServer, Service: new(service), Server: new(server)}
			reversible(t, k, add, func(after *table) bool {
				return len(after.servers) == 1 && after.servers[member{service.Key, server.Key}] == server
			})
			if i%3 == 0 { // a delete knows nothing but the key
				apply(t, k, add)
				reversible(t, k, add.Inverse(), func(after *table) bool { return len(after.servers) == 0 })
				apply(t, k, add.Inverse())
			}
		}
	}
}

func testServerEdits(t *testing.T, k Kernel) {
	for _, text := range []string{"tcp:192.0.2.1:80", "tcp:[2001:db8::1]:80"} {
		service := variants(serviceKey(t, text))[0]
		apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(service)})
		all := servers(t, service.Key)
		other := lvs.ServerSpec{Key: serverKey(t, "10.9.9.9:80"), Forwarding: lvs.Tunnel, Weight: 5}
		apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service), Server: new(other)})
		apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service), Server: new(all[0])})
		for i, from := range all {
			if from.Key != all[0].Key {
				continue
			}
			apply(t, k, lvs.Op{Do: lvs.EditServer, Service: new(service), Server: new(from)})
			for j, to := range all[:i] {
				if to.Key != from.Key || (i+j)%3 != 0 { // a third of the pairs meets every field
					continue
				}
				reversible(t, k, lvs.Op{Do: lvs.EditServer, Service: new(service), Server: new(to), OldServer: new(from)}, func(after *table) bool {
					return after.servers[member{service.Key, to.Key}] == to && after.servers[member{service.Key, other.Key}] == other
				})
			}
		}
	}
}

func testConcurrent(t *testing.T, k Kernel) {
	const workers, rounds = 4, 15
	var wg sync.WaitGroup
	for w := range workers {
		service := lvs.ServiceSpec{Key: serviceKey(t, fmt.Sprintf("fwm4:%d", w+1)), Scheduler: "rr", PersistenceNetmask: 32}
		server := lvs.ServerSpec{Key: nthServer(t, w+1), Weight: 1}
		wg.Go(func() {
			for range rounds {
				for _, op := range []lvs.Op{
					{Do: lvs.AddService, Service: new(service)},
					{Do: lvs.AddServer, Service: new(service), Server: new(server)},
					{Do: lvs.DeleteService, Service: new(service)},
				} {
					if err := k.Apply(context.WithoutCancel(t.Context()), op); err != nil {
						t.Errorf("%v: %v", op, err)
					}
				}
				if _, err := k.Read(t.Context()); err != nil {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := read(t, k); len(got.Services) != 0 {
		t.Errorf("left: %+v", got.Services)
	}
}

func testManyServers(t *testing.T, k Kernel) {
	const n = 2000
	service := variants(serviceKey(t, "tcp:192.0.2.1:80"))[0]
	apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(service)})
	for i := range n {
		apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service), Server: &lvs.ServerSpec{Key: nthServer(t, i+1), Weight: uint32(i)}})
	}
	got := readTable(t, k)
	if len(got.servers) != n {
		t.Errorf("%d servers of %d", len(got.servers), n)
	}
	for i := range n {
		if s := got.servers[member{service.Key, nthServer(t, i+1)}]; s.Weight != uint32(i) {
			t.Fatalf("server %d: %+v", i, s)
		}
	}
	for i := range n / 2 {
		apply(t, k, lvs.Op{Do: lvs.DeleteServer, Service: new(service), Server: &lvs.ServerSpec{Key: nthServer(t, 2*i+1)}})
	}
	got = readTable(t, k)
	if len(got.servers) != n/2 {
		t.Errorf("%d servers of %d", len(got.servers), n/2)
	}
	for m, s := range got.servers {
		if m.server != nthServer(t, int(s.Weight)+1) || s.Weight%2 == 0 {
			t.Fatalf("server %v: %+v", m, s)
		}
	}
}
