package lcmsmib

import (
	"errors"
	"net/netip"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var syncDaemonEntry = smi.OID{1, 6, 1, 1}

// syncDaemonRow is a sync daemon. The type of its group is written apart from
// the group and must fit it in the end.
type syncDaemonRow struct {
	lvs.SyncDaemon
	groupType int32
}

func syncDaemon() *mib.Table[*control.Snapshot, *syncDaemonRow, *lvs.Change] {
	type row = *syncDaemonRow
	find := func(s *control.Snapshot, index smi.OID, next, include bool) (row, bool) {
		for i := range s.Daemons {
			order := index.Compare(smi.OID{uint32(s.Daemons[i].State)})
			if order == 0 && (include || !next) || next && order < 0 {
				d := s.Daemons[i].SyncDaemon
				return &syncDaemonRow{d, mib.AddressType(d.Group)}, true
			}
		}
		return nil, false
	}
	return &mib.Table[*control.Snapshot, row, *lvs.Change]{
		Name: "lcmsSyncDaemonTable",
		OID:  syncDaemonEntry,
		Columns: []mib.Column[row]{
			mib.Text(2, "lcmsSyncDaemonInterface", func(r row) *string { return &r.Interface }, mib.Creatable, mib.Range(1, lvs.MaxInterface)),
			mib.Unsigned32(3, "lcmsSyncDaemonSyncId", func(r row) *uint8 { return &r.SyncID }, mib.Creatable),
			mib.Unsigned32(4, "lcmsSyncDaemonMaxLength", func(r row) *uint16 { return &r.MaxLength }, mib.Creatable),
			mib.InetAddressType(5, "lcmsSyncDaemonGroupType", func(r row) *int32 { return &r.groupType }, mib.Creatable),
			mib.Address(6, "lcmsSyncDaemonGroup", func(r row) *netip.Addr { return &r.Group }, mib.Creatable),
			mib.Unsigned32(7, "lcmsSyncDaemonPort", func(r row) *uint16 { return &r.Port }, mib.Creatable),
			mib.Unsigned32(8, "lcmsSyncDaemonTtl", func(r row) *uint8 { return &r.TTL }, mib.Creatable),
			mib.StorageType(9, "lcmsSyncDaemonStorageType", func(r row) *lvs.Storage { return &r.Storage }),
			mib.RowStatus(10, "lcmsSyncDaemonRowStatus", func(r row) *lvs.Status { return &r.Status }),
		},
		Get: func(s *control.Snapshot, index smi.OID) (row, bool) { return find(s, index, false, false) },
		Next: func(s *control.Snapshot, index smi.OID, include bool) (row, bool) {
			return find(s, index, true, include)
		},
		Index: func(dst smi.OID, r row) smi.OID { return append(dst, uint32(r.State)) },
		Clone: func(r row) row { clone := *r; return &clone },
		New: func(_ *control.Snapshot, index smi.OID) (row, error) {
			if len(index) != 1 || index[0] != uint32(lvs.DaemonMaster) && index[0] != uint32(lvs.DaemonBackup) {
				return nil, errors.New("the index of a sync daemon is master(1) or backup(2)")
			}
			return &syncDaemonRow{SyncDaemon: lvs.NewSyncDaemon(lvs.DaemonState(index[0]))}, nil
		},
		Ready: func(r row) error {
			if refusal := r.Check(); refusal != nil {
				return refusal
			}
			return nil
		},
		Status: func(r row) *uint8 { return (*uint8)(&r.Status) },
		Put: func(c *lvs.Change, e mib.Edit[row]) error {
			external := e.Existed && e.Old.Storage == lvs.Other
			switch {
			case external && !e.Activated:
				return refuse(smi.InconsistentValue, adoptFirst)
			case e.Destroyed:
				c.DeleteDaemons = append(c.DeleteDaemons, e.Old.State)
				return nil
			case e.New.groupType != mib.AddressType(e.New.Group):
				return refuse(smi.InconsistentValue, "the group and its type do not fit: write lcmsSyncDaemonGroupType and lcmsSyncDaemonGroup together")
			case !external && e.Existed && *e.New == *e.Old:
				return nil
			}
			if e.New.Storage == lvs.Other {
				e.New.Storage = lvs.NonVolatile
			}
			c.PutDaemons = append(c.PutDaemons, e.New.SyncDaemon)
			return nil
		},
	}
}
