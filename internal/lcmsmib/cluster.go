package lcmsmib

import (
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var clusterEntry = smi.OID{1, 2, 1, 1}

// clusterRow is a cluster. Its own fields are those that can be written.
type clusterRow struct {
	*control.ClusterRow
	cluster lvs.Cluster
	drift   lvs.DriftPolicy // driftAsDirector for the 0 of the cluster
}

// driftAsDirector is the number that LCMS-MIB has for a cluster without a drift
// policy of its own.
const driftAsDirector = lvs.DriftAdopt + 1

func cluster() *mib.Table[*control.Snapshot, *clusterRow, *lvs.Change] {
	type row = *clusterRow
	return rowsOf(mib.Table[*control.Snapshot, row, *lvs.Change]{
		Name: "lcmsClusterTable",
		OID:  clusterEntry,
		Columns: []mib.Column[row]{
			mib.Text(2, "lcmsClusterDescription", func(r row) *string { return &r.cluster.Description }, mib.Creatable, mib.Range(0, lvs.MaxDescription)),
			mib.Text(3, "lcmsClusterServiceType", func(r row) *string { return &r.cluster.ServiceType }, mib.Creatable, mib.Range(0, lvs.MaxType)),
			mib.Text(4, "lcmsClusterVirtualAddresses", func(r row) *string { return &r.cluster.VirtualAddresses }, mib.Creatable, mib.Range(0, lvs.MaxAddresses)),
			mib.Enum(5, "lcmsClusterAdminStatus", func(r row) *lvs.AdminStatus { return &r.cluster.AdminStatus }, adminLabels, mib.Creatable),
			mib.EnumOf(6, "lcmsClusterOperStatus", func(r row) int32 { return int32(r.Oper.Status) }, operLabels),
			mib.TextOf(7, "lcmsClusterOperReason", func(r row) string { return r.Reason }),
			mib.TextOf(8, "lcmsClusterActiveDirector", func(r row) string { return string(r.ActiveDirector) }),
			mib.Gauge32(9, "lcmsClusterServices", func(r row) uint64 { return uint64(r.Services) }),
			mib.Gauge32(10, "lcmsClusterServers", func(r row) uint64 { return uint64(r.Servers) }),
			mib.Gauge32(11, "lcmsClusterServersUp", func(r row) uint64 { return uint64(r.ServersUp) }),
			mib.Enum(12, "lcmsClusterDriftPolicy", func(r row) *lvs.DriftPolicy { return &r.drift }, []string{"enforce", "alert", "adopt", "director"}, mib.Creatable),
			mib.Unsigned32(13, "lcmsClusterExpectedServices", func(r row) *uint32 { return &r.cluster.ExpectedServices }, mib.Creatable),
			mib.Truth(14, "lcmsClusterAutoReconfigure", func(r row) *bool { return &r.cluster.AutoReconfigure }, mib.Creatable),
			mib.Counter64(15, "lcmsClusterGeneration", func(r row) uint64 { return r.Generation }),
			mib.Time(16, "lcmsClusterLastChange", func(r row) time.Time { return r.LastChange.Time() }),
			mib.StorageType(17, "lcmsClusterStorageType", func(r row) *lvs.Storage { return &r.cluster.Storage }),
			mib.RowStatus(18, "lcmsClusterRowStatus", func(r row) *lvs.Status { return &r.cluster.Status }),
		},
		Index: func(dst smi.OID, r row) smi.OID { return smi.AppendIndexString(dst, string(r.cluster.ID)) },
		Clone: func(r row) row { clone := *r; return &clone },
		New: func(_ *control.Snapshot, index smi.OID) (row, error) {
			id, err := oneName(index, "cluster", lvs.ParseClusterID)
			if err != nil {
				return nil, err
			}
			return newClusterRow(&control.ClusterRow{Cluster: lvs.NewCluster(id)}), nil
		},
		Ready: func(r row) error {
			if refusal := r.cluster.Check(); refusal != nil {
				return refusal
			}
			return nil
		},
		Status: func(r row) *uint8 { return (*uint8)(&r.cluster.Status) },
		Put: func(c *lvs.Change, e mib.Edit[row]) error {
			if e.Destroyed {
				c.DeleteClusters = append(c.DeleteClusters, e.Old.cluster.ID)
				return nil
			}
			put := e.New.cluster
			put.DriftPolicy = e.New.drift % driftAsDirector
			if !e.Existed || put != e.Old.cluster {
				c.PutClusters = append(c.PutClusters, put)
			}
			return nil
		},
	}, func(s *control.Snapshot) []*control.ClusterRow { return s.Clusters },
		func(r *control.ClusterRow) [2]string { return [2]string{string(r.Cluster.ID)} }, newClusterRow)
}

func newClusterRow(r *control.ClusterRow) *clusterRow {
	row := &clusterRow{ClusterRow: r, cluster: r.Cluster, drift: r.Cluster.DriftPolicy}
	if row.drift == 0 {
		row.drift = driftAsDirector
	}
	return row
}
