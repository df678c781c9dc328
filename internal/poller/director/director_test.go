package director

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/snmp/snmptest"
	"github.com/lcms-project/lcms/mibs"
)

var root = snmp.MustOID("1.3.6.1.4.1.8072.9999.9999.5267")

// TestObjectsAreThoseOfTheMIB holds the numbers here against the text of the
// module.
func TestObjectsAreThoseOfTheMIB(t *testing.T) {
	text, err := mibs.Text(mibs.DefaultRoot())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"lcmsDirectorConfigGeneration": "lcmsDirector 11",
		"lcmsHostTable":                "lcmsHost 1", "lcmsServiceTable": "lcmsService 1", "lcmsServerTable": "lcmsServer 1", "lcmsServerStatsTable": "lcmsServer 2",
		"lcmsServiceAdminStatus": column("lcmsService", serviceAdminStatus), "lcmsServiceWeightPolicy": column("lcmsService", serviceWeightPolicy),
		"lcmsServiceSlowStart": column("lcmsService", serviceSlowStart), "lcmsServiceCheckType": column("lcmsService", serviceCheckType),
		"lcmsServiceCheckTarget": column("lcmsService", serviceCheckTarget), "lcmsServiceCheckInterval": column("lcmsService", serviceCheckInterval),
		"lcmsServiceCheckTimeout": column("lcmsService", serviceCheckTimeout), "lcmsServiceCheckRise": column("lcmsService", serviceCheckRise),
		"lcmsServiceCheckFall": column("lcmsService", serviceCheckFall), "lcmsServiceOwner": column("lcmsService", serviceOwner),
		"lcmsServiceRowStatus": column("lcmsService", serviceRowStatus),
		"lcmsServerHost":       column("lcmsServer", serverHost), "lcmsServerWeight": column("lcmsServer", serverWeight),
		"lcmsServerAdvisedWeight": column("lcmsServer", serverAdvisedWeight), "lcmsServerOperWeight": column("lcmsServer", serverOperWeight),
		"lcmsServerWeightReason": column("lcmsServer", serverWeightReason), "lcmsServerAdminStatus": column("lcmsServer", serverAdminStatus),
		"lcmsServerHealth": column("lcmsServer", serverHealth), "lcmsServerHealthDetail": column("lcmsServer", serverHealthDetail),
		"lcmsServerOperStatus": column("lcmsServer", serverOperStatus), "lcmsServerRowStatus": column("lcmsServer", serverRowStatus),
		"lcmsServerStatsConnections": column("lcmsServerStats", serverStatsConnections),
		"lcmsHostAddress":            column("lcmsHost", hostAddress), "lcmsHostCpuType": column("lcmsHost", hostCPUType),
		"lcmsHostMemorySize": column("lcmsHost", hostMemorySize), "lcmsHostInterfaceType": column("lcmsHost", hostInterfaceType),
		"lcmsHostSnmpUri": column("lcmsHost", hostSnmpURI), "lcmsHostCpuLoad": column("lcmsHost", hostCPULoad),
		"lcmsHostMemoryAvailable": column("lcmsHost", hostMemoryAvailable), "lcmsHostLoadAverage": column("lcmsHost", hostLoadAverage),
		"lcmsHostRowStatus": column("lcmsHost", hostRowStatus),
	} {
		// Of a column that is reserved the number is in a comment.
		found := regexp.MustCompile(`(?s)(?:\n` + name + ` OBJECT-TYPE.*?|-- ` + name + ` )::= \{ (\w+ \d+) \}`).FindStringSubmatch(text)
		if found == nil || found[1] != want {
			t.Errorf("%s is %v in the MIB, want %s", name, found[1:], want)
		}
	}
	for want, o := range map[string]snmp.OID{"lcmsHost": hostTable, "lcmsService": serviceTable, "lcmsServer": serverTable, "lcmsServerStats": serverStatsTable} {
		group := strings.TrimSuffix(want, "Stats")
		found := regexp.MustCompile(group + ` +OBJECT IDENTIFIER ::= \{ lcmsObjects (\d+) \}`).FindStringSubmatch(text)
		if found == nil || found[1] != strconv.Itoa(int(o[1])) || o[0] != 1 || o[3] != 1 {
			t.Errorf("%s: %v, %v", want, o, found)
		}
	}
}

func column(table string, n int) string { return fmt.Sprintf("%sEntry %d", table, n) }

// vb is an object of the fake director.
func vb(entry snmp.OID, column uint32, v snmp.Value, index ...string) snmp.Varbind {
	name := root.Child(entry...).Child(column)
	for _, text := range index {
		name = appendText(name, text)
	}
	return snmp.Varbind{Name: name, Value: v}
}

// rowsOf are the objects of a director with services that have servers each.
func rowsOf(services, servers int) []snmp.Varbind {
	vbs := []snmp.Varbind{{Name: root.Child(generationObject...), Value: snmp.Value{Type: snmp.TypeCounter64, Num: 7}}}
	for i := range services {
		key := fmt.Sprintf("tcp:192.0.%d.%d:80", i/250, i%250)
		vbs = append(vbs,
			vb(serviceTable, serviceAdminStatus, snmp.Integer(1), key), vb(serviceTable, serviceWeightPolicy, snmp.Integer(2), key),
			vb(serviceTable, serviceSlowStart, snmp.Unsigned(30), key), vb(serviceTable, serviceCheckType, snmp.Integer(3), key),
			vb(serviceTable, serviceCheckTarget, snmp.Text("/health"), key), vb(serviceTable, serviceCheckInterval, snmp.Unsigned(5000), key),
			vb(serviceTable, serviceCheckTimeout, snmp.Unsigned(2000), key), vb(serviceTable, serviceCheckRise, snmp.Unsigned(2), key),
			vb(serviceTable, serviceCheckFall, snmp.Unsigned(3), key), vb(serviceTable, serviceOwner, snmp.Integer(1), key),
			vb(serviceTable, serviceRowStatus, snmp.Integer(1), key))
		for j := range servers {
			server := fmt.Sprintf("10.0.%d.%d:8080", i%250, j+1)
			vbs = append(vbs,
				vb(serverTable, serverHost, snmp.Text(fmt.Sprintf("rs%d", j+1)), key, server), vb(serverTable, serverWeight, snmp.Unsigned(uint32(j+1)), key, server),
				vb(serverTable, serverOperWeight, snmp.Unsigned(5), key, server), vb(serverTable, serverWeightReason, snmp.Text("as configured"), key, server),
				vb(serverTable, serverAdminStatus, snmp.Integer(1), key, server), vb(serverTable, serverHealth, snmp.Integer(1), key, server),
				vb(serverTable, serverOperStatus, snmp.Integer(1), key, server), vb(serverTable, serverRowStatus, snmp.Integer(1), key, server),
				vb(serverStatsTable, serverStatsConnections, snmp.Value{Type: snmp.TypeCounter64, Num: uint64(100 * j)}, key, server))
		}
	}
	return append(vbs,
		vb(hostTable, hostRowStatus, snmp.Integer(1), "rs1"), vb(hostTable, hostAddress, snmp.Value{Type: snmp.TypeOctetString, Bytes: []byte{10, 0, 0, 1}}, "rs1"),
		vb(hostTable, hostSnmpURI, snmp.Text("snmp://10.0.0.1:1161"), "rs1"), vb(hostTable, hostCPUType, snmp.Text(""), "rs1"),
		vb(hostTable, hostMemorySize, snmp.Unsigned(0), "rs1"), vb(hostTable, hostInterfaceType, snmp.Text("kept"), "rs1"))
}

// following is a director that is followed until the test ends.
type following struct {
	*Director
	agent *snmptest.Agent
	views chan *View
	reads chan map[lvs.ServerID]Traffic
}

func follow(t *testing.T, vbs ...snmp.Varbind) following {
	t.Helper()
	f := following{agent: snmptest.Start(t, "127.0.0.1", vbs...), views: make(chan *View, 100), reads: make(chan map[lvs.ServerID]Traffic, 100)}
	client := snmp.NewClient(500*time.Millisecond, 2)
	f.Director = New(Options{
		Name: "lb1", Agent: snmp.Agent{Address: f.agent.Address, Credentials: &snmp.Credentials{Community: "public"}}, Root: root,
		Poll: 50 * time.Millisecond, Traffic: 50 * time.Millisecond, Via: client, Log: slog.New(slog.DiscardHandler),
		Changed: func(v *View) { f.views <- v },
		TrafficRead: func(_ time.Time, r map[lvs.ServerID]Traffic) {
			select {
			case f.reads <- r:
			default:
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		client.Close()
	})
	return f
}

func (f following) view(t *testing.T) *View {
	t.Helper()
	select {
	case v := <-f.views:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("the configuration is not read: %+v", f.Status())
		return nil
	}
}

// eventually waits for something.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestFollow(t *testing.T) {
	vbs := rowsOf(3, 40)
	f := follow(t, vbs...)
	v := f.view(t)
	if len(v.Services) != 3 || v.Generation != 7 {
		t.Fatalf("%d services, generation %d", len(v.Services), v.Generation)
	}
	key, err := lvs.ParseServiceKey("tcp:192.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	s := v.Services[key]
	check := lvs.HealthCheck{CheckType: lvs.CheckHTTP, CheckTarget: "/health", CheckInterval: 5000, CheckTimeout: 2000, CheckRise: 2, CheckFall: 3}
	if s == nil || s.Check != check || s.Policy != lvs.WeightCapacity || s.SlowStart != 30*time.Second || len(s.Servers) != 40 ||
		s.Servers[1].Host != "rs2" || s.Servers[1].Weight != 2 || s.Servers[1].ID.Server.String() != "10.0.1.2:8080" {
		t.Errorf("%+v", s)
	}
	if h := v.Hosts["rs1"]; h == nil || h.Address.String() != "10.0.0.1" || h.SnmpURI != "snmp://10.0.0.1:1161" || h.InterfaceType != "kept" {
		t.Errorf("%+v", h)
	}
	select {
	case r := <-f.reads:
		if len(r) != 120 || r[s.Servers[3].ID] != (Traffic{Connections: 300, OperWeight: 5, OperStatus: 1, Reason: "as configured"}) {
			t.Errorf("%d servers, %+v", len(r), r[s.Servers[3].ID])
		}
	case <-time.After(20 * time.Second):
		t.Error("connections are not read")
	}
	if asked := f.agent.Asked(); asked > 200 {
		t.Errorf("%d requests: columns are not asked side by side", asked)
	}

	// Rows that are not to be watched: not active, down, or of somebody else.
	vbs = rowsOf(3, 2)
	vbs[0].Value.Num = 8
	for i := range vbs {
		for _, change := range []struct {
			like snmp.Varbind
		}{{vb(serviceTable, serviceOwner, snmp.Integer(2), "tcp:192.0.0.0:80")}, {vb(serviceTable, serviceRowStatus, snmp.Integer(2), "tcp:192.0.0.1:80")},
			{vb(serverTable, serverAdminStatus, snmp.Integer(3), "tcp:192.0.0.2:80", "10.0.2.2:8080")}} {
			if slices.Equal(vbs[i].Name, change.like.Name) {
				vbs[i] = change.like
			}
		}
	}
	f.agent.Serve(vbs...)
	for v = f.view(t); v.Generation != 8; v = f.view(t) {
	}
	if len(v.Services) != 1 {
		t.Errorf("%d services are watched, want 1", len(v.Services))
	}
	for _, s := range v.Services {
		if s.Key.String() != "tcp:192.0.0.2:80" || len(s.Servers) != 1 {
			t.Errorf("%+v", s)
		}
	}
}

func TestReport(t *testing.T) {
	f := follow(t, rowsOf(10, 30)...)
	v := f.view(t)
	var gone lvs.ServerID
	for _, s := range v.Services {
		for _, one := range s.Servers {
			gone = one.ID
		}
	}
	// A row has gone that the view still has: the others are told nevertheless.
	name := func(id lvs.ServerID, column uint32) snmp.OID {
		return vb(serverTable, column, snmp.Value{}, id.Service.String(), id.Server.String()).Name
	}
	f.agent.Refuse(func(object snmp.OID) int {
		if slices.Equal(object, name(gone, serverHealth)) {
			return snmp.NoCreation
		}
		return 0
	})
	for _, s := range v.Services {
		for _, one := range s.Servers {
			f.ReportServer(one.ID, ServerReport{Health: 2, Detail: "status 200 in 3 ms", Advised: 50})
		}
	}
	eventually(t, "all servers but one are reported", func() bool {
		n := 0
		for _, s := range v.Services {
			for _, one := range s.Servers {
				if f.agent.Value(name(one.ID, serverHealth)).Int() == 2 && string(f.agent.Value(name(one.ID, serverHealthDetail)).Bytes) == "status 200 in 3 ms" &&
					f.agent.Value(name(one.ID, serverAdvisedWeight)).Num == 50 {
					n++
				}
			}
		}
		return n == 299
	})
	eventually(t, "the sets are counted", func() bool { s := f.Status(); return s.Refused >= 1 && s.SendError == "" && s.Sets >= 300*3/maxObjects })
	if s := f.Status(); s.Sets > 100 {
		t.Errorf("%d SETs for 300 servers", s.Sets)
	}

	// The same again is no news, another time in the detail neither; health is.
	var id lvs.ServerID
	for _, s := range v.Services {
		if s.Servers[0].ID != gone {
			id = s.Servers[0].ID
		}
	}
	f.ReportServer(id, ServerReport{Health: 2, Detail: "status 200 in 4 ms", Advised: 50})
	f.ReportServer(id, ServerReport{Health: 3, Detail: "connection refused", Advised: 50})
	eventually(t, "a server is reported down", func() bool {
		return f.agent.Value(name(id, serverHealth)).Int() == 3 && string(f.agent.Value(name(id, serverHealthDetail)).Bytes) == "connection refused"
	})

	f.ReportHost("rs1", HostReport{CPULoad: 42, MemoryAvailable: 1000, Known: HostKnown{CPU: true, Memory: true}})
	f.ReportHost("nobody", HostReport{CPULoad: 42, Known: HostKnown{CPU: true}})
	f.Fill("rs1", Inventory{CPUType: "4 x Z80", InterfaceType: "eth0", MemorySize: 64})
	host := func(column uint32) snmp.Value { return f.agent.Value(vb(hostTable, column, snmp.Value{}, "rs1").Name) }
	eventually(t, "a host is reported", func() bool {
		return host(hostCPULoad).Num == 42 && host(hostMemoryAvailable).Num == 1000 && string(host(hostCPUType).Bytes) == "4 x Z80" && host(hostMemorySize).Num == 64
	})
	if host(hostLoadAverage).Exists() || string(host(hostInterfaceType).Bytes) != "kept" {
		t.Errorf("load average %v, interface %v", host(hostLoadAverage), host(hostInterfaceType))
	}
}

// TestAdvised tells what another monitor has advised from what this one has.
func TestAdvised(t *testing.T) {
	advised := func(n uint32) snmp.Varbind {
		return vb(serverTable, serverAdvisedWeight, snmp.Unsigned(n), "tcp:192.0.0.0:80", "10.0.0.1:8080")
	}
	f := follow(t, append(rowsOf(1, 1), advised(97))...)
	var id lvs.ServerID
	for _, s := range f.view(t).Services {
		id = s.Servers[0].ID
	}
	want := func(what string, weight uint32) {
		t.Helper()
		eventually(t, what, func() bool {
			others, err := f.Advised(t.Context())
			got, shown := others[id]
			return err == nil && shown && got == weight
		})
	}
	want("whoever watched before", 97)
	f.ReportServer(id, ServerReport{Health: 2, Advised: 18})
	eventually(t, "it is told", func() bool { return f.agent.Value(advised(0).Name).Num == 18 })
	want("nobody since", 0)
	f.agent.Serve(append(rowsOf(1, 1), advised(96))...)
	want("another one", 96)
	f.agent.Raw(func([]byte) []byte { return nil })
	eventually(t, "it is away", func() bool { return f.Status().ReadError != "" })
	if others, err := f.Advised(t.Context()); len(others) > 0 || err != nil {
		t.Errorf("%v, %v", others, err)
	}
}

func TestRefusedToWrite(t *testing.T) {
	f := follow(t, rowsOf(1, 1)...)
	f.agent.Refuse(func(snmp.OID) int { return snmp.NoAccess })
	for _, s := range f.view(t).Services {
		f.ReportServer(s.Servers[0].ID, ServerReport{Health: 2, Detail: "x"})
	}
	eventually(t, "it is told", func() bool { return strings.Contains(f.Status().SendError, "give the monitor write access") })
	f.agent.Refuse(nil)
	eventually(t, "it is over", func() bool { return f.Status().SendError == "" && f.Status().Sets > 0 })
}

func TestAway(t *testing.T) {
	f := follow(t, rowsOf(1, 1)...)
	v := f.view(t)
	f.agent.Raw(func([]byte) []byte { return nil })
	eventually(t, "it is found to be away", func() bool { return strings.Contains(f.Status().ReadError, "no answer") })
	for _, s := range v.Services {
		f.ReportServer(s.Servers[0].ID, ServerReport{Health: 3, Detail: "down meanwhile"})
	}
	f.agent.Raw(nil)
	eventually(t, "it is told what happened meanwhile", func() bool {
		for _, s := range v.Services {
			id := s.Servers[0].ID
			return f.agent.Value(vb(serverTable, serverHealth, snmp.Value{}, id.Service.String(), id.Server.String()).Name).Int() == 3
		}
		return false
	})
	f.agent.Serve()
	eventually(t, "an agent without the MIB is named", func() bool { return strings.Contains(f.Status().ReadError, "shows no LCMS-MIB") })
}

// asker is a director as a function.
type asker func(*snmp.Request) error

func (a asker) Do(_ context.Context, _ snmp.Agent, r *snmp.Request) ([]snmp.Varbind, error) {
	return nil, a(r)
}

// TestSend shows that one SET stays within its bounds, and that a failure is not
// taken for a success.
func TestSend(t *testing.T) {
	sent, done := 0, 0
	d := New(Options{Root: root, Via: asker(func(r *snmp.Request) error {
		if r.Len() > maxObjects || r.Size() > maxOctets+200 {
			t.Errorf("a SET has %d objects and %d octets", r.Len(), r.Size())
		}
		if sent += r.Len(); sent > 1000 {
			return snmp.ErrNoAnswer
		}
		return nil
	})})
	var parts []part
	for range 1000 {
		parts = append(parts, part{vbs: []snmp.Varbind{{Name: root, Value: snmp.Unsigned(1)}, {Name: root, Value: snmp.Text(strings.Repeat("x", 200))}}, done: func(time.Time) { done++ }})
	}
	if err := d.send(t.Context(), parts); !errors.Is(err, snmp.ErrNoAnswer) {
		t.Error(err)
	}
	if done > 500 || done < 450 {
		t.Errorf("%d parts count as told", done)
	}
}
