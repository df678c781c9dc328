package lvs

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMissing(t *testing.T) {
	key := serviceOf(t, "tcp:192.0.2.1:80", nil).Key
	other := serviceOf(t, "tcp:192.0.2.2:80", nil).Key
	server := serverOf(t, "10.0.0.1:80", nil)
	heavy := server
	heavy.Weight = 7
	rows := Change{
		Source:      SourceAgent,
		PutHosts:    []Host{NewHost("a"), NewHost("b")},
		PutClusters: []Cluster{NewCluster("web"), NewCluster("mail")},
		PutMembers:  []Member{NewMember(MemberID{"web", "a"}), NewMember(MemberID{"web", "b"})},
		PutServices: []Service{NewService(key), NewService(other)},
		PutServers:  []ServerAt{{key, server}, {other, server}},
		PutDaemons:  []SyncDaemon{{Daemon: Daemon{State: DaemonMaster, Interface: "eth0"}, Status: Active, Storage: NonVolatile}},
		Timeouts:    &Timeouts{TCP: 5},
	}
	have, err := new(Config).Apply(&Change{
		PutHosts: []Host{NewHost("a")}, PutClusters: []Cluster{NewCluster("web")},
		PutMembers:  []Member{NewMember(MemberID{"web", "a"})},
		PutServices: []Service{NewService(key)}, PutServers: []ServerAt{{key, heavy}},
	})
	if err != nil {
		t.Fatal(err)
	}
	missing, differing := Missing(&rows, have)
	want := Change{
		Source:      SourceAgent,
		PutHosts:    rows.PutHosts[1:],
		PutClusters: rows.PutClusters[1:],
		PutMembers:  rows.PutMembers[1:],
		PutServices: rows.PutServices[1:],
		PutServers:  rows.PutServers[1:],
		PutDaemons:  rows.PutDaemons,
		Timeouts:    rows.Timeouts,
	}
	if got, want := fmt.Sprintf("%+v", missing), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if d := cmp.Diff([]string{"server 10.0.0.1:80 of service tcp:192.0.2.1:80"}, differing); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
