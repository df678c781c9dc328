package lcmsmib

import (
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var requestEntry = smi.OID{1, 10, 1, 1}

func request(root smi.OID) *mib.Table[*control.Snapshot, *control.Request, *lvs.Change] {
	type row = *control.Request
	return numberedRows("lcmsRequestTable", requestEntry,
		func(s *control.Snapshot) []row { return s.Requests },
		func(r row) uint32 { return r.Index },
		mib.Time(2, "lcmsRequestTime", func(r row) time.Time { return r.Time }),
		mib.EnumOf(3, "lcmsRequestSource", func(r row) int32 { return int32(r.Source) }, []string{"snmp", "directory", "console", "drift", "monitor", "agent"}),
		mib.TextOf(4, "lcmsRequestContext", func(r row) string { return r.Context }),
		mib.OID(5, "lcmsRequestObject", func(r row) smi.OID { return requestObject(root, r.Object, r.Service, r.Server) }),
		mib.TextOf(6, "lcmsRequestOldValue", func(r row) string { return r.OldValue }),
		mib.TextOf(7, "lcmsRequestNewValue", func(r row) string { return r.NewValue }),
		mib.EnumOf(8, "lcmsRequestOutcome", func(r row) int32 { return int32(r.Outcome) }, []string{"accepted", "refused", "failed", "undone"}),
		mib.TextOf(9, "lcmsRequestReason", func(r row) string { return r.Reason }),
	)
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
