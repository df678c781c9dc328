//go:build lab && soak

package watch

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/poller/status"
	"github.com/lcms-project/lcms/tests/director"
	"github.com/lcms-project/lcms/tests/lab"
)

// followLoad looks for so long whether weights stay where they are to be.
func followLoad(t *testing.T, calm time.Duration) {
	d := begin(t, 1)
	vbs := service([]int{1, 2, 3}, "WeightPolicy i capacity")
	var hogs []func(int)
	for n := 1; n <= 3; n++ {
		hogs = append(hogs, busy(t, n))
		vbs = append(append(vbs, host(n)...), ofServer(real(n), fmt.Sprintf("Host s real%d", n)))
	}
	d.set(vbs...)
	m := watch(t, `
hosts: [{networks: 10.0.2.0/24, community-file: FILE/`+forHosts+`}]
load: {interval: 2s, timeout: 5s}
weights: {interval: 2s, smoothing: 5s}
`, 1)
	// They keep a little more than half of each processor busy.
	client := start(t, "client", lab.Program("webclient"), "-timeout", "30s", "-for", "1h", "-rate", "32", url+"work")

	// share returns what part of the weights in the kernel a server has.
	share := func(n int) float64 {
		t.Helper()
		sum, weights := 0, d.weights()
		for _, w := range weights {
			sum += w
		}
		if len(weights) != 3 || sum == 0 {
			t.Fatalf("the kernel balances by %v", weights)
		}
		return float64(weights[real(n)]) / float64(sum)
	}
	reach := func(what string, fits func(share float64) bool) {
		t.Helper()
		eventually(t, func() error {
			if s := share(1); !fits(s) {
				return fmt.Errorf("real1 has %.2f of the weights, and should have %s", s, what)
			}
			return nil
		})
	}
	even := func(s float64) bool { return s > 0.25 && s < 0.42 }
	little := func(s float64) bool { return s < 0.22 }
	m.shows(real(1), "capacity", "%")
	reach("a third", even)
	before := client.within(t, func(took times) bool { return took.p99 < 1500 })

	// How many connections the guest manages differs from one machine to another: the
	// hog uses as much as they do. The hosts are alike when real1 has a seventh of them.
	var used float64
	eventually(t, func() error {
		at, err := status.Fetch(filepath.Join(m.dir, "socket"))
		if err != nil {
			return err
		}
		for _, s := range at.Servers {
			if s.Server == real(1) && s.Busy > 0 {
				used = s.Busy
				return nil
			}
		}
		return fmt.Errorf("nothing uses the processor of real1: %+v", at.Servers)
	})
	hogs[0](int(math.Ceil(86 * used)))
	during := client.within(t, func(took times) bool { return took.p99 > 2*before.p99 })
	reach("less than a quarter", little)
	// What it is, is seen by whoever walks the MIB.
	eventually(t, func() error {
		for column, want := range map[string]string{"lcmsServerAdvisedWeight": "", "lcmsServerOperWeight": "", "lcmsServerWeightReason": "capacity"} {
			rows := d.walk(column)
			i := slices.IndexFunc(rows, func(v director.Varbind) bool { return strings.Contains(v.Name, real(1)) })
			if i < 0 || rows[i].Value == "0" || !strings.Contains(rows[i].Value, want) {
				return fmt.Errorf("%s: %v", column, rows)
			}
		}
		advised, oper := d.get(ofServer(real(1), "AdvisedWeight")), d.get(ofServer(real(1), "OperWeight"))
		if advised != oper || advised == d.get(ofServer(real(2), "AdvisedWeight")) {
			return fmt.Errorf("of real1 %s is advised, and it has %s", advised, oper)
		}
		return nil
	})
	for n := 1; n <= 3; n++ {
		if age := d.get(fmt.Sprintf(`lcmsHostReportAge."real%d"`, n)); age == "4294967295" {
			t.Errorf("the load of real%d was never reported", n)
		}
	}

	// Who asks has as good answers as before, although real1 is still slow: of seven
	// connections it has one, and four of five answers come from the others. When it had
	// one of three, some of these four were its own.
	after := client.within(t, func(took times) bool { return took.p80 < 2*before.p80 && took.p99 < 2000 })
	t.Logf("answers took %+v ms, with the hog %+v, and %+v when the weights had followed", before, during, after)

	// It stays there: no swinging.
	lowest, highest, turns := 1.0, 0.0, 0
	var way []float64
	for end := time.Now().Add(calm); time.Now().Before(end); time.Sleep(time.Second) { // the weights move every two seconds
		s := share(1)
		lowest, highest = min(lowest, s), max(highest, s)
		if len(way) == 0 || way[len(way)-1] != s {
			way = append(way, s)
		}
	}
	for i := 2; i < len(way); i++ {
		if (way[i]-way[i-1])*(way[i-1]-way[i-2]) < 0 {
			turns++
		}
	}
	t.Logf("with the hog real1 had from %.3f to %.3f of the weights in %s, and they turned %d times", lowest, highest, calm, turns)
	if highest > 0.28 {
		t.Errorf("the weights swing: %.3f", way)
	}
	shown, err := m.status("")
	if err != nil {
		t.Error(err)
	}
	t.Logf("the status:\n%s", shown)

	hogs[0](0)
	reach("a third again", even)
	for line := range strings.Lines(client.out.String()) {
		if !strings.Contains(line, " failures 0 ") {
			t.Errorf("the client says: %s", line)
		}
	}
}

// times are how many milliseconds some of the fastest of a hundred answers took.
type times struct{ p50, p80, p99 int }

// times returns what the client has found.
func (d *daemon) times(t *testing.T) (list []times) {
	t.Helper()
	for line := range strings.Lines(d.out.String()) {
		var answers, failures int
		var took times
		if _, err := fmt.Sscanf(line, "answers %d failures %d p50 %d ms p80 %d ms p99 %d ms", &answers, &failures, &took.p50, &took.p80, &took.p99); err != nil {
			t.Fatalf("the client says %q", line)
		}
		list = append(list, took)
	}
	return list
}

// within waits until the client finds something, from now on.
func (d *daemon) within(t *testing.T, fits func(times) bool) (found times) {
	t.Helper()
	from := len(d.times(t)) + 1 // what is being counted now began earlier
	eventually(t, func() error {
		list := d.times(t)
		for _, found = range list[min(from, len(list)):] {
			if fits(found) {
				return nil
			}
		}
		return fmt.Errorf("the client finds %+v ms, of them from number %d on", list, from)
	})
	return found
}

func (s *site) walk(object string) []director.Varbind {
	s.t.Helper()
	var vbs []director.Varbind
	s.here(func() (err error) {
		vbs, err = s.BulkWalk(object)
		return err
	})
	return vbs
}
