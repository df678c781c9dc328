package ipvstest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// refused demands that op is refused with the kind and the field, names its
// object, and changes nothing.
func refused(t *testing.T, k Kernel, op lvs.Op, kind error, field string) {
	t.Helper()
	before := readTable(t, k)
	err := k.Apply(t.Context(), op)
	var r *lvs.Refusal
	switch {
	case err == nil:
		t.Errorf("%v of %+v %+v %+v was done", op, op.Service, op.Server, op.Daemon)
	case !errors.Is(err, kind) || !errors.As(err, &r):
		t.Errorf("%v: %v: not a refusal of the kind %q", op, err, kind)
	case r.Field != field:
		t.Errorf("%v: %v: field %q, want %q", op, err, r.Field, field)
	default:
		t.Logf("%v: %v", op, err)
	}
	switch op.Do {
	case lvs.AddServer, lvs.EditServer, lvs.DeleteServer:
		if r != nil && !op.Server.Key.IsZero() && !strings.Contains(err.Error(), op.Server.Key.String()) {
			t.Errorf("%v: %v: does not name the server", op, err)
		}
	case lvs.AddService, lvs.EditService, lvs.DeleteService:
		if r != nil && !strings.Contains(err.Error(), op.Service.Key.String()) {
			t.Errorf("%v: %v: does not name the service", op, err)
		}
	}
	if after := readTable(t, k); !after.equal(before) {
		t.Errorf("%v was refused and changed the table to\n%v\nfrom\n%v", op, after, before)
	}
}

func testRefusals(t *testing.T, k Kernel) {
	service := variants(serviceKey(t, "tcp:192.0.2.1:80"))[0]
	service6 := variants(serviceKey(t, "tcp:[2001:db8::1]:80"))[0]
	missing := variants(serviceKey(t, "tcp:192.0.2.2:80"))[0]
	server := lvs.ServerSpec{Key: serverKey(t, "10.0.0.11:80"), Weight: 1}
	absent := lvs.ServerSpec{Key: serverKey(t, "10.0.0.12:80"), Weight: 1}
	daemon := lvs.Daemon{State: lvs.DaemonMaster, Interface: Interface}
	for _, op := range []lvs.Op{
		{Do: lvs.AddService, Service: new(service)},
		{Do: lvs.AddService, Service: new(service6)},
		{Do: lvs.AddServer, Service: new(service), Server: new(server)},
		{Do: lvs.StartDaemon, Daemon: new(daemon)},
	} {
		apply(t, k, op)
	}

	// What is there, and what is not.
	for _, s := range []lvs.ServiceSpec{service, service6} {
		refused(t, k, lvs.Op{Do: lvs.AddService, Service: new(s)}, lvs.ErrExists, "")
	}
	refused(t, k, lvs.Op{Do: lvs.EditService, Service: new(missing)}, lvs.ErrNotFound, "")
	refused(t, k, lvs.Op{Do: lvs.DeleteService, Service: new(missing)}, lvs.ErrNotFound, "")
	refused(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service), Server: new(server)}, lvs.ErrExists, "")
	for _, do := range []lvs.Operation{lvs.EditServer, lvs.DeleteServer} {
		refused(t, k, lvs.Op{Do: do, Service: new(service), Server: new(absent)}, lvs.ErrNotFound, "")
	}
	for _, do := range []lvs.Operation{lvs.AddServer, lvs.EditServer, lvs.DeleteServer} {
		refused(t, k, lvs.Op{Do: do, Service: new(missing), Server: new(server)}, lvs.ErrNotFound, "")
	}
	refused(t, k, lvs.Op{Do: lvs.StartDaemon, Daemon: new(daemon)}, lvs.ErrExists, "")
	refused(t, k, lvs.Op{Do: lvs.StopDaemon, Daemon: &lvs.Daemon{State: lvs.DaemonBackup}}, lvs.ErrNotFound, "")

	// Values of services, added and edited.
	for _, c := range []struct {
		field string
		spoil func(*lvs.ServiceSpec)
	}{
		{"Scheduler", func(s *lvs.ServiceSpec) { s.Scheduler = "" }},
		{"Scheduler", func(s *lvs.ServiceSpec) { s.Scheduler = "bogus" }},
		{"Scheduler", func(s *lvs.ServiceSpec) { s.Scheduler = "sixteen-letters-" }},
		{"Scheduler", func(s *lvs.ServiceSpec) { s.PersistenceTimeout, s.PersistenceEngine = 60, "bogus" }},
		{"PersistenceEngine", func(s *lvs.ServiceSpec) { s.PersistenceTimeout, s.PersistenceEngine = 60, "sixteen-letters-" }},
		{"PersistenceTimeout", func(s *lvs.ServiceSpec) { s.PersistenceTimeout = 4294967295 }},
		{"PersistenceNetmask", func(s *lvs.ServiceSpec) { s.PersistenceNetmask = uint8(s.Key.Family().Bits()) + 1 }},
		{"SchedulerFlags", func(s *lvs.ServiceSpec) { s.SchedulerFlags = 8 }},
	} {
		for _, op := range []lvs.Op{{Do: lvs.AddService, Service: new(missing)}, {Do: lvs.EditService, Service: new(service)}, {Do: lvs.EditService, Service: new(service6)}} {
			c.spoil(op.Service)
			refused(t, k, op, lvs.ErrInvalid, c.field)
		}
	}

	// Values of servers, added and edited.
	for _, c := range []struct {
		field string
		spoil func(*lvs.ServerSpec)
	}{
		{"Weight", func(s *lvs.ServerSpec) { s.Weight = 1 << 31 }},
		{"LowerThreshold", func(s *lvs.ServerSpec) { s.LowerThreshold = 1 }},
		{"LowerThreshold", func(s *lvs.ServerSpec) { s.UpperThreshold, s.LowerThreshold = 10, 11 }},
		{"TunnelPort", func(s *lvs.ServerSpec) { s.Forwarding, s.TunnelType = lvs.Tunnel, lvs.GUE }},
		{"TunnelPort", func(s *lvs.ServerSpec) { s.TunnelType = lvs.GUE }},
	} {
		for _, op := range []lvs.Op{{Do: lvs.AddServer, Service: new(service), Server: new(absent)}, {Do: lvs.EditServer, Service: new(service), Server: new(server)}} {
			c.spoil(op.Server)
			refused(t, k, op, lvs.ErrInvalid, c.field)
		}
	}
	for _, text := range []string{"0.0.0.0:80", "224.0.0.1:80", "255.255.255.255:80"} {
		refused(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service), Server: &lvs.ServerSpec{Key: serverKey(t, text)}}, lvs.ErrInvalid, "Key")
	}
	for _, text := range []string{"[::]:80", "[ff02::1]:80", "[fe80::1]:80"} {
		refused(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service6), Server: &lvs.ServerSpec{Key: serverKey(t, text)}}, lvs.ErrInvalid, "Key")
	}
	for _, f := range []lvs.Forwarding{lvs.Masquerade, lvs.Local, lvs.DirectRoute, lvs.Bypass} {
		refused(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service6), Server: &lvs.ServerSpec{Key: absent.Key, Forwarding: f}}, lvs.ErrInvalid, "Forwarding")
	}

	for field, v := range map[string]lvs.Timeouts{
		"TCP": {TCP: lvs.MaxTimeout + 1}, "TCPFin": {TCPFin: 1 << 31}, "UDP": {UDP: 1<<32 - 1},
	} {
		refused(t, k, lvs.Op{Do: lvs.SetTimeouts, Timeouts: v}, lvs.ErrInvalid, field)
	}

	for _, c := range []struct {
		field  string
		daemon lvs.Daemon
	}{
		{"State", lvs.Daemon{State: 3, Interface: Interface}},
		{"Interface", lvs.Daemon{State: lvs.DaemonBackup}},
		{"Interface", lvs.Daemon{State: lvs.DaemonBackup, Interface: "absent0"}},
		{"Interface", lvs.Daemon{State: lvs.DaemonBackup, Interface: "sixteen-letters-"}},
		{"Group", lvs.Daemon{State: lvs.DaemonBackup, Interface: Interface, Group: netip.MustParseAddr("10.0.0.1")}},
		{"Group", lvs.Daemon{State: lvs.DaemonBackup, Interface: Interface, Group: netip.MustParseAddr("2001:db8::1")}},
	} {
		refused(t, k, lvs.Op{Do: lvs.StartDaemon, Daemon: new(c.daemon)}, lvs.ErrInvalid, c.field)
	}

	refused(t, k, lvs.Op{Do: lvs.AddService, Service: new(lvs.ServiceSpec)}, lvs.ErrInvalid, "Key")
	refused(t, k, lvs.Op{Do: lvs.AddServer, Service: new(service), Server: new(lvs.ServerSpec)}, lvs.ErrInvalid, "Key")
	refused(t, k, lvs.Op{Do: 99}, lvs.ErrInvalid, "")
}
