package load

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/snmp/snmptest"
	"github.com/lcms-project/lcms/tests/director"
)

func TestMain(m *testing.M) { os.Exit(director.Main(m)) }

var public = &snmp.Credentials{Community: "public"}

func client(t *testing.T) *snmp.Client {
	c := snmp.NewClient(20*time.Second, 1)
	t.Cleanup(c.Close)
	return c
}

func agentOf(a *snmptest.Agent) snmp.Agent {
	return snmp.Agent{Address: a.Address, Credentials: public}
}

func number(name string, kind snmp.Type, n uint64) snmp.Varbind {
	return snmp.Varbind{Name: snmp.MustOID(name), Value: snmp.Value{Type: kind, Num: n}}
}

// ucd are the objects of net-snmp: uptime, then user, nice, system, idle, wait,
// steal.
func ucd(uptime uint64, ticks ...uint64) []snmp.Varbind {
	vbs := []snmp.Varbind{number("1.3.6.1.2.1.1.3.0", snmp.TypeTimeTicks, uptime)}
	for i, object := range []string{"50", "51", "52", "53", "54", "64"} {
		vbs = append(vbs, number("1.3.6.1.4.1.2021.11."+object+".0", snmp.TypeCounter32, ticks[i]))
	}
	return append(vbs,
		number("1.3.6.1.4.1.2021.10.1.5.1", snmp.TypeInteger, 250),
		number("1.3.6.1.4.1.2021.4.5.0", snmp.TypeInteger, 8000),
		number("1.3.6.1.4.1.2021.4.6.0", snmp.TypeInteger, 1000),
		number("1.3.6.1.4.1.2021.4.14.0", snmp.TypeInteger, 200),
		number("1.3.6.1.4.1.2021.4.15.0", snmp.TypeInteger, 300))
}

func TestUCD(t *testing.T) {
	var h Host
	a := snmptest.Start(t, "127.0.0.1")
	c := client(t)
	poll := func(vbs []snmp.Varbind) Load {
		t.Helper()
		a.Serve(vbs...)
		l, err := h.Poll(t.Context(), c, agentOf(a))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	near := func(got, want float64) bool { return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) < 1e-9 }

	l := poll(ucd(1000, 100, 0, 50, 800, 50, 0))
	if !math.IsNaN(l.CPU) || l.LoadAverage != 2.5 || l.MemoryTotal != 8000 || l.MemoryAvailable != 1500 || l.Source != "UCD-SNMP-MIB" {
		t.Errorf("first: %+v", l)
	}
	for _, step := range []struct {
		name string
		vbs  []snmp.Varbind
		cpu  float64
	}{
		{"a quarter busy", ucd(2000, 120, 5, 75, 940, 60, 0), 0.25},
		{"not read again by the agent", ucd(2001, 120, 5, 75, 940, 60, 0), 0.25},
		{"stolen time is busy", ucd(3000, 120, 5, 75, 990, 60, 50), 0.5},
		{"near the end of the counters", ucd(4000, 1<<32-10, 5, 75, 1<<31, 60, 50), math.NaN()},
		{"the counters wrap", ucd(5000, 20, 5, 75, 1<<31+10, 60, 50), 0.75},
		{"the host has restarted", ucd(10, 1, 0, 1, 10, 0, 0), math.NaN()},
		{"and goes on", ucd(20, 2, 0, 2, 18, 0, 0), 0.2},
	} {
		if l := poll(step.vbs); !near(l.CPU, step.cpu) {
			t.Errorf("%s: %v, want %v", step.name, l.CPU, step.cpu)
		}
	}
	l = poll(append(ucd(30, 3, 0, 3, 26, 0, 0), number("1.3.6.1.4.1.2021.4.27.0", snmp.TypeInteger, 6000)))
	if l.MemoryAvailable != 6000 {
		t.Errorf("memSysAvail is not preferred: %+v", l)
	}
	if asked := a.Asked(); asked != 9 {
		t.Errorf("%d requests for 9 polls", asked)
	}
}

// TestFaultsOfCounters names what is wrong with counters that tell nothing.
func TestFaultsOfCounters(t *testing.T) {
	var h Host
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	poll := func(after time.Duration, vbs []snmp.Varbind, cpu float64, fault error) {
		t.Helper()
		now = now.Add(after)
		full := make([]snmp.Varbind, ucdAvailable+1)
		copy(full, vbs)
		l, ok := h.ucd(full, now)
		if same := l.CPU == cpu || math.IsNaN(l.CPU) && math.IsNaN(cpu); !ok || !same || l.Fault != fault {
			t.Errorf("after %s: %v, %v, want %v, %v", after, l.CPU, l.Fault, cpu, fault)
		}
	}
	unknown := math.NaN()
	poll(0, ucd(1000, 100, 0, 0, 100, 0, 0), unknown, nil) // the first say nothing
	poll(10*time.Second, ucd(2000, 100, 0, 0, 100, 0, 0), unknown, nil)
	poll(still, ucd(3000, 100, 0, 0, 100, 0, 0), unknown, errStill)
	poll(10*time.Second, ucd(4000, 150, 0, 0, 150, 0, 0), 0.5, nil)
	poll(10*time.Second, ucd(5000, 150, 0, 0, 150, 0, 0), 0.5, nil) // not read again by the agent
	poll(still, ucd(6000, 150, 0, 0, 150, 0, 0), unknown, errStill)
	poll(10*time.Second, ucd(7000, 140, 0, 0, 140, 0, 0), unknown, errBack)
	poll(10*time.Second, ucd(8000, 130, 0, 0, 130, 0, 0), unknown, errBack)
	poll(10*time.Second, ucd(9000, 145, 0, 0, 135, 0, 0), 0.75, nil)
	poll(10*time.Second, ucd(10, 150, 0, 0, 140, 0, 0), unknown, errBack)
}

func TestUtilisation(t *testing.T) {
	for _, tc := range []struct {
		cpu              float64
		total, available uint64
		want             float64
	}{
		{0.3, 0, 0, 0.3},
		{0.3, 1000, 500, 0.3},
		{0.3, 1000, 100, 0.5},
		{0.3, 1000, 0, 1},
		{0.3, 1000, 5000, 0.3},
		{math.NaN(), 1000, 0, math.NaN()},
	} {
		got := Load{CPU: tc.cpu, MemoryTotal: tc.total, MemoryAvailable: tc.available}.Utilisation()
		if math.Abs(got-tc.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(tc.want) {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// windows are the objects of an agent without UCD-SNMP-MIB.
func windows() []snmp.Varbind {
	vbs := []snmp.Varbind{
		number("1.3.6.1.2.1.25.3.3.1.2.768", snmp.TypeInteger, 30),
		number("1.3.6.1.2.1.25.3.3.1.2.769", snmp.TypeInteger, 90),
	}
	for i, s := range []struct {
		kind        string
		size, used  uint64
		description string
	}{{"1.3.6.1.2.1.25.2.1.4", 900000, 5, "C:"}, {"1.3.6.1.2.1.25.2.1.2", 1000, 700, "Physical Memory"}, {"1.3.6.1.2.1.25.2.1.1", 400, 400, "Cached memory"}} {
		suffix := "." + string(rune('1'+i))
		vbs = append(vbs,
			snmp.Varbind{Name: snmp.MustOID("1.3.6.1.2.1.25.2.3.1.2" + suffix), Value: snmp.Value{Type: snmp.TypeOID, Name: snmp.MustOID(s.kind)}},
			snmp.Varbind{Name: snmp.MustOID("1.3.6.1.2.1.25.2.3.1.3" + suffix), Value: snmp.Text(s.description)},
			number("1.3.6.1.2.1.25.2.3.1.4"+suffix, snmp.TypeInteger, 65536),
			number("1.3.6.1.2.1.25.2.3.1.5"+suffix, snmp.TypeInteger, s.size),
			number("1.3.6.1.2.1.25.2.3.1.6"+suffix, snmp.TypeInteger, s.used))
	}
	return vbs
}

func TestHostResources(t *testing.T) {
	a := snmptest.Start(t, "127.0.0.1", windows()...)
	c := client(t)
	var h Host
	for i := range 3 {
		before := a.Asked()
		l, err := h.Poll(t.Context(), c, agentOf(a))
		if err != nil {
			t.Fatal(err)
		}
		if l.CPU != 0.6 || l.MemoryTotal != 64000 || l.MemoryAvailable != 64*(300+400) || l.Source != "HOST-RESOURCES-MIB" || !math.IsNaN(l.LoadAverage) {
			t.Errorf("%+v", l)
		}
		if n := a.Asked() - before; i > 0 && n != 1 {
			t.Errorf("poll %d took %d requests", i, n)
		}
	}
	// The machine is replaced by one with net-snmp.
	a.Serve(ucd(1000, 100, 0, 50, 800, 50, 0)...)
	if l, err := h.Poll(t.Context(), c, agentOf(a)); err != nil || l.Source != "UCD-SNMP-MIB" {
		t.Errorf("%+v, %v", l, err)
	}
	a.Serve(number("1.3.6.1.2.1.1.3.0", snmp.TypeTimeTicks, 5))
	if _, err := h.Poll(t.Context(), c, agentOf(a)); !errors.Is(err, ErrNoLoad) {
		t.Errorf("an agent that hides all: %v", err)
	}
}

// circles is an agent whose table never ends.
type circles struct{}

func (circles) Do(_ context.Context, _ snmp.Agent, r *snmp.Request) ([]snmp.Varbind, error) {
	if r == ucdRequest {
		vbs := make([]snmp.Varbind, r.Len())
		for i := range vbs {
			vbs[i].Value.Type = snmp.TypeNoSuchObject
		}
		return vbs, nil
	}
	return []snmp.Varbind{{Name: hrProcessorLoad.Child(2), Value: snmp.Integer(1)}, {Name: hrProcessorLoad.Child(1), Value: snmp.Integer(1)}}, nil
}

func TestBrokenTable(t *testing.T) {
	if _, err := new(Host).Poll(t.Context(), circles{}, snmp.Agent{}); err == nil || !strings.Contains(err.Error(), "circles") {
		t.Errorf("%v", err)
	}
}

func TestRealAgent(t *testing.T) {
	d := director.New(t, director.Options{Snmpd: []string{"rocommunity public 127.0.0.1"}})
	d.StartSnmpd()
	to := snmp.Agent{Address: netip.MustParseAddrPort(d.Address()), Credentials: public}
	c := client(t)
	var h Host
	err := director.Poll(d.Limit(), func() error {
		l, err := h.Poll(t.Context(), c, to)
		switch {
		case err != nil:
			return director.Final{Err: err}
		case l.Source != "UCD-SNMP-MIB" || l.MemoryTotal == 0 || l.MemoryAvailable == 0 || math.IsNaN(l.LoadAverage):
			t.Fatalf("%+v", l)
		case math.IsNaN(l.CPU):
			return errors.New("the processor's load is not known yet")
		case l.CPU < 0 || l.CPU > 1:
			t.Fatalf("%+v", l)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// hrProcessorLoad is there only when snmpd has run for a minute; the memory is
	// at once.
	storage, err := snmp.Table(t.Context(), c, to, maxStorage, hrStorageType, hrStorageDescr, hrStorageSize)
	if err != nil || len(storage) < 2 || !slices.Equal(storage[0].Values[0].Name, hrStorageRAM) || storage[0].Values[2].Int() == 0 {
		t.Errorf("storage: %v, %v", storage, err)
	}
	inv, err := Survey(t.Context(), c, to)
	if err != nil || !strings.HasPrefix(inv.Description, "Linux") || inv.MemorySize == 0 || inv.CPUType == "" {
		t.Errorf("%+v, %v", inv, err)
	}
	t.Logf("%+v", inv)
}
