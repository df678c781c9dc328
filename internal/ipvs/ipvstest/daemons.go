package ipvstest

import (
	"net/netip"
	"testing"

	"github.com/lcms-project/lcms/internal/ipvs/rules"
	"github.com/lcms-project/lcms/internal/lvs"
)

const mtu = 1500

func testDaemons(t *testing.T, k Kernel) {
	for _, d := range []lvs.Daemon{
		{State: lvs.DaemonMaster, Interface: Interface},
		{State: lvs.DaemonBackup, Interface: Interface, SyncID: 255},
		{State: lvs.DaemonMaster, Interface: Interface, SyncID: 1, MaxLength: 100, Port: 9000, TTL: 255},
		{State: lvs.DaemonBackup, Interface: Interface, MaxLength: 100},
		{State: lvs.DaemonBackup, Interface: Interface, MaxLength: 65535},
		{State: lvs.DaemonMaster, Interface: Interface, MaxLength: 65535},
		{State: lvs.DaemonMaster, Interface: Interface, Group: netip.MustParseAddr("239.1.2.3"), Port: 65535},
		{State: lvs.DaemonMaster, Interface: Interface, Group: netip.MustParseAddr("ff05::51"), TTL: 3},
		{State: lvs.DaemonBackup, Interface: Interface, Group: netip.MustParseAddr("ff05::51")},
	} {
		running := rules.InForce(d, mtu)
		reversible(t, k, lvs.Op{Do: lvs.StartDaemon, Daemon: new(d)}, func(after *table) bool {
			return len(after.daemons) == 1 && after.daemons[d.State] == running
		})
		// What was read starts the same again.
		reversible(t, k, lvs.Op{Do: lvs.StartDaemon, Daemon: new(running)}, func(after *table) bool {
			return after.daemons[d.State] == running
		})
	}
	master := lvs.Daemon{State: lvs.DaemonMaster, Interface: Interface, SyncID: 1}
	backup := lvs.Daemon{State: lvs.DaemonBackup, Interface: Interface, SyncID: 2}
	apply(t, k, lvs.Op{Do: lvs.StartDaemon, Daemon: new(master)})
	reversible(t, k, lvs.Op{Do: lvs.StartDaemon, Daemon: new(backup)}, func(after *table) bool {
		return after.daemons[lvs.DaemonMaster] == rules.InForce(master, mtu) && after.daemons[lvs.DaemonBackup] == rules.InForce(backup, mtu)
	})
	apply(t, k, lvs.Op{Do: lvs.StopDaemon, Daemon: &lvs.Daemon{State: lvs.DaemonMaster}})
}

// testMixed meets the two rules that depend on what the kernel holds: servers
// of the other IP version and sync daemons exclude each other.
func testMixed(t *testing.T, k Kernel) {
	service := variants(serviceKey(t, "tcp:[2001:db8::1]:80"))[0]
	server := lvs.ServerSpec{Key: serverKey(t, "10.0.0.11:80"), Forwarding: lvs.Tunnel, Weight: 1}
	daemon := lvs.Daemon{State: lvs.DaemonBackup, Interface: Interface}
	add := lvs.Op{Do: lvs.AddServer, Service: new(service), Server: new(server)}
	start := lvs.Op{Do: lvs.StartDaemon, Daemon: new(daemon)}

	apply(t, k, lvs.Op{Do: lvs.AddService, Service: new(service)})
	apply(t, k, start)
	refused(t, k, add, lvs.ErrConflict, "")
	apply(t, k, start.Inverse())
	apply(t, k, add)
	refused(t, k, start, lvs.ErrConflict, "")
	apply(t, k, lvs.Op{Do: lvs.DeleteService, Service: new(service)})
	apply(t, k, start)
	apply(t, k, start.Inverse())
}
