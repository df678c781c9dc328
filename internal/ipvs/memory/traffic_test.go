package memory_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/lvs"
)

// kernel returns a kernel with one service and servers 10.0.0.1 and so on of
// the given weights.
func kernel(t testing.TB, service string, weights ...uint32) (*memory.Kernel, lvs.ServiceSpec) {
	t.Helper()
	key, err := lvs.ParseServiceKey(service)
	if err != nil {
		t.Fatal(err)
	}
	k := memory.New(memory.Options{})
	spec := lvs.ServiceSpec{Key: key, Scheduler: "wrr"}
	apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(spec)})
	for i, w := range weights {
		apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(spec), Server: &lvs.ServerSpec{Key: nth(t, i+1), Weight: w}})
	}
	return k, spec
}

func nth(t testing.TB, n int) lvs.ServerKey {
	k, err := lvs.NewServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 80))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func apply(t testing.TB, k *memory.Kernel, op lvs.Op) {
	t.Helper()
	if err := k.Apply(t.Context(), op); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, k *memory.Kernel) *lvs.Actual {
	t.Helper()
	a, err := k.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTrafficFollowsWeights(t *testing.T) {
	k, spec := kernel(t, "tcp:192.0.2.1:80", 1, 2, 0, 5)
	k.SetTraffic(lvs.ServiceKey{}, memory.Traffic{Connections: 80, Duration: time.Second, InPackets: 6, OutPackets: 4, InBytes: 600, OutBytes: 4000})
	k.Advance(100 * time.Second)
	a := read(t, k)
	for i, want := range []uint64{1000, 2000, 0, 5000} {
		s := a.Services[0].Servers[i]
		// The last whole connection may still be on its way.
		if s.Connections+1 < want || s.Connections > want || s.InPackets != 6*s.Connections || s.OutBytes != 4000*s.Connections {
			t.Errorf("server %d of weight %d: %+v, want %d connections", i, s.Weight, s, want)
		}
	}
	var sum uint64
	for _, s := range a.Services[0].Servers {
		sum += s.Connections
	}
	if a.Services[0].Connections != sum || a.Totals.Connections != sum {
		t.Errorf("servers have %d connections, the service %d, all %d", sum, a.Services[0].Connections, a.Totals.Connections)
	}
	if r := a.Services[0].ConnectionRate; r < 79 || r > 80 {
		t.Errorf("rate %d of 80 connections per second", r)
	}
	if r := a.Totals.OutByteRate; r < 79*4000 || r > 80*4000 {
		t.Errorf("rate %d of 320000 octets per second", r)
	}
	if err := k.Zero(t.Context(), spec.Key); err != nil {
		t.Fatal(err)
	}
	if a = read(t, k); a.Services[0].Stats != (lvs.Stats{}) || a.Services[0].Servers[0].Stats != (lvs.Stats{}) || a.Totals.Connections != sum {
		t.Errorf("after zero: %+v, totals %+v", a.Services[0], a.Totals)
	}
}

func TestTrafficIsDeterministic(t *testing.T) {
	var first *lvs.Actual
	for range 3 {
		k, spec := kernel(t, "tcp:192.0.2.1:80", 3, 7, 11)
		k.SetTraffic(spec.Key, memory.Traffic{Connections: 33, Duration: 700 * time.Millisecond, InBytes: 1})
		for range 50 {
			k.Advance(333 * time.Millisecond)
		}
		a := read(t, k)
		if first == nil {
			first = a
		}
		if !a.Services[0].Same(first.Services[0]) || a.Totals != first.Totals {
			t.Fatalf("%+v, in all %+v\nthen %+v, in all %+v", first.Services[0], first.Totals, a.Services[0], a.Totals)
		}
	}
}

func TestDrainEnds(t *testing.T) {
	k, spec := kernel(t, "tcp:192.0.2.1:80", 1, 1)
	k.SetTraffic(spec.Key, memory.Traffic{Connections: 100, Duration: 10 * time.Second})
	k.Advance(30 * time.Second)
	before := read(t, k).Services[0].Servers[0]
	if before.ActiveConnections < 100 {
		t.Fatalf("%+v", before)
	}
	apply(t, k, lvs.Op{Do: lvs.EditServer, Service: new(spec), Server: &lvs.ServerSpec{Key: before.Key, Weight: 0}})
	k.Advance(5 * time.Second)
	during := read(t, k).Services[0].Servers[0]
	if during.Connections != before.Connections || during.ActiveConnections >= before.ActiveConnections || during.ActiveConnections == 0 {
		t.Errorf("before %+v, after 5 s %+v", before, during)
	}
	k.Advance(10 * time.Minute)
	if after := read(t, k).Services[0].Servers[0]; after.ActiveConnections != 0 || after.InactiveConnections != 0 {
		t.Errorf("after 10 minutes %+v", after)
	}
}

func TestUDPHasNoActiveConnections(t *testing.T) {
	k, spec := kernel(t, "udp:192.0.2.1:53", 1)
	k.SetTraffic(spec.Key, memory.Traffic{Connections: 10})
	k.Advance(10 * time.Second)
	if s := read(t, k).Services[0].Servers[0]; s.ActiveConnections != 0 || s.InactiveConnections == 0 {
		t.Errorf("%+v", s)
	}
}

func TestThresholdHoldsTrafficBack(t *testing.T) {
	k, spec := kernel(t, "tcp:192.0.2.1:80")
	apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(spec), Server: &lvs.ServerSpec{Key: nth(t, 1), Weight: 1, UpperThreshold: 5}})
	k.SetConnections(spec.Key, nth(t, 1), 5, 0)
	k.SetTraffic(spec.Key, memory.Traffic{Connections: 10, Duration: time.Hour})
	k.Advance(time.Second)
	if s := read(t, k).Services[0].Servers[0]; s.Connections != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFailures(t *testing.T) {
	k, spec := kernel(t, "tcp:192.0.2.1:80", 1)
	edit := lvs.Op{Do: lvs.EditServer, Service: new(spec), Server: &lvs.ServerSpec{Key: nth(t, 1), Weight: 9}}
	add := lvs.Op{Do: lvs.AddServer, Service: new(spec), Server: &lvs.ServerSpec{Key: nth(t, 2)}}
	edits, any := errors.New("edits"), errors.New("any")
	k.FailNext(lvs.EditServer, edits)
	k.FailNext(0, any)
	for _, step := range []struct {
		op   lvs.Op
		want error
	}{{add, any}, {add, nil}, {edit, edits}, {edit, nil}} {
		if err := k.Apply(t.Context(), step.op); !errors.Is(err, step.want) {
			t.Errorf("%v: %v, want %v", step.op, err, step.want)
		}
	}
	if a := read(t, k); len(a.Services[0].Servers) != 2 || a.Services[0].Servers[0].Weight != 9 {
		t.Errorf("%+v", a)
	}
}

func TestReadFailsOnceAndDelays(t *testing.T) {
	k, _ := kernel(t, "tcp:192.0.2.1:80", 1)
	broken := errors.New("broken")
	k.FailRead(broken)
	if _, err := k.Read(t.Context()); !errors.Is(err, broken) {
		t.Error(err)
	}
	read(t, k)
	k.DelayReads(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := k.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestFlush(t *testing.T) {
	k, spec := kernel(t, "tcp:192.0.2.1:80", 1, 2)
	k.Flush()
	if a := read(t, k); len(a.Services) != 0 {
		t.Errorf("%+v", a)
	}
	apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(spec)})
}

func BenchmarkRead(b *testing.B) {
	const n = 100_000
	weights := make([]uint32, n)
	k, _ := kernel(b, "tcp:192.0.2.1:80", weights...)
	b.ReportAllocs()
	for b.Loop() {
		if a := read(b, k); len(a.Services[0].Servers) != n {
			b.Fatal(len(a.Services[0].Servers))
		}
	}
}
