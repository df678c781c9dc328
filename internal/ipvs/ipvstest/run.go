package ipvstest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Kernel is what is tested.
type Kernel interface {
	Read(ctx context.Context) (*lvs.Actual, error)
	Apply(ctx context.Context, op lvs.Op) error
	Supports(scheduler, engine string) error
	Zero(ctx context.Context, key lvs.ServiceKey) error
}

// Interface is the one network interface that a kernel under test must have
// beside lo. Its MTU is 1500.
const Interface = "sync0"

// Run tests a kernel. The function must return an empty one each time, with
// the timeouts it starts with.
func Run(t *testing.T, open func(*testing.T) Kernel) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Kernel)
	}{
		{"Empty", testEmpty},
		{"Services", testServices},
		{"ServiceEdits", testServiceEdits},
		{"Servers", testServers},
		{"ServerEdits", testServerEdits},
		{"DeleteService", testDeleteService},
		{"Unchanged", testUnchanged},
		{"Timeouts", testTimeouts},
		{"Daemons", testDaemons},
		{"MixedFamiliesAndDaemons", testMixed},
		{"Refusals", testRefusals},
		{"Supports", testSupports},
		{"Zero", testZero},
		{"Cancelled", testCancelled},
		{"Concurrent", testConcurrent},
		{"ManyServers", testManyServers},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func testEmpty(t *testing.T, k Kernel) {
	a := read(t, k)
	if len(a.Services)+len(a.Daemons) != 0 {
		t.Errorf("the kernel is not empty: %+v", a)
	}
	if a.Version == "" || a.ConnectionTableSize == 0 || a.At.IsZero() || a.Timeouts != (lvs.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}) {
		t.Errorf("%+v", a)
	}
}

// testUnchanged looks for what readings have in common: a service that stays as it
// is takes no memory twice.
func testUnchanged(t *testing.T, k Kernel) {
	var services []lvs.ServiceSpec
	for _, text := range []string{"tcp:192.0.2.1:80", "tcp:192.0.2.2:80"} {
		spec := lvs.ServiceSpec{Key: serviceKey(t, text), Scheduler: "rr"}
		apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(spec)})
		apply(t, k, lvs.Op{Do: lvs.AddServer, Service: new(spec), Server: &lvs.ServerSpec{Key: serverKey(t, "10.0.0.1:80"), Weight: 1}})
		services = append(services, spec)
	}
	find := func(a *lvs.Actual, spec lvs.ServiceSpec) *lvs.ActualService {
		i := slices.IndexFunc(a.Services, func(s *lvs.ActualService) bool { return s.Key == spec.Key })
		if i < 0 {
			t.Fatalf("%s is not there", spec.Key)
		}
		return a.Services[i]
	}
	before := read(t, k)
	apply(t, k, lvs.Op{Do: lvs.EditServer, Service: new(services[1]), Server: &lvs.ServerSpec{Key: serverKey(t, "10.0.0.1:80"), Weight: 2}})
	after := read(t, k)
	if find(before, services[0]) != find(after, services[0]) {
		t.Error("a service that has not changed is there twice")
	}
	old, edited := find(before, services[1]), find(after, services[1])
	if old == edited || old.Servers[0].Weight != 1 || edited.Servers[0].Weight != 2 {
		t.Errorf("an edit changes a reading that was made before: %+v, then %+v", old, edited)
	}
}

func testTimeouts(t *testing.T, k Kernel) {
	old := read(t, k).Timeouts
	op := lvs.Op{Do: lvs.SetTimeouts, Timeouts: lvs.Timeouts{TCP: 1, TCPFin: 2, UDP: lvs.MaxTimeout}, OldTimeouts: old}
	reversible(t, k, op, func(after *table) bool { return after.timeouts == op.Timeouts })
	apply(t, k, lvs.Op{Do: lvs.SetTimeouts, Timeouts: lvs.Timeouts{TCPFin: 7}})
	if got := read(t, k).Timeouts; got != (lvs.Timeouts{TCP: old.TCP, TCPFin: 7, UDP: old.UDP}) {
		t.Errorf("0 does not keep a timeout: %+v", got)
	}
}

func testSupports(t *testing.T, k Kernel) {
	for _, s := range Schedulers {
		if err := k.Supports(s, ""); err != nil {
			t.Errorf("scheduler %s: %v", s, err)
		}
	}
	if err := k.Supports("wlc", "sip"); err != nil {
		t.Errorf("engine sip: %v", err)
	}
	for _, names := range [][2]string{{"bogus", ""}, {"", ""}, {"../rr", ""}, {"wlc", "bogus"}} {
		if err := k.Supports(names[0], names[1]); !errors.Is(err, lvs.ErrInvalid) {
			t.Errorf("scheduler %q, engine %q: %v", names[0], names[1], err)
		}
	}
}

func testZero(t *testing.T, k Kernel) {
	key := serviceKey(t, "tcp:192.0.2.1:80")
	if err := k.Zero(t.Context(), key); !errors.Is(err, lvs.ErrNotFound) {
		t.Errorf("counters of a missing service: %v", err)
	}
	apply(t, k, lvs.Op{Do: lvs.AddService, Service: &lvs.ServiceSpec{Key: key, Scheduler: "rr"}})
	for _, key := range []lvs.ServiceKey{key, {}} {
		if err := k.Zero(t.Context(), key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	if a := read(t, k); len(a.Services) != 1 || a.Totals.Connections != 0 {
		t.Errorf("%+v", a)
	}
}

func testCancelled(t *testing.T, k Kernel) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	op := lvs.Op{Do: lvs.AddService, Service: &lvs.ServiceSpec{Key: serviceKey(t, "tcp:192.0.2.1:80"), Scheduler: "rr"}}
	if err := k.Apply(ctx, op); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v", err)
	}
	if _, err := k.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	if n := len(read(t, k).Services); n != 0 {
		t.Errorf("%d services after a cancelled operation", n)
	}
}
