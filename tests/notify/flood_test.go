package notify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// Values of lcmsAgentNotificationEnable.
const (
	all          = "lcmsAgentNotificationEnable.0 x FFFF80"
	stateChanges = "lcmsAgentNotificationEnable.0 x C000" // of servers and services
	serverStates = "lcmsAgentNotificationEnable.0 x 8000"
)

// farm is how many services a test has, each with a few servers.
type farm struct{ services, servers int }

func (f farm) service(i int) string { return fmt.Sprintf("tcp:192.0.%d.%d:80", 2+i/250, 1+i%250) }

func (f farm) server(i int) string { return fmt.Sprintf("10.1.%d.%d:80", i/250, 1+i%250) }

// create makes all of them, in SETs of a hundred rows.
func (f farm) create(t *testing.T, d *director.Director) {
	t.Helper()
	var vbs []string
	for i := range f.services {
		vbs = append(vbs, fmt.Sprintf("lcmsServiceRowStatus.%q i createAndGo", f.service(i)))
		for j := range f.servers {
			vbs = append(vbs, fmt.Sprintf("lcmsServerRowStatus.%q.%q i createAndGo", f.service(i), f.server(j)))
		}
	}
	f.send(t, d, vbs, 100, nil)
}

// admin gives the servers of some services an administrative status. Before
// each SET it calls pace.
func (f farm) admin(t *testing.T, d *director.Director, status string, services []int, pace func()) {
	t.Helper()
	var vbs []string
	for _, i := range services {
		for j := range f.servers {
			vbs = append(vbs, fmt.Sprintf("lcmsServerAdminStatus.%q.%q i %s", f.service(i), f.server(j), status))
		}
	}
	f.send(t, d, vbs, 100, pace)
}

func (f farm) send(t *testing.T, d *director.Director, vbs []string, atOnce int, pace func()) {
	t.Helper()
	for part := range slices.Chunk(vbs, atOnce) {
		if pace != nil {
			pace()
		}
		set(t, d, part...)
	}
}

func (f farm) every() []int {
	var services []int
	for i := range f.services {
		services = append(services, i)
	}
	return services
}

// counters reads what became of the notifications.
func counters(t *testing.T, d *director.Director) (sent, lost, waiting int) {
	t.Helper()
	const agent = "lcmsAgentNotifications"
	vbs, err := d.Get(agent+"Sent.0", agent+"Dropped.0", agent+"Suppressed.0", agent+"Coalesced.0", agent+"Queued.0")
	if err != nil {
		t.Fatal(err)
	}
	var n [5]int
	for i := range vbs {
		if _, err := fmt.Sscan(vbs[i].Value, &n[i]); err != nil {
			t.Fatal(err)
		}
	}
	return n[0], n[1] + n[2] + n[3], n[4]
}

// TestInformsArriveExactlyOnce takes 3,000 servers down. Whoever makes so many
// changes on purpose lifts the limit, and looks at lcmsAgentNotificationsQueued
// before he goes on, because a thousand rows may wait.
func TestInformsArriveExactlyOnce(t *testing.T) {
	for _, version := range []string{"2c", "3"} {
		t.Run("v"+version, func(t *testing.T) { informOnce(t, version) })
	}
}

func informOnce(t *testing.T, version string) {
	const changes = 3000
	f := farm{services: 30, servers: 100}
	d, r := start(t, version, true, director.Options{})
	set(t, d, "lcmsAgentNotificationRate.0 u 0", serverStates)
	f.create(t, d)
	cpu, began := number(t, d, "lcmsAgentCpuTime.0"), time.Now()
	f.admin(t, d, "down", f.every(), func() {
		err := director.Poll(d.Limit(), func() error {
			if _, _, waiting := counters(t, d); waiting > 500 {
				return fmt.Errorf("%d notifications wait", waiting)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	err := director.Poll(d.Limit(), func() error {
		if n := len(r.Received()); n < changes {
			return fmt.Errorf("%d of %d informs came", n, changes)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	took, used := time.Since(began), number(t, d, "lcmsAgentCpuTime.0")-cpu
	t.Logf("%d informs in %s; the agent used %d ms, all SETs included: %.3f ms for each", changes, took.Round(time.Millisecond), used, float64(used)/changes)

	// More would come now if anything came twice: one that is known to be the
	// last shows that all is through.
	set(t, d, fmt.Sprintf("lcmsServerAdminStatus.%q.%q i up", f.service(0), f.server(0)))
	r.Wait(d.Limit(), "the last change", func(n *director.Notification) bool { return n.Object("lcmsServerOperStatus") == "1" })
	rows := make(map[string]int)
	for _, n := range r.Received() {
		if n.Name != "lcmsServerStateChange" || !n.Inform {
			t.Fatalf("unexpected: %v", n)
		}
		if n.Object("lcmsServerOperStatus") == "6" {
			rows[n.Varbinds[3].Name]++
		}
	}
	for i := range f.services {
		for j := range f.servers {
			if name := fmt.Sprintf("lcmsServerOperStatus.%q.%q", f.service(i), f.server(j)); rows[name] != 1 {
				t.Errorf("%s was told %d times", name, rows[name])
			}
		}
	}
	sequence(t, r, true)
	if sent, lost, waiting := counters(t, d); sent != changes+1 || lost != 0 || waiting != 0 {
		t.Errorf("sent %d, lost %d, waiting %d", sent, lost, waiting)
	}
}

// TestFlood makes 10,000 changes of servers, and as many of their services,
// under the limit that is set from the beginning: the agent's memory stays
// bounded, walks end meanwhile, and afterwards the alarms agree with the truth.
func TestFlood(t *testing.T) {
	t.Setenv("GOGC", "50") // what is garbage is not what this is about
	f := farm{services: 1000, servers: 1}
	d, r := start(t, "2c", true, director.Options{})
	set(t, d, stateChanges)
	// What waited from before the kinds were muted is of no account.
	err := director.Poll(d.Limit(), func() error {
		if _, _, waiting := counters(t, d); waiting > 0 {
			return fmt.Errorf("%d wait", waiting)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.create(t, d)
	// The services had no server at first, or not yet in the same SET.
	before, lost, waiting := counters(t, d)
	before += lost + waiting
	memory := number(t, d, "lcmsAgentMemory.0")

	stop, walks, slowest := make(chan struct{}), make(chan int), time.Duration(0)
	go func() {
		n := 0
		defer func() { walks <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			vbs, err := d.BulkWalk("lcmsServerOperStatus", "-Cr100")
			if err != nil || len(vbs) != f.services {
				t.Errorf("a walk gives %d rows of %d: %v", len(vbs), f.services, err)
				return
			}
			slowest = max(slowest, time.Since(began))
			n++
		}
	}()
	began := time.Now()
	for range 5 {
		f.admin(t, d, "down", f.every(), nil)
		f.admin(t, d, "up", f.every(), nil)
	}
	took := time.Since(began)
	// These stay down.
	down := []int{3, 500, 999}
	f.admin(t, d, "down", down, nil)
	peak := number(t, d, "lcmsAgentMemory.0")
	close(stop)
	n := <-walks
	t.Logf("10,000 changes in %s; %d walks of %d rows meanwhile, the slowest %s; memory from %d to %d KiB", took.Round(time.Millisecond), n, f.services, slowest.Round(time.Millisecond), memory, peak)
	if n == 0 {
		t.Error("no walk ended")
	}
	if peak > memory+32*1024 {
		t.Errorf("memory grew from %d to %d KiB", memory, peak)
	}

	// Each event is accounted for: of a server and of its service.
	sent, lost, waiting := counters(t, d)
	if want := before + 2*(10*f.services+len(down)); sent+lost+waiting != want {
		t.Errorf("sent %d, lost %d, waiting %d: %d in all, want %d", sent, lost, waiting, sent+lost+waiting, want)
	}
	if waiting > 2*1000 || lost == 0 {
		t.Errorf("waiting %d, lost %d", waiting, lost)
	}
	// A manager finds the gap in the sequence or in these counters, and walks.
	vbs, err := d.BulkWalk("lcmsAlarmObject")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, vb := range vbs {
		got = append(got, vb.Value)
	}
	for _, i := range down {
		want = append(want, fmt.Sprintf("lcmsServiceName.%q", f.service(i)))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("alarms about %v, want %v", got, want)
	}
	// The last changes are told last, and nothing twice.
	set(t, d, "lcmsAgentNotificationRate.0 u 0")
	for _, i := range down {
		expect(t, d, r, "lcmsServiceStateChange", fmt.Sprintf("lcmsServiceOperStatus.%q=2", f.service(i)))
	}
	sequence(t, r, false)
}

func TestMutedKindIsNotSent(t *testing.T) {
	t.Parallel()
	d, r := start(t, "2c", true, director.Options{})
	set(t, d, "lcmsAgentNotificationEnable.0 x FBFF80") // all but configChange
	create(t, d)
	set(t, d, server("AdminStatus", rs1)+" i down")
	expect(t, d, r, "lcmsServerStateChange", server("OperStatus", rs1)+"=6")
	for _, n := range r.Received() {
		if n.Name == "lcmsConfigChange" {
			t.Errorf("told in spite of its bit: %v", n)
		}
	}
	// It is kept over a restart, and can be set back.
	d.StopSubagent()
	d.StartSubagent()
	d.WaitReady()
	if got := get(t, d, "lcmsAgentNotificationEnable.0"); got != "FB FF 80 0 1 2 3 4 6 7 8 9 10 11 12 13 14 15 16" {
		t.Errorf("after a restart %q are enabled", got)
	}
	set(t, d, all)
	set(t, d, server("Weight", rs2)+" u 5")
	expect(t, d, r, "lcmsConfigChange", "lcmsRequestObject="+server("Weight", rs2), "lcmsRequestNewValue=5")
}

func TestRateSuppressesAndCounts(t *testing.T) {
	t.Parallel()
	d, r := start(t, "2c", true, director.Options{})
	create(t, d)
	set(t, d, "lcmsAgentNotificationRate.0 u 1")
	began := time.Now()
	changes, suppressed := 0, 0
	for ; changes < 30 || changes < 300 && suppressed == 0; changes++ { // so that some fall into the same second
		set(t, d, fmt.Sprintf("%s u %d", server("Weight", rs1), 10+changes))
		suppressed = number(t, d, "lcmsAgentNotificationsSuppressed.0")
	}
	expect(t, d, r, "lcmsConfigChange", "lcmsRequestObject="+server("Weight", rs1), fmt.Sprintf("lcmsRequestNewValue=%d", 9+changes))
	took := time.Since(began)
	told := 0
	for _, n := range r.Received() {
		if n.Name == "lcmsConfigChange" && n.Object("lcmsRequestObject") == server("Weight", rs1) {
			told++
		}
	}
	suppressed = number(t, d, "lcmsAgentNotificationsSuppressed.0")
	coalesced := number(t, d, "lcmsAgentNotificationsCoalesced.0") // before the new rate was known
	if told > int(took/time.Second)+2 || suppressed == 0 || told+suppressed+coalesced < changes {
		t.Errorf("%d of %d were told in %s, %d suppressed, %d coalesced", told, changes, took, suppressed, coalesced)
	}
}

// TestSnmpdAway lets a server drain, go down and be reported while there is no
// snmpd for a minute: when it is back, the newest state is told.
func TestSnmpdAway(t *testing.T) {
	t.Parallel()
	d, r := start(t, "2c", true, director.Options{Traffic: 20})
	create(t, d)
	expectTraffic(t, d)
	set(t, d, server("AdminStatus", rs1)+" i drain", server("DrainAction", rs1)+" i down")
	d.KillSnmpd()
	back := time.Now().Add(time.Minute)
	// Nobody can ask the agent now; its store shows when the drain is over.
	err := director.Poll(d.Limit(), func() error {
		if row := d.Store().Rows["servers/"+web+" "+rs1]; !strings.Contains(row, `"AdminStatus":"down"`) {
			return fmt.Errorf("the store has %s", row)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(back)) // the absence itself is what is tested
	before := len(r.Received())    // snmpd died under the last of them, or after it
	d.StartSnmpd()
	drained := expect(t, d, r, "lcmsServerDrained", server("OperStatus", rs1)+"=4")
	down := expect(t, d, r, "lcmsServerStateChange", server("OperStatus", rs1)+"=6", server("OperWeight", rs1)+"=0")
	if at := when(t, &drained); when(t, &down).Before(at) {
		t.Errorf("drained at %s, down at %s", at, when(t, &down))
	}
	expect(t, d, r, "lcmsConfigChange", "lcmsRequestObject="+server("RowStatus", rs1), "lcmsRequestNewValue=down")
	sequence(t, r, false, before)
	for _, n := range r.Received()[before:] {
		if n.Name == "lcmsServerStateChange" && n.Object("lcmsServerOperStatus") == "4" {
			t.Errorf("an old state was told: %v", n)
		}
	}
}

// TestSnmpdDies kills snmpd in the midst of notifications, again and again. None
// is lost, and of each death at most the one that was on its way comes twice.
func TestSnmpdDies(t *testing.T) {
	t.Parallel()
	f := farm{services: 8, servers: 100}
	d, r := start(t, "2c", true, director.Options{})
	set(t, d, serverStates)
	f.create(t, d)
	var deaths []int
	for i := range f.services {
		// They gather before they go, so that snmpd dies under a stream.
		set(t, d, "lcmsAgentNotificationRate.0 u 1")
		f.admin(t, d, "down", []int{i}, nil)
		set(t, d, "lcmsAgentNotificationRate.0 u 0")
		arrive(t, d, r, i*f.servers+f.servers/5)
		d.KillSnmpd()
		r.CatchUp(d)
		deaths = append(deaths, len(r.Received()))
		d.StartSnmpd()
		d.WaitReady()
		arrive(t, d, r, (i+1)*f.servers)
	}
	sequence(t, r, true, deaths...)
	if sent, lost, waiting := counters(t, d); sent != f.services*f.servers || lost != 0 || waiting != 0 {
		t.Errorf("sent %d, lost %d, waiting %d", sent, lost, waiting)
	}
}

// TestStopTells ends the agent as systemd does while notifications wait because
// of the limit: they are told before it goes.
func TestStopTells(t *testing.T) {
	t.Parallel()
	f := farm{services: 1, servers: 30}
	d, r := start(t, "2c", true, director.Options{})
	set(t, d, serverStates, "lcmsAgentNotificationRate.0 u 20")
	f.create(t, d)
	f.admin(t, d, "down", f.every(), nil)
	counters(t, d) // what is asked after a SET is answered when that is final
	came := len(r.Received())
	d.StopSubagent()
	r.CatchUp(d)
	t.Logf("%d came before the stop, %d with it", came, len(r.Received())-came)
	if n := len(r.Received()); n != f.servers {
		t.Errorf("%d of %d notifications came: %s", n, f.servers, d.Said())
	}
	sequence(t, r, true)
}

// arrive waits until so many different notifications have come.
func arrive(t *testing.T, d *director.Director, r *director.Receiver, want int) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		numbers := make(map[int]bool)
		for _, n := range r.Received() {
			numbers[numberOf(t, &n)] = true
		}
		if len(numbers) < want {
			return fmt.Errorf("%d of %d notifications came", len(numbers), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// expectTraffic waits until both servers have connections.
func expectTraffic(t *testing.T, d *director.Director) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		for _, key := range []string{rs1, rs2} {
			if get(t, d, fmt.Sprintf("lcmsServerStatsActiveConnections.%q.%q", web, key)) == "0" {
				return fmt.Errorf("%s has no connections", key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
