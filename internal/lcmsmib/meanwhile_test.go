package lcmsmib

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/control/controltest"
	"github.com/lcms-project/lcms/internal/lvs"
)

// gate is a kernel with something to do before its next operation.
type gate struct {
	control.Kernel
	before atomic.Pointer[func()]
}

func (g *gate) Apply(ctx context.Context, op lvs.Op) error {
	if f := g.before.Swap(nil); f != nil {
		(*f)()
	}
	return g.Kernel.Apply(ctx, op)
}

// eventually polls until the condition holds.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has not come to that within a minute")
		}
	}
}

// TestSetOfARowThatChanges: a SET of one column that was made of a row which the
// director is just given anew by its directory takes none of that back.
func TestSetOfARowThatChanges(t *testing.T) {
	d, g := controltest.New(), new(gate)
	r := newRig(t, nil, func(o *control.Options) { g.Kernel, o.Kernel, o.Directory = o.Kernel, g, d })
	r.mustSet(t, r.create(t)...)
	key, err := lvs.ParseServiceKey(web)
	if err != nil {
		t.Fatal(err)
	}
	heavier := *d.Holds().Servers(key)[0]
	heavier.Weight = 5
	if err := d.Edit(lvs.Change{PutServers: []lvs.ServerAt{{Service: key, Server: heavier}}}); err != nil {
		t.Fatal(err)
	}
	threshold := smi.Varbind{Name: r.oid(t, "lcmsServerUpperThreshold", web, rs1), Value: smi.Unsigned32(1000)}
	answer := make(chan error, 1)
	inTheMiddle := func() {
		go func() { answer <- r.set(threshold) }()
		time.Sleep(50 * time.Millisecond) // for it to have its rows
	}
	g.before.Store(&inTheMiddle)
	if err := r.control.Follow(r.control.Kept(), d.Holds()); err != nil {
		t.Fatal(err)
	}
	err = <-answer
	if got := d.Holds().Servers(key)[0]; got.Weight != 5 {
		t.Fatalf("the directory has weight %d again: %v", got.Weight, err)
	}
	if err != nil {
		var refusal *smi.SetError
		if !errors.As(err, &refusal) || refusal.Status != smi.ResourceUnavailable || refusal.Index != 1 || !strings.Contains(refusal.Reason, "try again") {
			t.Errorf("the SET fails with %+v", err)
		}
		r.mustSet(t, threshold)
	}
	if got := d.Holds().Servers(key)[0]; got.Weight != 5 || got.UpperThreshold != 1000 {
		t.Errorf("the directory has weight %d, threshold %d", got.Weight, got.UpperThreshold)
	}
}

// TestTimeoutsAreSetOneByOne: a SET decides of the timeouts that are in it, also when
// they are as they should be already.
func TestTimeoutsAreSetOneByOne(t *testing.T) {
	r := newRig(t, nil, func(o *control.Options) { o.Drift = lvs.DriftAlert })
	timeout := func() uint32 { return uint32(r.get(t, "lcmsDirectorTcpTimeout").Num) }
	present := timeout()
	foreign := func(tcp uint32) {
		t.Helper()
		if err := r.kernel.Apply(t.Context(), lvs.Op{Do: lvs.SetTimeouts, Timeouts: lvs.Timeouts{TCP: tcp, TCPFin: 120, UDP: 300}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return timeout() == tcp })
	}
	drifts := func(want int) {
		t.Helper()
		eventually(t, func() bool { return len(r.control.Snapshot().Drifts) == want })
	}
	tcp := smi.Varbind{Name: r.oid(t, "lcmsDirectorTcpTimeout"), Value: smi.Unsigned32(present)}
	r.mustSet(t, tcp)
	foreign(5)
	drifts(1)
	r.mustSet(t, smi.Varbind{Name: r.oid(t, "lcmsDirectorUdpTimeout"), Value: smi.Unsigned32(77)})
	if want := (lvs.Timeouts{TCP: present, UDP: 77}); r.control.Snapshot().Desired.Timeouts() != want {
		t.Errorf("desired are %+v, want %+v", r.control.Snapshot().Desired.Timeouts(), want)
	}
	foreign(5)
	drifts(1)
	r.mustSet(t, tcp)
	drifts(0)
	if got := timeout(); got != present {
		t.Errorf("the timeout is %d, want %d", got, present)
	}
}

// TestUnansweredSetsAreRecorded: those that are taken back because nobody says how
// to go on, and those that are not done because somebody else refuses.
func TestUnansweredSetsAreRecorded(t *testing.T) {
	last := func(r *rig) (outcome control.Outcome, reason string) {
		s := r.control.Snapshot().Requests
		if len(s) == 0 {
			return 0, ""
		}
		return s[len(s)-1].Outcome, s[len(s)-1].Reason
	}
	for name, c := range map[string]struct {
		commit bool
		wait   bool
		undo   bool
		reason string
	}{
		"not committed":                  {false, false, false, "not done: somebody else refused"},
		"given up before the commit":     {false, true, false, "given up after"},
		"given up after it":              {true, true, false, "given up after"},
		"given up after it, then undone": {true, true, true, "given up after"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, func(o *control.Options) { o.Abandoned = 100 * time.Millisecond })
			p, err := r.Prepare("", r.create(t))
			if err != nil {
				t.Fatal(err)
			}
			if c.commit {
				if err := p.Commit(); err != nil {
					t.Fatal(err)
				}
			}
			if c.wait {
				eventually(t, func() bool { return p.(*recorded).Pending.(*control.Transaction).GivenUp() != nil })
			}
			if c.undo {
				err = p.Undo()
			} else {
				p.Done()
			}
			if outcome, reason := last(r); err != nil || outcome != control.Undone || !strings.Contains(reason, c.reason) {
				t.Errorf("%v; outcome %d, %q", err, outcome, reason)
			}
		})
	}
}

// TestFaultsBeyondTheLast: GETNEXT ends there on every machine.
func TestFaultsBeyondTheLast(t *testing.T) {
	s := &control.Snapshot{Directory: control.DirectoryRow{DirectoryStatus: lvs.DirectoryStatus{Faults: []string{"a", "b"}}}}
	for _, after := range []uint32{2, 1 << 31, 1<<32 - 1} {
		if r, ok := directoryFault().Next(s, smi.OID{after}, false); ok {
			t.Errorf("row %d follows row %d", r.index, after)
		}
	}
}
