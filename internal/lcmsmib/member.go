package lcmsmib

import (
	"errors"
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var memberEntry = smi.OID{1, 2, 2, 1}

// memberRow is a member, with what can be written of it.
type memberRow struct {
	*control.MemberRow
	member lvs.Member
}

func member() *mib.Table[*control.Snapshot, *memberRow, *lvs.Change] {
	type row = *memberRow
	return rowsOf(mib.Table[*control.Snapshot, row, *lvs.Change]{
		Name: "lcmsMemberTable",
		OID:  memberEntry,
		Columns: []mib.Column[row]{
			mib.Enum(1, "lcmsMemberRole", func(r row) *lvs.Role { return &r.member.Role }, roleLabels, mib.Creatable),
			mib.Unsigned32(2, "lcmsMemberPriority", func(r row) *uint32 { return &r.member.Priority }, mib.Creatable, mib.Range(0, lvs.MaxPriority)),
			mib.EnumOf(3, "lcmsMemberOperStatus", func(r row) int32 { return int32(r.Oper.Status) }, operLabels),
			mib.TextOf(4, "lcmsMemberOperReason", func(r row) string { return r.Reason }),
			mib.Time(5, "lcmsMemberLastChange", func(r row) time.Time { return r.LastChange.Time() }),
			mib.Counter32(6, "lcmsMemberTransitions", func(r row) uint32 { return r.Transitions }),
			mib.StorageType(7, "lcmsMemberStorageType", func(r row) *lvs.Storage { return &r.member.Storage }),
			mib.RowStatus(8, "lcmsMemberRowStatus", func(r row) *lvs.Status { return &r.member.Status }),
		},
		Index: func(dst smi.OID, r row) smi.OID { return memberIndex(dst, r.member.ID()) },
		Clone: func(r row) row { clone := *r; return &clone },
		New: func(_ *control.Snapshot, index smi.OID) (row, error) {
			cluster, rest, err := cutName(index, "cluster", lvs.ParseClusterID)
			if err != nil {
				return nil, err
			}
			host, rest, err := cutName(rest, "host", lvs.ParseHostName)
			if err == nil && len(rest) > 0 {
				err = errors.New("the index goes on after the name of the host")
			}
			if err != nil {
				return nil, err
			}
			return newMemberRow(&control.MemberRow{Member: lvs.NewMember(lvs.MemberID{Cluster: cluster, Host: host})}), nil
		},
		Ready: func(r row) error {
			if refusal := r.member.Check(); refusal != nil {
				return refusal
			}
			return nil
		},
		Status: func(r row) *uint8 { return (*uint8)(&r.member.Status) },
		Put: func(c *lvs.Change, e mib.Edit[row]) error {
			switch {
			case e.Destroyed:
				c.DeleteMembers = append(c.DeleteMembers, e.Old.member.ID())
			case !e.Existed || e.New.member != e.Old.member:
				c.PutMembers = append(c.PutMembers, e.New.member)
			}
			return nil
		},
	}, func(s *control.Snapshot) []*control.MemberRow { return s.Members },
		func(r *control.MemberRow) [2]string {
			return [2]string{string(r.Member.Cluster), string(r.Member.Host)}
		}, newMemberRow)
}

var roleLabels = []string{"loadBalancer", "backup", "realServer"}

func newMemberRow(r *control.MemberRow) *memberRow { return &memberRow{r, r.Member} }

func memberIndex(dst smi.OID, id lvs.MemberID) smi.OID {
	return smi.AppendIndexString(smi.AppendIndexString(dst, string(id.Cluster)), string(id.Host))
}
