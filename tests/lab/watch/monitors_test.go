//go:build lab

package watch

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"
)

// TestMonitors has two monitors watch for two directors, kills and replaces them,
// and cuts one director off.
func TestMonitors(t *testing.T) {
	one, two := begin(t, 1), begin(t, 2)
	both := []*site{one, two}
	servers := []int{1, 2, 3}
	webs := make(map[int]*daemon)
	for _, n := range servers {
		webs[n] = serve(t, n)
	}
	for _, d := range both {
		d.set(service(servers)...)
	}
	a, b := watch(t, "", 1, 2), watch(t, "", 1, 2)
	all := map[string]int{real(1): 20, real(2): 20, real(3): 20}
	for _, d := range both {
		for _, n := range servers {
			d.want(ofServer(real(n), "Health"), up)
		}
		d.weigh(all)
	}
	// transitions of the first servers of a director.
	transitions := func(d *site, servers ...int) (sum string) {
		t.Helper()
		for _, n := range servers {
			sum += fmt.Sprintf(" %d:%s", n, d.get(ofServer(real(n), "Transitions")))
		}
		return sum
	}
	before := map[*site]string{one: transitions(one, 1, 2), two: transitions(two, 1, 2)}
	still := func(when string, d *site) {
		t.Helper()
		if now := transitions(d, 1, 2); now != before[d] {
			t.Errorf("%s: the transitions at %s were%s and are%s", when, d.host, before[d], now)
		}
	}
	age := func(d *site, n int) int {
		t.Helper()
		age, err := strconv.Atoi(d.get(ofServer(real(n), "HealthAge")))
		if err != nil {
			t.Fatal(err)
		}
		return age
	}
	// watched waits until directors have been told anew of a server.
	watched := func(n int, directors ...*site) {
		t.Helper()
		last := make(map[*site]int)
		for _, d := range directors {
			last[d] = age(d, n)
		}
		for _, d := range directors {
			eventually(t, func() error {
				now := age(d, n)
				if now < last[d] {
					return nil
				}
				last[d] = now
				return fmt.Errorf("the last report of real%d at %s is %d s old", n, d.host, now)
			})
		}
	}
	steady := func(when string) {
		t.Helper()
		watched(1, both...)
		for _, d := range both {
			still(when, d)
			if got := d.weights(); fmt.Sprint(got) != fmt.Sprint(all) {
				t.Errorf("%s: the kernel of %s holds %v", when, d.host, got)
			}
		}
	}

	a.kill()
	steady("one of two monitors is dead")
	b.kill()
	a.start()
	a.shows(real(1), "up", "status 200")
	steady("the other one in its place")
	b.start()
	b.shows(real(1), "up", "status 200")
	steady("both run")
	b.kill()

	link := func(state string) {
		t.Helper()
		if out, err := exec.Command("ip", "-n", "director2", "link", "set", "eth1", state).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	defer link("up")
	link("down")
	webs[3].kill()
	one.weigh(map[string]int{real(1): 20, real(2): 20, real(3): 0})
	lost := two.told(0, "lcmsMonitorLost", "", "")
	two.want(ofServer(real(1), "Health"), "1") // it may not have been the first to grow old
	if got := age(two, 1); got < 29 {
		t.Errorf("the monitor is missed after %d s", got)
	}
	// The director that is cut off goes on as it was, and the other one is told.
	two.weigh(all)
	still("cut off", two)
	still("the other director is cut off", one)
	watched(1, one)
	a.shows("lb2", "away")
	a.shows("lb1", "ok")

	link("up")
	two.weigh(map[string]int{real(1): 20, real(2): 20, real(3): 0})
	two.told(lost, "lcmsMonitorRestored", "", "")
	two.want(ofServer(real(1), "Health"), up, ofServer(real(3), "Health"), "3")
	a.shows("lb2", "ok")
	for _, d := range both {
		still("together again", d)
	}
	for _, n := range one.heed.Received() {
		if n.Name == "lcmsMonitorLost" {
			t.Errorf("director1 has missed its monitor: %v", n)
		}
	}
}
