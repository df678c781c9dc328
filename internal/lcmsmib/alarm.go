package lcmsmib

import (
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

func alarm(root smi.OID) *mib.Table[*control.Snapshot, *control.Alarm, *lvs.Change] {
	type row = *control.Alarm
	return numberedRows("lcmsAlarmTable", smi.OID{1, 9, 1, 1},
		func(s *control.Snapshot) []row { return s.Alarms },
		func(r row) uint32 { return r.Index },
		mib.OID(2, "lcmsAlarmNotification", func(r row) smi.OID { return root.Child(0, uint32(r.Kind)) }),
		mib.OID(3, "lcmsAlarmObject", func(r row) smi.OID { return alarmObject(root, r) }),
		mib.EnumOf(4, "lcmsAlarmSeverity", func(r row) int32 { return int32(r.Severity) }, []string{"critical", "major", "minor"}),
		mib.Time(5, "lcmsAlarmRaised", func(r row) time.Time { return r.Raised }),
		mib.TextOf(6, "lcmsAlarmText", func(r row) string { return r.Text }),
	)
}

// alarmObject is what an alarm is about, as a RowPointer: the first accessible
// column of the row.
func alarmObject(root smi.OID, a *control.Alarm) smi.OID {
	switch {
	case a.Kind == control.KernelLost:
		return instance(root, directorGroup, 18, smi.OID{0})
	case a.Kind == control.MonitorLost: // of the director as a whole
		return instance(root, directorGroup, 2, smi.OID{0})
	case a.Kind == control.DirectoryLost || a.Kind == control.DirectoryHold:
		return instance(root, directoryGroup, 2, smi.OID{0})
	case a.Kind == control.MemberStateChange:
		return instance(root, memberEntry, 1, memberIndex(nil, a.Member))
	case a.Kind == control.DriftDetected:
		return instance(root, driftEntry, 4, driftIndex(nil, &control.Drift{Kind: a.Drift, Service: a.Service, Server: a.Server}))
	case !a.Server.IsZero():
		return instance(root, serverEntry, 2, serverIndex(nil, a.Service.String(), a.Server.String()))
	}
	return instance(root, serviceEntry, 2, serviceIndex(nil, a.Service.String()))
}

func alarmTotals() *mib.Table[*control.Snapshot, *control.Snapshot, *lvs.Change] {
	type row = *control.Snapshot
	return mib.Scalars[*control.Snapshot, row, *lvs.Change]("lcmsAlarm", smi.OID{1, 9}, func(s *control.Snapshot) row { return s },
		mib.Gauge32(2, "lcmsAlarmCount", func(r row) uint64 { return uint64(len(r.Alarms)) }),
		mib.Time(3, "lcmsAlarmLastChange", func(r row) time.Time { return r.Director.AlarmsChangedAt }),
	)
}
