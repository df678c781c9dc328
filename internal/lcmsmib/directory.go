package lcmsmib

import (
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var directoryGroup = smi.OID{1, 7}

// directoryRow is the only row of the group lcmsDirectory. Its own fields are
// those that can be written.
type directoryRow struct {
	*control.DirectoryRow
	release uint32
	sync    int32
}

var directoryLabels = []string{"standalone", "connecting", "refreshing", "inSync", "stale", "disconnected", "held", "failed"}

func directory() *mib.Table[*control.Snapshot, *directoryRow, *lvs.Change] {
	type row = *directoryRow
	get := func(s *control.Snapshot) row { return &directoryRow{&s.Directory, 0, s.Directory.SyncLock} }
	t := mib.Scalars[*control.Snapshot, row, *lvs.Change]("lcmsDirectory", directoryGroup, get,
		mib.EnumOf(2, "lcmsDirectoryState", func(r row) int32 { return int32(r.State) }, directoryLabels),
		mib.TextOf(3, "lcmsDirectoryProvider", func(r row) string { return r.Provider }),
		mib.Time(4, "lcmsDirectoryLastSync", func(r row) time.Time { return r.LastSync }),
		mib.Gauge32(5, "lcmsDirectoryStaleness", func(r row) uint64 { return staleness(&r.DirectoryStatus) }),
		mib.TextOf(6, "lcmsDirectoryLastError", func(r row) string { return r.LastError }),
		mib.Gauge32(7, "lcmsDirectoryFaults", func(r row) uint64 { return uint64(len(r.Faults)) }),
		mib.Gauge32(8, "lcmsDirectoryPendingWrites", func(r row) uint64 { return uint64(r.PendingWrites) }),
		mib.Gauge32(9, "lcmsDirectoryConflicts", func(r row) uint64 { return uint64(r.Conflicts) }),
		mib.Gauge32(10, "lcmsDirectoryEntries", func(r row) uint64 { return uint64(r.Entries) }),
		mib.Gauge32(11, "lcmsDirectoryHeld", func(r row) uint64 { return uint64(r.Held) }),
		mib.Unsigned32(12, "lcmsDirectoryHoldId", func(r row) *uint32 { return &r.HoldID }),
		mib.TextOf(13, "lcmsDirectoryHoldText", func(r row) string { return r.HeldText }, mib.Range(0, maxLongText)),
		mib.Unsigned32(14, "lcmsDirectoryHoldRelease", func(r row) *uint32 { return &r.release }, mib.Writable),
		mib.TestAndIncr(15, "lcmsDirectorySyncNow", func(r row) *int32 { return &r.sync }),
	)
	t.Clone = func(r row) row { clone := *r; return &clone }
	t.Put = func(c *lvs.Change, e mib.Edit[row]) error {
		if e.New.release != 0 {
			c.HoldRelease = &e.New.release
		}
		if e.New.sync != e.Old.sync {
			c.SyncNow = &e.New.sync
		}
		return nil
	}
	return t
}

// maxLongText is the size of LcmsLongText.
const maxLongText = 1024

// staleness returns for how many seconds the director may have missed what
// changed in the directory.
func staleness(s *lvs.DirectoryStatus) uint64 {
	switch s.State {
	case lvs.DirectoryStandalone, lvs.DirectoryInSync, lvs.DirectoryHeld:
		return 0
	}
	return age(s.LastSync)
}

// faultRow is an entry of the directory that is left aside.
type faultRow struct {
	index uint32
	text  string
}

func directoryFault() *mib.Table[*control.Snapshot, faultRow, *lvs.Change] {
	at := func(s *control.Snapshot, i uint64) (faultRow, bool) {
		if i < 1 || i > uint64(len(s.Directory.Faults)) {
			return faultRow{}, false
		}
		return faultRow{uint32(i), s.Directory.Faults[i-1]}, true
	}
	return &mib.Table[*control.Snapshot, faultRow, *lvs.Change]{
		Name: "lcmsDirectoryFaultTable",
		OID:  smi.OID{1, 7, 1, 1},
		Columns: []mib.Column[faultRow]{
			mib.TextOf(2, "lcmsDirectoryFaultText", func(r faultRow) string { return r.text }, mib.Range(0, maxLongText)),
		},
		Get: func(s *control.Snapshot, index smi.OID) (faultRow, bool) {
			if len(index) != 1 {
				return faultRow{}, false
			}
			return at(s, uint64(index[0]))
		},
		Next: func(s *control.Snapshot, index smi.OID, include bool) (faultRow, bool) {
			i := uint64(1)
			if len(index) > 0 {
				i = uint64(index[0])
				if !include || len(index) > 1 {
					i++
				}
			}
			return at(s, max(i, 1))
		},
		Index: func(dst smi.OID, r faultRow) smi.OID { return append(dst, r.index) },
	}
}
