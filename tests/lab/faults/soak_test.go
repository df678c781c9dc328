//go:build lab && soak

package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// table is a model of what the kernel should hold: weights by server by
// service.
type table map[int]map[int]int

func (m table) clone() table {
	out := make(table)
	for k, v := range m {
		out[k] = maps.Clone(v)
	}
	return out
}

// rules renders it as Director.Rules does, with the service of somebody else.
func (m table) rules(foreign []string) string {
	lines := slices.Clone(foreign)
	for k, servers := range m {
		lines = append(lines, fmt.Sprintf("-A -t 192.0.2.%d:80 -s wlc", k))
		for s, w := range servers {
			lines = append(lines, fmt.Sprintf("-a -t 192.0.2.%d:80 -r 10.0.0.%d:80 -m -w %d", k, s, w))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// draw returns a random SET, and what it makes of the table.
func (m table) draw() ([]string, table) {
	next := m.clone()
	var vbs []string
	for k := range 8 {
		if rand.IntN(3) > 0 {
			continue
		}
		service := fmt.Sprintf(`"tcp:192.0.2.%d:80"`, k)
		switch servers := next[k]; {
		case servers != nil && rand.IntN(5) == 0:
			delete(next, k)
			vbs = append(vbs, "lcmsServiceRowStatus."+service+" i destroy")
			continue
		case servers == nil:
			next[k] = make(map[int]int)
			vbs = append(vbs, "lcmsServiceRowStatus."+service+" i createAndGo")
		}
		for s := range 4 {
			server := fmt.Sprintf(`%s."10.0.0.%d:80"`, service, s)
			_, there := next[k][s]
			switch n := rand.IntN(6); {
			case n == 0 && there:
				delete(next[k], s)
				vbs = append(vbs, "lcmsServerRowStatus."+server+" i destroy")
			case n < 4:
				w := rand.IntN(100)
				if !there {
					vbs = append(vbs, "lcmsServerRowStatus."+server+" i createAndGo")
				}
				next[k][s] = w
				vbs = append(vbs, fmt.Sprintf("lcmsServerWeight.%s u %d", server, w))
			}
		}
	}
	return vbs, next
}

// TestSoak goes on for LCMS_SOAK with random SETs, good and bad, with somebody
// who edits the kernel, and with kill -9 of the subagent and of snmpd; at quiet
// points the kernel is compared with a model.
func TestSoak(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("LCMS_SOAK"))
	if err != nil {
		t.Fatalf("LCMS_SOAK says how long: %v", err)
	}
	d := prepare(t, "enforce", director.Options{})
	d.StartSnmpd()
	d.StartSubagent()
	d.WaitReady()
	others := slices.Clone(foreign)
	model := make(table)
	count := make(map[string]int)
	quiet := func(want ...table) {
		t.Helper()
		err := director.Poll(d.Limit(), func() error {
			got := strings.Join(d.Rules(), "\n")
			for _, m := range want {
				if got == m.rules(others) {
					model = m
					return nil
				}
			}
			return fmt.Errorf("the kernel holds\n%s\nwant\n%s", got, want[len(want)-1].rules(others))
		})
		if err != nil {
			t.Fatalf("%v\n%v", err, count)
		}
		count["quiet points"]++
	}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		vbs, next := model.draw()
		if len(vbs) == 0 {
			continue
		}
		switch n := rand.IntN(100); {
		case n < 45:
			mustSet(t, d, vbs...)
			model = next
			count["SETs"]++
		case n < 55:
			if _, err := d.Set(append(vbs, `lcmsServiceScheduler."tcp:192.0.2.200:80" s nope`)...); err == nil {
				t.Fatal("a bad SET is accepted")
			}
			count["bad SETs"]++
		case n < 75:
			meddle(t, d, model, others)
			count["edits by others"]++
			quiet(model)
		case n < 90:
			answered := make(chan error, 1)
			go func() {
				_, err := d.Set(vbs...)
				answered <- err
			}()
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond) // any moment is right
			d.KillSubagent()
			err := <-answered
			d.StartSubagent()
			d.WaitReady()
			if err == nil {
				quiet(next)
			} else {
				quiet(model, next)
			}
			count["deaths of the subagent"]++
		case n < 95:
			d.KillSnmpd()
			d.StartSnmpd()
			d.WaitReady()
			count["deaths of snmpd"]++
		default:
			quiet(model)
		}
	}
	quiet(model)
	pid, _ := d.Running()
	files, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(pid), "fd"))
	if err != nil || len(files) > 30 {
		t.Errorf("%d open files, %v", len(files), err)
	}
	t.Logf("%v; %d open files, %s KiB", count, len(files), get(t, d, "lcmsAgentMemory.0"))
}

// meddle edits something in the kernel: a service of ours, or that of somebody
// else, of which others is kept in step.
func meddle(t *testing.T, d *director.Director, model table, others []string) {
	t.Helper()
	for k, servers := range model {
		for s := range servers {
			switch rand.IntN(4) {
			case 0:
				ipvsadm(t, d, fmt.Sprintf("-e -t 192.0.2.%d:80 -r 10.0.0.%d:80 -m -w 777", k, s))
			case 1:
				ipvsadm(t, d, fmt.Sprintf("-d -t 192.0.2.%d:80 -r 10.0.0.%d:80", k, s))
			case 2:
				ipvsadm(t, d, fmt.Sprintf("-D -t 192.0.2.%d:80", k))
			default:
				w := rand.IntN(100)
				others[1] = fmt.Sprintf("-a -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w %d", w)
				ipvsadm(t, d, fmt.Sprintf("-e -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w %d", w))
			}
			return
		}
	}
}
