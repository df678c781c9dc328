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

// book is the directory that a rig follows.
type book struct {
	*controltest.Directory
}

// edit changes the directory as somebody else does.
func (b *book) edit(t *testing.T, c lvs.Change) {
	t.Helper()
	if err := b.Edit(c); err != nil {
		t.Fatal(err)
	}
}

var (
	errUnknown = fmt.Errorf("%w: %w", lvs.ErrUnavailable, lvs.ErrOutcomeUnknown)
	errAway    = fmt.Errorf("%w: no route to ldap://203.0.113.1", lvs.ErrUnavailable)
)

// newBookRig is a rig with a directory, which it follows only when told.
func newBookRig(t *testing.T, edit ...func(*control.Options)) (*rig, *book) {
	t.Helper()
	b := &book{controltest.New()}
	edit = append([]func(*control.Options){func(o *control.Options) { o.Directory, o.Host = b, "lb1" }}, edit...)
	return newRigOptions(t, edit...), b
}

// follow hands what the directory holds to the director.
func (r *rig) follow(b *book) {
	r.t.Helper()
	r.eventually("Follow is taken", func() bool {
		err := r.Follow(r.Kept(), b.Holds())
		if err != nil && !errors.Is(err, lvs.ErrUnavailable) {
			r.t.Fatal(err)
		}
		return err == nil
	})
}

// agree checks that directory, director and kernel say the same, and that it
// stays so when the director follows and when it begins anew.
func (r *rig) agree(b *book, kernel string) {
	r.t.Helper()
	for _, what := range []string{"now", "after Follow", "after a restart"} {
		switch what {
		case "after Follow":
			r.follow(b)
		case "after a restart":
			r.stop()
			r.start()
		}
		if d := lvs.Between(r.Kept(), b.Holds()); !d.IsEmpty() {
			r.t.Fatalf("%s: from what is kept to what the directory holds it takes %+v", what, d)
		}
		r.holds(kernel)
		r.eventually("nothing drifts", func() bool { return len(r.Snapshot().Drifts) == 0 })
	}
}

func TestSetIsWrittenThrough(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	r.agree(b, clusterText)
	r.change(bigChange(t))
	r.agree(b, bigText)
	if by := b.Writers(); by[0].ID == "" || !strings.Contains(by[0].Who, "lb1") {
		t.Errorf("the directory was told of %+v", by)
	}
	generation := r.Snapshot().Director.Generation
	r.follow(b)
	if r.Snapshot().Director.Generation != generation {
		t.Error("an echo has changed the generation")
	}
}

func TestWhatIsNotSharedIsNotWritten(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	away(b)
	writes := len(b.Writers())
	passing := service(t, "tcp:10.0.0.9:80")
	passing.Storage = lvs.Volatile
	settings := lvs.Settings{NotificationRate: 7}
	lock := (r.Snapshot().Director.Lock + 1) & 0x7fffffff
	for _, c := range []lvs.Change{{PutServices: []lvs.Service{passing}}, {Settings: &settings}, {Lock: &lock}, cluster(t)} {
		r.change(c)
	}
	if n := len(b.Writers()) - writes; n != 0 {
		t.Errorf("%d writes", n)
	}
	if got := r.Snapshot().Director.Settings; got != settings {
		t.Errorf("settings %+v", got)
	}
	want := slicesSorted(clusterText + "\ntcp:10.0.0.9:80 wlc 0")
	r.holds(want)
	b.Set(func(m *controltest.Mood) { m.Away = nil })
	b.edit(t, lvs.Change{PutServers: []lvs.ServerAt{server(t, service(t, "tcp:10.0.0.1:80"), "10.0.0.11:80", 5)}})
	r.follow(b)
	r.holds(strings.Replace(want, "masquerade 1", "masquerade 5", 1))
	r.stop()
	r.start()
	if got := r.Snapshot().Director.Settings; got != settings {
		t.Errorf("settings after a restart %+v", got)
	}
}

func TestRefusalOfTheDirectory(t *testing.T) {
	for name, refusal := range map[string]error{
		"conflict": fmt.Errorf("%w: stale", lvs.ErrConflict), "invalid": fmt.Errorf("%w: constraint", lvs.ErrInvalid), "away": errAway,
	} {
		t.Run(name, func(t *testing.T) {
			r, b := newBookRig(t)
			r.change(cluster(t))
			generation := r.Snapshot().Director.Generation
			b.Set(func(m *controltest.Mood) { m.Next = []error{refusal} })
			tx := r.prepare(bigChange(t))
			if err := tx.Commit(); !errors.Is(err, refusal) {
				t.Errorf("%v", err)
			}
			if err := tx.Undo(); err != nil {
				t.Error(err)
			}
			if r.Snapshot().Director.Generation != generation {
				t.Error("the generation has changed")
			}
			r.agree(b, clusterText)
			r.change(bigChange(t))
			r.agree(b, bigText)
		})
	}
}

func TestStaleDirectorIsRefused(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	web := service(t, "tcp:10.0.0.1:80")
	b.edit(t, lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 5)}})
	tx := r.prepare(lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 6)}})
	if err := tx.Commit(); !errors.Is(err, lvs.ErrConflict) {
		t.Fatalf("%v", err)
	}
	tx.Undo()
	r.follow(b)
	r.agree(b, strings.Replace(clusterText, "masquerade 1", "masquerade 5", 1))
}

// TestUnknownOutcome: the SET fails, the rows show the doubt, and what the
// directory holds follows, whatever it is.
func TestUnknownOutcome(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost %t", lost), func(t *testing.T) {
			r, b := newBookRig(t)
			r.change(cluster(t))
			web := service(t, "tcp:10.0.0.1:80")
			b.Set(func(m *controltest.Mood) { m.Next, m.Lost = []error{errUnknown}, lost })
			tx := r.prepare(lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 6)}})
			if err := tx.Commit(); !errors.Is(err, lvs.ErrOutcomeUnknown) {
				t.Fatalf("%v", err)
			}
			doubted := func() bool {
				return strings.Contains(row(r, "tcp:10.0.0.1:80", "10.0.0.11:80").LastError, "outcome unknown")
			}
			read := r.Snapshot().Director.ReadAt
			if !doubted() {
				t.Error("no doubt is shown")
			}
			r.eventually("another reading", func() bool { return r.Snapshot().Director.ReadAt.After(read) })
			if !doubted() {
				t.Error("the doubt is gone by itself")
			}
			r.holds(clusterText)
			r.follow(b)
			if doubted() {
				t.Error("the doubt is shown still")
			}
			want := clusterText
			if !lost {
				want = strings.Replace(clusterText, "masquerade 1", "masquerade 6", 1)
			}
			r.agree(b, want)
		})
	}
}

func row(r *rig, service, server string) *control.ServerState {
	s := r.Snapshot()
	i, ok := s.Find(service)
	if !ok {
		return &control.ServerState{}
	}
	for _, row := range s.Services[i].Servers {
		if row.Text == server {
			return row.ServerState
		}
	}
	return &control.ServerState{}
}

// TestKernelRefusesAfterTheWrite has the kernel refuse each operation.
func TestKernelRefusesAfterTheWrite(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	for _, kind := range []lvs.Operation{lvs.EditService, lvs.EditServer, lvs.AddServer, lvs.AddService, lvs.SetTimeouts} {
		r.kernel.FailNext(kind, fmt.Errorf("%w: not me", lvs.ErrInvalid))
		tx := r.prepare(bigChange(t))
		if err := tx.Commit(); err == nil {
			t.Fatalf("%v: accepted", kind)
		}
		tx.Undo()
		r.agree(b, clusterText)
	}
}

func TestUndoIsWrittenThrough(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	tx := r.prepare(bigChange(t))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Undo(); err != nil {
		t.Fatal(err)
	}
	r.agree(b, clusterText)
}

// TestDirectoryKeepsWhatCannotBeTakenBack: the directory is the truth then.
func TestDirectoryKeepsWhatCannotBeTakenBack(t *testing.T) {
	for name, refusal := range map[string]error{"away": errAway, "unknown": errUnknown, "conflict": fmt.Errorf("%w: stale", lvs.ErrConflict)} {
		t.Run(name, func(t *testing.T) {
			r, b := newBookRig(t)
			r.change(cluster(t))
			tx := r.prepare(bigChange(t))
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			b.Set(func(m *controltest.Mood) { m.Next, m.Lost = []error{refusal}, true })
			if err := tx.Undo(); !errors.Is(err, refusal) {
				t.Fatalf("%v", err)
			}
			r.agree(b, bigText)
		})
	}
	t.Run("taken back all the same", func(t *testing.T) {
		r, b := newBookRig(t)
		r.change(cluster(t))
		tx := r.prepare(bigChange(t))
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		b.Set(func(m *controltest.Mood) { m.Next = []error{errUnknown} })
		if err := tx.Undo(); !errors.Is(err, lvs.ErrOutcomeUnknown) {
			t.Fatalf("%v", err)
		}
		r.follow(b)
		r.agree(b, clusterText)
	})
	t.Run("and the kernel refuses", func(t *testing.T) {
		r, b := newBookRig(t)
		r.change(cluster(t))
		r.kernel.FailNext(lvs.AddService, fmt.Errorf("%w: not me", lvs.ErrInvalid))
		b.Set(func(m *controltest.Mood) { m.Next, m.Lost = []error{nil, errAway}, true })
		tx := r.prepare(bigChange(t))
		if err := tx.Commit(); err == nil || !strings.Contains(err.Error(), "not me") || !strings.Contains(err.Error(), "203.0.113.1") {
			t.Fatalf("%v", err)
		}
		r.agree(b, bigText)
	})
}

// TestNobodyWaitsForTheDirectory: while it is written to, the kernel is read,
// others are refused at once, and what it holds does not come in between.
func TestNobodyWaitsForTheDirectory(t *testing.T) {
	r, b := newBookRig(t)
	begun := make(chan struct{}, 1)
	b.Set(func(m *controltest.Mood) { m.Delay, m.Begun = 300*time.Millisecond, begun })
	done := make(chan error, 1)
	tx := r.prepare(cluster(t))
	go func() { done <- tx.Commit() }()
	<-begun
	read := r.Snapshot().Director.ReadAt
	r.eventually("a reading meanwhile", func() bool { return r.Snapshot().Director.ReadAt.After(read) })
	if _, err := r.Prepare(bigChange(t)); !errors.Is(err, lvs.ErrUnavailable) {
		t.Errorf("a second change: %v", err)
	}
	if err := r.Follow(r.Kept(), new(lvs.Config)); !errors.Is(err, lvs.ErrUnavailable) {
		t.Errorf("Follow: %v", err)
	}
	if len(done) > 0 {
		t.Log("the machine is slow: the write is over")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	tx.Done()
	b.Set(func(m *controltest.Mood) { m.Delay, m.Begun = 0, nil })
	r.agree(b, clusterText)
}

func TestAwayDirectoryRefusesWithWords(t *testing.T) {
	r, b := newBookRig(t)
	b.Set(func(m *controltest.Mood) { m.Away = errAway })
	_, err := r.Prepare(cluster(t))
	if !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), "203.0.113.1") {
		t.Errorf("%v", err)
	}
}

func TestOtherDirectorsServices(t *testing.T) {
	r, _ := newBookRig(t)
	theirs, ours := lvs.NewCluster("theirs"), lvs.NewCluster("ours")
	hosts := []lvs.Host{lvs.NewHost("lb1"), lvs.NewHost("lb2")}
	member := func(c lvs.ClusterID, h lvs.HostName) lvs.Member {
		m := lvs.NewMember(lvs.MemberID{Cluster: c, Host: h})
		m.Role = lvs.Backup
		return m
	}
	r.change(lvs.Change{PutClusters: []lvs.Cluster{theirs, ours}, PutHosts: hosts, PutMembers: []lvs.Member{member("theirs", "lb2"), member("ours", "lb1"), member("ours", "lb2")}})
	web := service(t, "tcp:10.0.0.1:80")
	web.Cluster = "theirs"
	_, err := r.Prepare(lvs.Change{PutServices: []lvs.Service{web}})
	if !errors.Is(err, lvs.ErrConflict) || !strings.Contains(err.Error(), "lb1") {
		t.Errorf("%v", err)
	}
	web.Cluster = "ours"
	r.change(lvs.Change{PutServices: []lvs.Service{web}})
}

func TestPassiveDirectorChangesNothing(t *testing.T) {
	r, b := newBookRig(t, func(o *control.Options) { o.Passive = true })
	r.foreign(lvs.Op{Do: lvs.AddService, Service: new(service(t, "tcp:10.0.0.1:80").ServiceSpec)})
	b.edit(t, cluster(t))
	r.follow(b)
	r.eventually("drift is shown", func() bool { return len(r.Snapshot().Drifts) == 2 })
	if _, err := r.Prepare(bigChange(t)); !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), "observes") {
		t.Errorf("%v", err)
	}
	b.edit(t, lvs.Change{DeleteServices: []lvs.ServiceKey{service(t, "tcp:10.0.0.1:80").Key}})
	r.follow(b)
	r.eventually("no drift is shown", func() bool { return len(r.Snapshot().Drifts) == 0 })
	r.holds("tcp:10.0.0.1:80 wlc 0")
	if n := len(b.Writers()); n != 0 {
		t.Errorf("%d writes", n)
	}
}
