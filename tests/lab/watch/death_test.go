//go:build lab

package watch

import (
	"fmt"
	"testing"
)

// TestServersDie kills the web servers of a service one by one, until its quorum is
// lost and the sorry server serves, and has them come back.
func TestServersDie(t *testing.T) {
	d := begin(t, 1)
	var webs []*daemon
	for n := 1; n <= 4; n++ {
		webs = append(webs, serve(t, n))
	}
	d.set(service([]int{1, 2, 3, 4}, "Quorum u 2", "SlowStart u 20", "SorryServer s "+real(4))...)
	watch(t, "", 1)
	for n := 1; n <= 4; n++ {
		d.want(ofServer(real(n), "Health"), up)
	}
	d.weigh(map[string]int{real(1): 20, real(2): 20, real(3): 20})
	answers(t, "real1", "real2", "real3")

	webs[0].kill()
	d.weigh(map[string]int{real(1): 0, real(2): 20, real(3): 20})
	d.told(0, "lcmsServerStateChange", ofServer(real(1), "OperStatus"), "2")
	if got := d.get(ofService("QuorumState")); got != "1" {
		t.Errorf("two of three servers are left, and the state of the quorum is %s", got)
	}
	answers(t, "real2", "real3")

	webs[1].kill()
	d.weigh(map[string]int{real(1): 0, real(2): 0, real(3): 0, real(4): 1})
	lost := d.told(0, "lcmsServiceStateChange", ofService("QuorumState"), "2")
	answers(t, "real4")

	serve(t, 1)
	var ramp []int
	eventually(t, func() error {
		w := d.weights()[real(1)]
		if len(ramp) == 0 || ramp[len(ramp)-1] != w {
			ramp = append(ramp, w)
		}
		if w != 20 {
			return fmt.Errorf("the weight of a server that came back went %v", ramp)
		}
		return nil
	})
	for i, w := range ramp[1:] {
		if w < ramp[i] {
			t.Errorf("the weight of a server that came back went %v", ramp)
		}
	}
	if len(ramp) < 5 { // the first is 0, the last is 20
		t.Errorf("the weight of a server that came back went %v, without a slow start", ramp)
	}
	t.Logf("the weight of a server that came back went %v", ramp)
	d.told(lost, "lcmsServiceStateChange", ofService("QuorumState"), "1")
	d.told(lost, "lcmsServerStateChange", ofServer(real(1), "OperStatus"), "1")
	d.weigh(map[string]int{real(1): 20, real(2): 0, real(3): 20})
	answers(t, "real1", "real3")
}
