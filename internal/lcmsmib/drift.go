package lcmsmib

import (
	"sort"
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var driftEntry = smi.OID{1, 8, 1, 1}

func drift() *mib.Table[*control.Snapshot, *control.Drift, *lvs.Change] {
	type row = *control.Drift
	seek := func(s *control.Snapshot, index smi.OID, after bool) (row, bool) {
		var buf [mibIndex]uint32
		i := sort.Search(len(s.Drifts), func(i int) bool {
			order := index.Compare(driftIndex(buf[:0], s.Drifts[i]))
			return order < 0 || order == 0 && !after
		})
		if i == len(s.Drifts) {
			return nil, false
		}
		return s.Drifts[i], true
	}
	return &mib.Table[*control.Snapshot, row, *lvs.Change]{
		Name: "lcmsDriftTable",
		OID:  driftEntry,
		Columns: []mib.Column[row]{
			mib.TextOf(4, "lcmsDriftAttribute", func(r row) string { return r.Attribute }),
			mib.TextOf(5, "lcmsDriftDesired", func(r row) string { return r.Desired }),
			mib.TextOf(6, "lcmsDriftActual", func(r row) string { return r.Actual }),
			mib.Time(7, "lcmsDriftFirstSeen", func(r row) time.Time { return r.FirstSeen }),
			mib.Gauge32(8, "lcmsDriftRecentRepairs", func(r row) uint64 { return uint64(r.Repairs) }),
			mib.EnumOf(9, "lcmsDriftPolicy", func(r row) int32 { return int32(r.Policy) }, []string{"enforce", "alert", "adopt"}),
			mib.TextOf(10, "lcmsDriftHeld", func(r row) string { return r.Held }),
		},
		Get: func(s *control.Snapshot, index smi.OID) (row, bool) {
			r, ok := seek(s, index, false)
			if !ok || !index.Equal(driftIndex(nil, r)) {
				return nil, false
			}
			return r, true
		},
		Next: func(s *control.Snapshot, index smi.OID, include bool) (row, bool) {
			return seek(s, index, !include)
		},
		Index: driftIndex,
	}
}

// mibIndex is enough for the longest index.
const mibIndex = smi.MaxOIDLen

func driftIndex(dst smi.OID, r *control.Drift) smi.OID {
	return serverIndex(append(dst, uint32(r.Kind)), r.Service.String(), r.Server.String())
}

func driftTotals() *mib.Table[*control.Snapshot, *control.Snapshot, *lvs.Change] {
	type row = *control.Snapshot
	return mib.Scalars[*control.Snapshot, row, *lvs.Change]("lcmsDrift", smi.OID{1, 8}, func(s *control.Snapshot) row { return s },
		mib.Gauge32(2, "lcmsDriftCount", func(r row) uint64 { return uint64(len(r.Drifts)) }),
		mib.Counter64(3, "lcmsDriftRepairs", func(r row) uint64 { return r.Director.DriftRepairs }),
	)
}
