package ldapsync

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// grown returns a tree that has read entries, the first of them the base's.
func grown(t testing.TB, own lvs.HostName, entries ...*ldap.Entry) *Tree {
	t.Helper()
	tree := NewTree(mustBase(t, testBase), own)
	b := tree.begin(true)
	for i, e := range entries {
		b.put(numbered(i), e)
	}
	b.commit(true, nil)
	return tree
}

// numbered returns one of some entryUUIDs.
func numbered(n int) entryUUID {
	return entryUUID{1: byte(n >> 16), 2: byte(n >> 8), 3: byte(n), 15: 1}
}

// live tells a tree of one change.
func (t *Tree) live(n int, e *ldap.Entry) {
	b := t.begin(false)
	if e == nil {
		b.gone(numbered(n))
	} else {
		b.put(numbered(n), e)
	}
	b.commit(false, nil)
}

const (
	lbEntry   = "cn=lb1,ou=host"
	webEntry  = "lcmsClusterId=web,ou=load_cluster"
	mailEntry = "lcmsClusterId=mail,ou=load_cluster"
)

func serviceEntry(above, key string, lines ...string) *ldap.Entry {
	dn := "lcmsKey=" + key + ",ou=virtual_service"
	if above != "" {
		dn += "," + above
	}
	return entry(dn, append([]string{"objectClass: lcmsVirtualService"}, lines...)...)
}

func TestTheOlderOfTwoServicesIsTaken(t *testing.T) {
	const key = "tcp:192.0.2.1:80"
	tree := grown(t, "lb1",
		entry(webEntry, "objectClass: lcmsCluster"), entry(mailEntry, "objectClass: lcmsCluster"),
		serviceEntry(webEntry, key, "createTimestamp: 20260101000001Z"),
		serviceEntry(mailEntry, key, "createTimestamp: 20260101000000Z"),
	)
	v := tree.View()
	if s, ok := v.Config.Service(serviceKey(key)); !ok || s.Cluster != "mail" {
		t.Errorf("taken: %+v", s)
	}
	if len(v.Faults) != 1 || !strings.HasPrefix(v.Faults[0].DN, "lcmsKey="+key+",ou=virtual_service,"+webEntry) ||
		!strings.Contains(v.Faults[0].Reason, mailEntry) || !strings.Contains(v.Faults[0].Reason, "delete") {
		t.Errorf("faults: %v", v.Faults)
	}
	// Where other directors serve a cluster, there is no conflict.
	tree.live(9, entry("cn=lb2,ou=load_balancer,"+mailEntry, "objectClass: lcmsClusterMember"))
	v = tree.View()
	if s, ok := v.Config.Service(serviceKey(key)); !ok || s.Cluster != "web" || len(v.Faults) != 0 {
		t.Errorf("taken: %+v, faults %v", s, v.Faults)
	}
}

func TestClustersAreServedByTheirDirectors(t *testing.T) {
	member := func(role, host string, lines ...string) *ldap.Entry {
		return entry("cn="+host+",ou="+role+","+webEntry, append([]string{"objectClass: lcmsClusterMember"}, lines...)...)
	}
	for name, tc := range map[string]struct {
		members []*ldap.Entry
		want    bool
	}{
		"nobody is named":          {nil, true},
		"only a real server is":    {[]*ldap.Entry{member("real_server", "rs1")}, true},
		"we are":                   {[]*ldap.Entry{member("load_balancer", "lb1")}, true},
		"we are, as backup":        {[]*ldap.Entry{member("load_balancer", "lb2"), member("backup_server", "lb1")}, true},
		"another one is":           {[]*ldap.Entry{member("load_balancer", "lb2")}, false},
		"we are not active":        {[]*ldap.Entry{member("load_balancer", "lb1", "lcmsRowStatus: notInService")}, false},
		"we are, with a fault":     {[]*ldap.Entry{member("load_balancer", "lb1", "lcmsPriority: many")}, true},
		"another is, with a fault": {[]*ldap.Entry{member("load_balancer", "lb2", "lcmsPriority: many")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tree := grown(t, "lb1", append(tc.members, entry(webEntry, "objectClass: lcmsCluster"), serviceEntry(webEntry, "fwm4:7"))...)
			v := tree.View()
			if _, ok := v.Config.Service(serviceKey("fwm4:7")); ok != tc.want {
				t.Errorf("the service is there: %v", ok)
			}
			if _, ok := v.Config.Cluster("web"); !ok {
				t.Error("the cluster is not there")
			}
		})
	}
}

func TestWhatStandsBelowAFaultGoesWithIt(t *testing.T) {
	server := entry("lcmsKey=10.0.0.1:80,lcmsKey=fwm4:7,ou=virtual_service", "objectClass: lcmsRealServer")
	tree := grown(t, "lb1", serviceEntry("", "fwm4:7", "lcmsScheduler: wlc"), server)
	for i, tc := range []struct {
		class, scheduler string
		faults           int
		at               string
	}{
		{"lcmsVirtualService", "wlc", 0, ""},
		{"lcmsVirtualService", strings.Repeat("x", 99), 1, "lcmsKey=fwm4:7"},
		{"device", "wlc", 1, "lcmsKey=10.0.0.1:80"},
		{"lcmsVirtualService", "wlc", 0, ""},
	} {
		tree.live(0, entry("lcmsKey=fwm4:7,ou=virtual_service", "objectClass: "+tc.class, "lcmsScheduler: "+tc.scheduler))
		v := tree.View()
		if len(v.Faults) != tc.faults || tc.faults > 0 && !strings.HasPrefix(v.Faults[0].DN, tc.at) {
			t.Errorf("%d: faults %v", i, v.Faults)
		}
		if _, ok := v.Config.Server(serviceKey("fwm4:7"), lvs.NewServer(mustServerKey(t, "10.0.0.1:80")).Key); ok != (tc.faults == 0) {
			t.Errorf("%d: the server is there: %v", i, ok)
		}
	}
}

func mustServerKey(t testing.TB, s string) lvs.ServerKey {
	t.Helper()
	k, err := lvs.ParseServerKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestMarksAndWhatIsOfTheOwnHost(t *testing.T) {
	tree := grown(t, "lb1",
		entry(lbEntry, "objectClass: lcmsHost", "objectClass: lcmsDirector", "lcmsRequestId: r1", "lcmsTcpTimeout: 7"),
		entry("lcmsSyncState=master,"+lbEntry, "objectClass: lcmsSyncDaemon", "lcmsSyncInterface: eth0"),
		entry("cn=lb2,ou=host", "objectClass: lcmsHost", "objectClass: lcmsDirector", "lcmsRequestId: r2", "lcmsTcpTimeout: 8"),
		entry("lcmsSyncState=backup,cn=lb2,ou=host", "objectClass: lcmsSyncDaemon", "lcmsSyncInterface: eth0"),
	)
	v := tree.View()
	if v.Marks["lb1"].RequestID != "r1" || v.Marks["lb2"].RequestID != "r2" {
		t.Errorf("marks: %v", v.Marks)
	}
	_, master := v.Config.Daemon(lvs.DaemonMaster)
	_, backup := v.Config.Daemon(lvs.DaemonBackup)
	if v.Config.Timeouts().TCP != 7 || !master || backup {
		t.Errorf("timeouts %v, master %v, backup %v", v.Config.Timeouts(), master, backup)
	}
	tree.live(0, entry(lbEntry, "objectClass: lcmsHost", "objectClass: lcmsDirector", "lcmsRequestId: r3", "lcmsTcpTimeout: 9"))
	next := tree.View()
	if next.Marks["lb1"].RequestID != "r3" || next.Config.Timeouts().TCP != 9 {
		t.Errorf("marks %v, timeouts %v", next.Marks, next.Config.Timeouts())
	}
	if v.Marks["lb1"].RequestID != "r1" || v.Config.Timeouts().TCP != 7 {
		t.Error("a View has changed")
	}
}

// What has not changed is the same row as before, so that comparing costs nothing.
func TestViewsShare(t *testing.T) {
	var entries []*ldap.Entry
	for i := range 200 {
		key := fmt.Sprintf("fwm4:%d", i+1)
		entries = append(entries, serviceEntry("", key), entry("lcmsKey=10.0.0.1:80,lcmsKey="+key+",ou=virtual_service", "objectClass: lcmsRealServer"))
	}
	tree := grown(t, "lb1", entries...)
	before := tree.View()
	if again := tree.View(); again.Config != before.Config {
		t.Error("nothing has changed, and the Config is another one")
	}
	tree.live(1, entry("lcmsKey=10.0.0.1:80,lcmsKey=fwm4:1,ou=virtual_service", "objectClass: lcmsRealServer", "lcmsWeight: 7"))
	after := tree.View()
	for i := range 200 {
		k := serviceKey(fmt.Sprintf("fwm4:%d", i+1))
		if same := before.Config.Servers(k)[0] == after.Config.Servers(k)[0]; same != (i > 0) {
			t.Errorf("%s: the same: %v", k, same)
		}
	}
	change := lvs.Between(before.Config, after.Config)
	if len(change.PutServers) != 1 || change.PutServers[0].Server.Weight != 7 {
		t.Errorf("change: %+v", change)
	}
}
