//go:build lab

package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// The two states between which a director goes to and fro, each by one SET
// that edits, adds and deletes services and servers, replaces the sync daemon,
// and sets a timeout: so many operations on the kernel, and deletes at the end.
const (
	operations = 11
	deletes    = 2
)

const (
	web = `"tcp:192.0.2.1:80"`
	old = `"tcp:192.0.2.1:8080"`
	dns = `"udp:192.0.2.1:53"`
	ds1 = `"10.0.0.11:80"`
	ds2 = `"10.0.0.12:80"`
	ds3 = `"10.0.0.13:80"`
	dn1 = `"10.0.0.11:53"`
	dn2 = `"10.0.0.12:53"`
)

func server(service, server string, weight int) []string {
	at := service + "." + server
	return []string{"lcmsServerRowStatus." + at + " i createAndGo", fmt.Sprintf("lcmsServerWeight.%s u %d", at, weight)}
}

func service(key, scheduler string) []string {
	return []string{"lcmsServiceRowStatus." + key + " i createAndGo", "lcmsServiceScheduler." + key + " s " + scheduler}
}

func daemon(state string, id int) []string {
	return []string{
		"lcmsSyncDaemonRowStatus." + state + " i createAndGo", "lcmsSyncDaemonInterface." + state + " s " + director.Interface,
		fmt.Sprintf("lcmsSyncDaemonSyncId.%s u %d", state, id),
	}
}

func join(parts ...[]string) (all []string) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// first makes the first state of nothing.
func first() []string {
	return join(service(web, "wlc"), server(web, ds1, 1), server(web, ds2, 2), service(old, "wlc"), server(old, ds1, 5),
		daemon("master", 1), []string{"lcmsDirectorTcpTimeout.0 u 1000"})
}

// forth goes from the first state to the second.
func forth() []string {
	return join(
		[]string{`lcmsServiceScheduler.` + web + ` s rr`, `lcmsServerWeight.` + web + `.` + ds1 + ` u 9`, `lcmsServerRowStatus.` + web + `.` + ds2 + ` i destroy`},
		server(web, ds3, 3), []string{`lcmsServiceRowStatus.` + old + ` i destroy`},
		service(dns, "wrr"), server(dns, dn1, 1), server(dns, dn2, 2),
		[]string{`lcmsSyncDaemonRowStatus.master i destroy`}, daemon("backup", 3), []string{`lcmsDirectorTcpTimeout.0 u 2000`},
	)
}

// back goes from the second state to the first.
func back() []string {
	return join(
		[]string{`lcmsServiceScheduler.` + web + ` s wlc`, `lcmsServerWeight.` + web + `.` + ds1 + ` u 1`, `lcmsServerRowStatus.` + web + `.` + ds3 + ` i destroy`},
		server(web, ds2, 2), []string{`lcmsServiceRowStatus.` + dns + ` i destroy`},
		service(old, "wlc"), server(old, ds1, 5),
		[]string{`lcmsSyncDaemonRowStatus.backup i destroy`}, daemon("master", 1), []string{`lcmsDirectorTcpTimeout.0 u 1000`},
	)
}

// pendulum is a director that goes to and fro between two states, a and b.
type pendulum struct {
	*director.Director
	a, b state
	at   *state
}

func swing(t *testing.T, policy string, o director.Options) *pendulum {
	t.Helper()
	p := &pendulum{Director: prepare(t, policy, o)}
	p.StartSnmpd()
	p.StartSubagent()
	p.WaitReady()
	mustSet(t, p.Director, first()...)
	p.a = look(t, p.Director)
	mustSet(t, p.Director, forth()...)
	p.b = look(t, p.Director)
	if p.a.kernel == p.b.kernel || p.a.store == p.b.store || p.a.shown == p.b.shown {
		t.Fatalf("the states are the same: %+v", p.a)
	}
	for _, rule := range foreign {
		if !strings.Contains(p.a.kernel, rule) || !strings.Contains(p.b.kernel, rule) {
			t.Fatalf("%s is not in the kernel:\n%s\n%s", rule, p.a.kernel, p.b.kernel)
		}
	}
	p.at = &p.b
	return p
}

// change returns the SET that goes to the other state.
func (p *pendulum) change() []string {
	if p.at == &p.a {
		return forth()
	}
	return back()
}

func (p *pendulum) other() *state {
	if p.at == &p.a {
		return &p.b
	}
	return &p.a
}

// start starts the subagent with a failure point, "" for none. One that is
// there is killed.
func (p *pendulum) start(failpoint string) {
	p.KillSubagent()
	_ = os.Setenv("LCMS_FAILPOINT", failpoint)
	p.StartSubagent()
	_ = os.Unsetenv("LCMS_FAILPOINT")
}

// dead waits until the subagent has died.
func (p *pendulum) dead(t *testing.T) {
	t.Helper()
	err := director.Poll(p.Limit(), func() error {
		if _, ok := p.Running(); ok {
			return errors.New("the failure point has not been reached")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// whole checks that the director is in one of the two states as a whole, in
// the other one if changed says that the manager was told so, and in the
// present one if it was told the contrary.
func (p *pendulum) whole(t *testing.T, answer error, sure bool) {
	t.Helper()
	switch got := look(t, p.Director); {
	case got == *p.at && answer == nil:
		t.Error("the SET was answered noError, and is lost")
	case got == *p.other() && answer != nil && sure:
		t.Errorf("the SET was refused, and is made: %v", answer)
	case got == *p.other():
		p.at = p.other()
	case got != *p.at:
		t.Fatalf("a part of the SET:\n%s\n%s\n%s\nwant either\n%s\n%s\n%s\nor\n%s\n%s\n%s",
			got.kernel, got.store, got.shown, p.a.kernel, p.a.store, p.a.shown, p.b.kernel, p.b.store, p.b.shown)
	}
}

// TestKill kills the subagent with SIGKILL at each of its steps.
func TestKill(t *testing.T) {
	for _, policy := range []string{"enforce", "adopt"} {
		t.Run(policy, func(t *testing.T) {
			p := swing(t, policy, director.Options{})
			startRefuser(t, p.Director)
			// The operations take turns: the odd ones here, the even ones there.
			points := []string{"commit.stored", "done.delete"}
			undo, odd := []string{"undo.operation#5"}, 0
			if policy == "enforce" {
				points, odd = []string{"prepare.end", "commit.begin", "commit.stored", "commit.end", "done.begin", "done.end", "settle.begin", "settle.end"}, 1
				for i := range deletes {
					points = append(points, fmt.Sprintf("done.delete#%d", i+1))
				}
				undo = []string{"undo.begin", "undo.operation", "undo.operation#5", fmt.Sprintf("undo.operation#%d", operations), "undo.stored"}
			}
			for n := range operations {
				if (n+1)%2 == odd {
					points = append(points, fmt.Sprintf("commit.operation#%d", n+1))
				}
			}
			for _, point := range points {
				t.Run(point, func(t *testing.T) { p.kill(t, point, false) })
			}
			for _, point := range undo {
				t.Run(point, func(t *testing.T) { p.kill(t, point, true) })
			}
			for _, n := range []int{1, 4} {
				t.Run(fmt.Sprintf("mend.operation#%d", n), func(t *testing.T) { p.killTwice(t, n) })
			}
		})
	}
}

// kill makes a SET, in the course of which the subagent dies. refused has a
// second subagent refuse it.
func (p *pendulum) kill(t *testing.T, point string, refused bool) {
	defer begun(t)()
	p.SettledStore()
	p.start(point + "=kill")
	p.WaitReady()
	vbs := p.change()
	if refused {
		vbs = append(vbs, refuserName+" i 2")
	}
	_, answer := p.Set(vbs...)
	p.dead(t)
	p.start("")
	p.WaitReady()
	p.whole(t, answer, false)
	if refused && answer == nil {
		t.Error("the SET is accepted")
	}
	// A second restart changes nothing more.
	p.start("")
	p.WaitReady()
	if got := held(t, p.Director); got != p.at.kernel {
		t.Errorf("after a second restart the kernel holds\n%s\nwant\n%s", got, p.at.kernel)
	}
}

// killTwice kills the subagent that mends what a killed one has left.
func (p *pendulum) killTwice(t *testing.T, n int) {
	defer begun(t)()
	p.SettledStore()
	p.start("commit.stored=kill")
	p.WaitReady()
	_, answer := p.Set(p.change()...)
	p.dead(t)
	p.start(fmt.Sprintf("mend.operation#%d=kill", n))
	p.dead(t)
	p.start("")
	p.WaitReady()
	p.whole(t, answer, false)
}

// TestKillSnmpd kills snmpd at steps of the subagent, which goes on.
func TestKillSnmpd(t *testing.T) {
	p := swing(t, "enforce", director.Options{})
	startRefuser(t, p.Director)
	for _, point := range []string{"prepare.end", "commit.begin", "commit.stored", "commit.operation#5", "commit.end", "done.begin", "undo.begin", "undo.operation#5", "undo.stored"} {
		t.Run(point, func(t *testing.T) {
			defer begun(t)()
			p.SettledStore()
			pid := snmpd(t, p.Director)
			p.start(fmt.Sprintf("%s=kill:%d", point, pid))
			p.WaitReady()
			vbs := p.change()
			refused := strings.HasPrefix(point, "undo")
			if refused {
				awaitRefuser(t, p.Director)
				vbs = append(vbs, refuserName+" i 2")
			}
			answered := make(chan error, 1)
			go func() { // without snmpd the tool waits long for an answer
				_, err := p.Set(vbs...)
				answered <- err
			}()
			err := director.Poll(p.Limit(), func() error {
				if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !bytes.Contains(b, []byte(") Z ")) {
					return errors.New("the failure point has not been reached")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			p.StartSnmpd()
			p.WaitReady()
			answer := errors.New("no answer")
			select {
			case answer = <-answered:
			default:
			}
			p.whole(t, answer, refused)
			p.start("")
			p.WaitReady()
			p.whole(t, errors.New("nobody asked"), true)
		})
	}
}

// snmpd returns the process id of the director's snmpd.
func snmpd(t *testing.T, d *director.Director) int {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		line, err := os.ReadFile(e)
		if err == nil && bytes.Contains(line, []byte(filepath.Join(filepath.Dir(d.Socket()), "snmpd.conf"))) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(e)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no snmpd runs")
	return 0
}

// TestRefusedByAnother has a second subagent refuse the second phase: all is
// taken back, and told.
func TestRefusedByAnother(t *testing.T) {
	p := swing(t, "enforce", director.Options{})
	startRefuser(t, p.Director)
	for range 2 {
		_, err := p.Set(append(p.change(), refuserName+" i 2")...)
		var refusal *director.Refusal
		if !errors.As(err, &refusal) || refusal.Status != "commitFailed" {
			t.Errorf("%v, want commitFailed", err)
		}
		p.whole(t, err, true)
		outcomes, err := p.BulkWalk("lcmsRequestOutcome")
		if err != nil || outcomes[len(outcomes)-1].Value != "4" {
			t.Errorf("%v, %v, want undone(4) last", outcomes, err)
		}
		mustSet(t, p.Director, p.change()...)
		p.whole(t, nil, true)
	}
}

// TestResentCommit has a commit take longer than snmpd waits, so that snmpd
// sends it again: it is made once, and each is answered.
func TestResentCommit(t *testing.T) {
	p := swing(t, "enforce", director.Options{AgentXTimeout: 2 * time.Second, Snmpd: []string{"agentXRetries 9"}})
	r := startRelay(t, p.Director)
	p.start("commit.end=sleep:5000")
	p.WaitReady()
	generation, err := strconv.Atoi(get(t, p.Director, "lcmsDirectorConfigGeneration.0"))
	if err != nil {
		t.Fatal(err)
	}
	_, answer := p.Set(p.change()...)
	p.WaitReady()
	p.whole(t, answer, false)
	if now := get(t, p.Director, "lcmsDirectorConfigGeneration.0"); now != strconv.Itoa(generation+1) {
		t.Errorf("the generation was %d and is %s; the SET was answered %v", generation, now, answer)
	}
	if answer != nil {
		t.Errorf("a commit that was sent again: %v", answer)
	}
	commits := r.commits()
	t.Logf("snmpd sent CommitSet %d times", len(commits))
	if len(commits) < 2 {
		t.Fatal("snmpd sent CommitSet but once: nothing was tested")
	}
	for _, c := range commits {
		if c != commits[0] {
			t.Errorf("CommitSet was sent as %+v and as %+v", commits[0], c)
		}
	}
	err = director.Poll(p.Limit(), func() error {
		if n := r.answers(commits[0]); n != len(commits) {
			return fmt.Errorf("%d CommitSets have %d answers", len(commits), n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
