package ipvstest

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// table is what was configured in a kernel, by name: counters and order are
// no part of it.
type table struct {
	services map[lvs.ServiceKey]lvs.ServiceSpec
	servers  map[member]lvs.ServerSpec
	daemons  map[lvs.DaemonState]lvs.Daemon
	timeouts lvs.Timeouts
}

type member struct {
	service lvs.ServiceKey
	server  lvs.ServerKey
}

func read(t *testing.T, k Kernel) *lvs.Actual {
	t.Helper()
	a, err := k.Read(t.Context())
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return a
}

func readTable(t *testing.T, k Kernel) *table {
	t.Helper()
	a := read(t, k)
	b := &table{
		services: make(map[lvs.ServiceKey]lvs.ServiceSpec),
		servers:  make(map[member]lvs.ServerSpec),
		daemons:  make(map[lvs.DaemonState]lvs.Daemon),
		timeouts: a.Timeouts,
	}
	n := 0
	for _, s := range a.Services {
		b.services[s.Key] = s.ServiceSpec
		for _, d := range s.Servers {
			b.servers[member{s.Key, d.Key}] = d.ServerSpec
			n++
		}
	}
	for _, d := range a.Daemons {
		b.daemons[d.State] = d
	}
	if len(b.services) != len(a.Services) || len(b.servers) != n || len(b.daemons) != len(a.Daemons) {
		t.Errorf("the reading has an object twice: %+v", a)
	}
	return b
}

func (b *table) equal(c *table) bool {
	return maps.Equal(b.services, c.services) && maps.Equal(b.servers, c.servers) &&
		maps.Equal(b.daemons, c.daemons) && b.timeouts == c.timeouts
}

func (b *table) String() string {
	return fmt.Sprintf("services %+v\nservers %+v\ndaemons %+v\ntimeouts %+v", b.services, b.servers, b.daemons, b.timeouts)
}

func apply(t *testing.T, k Kernel, op lvs.Op) {
	t.Helper()
	if err := k.Apply(t.Context(), op); err != nil {
		t.Fatalf("%v: %v", op, err)
	}
}

// reversible applies op, has the outcome checked, applies its inverse and
// demands the table that was there before.
func reversible(t *testing.T, k Kernel, op lvs.Op, check func(after *table) bool) {
	t.Helper()
	before := readTable(t, k)
	apply(t, k, op)
	if after := readTable(t, k); !check(after) {
		t.Errorf("after %v of %+v %+v:\n%v", op, op.Service, op.Server, after)
	}
	apply(t, k, op.Inverse())
	if after := readTable(t, k); !after.equal(before) {
		t.Errorf("%v and its inverse leave\n%v\nnot\n%v", op, after, before)
	}
}

func serviceKey(t testing.TB, s string) lvs.ServiceKey {
	t.Helper()
	k, err := lvs.ParseServiceKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func serverKey(t testing.TB, s string) lvs.ServerKey {
	t.Helper()
	k, err := lvs.ParseServerKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// nthServer returns one of many server keys.
func nthServer(t testing.TB, n int) lvs.ServerKey {
	t.Helper()
	k, err := lvs.NewServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 80))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
