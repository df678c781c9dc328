package lcmsmib

import (
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var directorGroup = smi.OID{1, 1}

// directorRow is the only row of the group lcmsDirector. Its own fields are
// those that can be written; of what a SET writes, the timeouts that are not in it
// are 0.
type directorRow struct {
	*control.Director
	timeouts lvs.Timeouts
	lock     int32
}

var kernelLabels = []string{"starting", "ok", "stale", "absent", "denied", "failed"}

func director(o Options) *mib.Table[*control.Snapshot, *directorRow, *lvs.Change] {
	type row = *directorRow
	get := func(s *control.Snapshot) row { return &directorRow{&s.Director, s.Director.Timeouts, s.Director.Lock} }
	t := mib.Scalars[*control.Snapshot, row, *lvs.Change]("lcmsDirector", directorGroup, get,
		mib.TextOf(1, "lcmsDirectorVersion", func(row) string { return o.Version }),
		mib.TextOf(2, "lcmsDirectorHostName", func(row) string { return o.HostName }),
		mib.TextOf(6, "lcmsDirectorIpvsVersion", func(r row) string { return r.Version }),
		mib.Unsigned32(7, "lcmsDirectorConnectionTableSize", func(r row) *uint32 { return &r.ConnectionTableSize }),
		mib.Unsigned32(8, "lcmsDirectorTcpTimeout", func(r row) *uint32 { return &r.timeouts.TCP }, mib.Writable, mib.Range(1, lvs.MaxTimeout)),
		mib.Unsigned32(9, "lcmsDirectorTcpFinTimeout", func(r row) *uint32 { return &r.timeouts.TCPFin }, mib.Writable, mib.Range(1, lvs.MaxTimeout)),
		mib.Unsigned32(10, "lcmsDirectorUdpTimeout", func(r row) *uint32 { return &r.timeouts.UDP }, mib.Writable, mib.Range(1, lvs.MaxTimeout)),
		mib.Counter64(11, "lcmsDirectorConfigGeneration", func(r row) uint64 { return r.Generation }),
		mib.Time(12, "lcmsDirectorConfigLastChange", func(r row) time.Time { return r.ChangedAt }),
		mib.TestAndIncr(13, "lcmsDirectorConfigLock", func(r row) *int32 { return &r.lock }),
		mib.Gauge32(14, "lcmsDirectorServices", func(r row) uint64 { return uint64(r.Services) }),
		mib.Gauge32(15, "lcmsDirectorServers", func(r row) uint64 { return uint64(r.Servers) }),
		mib.Gauge32(16, "lcmsDirectorServersUp", func(r row) uint64 { return uint64(r.ServersUp) }),
		mib.Gauge32(17, "lcmsDirectorKernelReadAge", func(r row) uint64 { return readAge(r.ReadAt) }),
		mib.EnumOf(18, "lcmsDirectorKernelState", func(r row) int32 { return int32(r.KernelState(time.Now())) }, kernelLabels),
		mib.TextOf(19, "lcmsDirectorKernelLastError", func(r row) string { return r.KernelError }),
		mib.Counter64(20, "lcmsDirectorConnections", func(r row) uint64 { return r.Totals.Connections }),
		mib.Counter64(21, "lcmsDirectorInPackets", func(r row) uint64 { return r.Totals.InPackets }),
		mib.Counter64(22, "lcmsDirectorOutPackets", func(r row) uint64 { return r.Totals.OutPackets }),
		mib.Counter64(23, "lcmsDirectorInBytes", func(r row) uint64 { return r.Totals.InBytes }),
		mib.Counter64(24, "lcmsDirectorOutBytes", func(r row) uint64 { return r.Totals.OutBytes }),
	)
	t.Clone = func(r row) row { return &directorRow{Director: r.Director, lock: r.lock} }
	t.Put = func(c *lvs.Change, e mib.Edit[row]) error {
		if asked := e.New.timeouts; asked != (lvs.Timeouts{}) {
			all := asked.Or(c.Base.Timeouts())
			c.Timeouts = &all
		}
		if e.New.lock != e.Old.lock {
			c.Lock = &e.New.lock
		}
		return nil
	}
	return t
}

// readAge returns how old the last reading of the kernel is in milliseconds;
// the largest number if there was none.
func readAge(at time.Time) uint64 {
	if at.IsZero() {
		return 1<<32 - 1
	}
	return uint64(max(0, time.Since(at).Milliseconds()))
}
