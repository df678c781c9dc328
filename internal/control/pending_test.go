package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/control/controltest"
	"github.com/lcms-project/lcms/internal/lvs"
)

func away(b *book)    { b.Set(func(m *controltest.Mood) { m.Away = errAway }) }
func present(b *book) { b.Set(func(m *controltest.Mood) { m.Away = nil }) }

// drainChange drains the first server of cluster and gives the second another
// weight.
func drainChange(t *testing.T) lvs.Change {
	web := service(t, "tcp:10.0.0.1:80")
	first := server(t, web, "10.0.0.11:80", 1)
	first.Server.AdminStatus = lvs.AdminDrain
	return lvs.Change{PutServers: []lvs.ServerAt{first, server(t, web, "10.0.0.12:80", 9)}}
}

const drainedText = `tcp:10.0.0.1:80 10.0.0.11:80 masquerade 0
tcp:10.0.0.1:80 10.0.0.12:80 masquerade 9
tcp:10.0.0.1:80 wlc 0`

func TestOverride(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	away(b)
	r.change(drainChange(t))
	r.holds(drainedText)
	shown := func() bool {
		return strings.Contains(row(r, "tcp:10.0.0.1:80", "10.0.0.11:80").Reason, "override until") && r.Snapshot().Directory.Overrides == 2
	}
	if !shown() {
		t.Errorf("the row says %q; %+v", row(r, "tcp:10.0.0.1:80", "10.0.0.11:80").Reason, r.Snapshot().Directory)
	}
	s := r.Snapshot().Services[0]
	if got := s.WeightReason(row(r, "tcp:10.0.0.1:80", "10.0.0.12:80")); !strings.Contains(got, "override until") {
		t.Errorf("the weight is %q", got)
	}
	r.stop()
	r.start()
	r.holds(drainedText)
	present(b)
	r.follow(b)
	r.holds(drainedText)
	if !shown() {
		t.Error("the override is gone with the directory's return")
	}
	// Somebody changes one of the rows in the directory.
	web := service(t, "tcp:10.0.0.1:80")
	b.edit(t, lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.12:80", 4)}})
	r.follow(b)
	r.holds(strings.Replace(drainedText, "masquerade 9", "masquerade 4", 1))
	// And the other by SNMP.
	r.change(lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 3)}})
	want := strings.NewReplacer("masquerade 1", "masquerade 3", "masquerade 2", "masquerade 4").Replace(clusterText)
	r.agree(b, want)
	if n := r.Snapshot().Directory.Overrides; n != 0 {
		t.Errorf("%d overrides are left", n)
	}
}

func TestOverrideEnds(t *testing.T) {
	r, b := newBookRig(t, func(o *control.Options) { o.OverrideFor = 300 * time.Millisecond })
	r.change(cluster(t))
	away(b)
	r.change(drainChange(t))
	r.eventually("it is over", func() bool { return r.Snapshot().Directory.Overrides == 0 })
	present(b)
	r.agree(b, clusterText)
	if got := row(r, "tcp:10.0.0.1:80", "10.0.0.11:80").Reason; strings.Contains(got, "override") {
		t.Errorf("the row says %q", got)
	}
}

func TestOverrideIsTakenBack(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	away(b)
	tx := r.prepare(drainChange(t))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Undo(); err != nil {
		t.Fatal(err)
	}
	r.kernel.FailNext(lvs.EditServer, fmt.Errorf("%w: not me", lvs.ErrInvalid))
	if err := r.prepare(drainChange(t)).Commit(); err == nil {
		t.Fatal("the kernel refused, and the change did not")
	}
	// What is set to as it is in the directory overrides nothing.
	r.change(drainChange(t))
	r.change(lvs.Change{PutServers: cluster(t).PutServers})
	if n := r.Snapshot().Directory.Overrides; n != 0 {
		t.Errorf("%d overrides", n)
	}
	present(b)
	r.agree(b, clusterText)
}

func TestWhatIsNoOverrideIsRefused(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	away(b)
	web := service(t, "tcp:10.0.0.1:80")
	mixed := drainChange(t)
	mixed.PutServers[0].Server.UpperThreshold = 7
	for name, c := range map[string]lvs.Change{
		"another column": mixed, "a new server": {PutServers: []lvs.ServerAt{server(t, web, "10.0.0.13:80", 1)}},
		"a deletion": {DeleteServices: []lvs.ServiceKey{web.Key}}, "timeouts": {Timeouts: &lvs.Timeouts{TCP: 9}},
	} {
		if _, err := r.Prepare(c); !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), "203.0.113.1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	down := web
	down.AdminStatus = lvs.AdminDown
	r.change(lvs.Change{PutServices: []lvs.Service{down}})
	r.holds("")
	if got := r.Snapshot().Services[0].Reason; !strings.Contains(got, "override until") {
		t.Errorf("the service says %q", got)
	}
}

func queued(o *control.Options) { o.Queue = true }

func TestQueue(t *testing.T) {
	r, b := newBookRig(t, queued)
	r.change(cluster(t))
	away(b)
	r.change(bigChange(t))
	dns := service(t, "udp:10.0.0.1:53")
	r.change(lvs.Change{PutServers: []lvs.ServerAt{server(t, dns, "10.0.0.12:53", 7)}})
	r.holds(slicesSorted(bigText + "\nudp:10.0.0.1:53 10.0.0.12:53 masquerade 7"))
	if n := r.Snapshot().Directory.PendingWrites; n != 2 {
		t.Errorf("%d writes wait", n)
	}
	if got := row(r, "udp:10.0.0.1:53", "10.0.0.12:53").Reason; !strings.Contains(got, "waits to be written") {
		t.Errorf("the row says %q", got)
	}
	r.stop()
	r.kernel.Flush()
	r.start()
	r.holds(slicesSorted(bigText + "\nudp:10.0.0.1:53 10.0.0.12:53 masquerade 7"))
	writes := len(b.Writers())
	present(b)
	r.eventually("all is written", func() bool { return r.Snapshot().Directory.PendingWrites == 0 })
	if n := len(b.Writers()) - writes; n != 2 {
		t.Errorf("%d writes", n)
	}
	r.agree(b, slicesSorted(bigText+"\nudp:10.0.0.1:53 10.0.0.12:53 masquerade 7"))
	if got := row(r, "udp:10.0.0.1:53", "10.0.0.12:53").Reason; strings.Contains(got, "waits") {
		t.Errorf("the row says %q", got)
	}
}

// TestQueueIsBounded: a directory that stays away does not fill the store.
func TestQueueIsBounded(t *testing.T) {
	r, b := newBookRig(t, queued)
	r.change(cluster(t))
	away(b)
	web := service(t, "tcp:10.0.0.1:80")
	var err error
	for n := 0; err == nil && n < 2000; n++ {
		at := server(t, web, "10.0.0.12:80", 300)
		at.Server.UpperThreshold = uint32(n) + 1
		var tx *control.Transaction
		if tx, err = r.Prepare(lvs.Change{PutServers: []lvs.ServerAt{at}}); err == nil {
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			tx.Done()
		}
	}
	if !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), "500 changes wait for the directory already") {
		t.Errorf("the last is refused with %v", err)
	}
	if n := r.Snapshot().Directory.PendingWrites; n != 500 {
		t.Errorf("%d writes wait", n)
	}
}

// TestQueueConflict: what somebody else was faster with is taken back and shown,
// never overwritten; what does not concern it goes on.
func TestQueueConflict(t *testing.T) {
	r, b := newBookRig(t, queued)
	r.change(cluster(t))
	away(b)
	web := service(t, "tcp:10.0.0.1:80")
	r.change(bigChange(t))
	other := service(t, "tcp:10.0.0.7:80")
	r.change(lvs.Change{PutServices: []lvs.Service{other}})
	dns := service(t, "udp:10.0.0.1:53")
	r.change(lvs.Change{PutServers: []lvs.ServerAt{server(t, dns, "10.0.0.12:53", 7)}}) // upon what will not be
	b.edit(t, lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 5)}})
	present(b)
	r.follow(b)
	r.eventually("two are parked", func() bool {
		d := r.Snapshot().Directory
		return d.PendingWrites == 0 && d.Conflicts == 2 && len(d.Faults) == 2
	})
	want := slicesSorted(strings.Replace(clusterText, "masquerade 1", "masquerade 5", 1) + "\ntcp:10.0.0.7:80 wlc 0")
	r.agree(b, want)
	s := r.Snapshot()
	if len(s.Alarms) != 3 { // two, and that the new service has no servers
		t.Errorf("%d alarms", len(s.Alarms))
	}
	if s.Directory.Conflicts != 2 {
		t.Errorf("after a restart there are %d conflicts", s.Directory.Conflicts)
	}
	// Who repeats what is still wanted ends it.
	r.change(bigChange(t))
	if n := r.Snapshot().Directory.Conflicts; n != 1 {
		t.Errorf("%d conflicts", n)
	}
}

func TestQueueConflictIsRecorded(t *testing.T) {
	r, b := newBookRig(t, queued)
	r.change(cluster(t))
	away(b)
	web := service(t, "tcp:10.0.0.1:80")
	r.change(lvs.Change{Source: lvs.SourceSNMP, DeleteServers: []lvs.ServerID{{Service: web.Key, Server: cluster(t).PutServers[0].Server.Key}}})
	b.edit(t, lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 5)}})
	present(b)
	r.follow(b)
	r.eventually("it is parked", func() bool { return r.Snapshot().Directory.Conflicts == 1 })
	last := r.lastRequests(1)[0]
	if last.Outcome != control.Failed || last.Source != lvs.SourceSNMP || !strings.Contains(last.Reason, "somebody else") || last.OldValue != "masquerade, weight 1" {
		t.Errorf("recorded %+v", last)
	}
	r.agree(b, strings.Replace(clusterText, "masquerade 1", "masquerade 5", 1))
}

// TestQueueWithUnknownOutcome: it is not written twice, and our own write is no
// conflict.
func TestQueueWithUnknownOutcome(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost %t", lost), func(t *testing.T) {
			r, b := newBookRig(t, queued)
			r.change(cluster(t))
			away(b)
			r.change(bigChange(t))
			b.Set(func(m *controltest.Mood) { m.Away, m.Next, m.Lost = nil, []error{errUnknown}, lost })
			r.eventually("the write", func() (made bool) {
				b.Set(func(m *controltest.Mood) { made = len(m.Next) == 0 })
				return made
			})
			r.follow(b)
			r.eventually("nothing waits", func() bool { return r.Snapshot().Directory.PendingWrites == 0 })
			if n := r.Snapshot().Directory.Conflicts; n != 0 {
				t.Errorf("%d conflicts", n)
			}
			r.agree(b, bigText)
		})
	}
}

func TestQueueKeepsTheOrder(t *testing.T) {
	r, b := newBookRig(t, queued)
	r.change(cluster(t))
	away(b)
	web := service(t, "tcp:10.0.0.1:80")
	for i := range 5 {
		c := lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 1)}}
		c.PutServers[0].Server.UpperThreshold = uint32(10 + i)
		if i == 3 {
			present(b)
		}
		// While the queue is being written, others are told to try again.
		r.eventually("the change is taken", func() bool {
			tx, err := r.Prepare(c)
			if err != nil {
				if !errors.Is(err, lvs.ErrUnavailable) {
					t.Fatal(err)
				}
				return false
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			tx.Done()
			return true
		})
	}
	r.eventually("nothing waits", func() bool { return r.Snapshot().Directory.PendingWrites == 0 })
	got, _ := b.Holds().Server(web.Key, cluster(t).PutServers[0].Server.Key)
	if got.UpperThreshold != 14 {
		t.Errorf("the directory has %+v", got)
	}
	r.agree(b, clusterText)
}
