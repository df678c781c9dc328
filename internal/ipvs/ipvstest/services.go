package ipvstest

import (
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Schedulers are those of Linux 6.1 as Debian builds it for User-Mode Linux.
var Schedulers = []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"}

// Keys of every kind.
var keys = []string{
	"tcp:192.0.2.1:80", "udp:192.0.2.1:53", "sctp:192.0.2.1:3868", "tcp:192.0.2.1:65535", "tcp:0.0.0.0:80",
	"tcp:[2001:db8::1]:80", "udp:[2001:db8::1]:53", "sctp:[2001:db8::1]:3868",
	"fwm4:1", "fwm4:4294967295", "fwm6:1", "fwm6:4294967295",
}

// variants are services that differ from a plain one in what they have beside
// the key, in normal form.
func variants(key lvs.ServiceKey) []lvs.ServiceSpec {
	full := uint8(key.Family().Bits())
	plain := lvs.ServiceSpec{Key: key, Scheduler: "wlc", PersistenceNetmask: full}
	vary := func(f func(*lvs.ServiceSpec)) lvs.ServiceSpec {
		s := plain
		f(&s)
		return s
	}
	return []lvs.ServiceSpec{
		plain,
		vary(func(s *lvs.ServiceSpec) { s.PersistenceTimeout = 1 }),
		vary(func(s *lvs.ServiceSpec) { s.PersistenceTimeout, s.PersistenceNetmask = lvs.MaxTimeout, 1 }),
		vary(func(s *lvs.ServiceSpec) { s.PersistenceTimeout, s.PersistenceNetmask = 300, full-8 }),
		vary(func(s *lvs.ServiceSpec) { s.PersistenceNetmask = 17 }), // kept, though without effect
		vary(func(s *lvs.ServiceSpec) { s.PersistenceTimeout, s.PersistenceEngine = 300, "sip" }),
		vary(func(s *lvs.ServiceSpec) { s.Scheduler, s.SchedulerFlags = "sh", lvs.SchedulerFlag1|lvs.SchedulerFlag2 }),
		vary(func(s *lvs.ServiceSpec) { s.Scheduler, s.SchedulerFlags = "mh", lvs.SchedulerFlag3 }),
		vary(func(s *lvs.ServiceSpec) { s.OnePacket = true }),
		vary(func(s *lvs.ServiceSpec) {
			s.Scheduler, s.SchedulerFlags, s.OnePacket = "mh", 7, true
			s.PersistenceTimeout, s.PersistenceNetmask, s.PersistenceEngine = 60, 24, "sip"
		}),
	}
}

func testServices(t *testing.T, k Kernel) {
	one := func(spec lvs.ServiceSpec) {
		reversible(t, k, lvs.Op{Do: lvs.AddService, Service: new(spec)}, func(after *table) bool {
			return len(after.services) == 1 && after.services[spec.Key] == spec
		})
	}
	for _, text := range keys {
		for _, spec := range variants(serviceKey(t, text)) {
			one(spec)
		}
	}
	for i, name := range Schedulers {
		spec := variants(serviceKey(t, keys[i%len(keys)]))[0]
		spec.Scheduler = name
		one(spec)
	}
	// All keys side by side: none is taken for another.
	for _, text := range keys {
		apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(variants(serviceKey(t, text))[0])})
	}
	if got := readTable(t, k); len(got.services) != len(keys) {
		t.Errorf("%d services of %d", len(got.services), len(keys))
	}
	// Netmask 0 has a normal form.
	for _, text := range []string{"tcp:192.0.2.9:80", "tcp:[2001:db8::9]:80"} {
		key := serviceKey(t, text)
		apply(t, k, lvs.Op{Do: lvs.AddService, Service: &lvs.ServiceSpec{Key: key, Scheduler: "rr"}})
		if got := readTable(t, k).services[key].PersistenceNetmask; int(got) != key.Family().Bits() {
			t.Errorf("netmask 0 of %s is read as %d", key, got)
		}
	}
}

// testServiceEdits changes every variant into every other and back, so that what
// is set is also cleared.
func testServiceEdits(t *testing.T, k Kernel) {
	for _, text := range []string{"udp:192.0.2.1:53", "tcp:[2001:db8::1]:80", "fwm6:7"} {
		all := variants(serviceKey(t, text))
		apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(all[0])})
		server := lvs.ServerSpec{Key: serverKey(t, "10.0.0.11:53"), Forwarding: lvs.Tunnel, Weight: 3}
		apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(all[0]), Server: new(server)})
		for i, from := range all {
			apply(t, k, lvs.Op{Do: lvs.EditService, Service: new(from)})
			for _, to := range all[i:] {
				reversible(t, k, lvs.Op{Do: lvs.EditService, Service: new(to), OldService: new(from)}, func(after *table) bool {
					return after.services[to.Key] == to && after.servers[member{to.Key, server.Key}] == server
				})
			}
		}
	}
}

func testDeleteService(t *testing.T, k Kernel) {
	spec := variants(serviceKey(t, "tcp:192.0.2.1:80"))[0]
	empty := readTable(t, k)
	apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(spec)})
	reversible(t, k, lvs.Op{Do: lvs.DeleteService, Service: new(spec)}, func(after *table) bool { return after.equal(empty) })
	for n := range 3 {
		apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(spec), Server: &lvs.ServerSpec{Key: nthServer(t, n+1)}})
	}
	apply(t, k, lvs.Op{Do: lvs.DeleteService, Service: new(spec)})
	if after := readTable(t, k); !after.equal(empty) {
		t.Errorf("servers outlive their service:\n%v", after)
	}
}
