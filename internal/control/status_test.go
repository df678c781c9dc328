package control_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// alarmsOf lists the alarms as text.
func alarmsOf(s *control.Snapshot) []string {
	var out []string
	for _, a := range s.Alarms {
		out = append(out, fmt.Sprintf("%d %s%s: %s", a.Kind, a.Member.Cluster, a.Member.Host, a.Text))
	}
	return out
}

// TestDirectoryIsTold goes through what may become of a directory: each loss and
// each hold is told once with its end, and the alarms stand in between.
func TestDirectoryIsTold(t *testing.T) {
	r := newRig(t)
	if d := r.Snapshot().Directory; d.State != lvs.DirectoryStandalone {
		t.Fatalf("without a directory it is %+v", d)
	}
	const lost, hold = "11 : nobody answers", "13 : 9 of 10 services"
	for i, step := range []struct {
		status lvs.DirectoryStatus
		told   []control.EventKind
		alarms []string
	}{
		{lvs.DirectoryStatus{State: lvs.DirectoryConnecting}, nil, nil},
		{lvs.DirectoryStatus{State: lvs.DirectoryDisconnected, LastError: "nobody answers"}, []control.EventKind{control.DirectoryLost}, []string{lost}},
		{lvs.DirectoryStatus{State: lvs.DirectoryConnecting, LastError: "nobody answers"}, nil, []string{lost}},
		{lvs.DirectoryStatus{State: lvs.DirectoryDisconnected, LastError: "nobody answers"}, nil, []string{lost}},
		{lvs.DirectoryStatus{State: lvs.DirectoryFailed, LastError: "no schema"}, []control.EventKind{control.DirectoryLost}, []string{"11 : no schema"}},
		{lvs.DirectoryStatus{State: lvs.DirectoryRefreshing}, nil, []string{"11 : no schema"}},
		{lvs.DirectoryStatus{State: lvs.DirectoryHeld, Held: 9, HoldID: 4, HeldText: "9 of 10 services"}, []control.EventKind{control.DirectoryRestored, control.DirectoryHold}, []string{hold}},
		{lvs.DirectoryStatus{State: lvs.DirectoryHeld, Held: 9, HoldID: 4, HeldText: "9 of 10 services"}, nil, []string{hold}},
		{lvs.DirectoryStatus{State: lvs.DirectoryDisconnected, LastError: "nobody answers", Held: 9, HoldID: 4, HeldText: "9 of 10 services"}, []control.EventKind{control.DirectoryLost}, []string{hold, lost}},
		{lvs.DirectoryStatus{State: lvs.DirectoryHeld, Held: 10, HoldID: 5, HeldText: "all"}, []control.EventKind{control.DirectoryRestored, control.DirectoryHold}, []string{"13 : all"}},
		{lvs.DirectoryStatus{State: lvs.DirectoryInSync, Provider: "ldap://a"}, []control.EventKind{control.DirectoryHoldReleased}, nil},
	} {
		before := len(r.seen())
		r.SetDirectory(step.status)
		r.mu.Lock()
		var told []control.EventKind
		for _, e := range r.events[before:] {
			told = append(told, e.Kind)
			if e.Directory == nil || e.Directory.HoldID != step.status.HoldID || e.Text == "" || e.Time.IsZero() {
				t.Errorf("step %d: %+v", i, e)
			}
		}
		r.mu.Unlock()
		if !slices.Equal(told, step.told) {
			t.Errorf("step %d: told %v, want %v", i, told, step.told)
		}
		s := r.Snapshot()
		if got := alarmsOf(s); !slices.Equal(got, step.alarms) {
			t.Errorf("step %d: alarms %q, want %q", i, got, step.alarms)
		}
		if s.Directory.State != step.status.State || s.Directory.HoldID != step.status.HoldID {
			t.Errorf("step %d: %+v", i, s.Directory)
		}
	}
}
