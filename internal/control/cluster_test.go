package control_test

import (
	"fmt"
	"testing"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// inCluster returns the change that makes the cluster web with the service of
// cluster, and the row of the cluster.
func inCluster(t *testing.T) (lvs.Change, lvs.Cluster) {
	change, web := cluster(t), lvs.NewCluster("web")
	change.PutClusters = []lvs.Cluster{web}
	change.PutServices[0].Cluster = "web"
	return change, web
}

// TestClusterDecidesOfItsServices drains a cluster, takes it down and up again,
// with what the kernel refuses taken back.
func TestClusterDecidesOfItsServices(t *testing.T) {
	for _, policy := range []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			r := newRigWith(t, policy)
			change, web := inCluster(t)
			other := service(t, "udp:10.0.0.9:53")
			change.PutServices = append(change.PutServices, other)
			r.change(change)
			const otherText = "\nudp:10.0.0.9:53 wlc 0"
			const drained = "tcp:10.0.0.1:80 10.0.0.11:80 masquerade 0\ntcp:10.0.0.1:80 10.0.0.12:80 masquerade 0\ntcp:10.0.0.1:80 wlc 0"
			set := func(status lvs.AdminStatus) lvs.Change {
				web.AdminStatus = status
				return lvs.Change{PutClusters: []lvs.Cluster{web}}
			}
			r.change(set(lvs.AdminDrain))
			r.holds(drained + otherText)
			row := r.Snapshot().Services[0]
			if row.Oper.Status != control.OperDrained && row.Oper.Status != control.OperDraining || row.WeightReason(row.Servers[0].ServerState) != "cluster drained by its administrator" {
				t.Errorf("%v %q, %q", row.Oper.Status, row.Oper.Reason, row.WeightReason(row.Servers[0].ServerState))
			}
			r.kernel.FailNext(lvs.EditServer, fmt.Errorf("%w: out of luck", lvs.ErrInvalid))
			if err := r.prepare(set(lvs.AdminUp)).Commit(); err == nil {
				t.Fatal("the kernel refused, and the change did not")
			}
			r.holds(drained + otherText)
			r.change(set(lvs.AdminDown))
			r.holds(otherText[1:])
			if row := r.Snapshot().Services[0]; row.Oper.Status != control.OperAbsent {
				t.Errorf("the service is %v: %s", row.Oper.Status, row.Oper.Reason)
			}
			r.change(set(lvs.AdminUp))
			r.holds(clusterText + otherText)
			if drifts := r.Snapshot().Drifts; len(drifts) > 0 {
				t.Errorf("drift: %+v", drifts[0])
			}
		})
	}
}
