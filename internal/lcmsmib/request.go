package lcmsmib

import (
	"sort"
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var requestEntry = smi.OID{1, 10, 1, 1}

func request(root smi.OID) *mib.Table[*control.Snapshot, *control.Request, *lvs.Change] {
	type row = *control.Request
	seek := func(s *control.Snapshot, index smi.OID, after bool) (row, bool) {
		i := sort.Search(len(s.Requests), func(i int) bool {
			order := index.Compare(smi.OID{s.Requests[i].Index})
			return order < 0 || order == 0 && !after
		})
		if i == len(s.Requests) {
			return nil, false
		}
		return s.Requests[i], true
	}
	return &mib.Table[*control.Snapshot, row, *lvs.Change]{
		Name: "lcmsRequestTable",
		OID:  requestEntry,
		Columns: []mib.Column[row]{
			mib.Time(2, "lcmsRequestTime", func(r row) time.Time { return r.Time }),
			mib.EnumOf(3, "lcmsRequestSource", func(r row) int32 { return int32(r.Source) }, []string{"snmp", "directory", "console", "drift", "monitor", "agent"}),
			mib.TextOf(4, "lcmsRequestContext", func(r row) string { return r.Context }),
			mib.OID(5, "lcmsRequestObject", func(r row) smi.OID { return requestObject(root, r.Object, r.Service, r.Server) }),
			mib.TextOf(6, "lcmsRequestOldValue", func(r row) string { return r.OldValue }),
			mib.TextOf(7, "lcmsRequestNewValue", func(r row) string { return r.NewValue }),
			mib.EnumOf(8, "lcmsRequestOutcome", func(r row) int32 { return int32(r.Outcome) }, []string{"accepted", "refused", "failed", "undone"}),
			mib.TextOf(9, "lcmsRequestReason", func(r row) string { return r.Reason }),
		},
		Get: func(s *control.Snapshot, index smi.OID) (row, bool) {
			r, ok := seek(s, index, false)
			if !ok || !index.Equal(smi.OID{r.Index}) {
				return nil, false
			}
			return r, true
		},
		Next: func(s *control.Snapshot, index smi.OID, include bool) (row, bool) {
			return seek(s, index, !include)
		},
		Index: func(dst smi.OID, r row) smi.OID { return append(dst, r.Index) },
	}
}

// requestObject is the object of a request: the one that a manager named, or
// the RowStatus of the row that was changed otherwise.
func requestObject(root smi.OID, named []uint32, service lvs.ServiceKey, server lvs.ServerKey) smi.OID {
	switch {
	case named != nil:
		return named
	case !server.IsZero():
		return instance(root, serverEntry, 27, serverIndex(nil, service.String(), server.String()))
	case !service.IsZero():
		return instance(root, serviceEntry, 36, serviceIndex(nil, service.String()))
	}
	return nil
}
