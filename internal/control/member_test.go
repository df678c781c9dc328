package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

func hostRow(s *control.Snapshot, n lvs.HostName) *control.HostRow {
	i := slices.IndexFunc(s.Hosts, func(h *control.HostRow) bool { return h.Host.Name == n })
	return s.Hosts[i]
}

func memberRow(s *control.Snapshot, cluster lvs.ClusterID, host lvs.HostName) *control.MemberRow {
	i := slices.IndexFunc(s.Members, func(m *control.MemberRow) bool {
		return m.Member.ID() == lvs.MemberID{Cluster: cluster, Host: host}
	})
	return s.Members[i]
}

// manned is a cluster web on the hosts rs1 and rs2, one server on each.
func manned(t *testing.T) lvs.Change {
	change, _ := inCluster(t)
	for i, host := range []lvs.HostName{"rs1", "rs2"} {
		change.PutHosts = append(change.PutHosts, lvs.NewHost(host))
		change.PutMembers = append(change.PutMembers, lvs.NewMember(lvs.MemberID{Cluster: "web", Host: host}))
		change.PutServers[i].Server.Host = host
	}
	return change
}

// TestMemberIsAsItsServers: a member whose server the kernel refuses fails, is
// told and raises an alarm, and both end when the kernel takes it.
func TestMemberIsAsItsServers(t *testing.T) {
	r := newRig(t)
	r.change(manned(t))
	s := r.Snapshot()
	if m := memberRow(s, "web", "rs1"); m.Oper.Status != control.OperUp || m.Reason != "takes new connections: all of its 1 servers do" {
		t.Errorf("%+v", m)
	}
	if c := s.Clusters[0]; c.Oper.Status != control.OperUp || c.Services != 1 || c.Servers != 2 || c.ServersUp != 2 || c.Generation != 1 {
		t.Errorf("%+v", c)
	}
	if got := hostRow(s, "rs1").RoleStatus; got != lvs.RealServer.Bit() {
		t.Errorf("rs1 is %b", got)
	}
	kept := memberRow(s, "web", "rs2")

	web := service(t, "tcp:10.0.0.1:80")
	gone := lvs.Op{Do: lvs.DeleteServer, Service: new(web.ServiceSpec), Server: new(server(t, web, "10.0.0.11:80", 1).Server.ServerSpec)}
	refuse := func() { r.kernel.FailNext(lvs.AddServer, fmt.Errorf("%w: out of luck", lvs.ErrInvalid)) }
	refuse()
	r.foreign(gone)
	told := func(state control.OperStatus) func() bool {
		return func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.ContainsFunc(r.events, func(e control.Event) bool {
				return e.Kind == control.MemberStateChange && e.Member == lvs.MemberID{Cluster: "web", Host: "rs1"} && e.State == state && e.Role == lvs.RealServer &&
					(state != control.OperFailed || strings.Contains(e.Text, "server 10.0.0.11:80 of service tcp:10.0.0.1:80"))
			})
		}
	}
	r.eventually("the failure is told", told(control.OperFailed))
	r.eventually("the recovery is told", told(control.OperUp))
	r.holds(clusterText)
	s = r.Snapshot()
	if m := memberRow(s, "web", "rs1"); m.Transitions < 2 {
		t.Errorf("%+v", m)
	}
	if len(s.Alarms) > 0 {
		t.Errorf("alarms are left: %q", alarmsOf(s))
	}
	if again := memberRow(s, "web", "rs2"); again.LastChange != kept.LastChange || again.Transitions != 0 {
		t.Errorf("%+v became %+v", kept, again)
	}
}

// TestClusterNamesItsDirectors: who serves follows from the members.
func TestClusterNamesItsDirectors(t *testing.T) {
	r := newRig(t)
	change := manned(t)
	r.change(change)
	if got := r.Snapshot().Clusters[0].ActiveDirector; got != "d1" {
		t.Errorf("a cluster without directors is served by %q", got)
	}
	director := func(host lvs.HostName, role lvs.Role, priority uint32) lvs.Member {
		m := lvs.NewMember(lvs.MemberID{Cluster: "web", Host: host})
		m.Role, m.Priority = role, priority
		return m
	}
	r.change(lvs.Change{
		PutHosts:   []lvs.Host{lvs.NewHost("d1"), lvs.NewHost("d2"), lvs.NewHost("d3")},
		PutMembers: []lvs.Member{director("d1", lvs.Backup, 200), director("d2", lvs.LoadBalancer, 10), director("d3", lvs.LoadBalancer, 20)},
	})
	s := r.Snapshot()
	if c := s.Clusters[0]; c.ActiveDirector != "d3" || c.Generation != 2 {
		t.Errorf("%+v", c)
	}
	if m := memberRow(s, "web", "d1"); m.Oper.Status != control.OperUp || !strings.Contains(m.Reason, "stands by for d3") {
		t.Errorf("%+v", m)
	}
	if m := memberRow(s, "web", "d3"); m.Oper.Status != control.OperAbsent || !strings.Contains(m.Reason, "another director") {
		t.Errorf("%+v", m)
	}
	for host, want := range map[lvs.HostName]lvs.Roles{"d1": lvs.Backup.Bit(), "d2": lvs.Backup.Bit(), "d3": lvs.LoadBalancer.Bit()} {
		if got := hostRow(s, host).RoleStatus; got != want {
			t.Errorf("%s is %b, want %b", host, got, want)
		}
	}
	// A server that only changes its weight is no change of state, and one of the
	// cluster all the same.
	weighed := change.PutServers[0]
	weighed.Server.Weight = 9
	r.change(lvs.Change{PutServers: []lvs.ServerAt{weighed}})
	if c := r.Snapshot().Clusters[0]; c.Generation != 3 {
		t.Errorf("generation %d", c.Generation)
	}
	r.change(lvs.Change{DeleteServices: []lvs.ServiceKey{change.PutServices[0].Key}})
	if c := r.Snapshot().Clusters[0]; c.Oper.Status != control.OperAbsent || c.Generation != 4 {
		t.Errorf("without services: %+v", c)
	}
	r.change(lvs.Change{DeleteClusters: []lvs.ClusterID{"web"}})
	if s := r.Snapshot(); len(s.Members)+len(s.Clusters) != 0 || hostRow(s, "d3").RoleStatus != 0 {
		t.Errorf("%d members and %d clusters are left", len(s.Members), len(s.Clusters))
	}
}

// TestGroupsAreSharedWhileNothingChanges: a reading that only counts makes no
// new rows.
func TestGroupsAreSharedWhileNothingChanges(t *testing.T) {
	r := newRig(t)
	r.change(manned(t))
	r.eventually("it has settled", func() bool { return r.Snapshot().Director.ServersUp == 2 })
	before := r.Snapshot()
	r.eventually("the kernel was read again", func() bool {
		return r.Snapshot().Director.ReadAt.After(before.Director.ReadAt) && r.Snapshot() != before
	})
	after := r.Snapshot()
	if !slices.Equal(before.Members, after.Members) || !slices.Equal(before.Hosts, after.Hosts) || !slices.Equal(before.Clusters, after.Clusters) {
		t.Error("rows were made anew")
	}
}
