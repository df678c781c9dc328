package directory

import (
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/tests/director"
)

// While the directory is away the director runs on, also through its own end and
// start; its configuration is not changed, but a server can still be drained.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	s.set(`lcmsServerWeight.` + first + ` u 7`)
	before := s.allRows()
	s.slapd.Stop()
	s.waitState(disconnected)

	words := s.refused("resourceUnavailable", `lcmsServiceScheduler.`+web+` s rr`)
	if !strings.Contains(words, "directory") {
		t.Errorf("a SET is refused with %q, which does not name the directory", words)
	}
	s.keeps(before)

	s.KillSubagent()
	s.StartSubagent()
	s.WaitReady()
	s.keeps(before)

	// An emergency needs no directory.
	s.set(`lcmsServerAdminStatus.` + first + ` i 2`)
	s.must("lcmsServerOperWeight."+first, "0")
	reason, err := value(s.Director, "lcmsServerWeightReason."+first)
	if err != nil || !strings.Contains(reason, "override") {
		t.Errorf("lcmsServerWeightReason is %q, %v", reason, err)
	}
	s.KillSubagent()
	s.StartSubagent()
	s.WaitReady()
	s.must("lcmsServerOperWeight."+first, "0")

	// It stays when the directory is back, until somebody says otherwise.
	s.slapd.Start()
	s.waitState(inSync)
	s.steady(func() error { return is(s.Director, "lcmsServerOperWeight."+first, "0") })
	if got := s.inDirectory(firstDN, "lcmsAdminStatus"); got != "" && got != "up" {
		t.Errorf("the directory has adminStatus %s", got)
	}
	// The same again is meant for the directory.
	s.set(`lcmsServerAdminStatus.` + first + ` i 2`)
	if got := s.inDirectory(firstDN, "lcmsAdminStatus"); got != "drain" {
		t.Errorf("the directory has adminStatus %q", got)
	}
	if reason, err := value(s.Director, "lcmsServerWeightReason."+first); err != nil || strings.Contains(reason, "override") {
		t.Errorf("lcmsServerWeightReason is %q, %v", reason, err)
	}
	s.set(`lcmsServerAdminStatus.`+first+` i 1`, `lcmsServerWeight.`+first+` u 8`)
	s.must("lcmsServerOperWeight."+first, "8")
	if got := s.inDirectory(firstDN, "lcmsWeight"); got != "8" {
		t.Errorf("the directory has weight %s", got)
	}
}

// With queue, changes are made here at once and in the directory when it is
// back; what does not fit any more is parked and told, and overwrites nothing.
func TestQueue(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{}, "queue: true")
	const second = web + `."10.0.0.12:80"`
	secondDN := strings.Replace(firstDN, "10.0.0.11", "10.0.0.12", 1)
	s.slapd.Stop()
	s.waitState(disconnected)
	s.set(`lcmsServerUpperThreshold.` + first + ` u 100`)
	s.set(`lcmsServerUpperThreshold.` + second + ` u 200`)
	s.must("lcmsDirectoryPendingWrites.0", "2")
	s.must("lcmsServerUpperThreshold."+first, "100")

	s.KillSubagent() // the journal is on disk
	s.StartSubagent()
	s.WaitReady()
	s.must("lcmsDirectoryPendingWrites.0", "2")
	s.must("lcmsServerUpperThreshold."+first, "100")

	// Meanwhile somebody changes the second one in the directory.
	s.KillSubagent()
	s.slapd.Start()
	s.modify(secondDN, "lcmsUpperThreshold", "999")
	s.StartSubagent()
	s.WaitReady()
	s.waitState(inSync)
	s.wait("lcmsDirectoryPendingWrites.0", "0")
	s.wait("lcmsServerUpperThreshold."+second, "999")
	s.must("lcmsServerUpperThreshold."+first, "100")
	if got := s.inDirectory(firstDN, "lcmsUpperThreshold"); got != "100" {
		t.Errorf("the directory has upper threshold %q", got)
	}
	if got := s.inDirectory(secondDN, "lcmsUpperThreshold"); got != "999" {
		t.Errorf("somebody's upper threshold became %q", got)
	}
	s.must("lcmsDirectoryConflicts.0", "1")
}

// In mode observe nothing is ever changed, and what would be is shown.
func TestObserve(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{}, "mode: observe")
	s.must("lcmsDirectorServices.0", "5")
	s.must("lcmsServerOperWeight."+first, "0") // the kernel holds nothing
	if rules := s.Rules(); len(rules) > 0 {
		t.Errorf("the kernel holds %s", strings.Join(rules, "\n"))
	}
	if err := director.Poll(s.Limit(), func() error { return is(s.Director, "lcmsDriftCount.0", "5") }); err != nil {
		t.Error(err)
	}
	words := s.refused("resourceUnavailable", `lcmsServerWeight.`+first+` u 9`)
	if !strings.Contains(words, "observe") {
		t.Errorf("a SET is refused with %q", words)
	}
	if got := s.inDirectory(firstDN, "lcmsWeight"); got != "3" {
		t.Errorf("the directory has weight %s", got)
	}
	s.modify(firstDN, "lcmsWeight", "42")
	s.wait("lcmsServerWeight."+first, "42")
	s.must("lcmsServerOperWeight."+first, "0")
}
