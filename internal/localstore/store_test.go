package localstore

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/lcms-project/lcms/internal/lvs"
)

var exact = cmp.Options{
	cmp.Comparer(func(a, b lvs.ServiceKey) bool { return a == b }),
	cmp.Comparer(func(a, b lvs.ServerKey) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// everything is a record in which no field of any row is zero.
func everything(t *testing.T) lvs.Record {
	t.Helper()
	service, err := lvs.ParseServiceKey("udp:[2001:db8::1]:53")
	if err != nil {
		t.Fatal(err)
	}
	server, err := lvs.ParseServerKey("[2001:db8::11]:53")
	if err != nil {
		t.Fatal(err)
	}
	return lvs.Record{
		Change: lvs.Change{
			PutServices: []lvs.Service{{
				ServiceSpec: lvs.ServiceSpec{
					Key: service, Scheduler: "sh", SchedulerFlags: lvs.SchedulerFlag1 | lvs.SchedulerFlag2, OnePacket: true,
					PersistenceTimeout: 300, PersistenceNetmask: 64, PersistenceEngine: "sip",
				},
				Name: "dns", AdminStatus: lvs.AdminDrain,
				Quorum: 2, SorryServer: "[2001:db8::11]:53", WeightPolicy: lvs.WeightCapacity, SlowStart: 60,
				HealthCheck: lvs.HealthCheck{CheckType: lvs.CheckDNS, CheckTarget: "example.org", CheckInterval: 3000, CheckTimeout: 1000, CheckRise: 1, CheckFall: 4},
				Status:      lvs.NotInService, Storage: lvs.NonVolatile,
			}},
			PutServers: []lvs.ServerAt{{Service: service, Server: lvs.Server{
				ServerSpec: lvs.ServerSpec{
					Key: server, Forwarding: lvs.Tunnel, Weight: 65535, UpperThreshold: 9, LowerThreshold: 4,
					TunnelType: lvs.GUE, TunnelPort: 6080, TunnelFlags: lvs.TunnelChecksum,
				},
				AdminStatus: lvs.AdminDown, DrainTimeout: 30, DrainAction: lvs.DrainDestroy, Status: lvs.NotReady, Storage: lvs.NonVolatile,
			}}},
			PutDaemons: []lvs.SyncDaemon{{
				Daemon: lvs.Daemon{State: lvs.DaemonBackup, Interface: "eth1", SyncID: 7, MaxLength: 1400, Group: netip.MustParseAddr("ff02::81"), Port: 8849, TTL: 2},
				Status: lvs.Active, Storage: lvs.NonVolatile,
			}},
			PutClusters: []lvs.Cluster{{
				ID: "web", Description: "shop", ServiceType: "http", VirtualAddresses: "192.0.2.1", AdminStatus: lvs.AdminDrain,
				DriftPolicy: lvs.DriftAlert, ExpectedServices: 3, AutoReconfigure: true, Status: lvs.Active, Storage: lvs.NonVolatile,
			}},
			PutMembers: []lvs.Member{{Cluster: "web", Host: "lb1", Role: lvs.Backup, Priority: 9, Status: lvs.Active, Storage: lvs.NonVolatile}},
			PutHosts: []lvs.Host{{
				Name: "lb1", Address: netip.MustParseAddr("192.0.2.9"), CpuType: "x86", InterfaceType: "10G", SnmpURI: "snmp://192.0.2.9",
				MemorySize: 1024, RolePotential: 3, Status: lvs.Active, Storage: lvs.NonVolatile,
			}},
			Timeouts: &lvs.Timeouts{TCP: 1, TCPFin: 2, UDP: 3},
			Settings: &lvs.Settings{Muted: 5, NotificationRate: 7},
		},
		Journal: lvs.Journal{Inverse: lvs.Change{DeleteServices: []lvs.ServiceKey{service}}, Doomed: []lvs.ServerID{{Service: service, Server: server}, {Service: service}},
			Behind: &lvs.Behind{Services: []lvs.ServiceKey{service}, Daemons: []lvs.DaemonState{lvs.DaemonMaster}, Timeouts: true}},
		Overlay: lvs.OverlayChange{
			PutOverrides: []lvs.Override{
				{ServerID: lvs.ServerID{Service: service}, AdminStatus: lvs.AdminDrain, Until: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)},
				{ServerID: lvs.ServerID{Service: service, Server: server}, Weight: new(uint32), Until: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)},
			},
			PutPending: []lvs.Pending{
				{ID: 1, At: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), Change: lvs.Change{Source: lvs.SourceSNMP, Dangling: true, DeleteServices: []lvs.ServiceKey{service}}, Conflict: "gone"},
				{ID: 300, At: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), Before: lvs.Change{Timeouts: &lvs.Timeouts{TCP: 1}}},
			},
		},
		Generation: 42,
		ChangedAt:  time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "store.db")
	want := everything(t)
	s := open(t, path)
	if err := s.Save(want); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, path)
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(lvs.Stored{Rows: want.Change, Generation: 42, ChangedAt: want.ChangedAt, Journal: &want.Journal,
		Overlay: lvs.Overlay{Overrides: want.Overlay.PutOverrides, Pending: want.Overlay.PutPending}}, got, exact); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	drop := lvs.OverlayChange{DropOverrides: []lvs.ServerID{want.Overlay.PutOverrides[0].ServerID}, DropPending: []uint64{1}}
	if err := s.Save(lvs.Record{Overlay: drop}); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Load(); err != nil || len(got.Overlay.Overrides) != 1 || len(got.Overlay.Pending) != 1 || got.Overlay.Pending[0].ID != 300 {
		t.Errorf("left are %+v, %v", got.Overlay, err)
	}
	if err := s.Settle(43, want.ChangedAt); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Load(); err != nil || got.Journal != nil || got.Generation != 43 {
		t.Errorf("settled: %+v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestLayout is the layout of the file: a change of it needs a new version.
func TestLayout(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	if err := s.Save(everything(t)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"services/udp:[2001:db8::1]:53":                  `{"Key":"udp:[2001:db8::1]:53","Scheduler":"sh","SchedulerFlags":3,"OnePacket":true,"PersistenceTimeout":300,"PersistenceNetmask":64,"PersistenceEngine":"sip","Name":"dns","AdminStatus":"drain","Quorum":2,"SorryServer":"[2001:db8::11]:53","WeightPolicy":"capacity","SlowStart":60,"CheckType":"dns","CheckTarget":"example.org","CheckInterval":3000,"CheckTimeout":1000,"CheckRise":1,"CheckFall":4,"Status":"notInService","Storage":"nonVolatile"}`,
		"servers/udp:[2001:db8::1]:53 [2001:db8::11]:53": `{"Key":"[2001:db8::11]:53","Forwarding":"tunnel","Weight":65535,"UpperThreshold":9,"LowerThreshold":4,"TunnelType":"gue","TunnelPort":6080,"TunnelFlags":1,"DrainTimeout":30,"DrainAction":"destroy","AdminStatus":"down","Status":"notReady","Storage":"nonVolatile"}`,
		"daemons/backup":                                 `{"State":"backup","Interface":"eth1","SyncID":7,"MaxLength":1400,"Group":"ff02::81","Port":8849,"TTL":2,"Status":"active","Storage":"nonVolatile"}`,
		"clusters/web":                                   `{"ID":"web","Description":"shop","ServiceType":"http","VirtualAddresses":"192.0.2.1","AdminStatus":"drain","DriftPolicy":"alert","ExpectedServices":3,"AutoReconfigure":true,"Status":"active","Storage":"nonVolatile"}`,
		"members/web lb1":                                `{"Cluster":"web","Host":"lb1","Role":"backup","Priority":9,"Status":"active","Storage":"nonVolatile"}`,
		"hosts/lb1":                                      `{"Name":"lb1","Address":"192.0.2.9","CpuType":"x86","InterfaceType":"10G","SnmpURI":"snmp://192.0.2.9","MemorySize":1024,"RolePotential":3,"Status":"active","Storage":"nonVolatile"}`,
		"meta/timeouts":                                  `{"TCP":1,"TCPFin":2,"UDP":3}`,
		"meta/settings":                                  `{"Muted":5,"NotificationRate":7}`,
		"meta/changedAt":                                 `"2026-01-02T03:04:05.000000006Z"`,
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		for path, text := range want {
			bucket, key, _ := strings.Cut(path, "/")
			if got := tx.Bucket([]byte(bucket)).Get([]byte(key)); string(got) != text {
				t.Errorf("%s:\n got %s\nwant %s", path, got, text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeletingAServiceDeletesItsServersOnly(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	var change lvs.Change
	keys := map[string]lvs.ServiceKey{}
	for _, text := range []string{"tcp:10.0.0.1:8", "tcp:10.0.0.1:80", "tcp:10.0.0.1:800"} {
		key, err := lvs.ParseServiceKey(text)
		if err != nil {
			t.Fatal(err)
		}
		keys[text] = key
		change.PutServices = append(change.PutServices, lvs.NewService(key))
		for _, text := range []string{"10.0.0.11:80", "10.0.0.12:80"} {
			server, err := lvs.ParseServerKey(text)
			if err != nil {
				t.Fatal(err)
			}
			change.PutServers = append(change.PutServers, lvs.ServerAt{Service: key, Server: lvs.NewServer(server)})
		}
	}
	if err := s.Save(lvs.Record{Change: change}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(lvs.Record{Change: lvs.Change{DeleteServices: []lvs.ServiceKey{keys["tcp:10.0.0.1:80"]}}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load()
	if err != nil || len(got.Rows.PutServices) != 2 || len(got.Rows.PutServers) != 4 {
		t.Fatalf("left are %+v, %v", got.Rows, err)
	}
	for _, at := range got.Rows.PutServers {
		if at.Service == keys["tcp:10.0.0.1:80"] {
			t.Errorf("server %s of the deleted service is left", at.Server.Key)
		}
	}
}

func TestDeletingAClusterDeletesItsMembersOnly(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	var change lvs.Change
	for _, id := range []lvs.ClusterID{"web", "web2"} {
		change.PutClusters = append(change.PutClusters, lvs.NewCluster(id))
		change.PutMembers = append(change.PutMembers, lvs.NewMember(lvs.MemberID{Cluster: id, Host: "a"}), lvs.NewMember(lvs.MemberID{Cluster: id, Host: "b"}))
	}
	change.PutHosts = []lvs.Host{lvs.NewHost("a"), lvs.NewHost("b")}
	if err := s.Save(lvs.Record{Change: change}); err != nil {
		t.Fatal(err)
	}
	err := s.Save(lvs.Record{Change: lvs.Change{
		DeleteClusters: []lvs.ClusterID{"web"}, DeleteMembers: []lvs.MemberID{{Cluster: "web2", Host: "a"}}, DeleteHosts: []lvs.HostName{"a"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Load()
	if err != nil || len(got.Rows.PutClusters) != 1 || len(got.Rows.PutMembers) != 1 || got.Rows.PutMembers[0].ID() != (lvs.MemberID{Cluster: "web2", Host: "b"}) || len(got.Rows.PutHosts) != 1 {
		t.Fatalf("left are %+v, %v", got.Rows, err)
	}
}

func TestFaultsAreNamed(t *testing.T) {
	dir := t.TempDir()
	inUse := filepath.Join(dir, "used.db")
	open(t, inUse)
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("garbage ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.db")
	s := open(t, newer)
	if err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(meta).Put(metaVersion, number(2)) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for path, want := range map[string]string{
		inUse:                          "in use by another process",
		garbage:                        "move it away",
		newer:                          "layout 2",
		filepath.Join(garbage, "x.db"): "create the folder",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestDamagedRowIsNamed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	if err := s.Save(everything(t)); err != nil {
		t.Fatal(err)
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(services).Put([]byte("udp:[2001:db8::1]:53"), []byte(`{"Key":"udp:10.0.0.1:53","Colour":"red"}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); err == nil || !strings.Contains(err.Error(), `services: "udp:[2001:db8::1]:53" cannot be read: json: unknown field "Colour"`) {
		t.Errorf("%v", err)
	}
}

// Read shows what a store keeps to who does not run the director.
func TestReadChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lcms.db")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	s := open(t, path)
	record := everything(t)
	if err := s.Save(record); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("while it is open: %v", err)
	}
	s.Close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(record.Change.PutServices, stored.Rows.PutServices, exact); d != "" {
		t.Errorf("-saved +read:\n%s", d)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed (%v)", err)
	}
}
