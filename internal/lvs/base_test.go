package lvs

import (
	"errors"
	"testing"
)

func TestOutdated(t *testing.T) {
	key, err := ParseServiceKey("tcp:10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	first, _ := ParseServerKey("10.0.0.11:80")
	second, _ := ParseServerKey("10.0.0.12:80")
	put := Change{
		PutServices: []Service{NewService(key)},
		PutServers:  []ServerAt{{key, NewServer(first)}, {key, NewServer(second)}},
		PutClusters: []Cluster{NewCluster("c")},
		PutHosts:    []Host{NewHost("h")},
		PutMembers:  []Member{NewMember(MemberID{"c", "h"})},
		PutDaemons:  []SyncDaemon{daemonOn("eth0")},
	}
	base, err := new(Config).Apply(&put)
	if err != nil {
		t.Fatal(err)
	}
	weight := NewServer(first)
	weight.Weight = 7
	for name, c := range map[string]struct {
		meanwhile, change Change
		refused           bool
	}{
		"the same server":        {Change{PutServers: []ServerAt{{key, weight}}}, Change{PutServers: []ServerAt{{key, NewServer(first)}}}, true},
		"another server":         {Change{PutServers: []ServerAt{{key, weight}}}, Change{PutServers: []ServerAt{{key, NewServer(second)}}}, false},
		"a server that is gone":  {Change{DeleteServers: []ServerID{{key, first}}}, Change{PutServers: []ServerAt{{key, weight}}}, true},
		"a delete":               {Change{PutServers: []ServerAt{{key, weight}}}, Change{DeleteServers: []ServerID{{key, first}}}, false},
		"the service":            {Change{PutServices: []Service{scheduled(key, "rr")}}, Change{PutServices: []Service{NewService(key)}}, true},
		"the service of servers": {Change{PutServices: []Service{scheduled(key, "rr")}}, Change{PutServers: []ServerAt{{key, weight}}}, false},
		"the cluster":            {Change{PutClusters: []Cluster{{ID: "c", Description: "x", Status: Active, AdminStatus: AdminUp, Storage: NonVolatile}}}, Change{PutClusters: []Cluster{NewCluster("c")}}, true},
		"the member":             {Change{DeleteMembers: []MemberID{{"c", "h"}}}, Change{PutMembers: []Member{NewMember(MemberID{"c", "h"})}}, true},
		"the host":               {Change{PutHosts: []Host{{Name: "h", CpuType: "x", Status: Active, Storage: NonVolatile}}}, Change{PutHosts: []Host{NewHost("h")}}, true},
		"the daemon":             {Change{PutDaemons: []SyncDaemon{daemonOn("eth1")}}, Change{PutDaemons: []SyncDaemon{daemonOn("eth0")}}, true},
		"the timeouts":           {Change{Timeouts: &Timeouts{TCP: 5}}, Change{Timeouts: &Timeouts{UDP: 5}}, true},
		"the settings":           {Change{Settings: &Settings{NotificationRate: 5}}, Change{Settings: &Settings{}}, true},
		"nothing":                {Change{}, put, false},
	} {
		now, err := base.Apply(&c.meanwhile)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.change.Base = base
		refusal := now.Outdated(&c.change)
		if (refusal != nil) != c.refused || refusal != nil && !errors.Is(refusal, ErrUnavailable) {
			t.Errorf("%s: %v, want a refusal: %t", name, refusal, c.refused)
		}
		c.change.Base = nil
		if refusal := now.Outdated(&c.change); refusal != nil {
			t.Errorf("%s: without a base: %v", name, refusal)
		}
	}
}

func scheduled(key ServiceKey, scheduler string) Service {
	s := NewService(key)
	s.Scheduler = scheduler
	return s
}

func daemonOn(device string) SyncDaemon {
	d := NewSyncDaemon(DaemonMaster)
	d.Interface, d.Status = device, Active
	return d
}
