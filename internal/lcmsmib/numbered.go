package lcmsmib

import (
	"sort"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// numberedRows declares a table whose index is a number, by which its rows are in
// order.
func numberedRows[R any](name string, oid smi.OID, rows func(*control.Snapshot) []*R, number func(*R) uint32, columns ...mib.Column[*R]) *mib.Table[*control.Snapshot, *R, *lvs.Change] {
	seek := func(s *control.Snapshot, index smi.OID, after bool) (*R, bool) {
		list := rows(s)
		i := sort.Search(len(list), func(i int) bool {
			order := index.Compare(smi.OID{number(list[i])})
			return order < 0 || order == 0 && !after
		})
		if i == len(list) {
			return nil, false
		}
		return list[i], true
	}
	return &mib.Table[*control.Snapshot, *R, *lvs.Change]{
		Name:    name,
		OID:     oid,
		Columns: columns,
		Get: func(s *control.Snapshot, index smi.OID) (*R, bool) {
			r, ok := seek(s, index, false)
			if !ok || !index.Equal(smi.OID{number(r)}) {
				return nil, false
			}
			return r, true
		},
		Next:  func(s *control.Snapshot, index smi.OID, include bool) (*R, bool) { return seek(s, index, !include) },
		Index: func(dst smi.OID, r *R) smi.OID { return append(dst, number(r)) },
	}
}
