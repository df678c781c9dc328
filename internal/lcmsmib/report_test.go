package lcmsmib

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
)

// TestReports: one SET with reports of 300 servers is no configuration, and what
// it says is read back.
func TestReports(t *testing.T) {
	const servers = 300
	r := newRig(t, nil)
	vbs := []smi.Varbind{
		{Name: r.oid(t, "lcmsServiceRowStatus", web), Value: smi.Integer(4)},
		{Name: r.oid(t, "lcmsServiceCheckType", web), Value: smi.Integer(2)},
		{Name: r.oid(t, "lcmsServiceWeightPolicy", web), Value: smi.Integer(2)},
	}
	key := func(n int) string { return fmt.Sprintf("10.9.%d.%d:80", n/250, n%250+1) }
	for n := range servers {
		vbs = append(vbs,
			smi.Varbind{Name: r.oid(t, "lcmsServerRowStatus", web, key(n)), Value: smi.Integer(4)},
			smi.Varbind{Name: r.oid(t, "lcmsServerWeight", web, key(n)), Value: smi.Unsigned32(100)})
	}
	r.mustSet(t, vbs...)
	if health, age, advised := r.get(t, "lcmsServerHealth", web, key(0)), r.get(t, "lcmsServerHealthAge", web, key(0)), r.get(t, "lcmsServerAdvisedWeight", web, key(0)); health.Int() != 1 || age.Num != 1<<32-1 || advised.Num != 0 {
		t.Errorf("at first health is %v, its age %v, the advice %v", health, age, advised)
	}
	before := r.control.Snapshot()
	report := func(down func(int) bool) []smi.Varbind {
		vbs := make([]smi.Varbind, 0, 3*servers)
		for n := range servers {
			health, detail := int32(2), "cpu 0.7"
			if down(n) {
				health, detail = 3, "tcp connect refused"
			}
			vbs = append(vbs,
				smi.Varbind{Name: r.oid(t, "lcmsServerHealth", web, key(n)), Value: smi.Integer(health)},
				smi.Varbind{Name: r.oid(t, "lcmsServerAdvisedWeight", web, key(n)), Value: smi.Unsigned32(uint32(n + 1))},
				smi.Varbind{Name: r.oid(t, "lcmsServerHealthDetail", web, key(n)), Value: smi.Text(detail)})
		}
		return vbs
	}
	r.mustSet(t, report(func(n int) bool { return n == 7 })...)
	for n, want := range map[int]string{
		0: "2 1 1 advised 1 by the monitor (capacity): cpu 0.7", 7: "3 8 0 health down: tcp connect refused", 299: "2 300 300 advised 300 by the monitor (capacity): cpu 0.7",
	} {
		got := fmt.Sprint(r.get(t, "lcmsServerHealth", web, key(n)).Int(), r.get(t, "lcmsServerAdvisedWeight", web, key(n)).Num,
			r.get(t, "lcmsServerOperWeight", web, key(n)).Num, " ", r.get(t, "lcmsServerWeightReason", web, key(n)).String())
		if got != want {
			t.Errorf("server %d: %s, want %s", n, got, want)
		}
	}
	if up := r.get(t, "lcmsServiceServersUp", web).Num; up != servers-1 {
		t.Errorf("%d servers are up", up)
	}
	if age := r.get(t, "lcmsServerHealthAge", web, key(0)).Num; age > 60 {
		t.Errorf("the report is %d seconds old", age)
	}
	// The same again is a report too, and a part of a report leaves the rest.
	r.mustSet(t, smi.Varbind{Name: r.oid(t, "lcmsServerHealth", web, key(0)), Value: smi.Integer(3)})
	r.mustSet(t, smi.Varbind{Name: r.oid(t, "lcmsServerHealth", web, key(0)), Value: smi.Integer(3)})
	if got := r.get(t, "lcmsServerHealthDetail", web, key(0)).String(); got != "cpu 0.7" {
		t.Errorf("the detail has become %q", got)
	}
	after := r.control.Snapshot()
	if after.Director.Generation != before.Director.Generation || len(after.Requests) != len(before.Requests) {
		t.Errorf("generation %d after %d, %d requests after %d", after.Director.Generation, before.Director.Generation, len(after.Requests), len(before.Requests))
	}
	vb := func(v smi.Value, name string, keys ...string) smi.Varbind {
		return smi.Varbind{Name: r.oid(t, name, keys...), Value: v}
	}
	for name, c := range map[string]struct {
		vbs    []smi.Varbind
		status smi.ErrorStatus
		index  int
		reason string
	}{
		"health 4":            {[]smi.Varbind{vb(smi.Integer(4), "lcmsServerHealth", web, key(0))}, smi.WrongValue, 1, "unknown(1)"},
		"weight 65536":        {[]smi.Varbind{vb(smi.Unsigned32(65536), "lcmsServerAdvisedWeight", web, key(0))}, smi.WrongValue, 1, "0 to 65535"},
		"detail of 256":       {[]smi.Varbind{vb(smi.Text(strings.Repeat("x", 256)), "lcmsServerHealthDetail", web, key(0))}, smi.WrongLength, 1, "0 to 255"},
		"age":                 {[]smi.Varbind{vb(smi.Gauge32(1), "lcmsServerHealthAge", web, key(0))}, smi.NotWritable, 1, "read-only"},
		"no such server":      {[]smi.Varbind{vb(smi.Integer(2), "lcmsServerHealth", web, key(0)), vb(smi.Integer(2), "lcmsServerHealth", web, "10.1.1.1:80")}, smi.InconsistentName, 2, "createAndGo"},
		"no such service":     {[]smi.Varbind{vb(smi.Integer(2), "lcmsServerHealth", "tcp:10.0.0.9:80", key(0))}, smi.InconsistentName, 1, "createAndGo"},
		"one bad of hundreds": {append(report(func(int) bool { return true }), vb(smi.Integer(0), "lcmsServerHealth", web, "10.1.1.1:80")), smi.WrongValue, 3*servers + 1, "unknown(1)"},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.get(t, "lcmsServerOperWeight", web, key(1)).Num
			err := r.set(c.vbs...)
			var got *smi.SetError
			if !errors.As(err, &got) || got.Status != c.status || got.Index != c.index || !strings.Contains(got.Reason, c.reason) {
				t.Fatalf("got %v, want %s of varbind %d with %q", err, c.status, c.index, c.reason)
			}
			requests := r.control.Snapshot().Requests
			if last := requests[len(requests)-1]; last.Outcome != control.Refused || !strings.Contains(last.Reason, c.reason) {
				t.Errorf("recorded as %+v", last)
			}
			if now := r.get(t, "lcmsServerOperWeight", web, key(1)).Num; now != before {
				t.Errorf("the weight has become %d", now)
			}
		})
	}
	// Configuration and report in one SET are both made.
	r.mustSet(t, vb(smi.Unsigned32(9), "lcmsServerWeight", web, key(1)), vb(smi.Integer(3), "lcmsServerHealth", web, key(1)))
	if weight, oper := r.get(t, "lcmsServerWeight", web, key(1)).Num, r.get(t, "lcmsServerOperWeight", web, key(1)).Num; weight != 9 || oper != 0 {
		t.Errorf("weight %d, in the kernel %d", weight, oper)
	}
}
