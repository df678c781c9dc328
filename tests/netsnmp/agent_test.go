package netsnmp

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// TestRecordOfChanges makes more changes than are remembered, and one that is
// refused: of the last hundred objects it is told what they were and became.
func TestRecordOfChanges(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	weight, name := `lcmsServerWeight.`+first, `lcmsServiceName.`+web
	mustSet(t, d, weight+" u 1000", name+" s name 0")
	var want []string
	tell := func(values ...string) { want = append(want, strings.Join(values, " | ")) }
	for i := range 60 {
		old, now := fmt.Sprint(1000+i), fmt.Sprint(1001+i)
		mustSet(t, d, weight+" u "+now, fmt.Sprintf("%s s name %d", name, i+1))
		tell("1", "", weight, old, now, "1", "")
		tell("1", "", name, fmt.Sprint("name ", i), fmt.Sprint("name ", i+1), "1", "")
	}
	if _, err := d.Set(weight + " u 70000"); err == nil {
		t.Fatal("weight 70000 is accepted")
	}
	tell("1", "", weight, "1060", "70000", "2", "wrongValue: ")

	const kept = 100
	end := lastRequest(t, d)
	columns := []string{"Source", "Context", "Object", "OldValue", "NewValue", "Outcome", "Reason"}
	rows := make([][]string, kept)
	for _, column := range columns {
		vbs, err := d.BulkWalk("lcmsRequest" + column)
		if err != nil || len(vbs) != kept {
			t.Fatalf("%d rows of lcmsRequest%s, want %d: %v", len(vbs), column, kept, err)
		}
		for i, v := range vbs {
			if object := fmt.Sprintf("lcmsRequest%s.%d", column, end-kept+1+i); v.Name != object {
				t.Fatalf("row %d is %s, want %s", i+1, v.Name, object)
			}
			rows[i] = append(rows[i], v.Value)
		}
	}
	for i, want := range want[len(want)-kept:] {
		if got := strings.Join(rows[i], " | "); got != want && !(i == kept-1 && strings.HasPrefix(got, want)) {
			t.Errorf("row %d tells %q, want %q", i+1, got, want)
		}
	}
}

// TestOwnCost reads what the management itself costs, and holds it against what
// was asked and what the kernel says of the process.
func TestOwnCost(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	names := []string{"Requests", "Varbinds", "Sets", "SetFailures", "CpuTime", "Memory"}
	var objects []string
	for _, n := range names {
		objects = append(objects, "lcmsAgent"+n+".0")
	}
	cost := func() map[string]int {
		t.Helper()
		vbs, err := d.Get(objects...)
		if err != nil {
			t.Fatal(err)
		}
		c := make(map[string]int)
		for i, v := range vbs {
			if c[names[i]], err = strconv.Atoi(v.Value); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	least, _ := used(t, d)
	before := cost()
	most, resident := used(t, d)
	if cpu := before["CpuTime"]; cpu < least-50 || cpu > most+50 {
		t.Errorf("%d ms of processor time, the kernel says between %d and %d", cpu, least, most)
	}
	if memory := before["Memory"]; memory < resident/2 || memory > 2*resident {
		t.Errorf("%d KiB of memory, the kernel says %d", memory, resident)
	}

	asked := []string{"lcmsDirectorServices.0", "lcmsDirectorServers.0", "lcmsServerWeight." + first}
	const gets = 10
	for range gets {
		if _, err := d.Get(asked...); err != nil {
			t.Fatal(err)
		}
	}
	mustSet(t, d, `lcmsServerWeight.`+first+` u 7`, `lcmsServiceName.`+web+` s cost`)
	if _, err := d.Set(`lcmsServerWeight.` + first + ` u 70000`); err == nil {
		t.Error("weight 70000 is accepted")
	}
	after := cost()
	for name, want := range map[string]int{
		"Requests":    gets + 2 + 1, // this reading too
		"Varbinds":    gets*len(asked) + 2 + 1 + len(objects),
		"Sets":        2,
		"SetFailures": 1,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("lcmsAgent%s grew by %d, want %d", name, got, want)
		}
	}
	if after["CpuTime"] < before["CpuTime"] {
		t.Errorf("the processor time went from %d to %d", before["CpuTime"], after["CpuTime"])
	}
}

// used returns the processor time in milliseconds and the resident memory in
// KiB that the kernel says the subagent uses (proc(5)).
func used(t *testing.T, d *director.Director) (cpu, memory int) {
	t.Helper()
	pid, ok := d.Running()
	if !ok {
		t.Fatal("the subagent does not run")
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third on
	number := func(field int) int {
		n, err := strconv.Atoi(fields[field-3])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const tick = 10 // of USER_HZ, 100 on every Linux that Go runs on
	return (number(14) + number(15)) * tick, number(24) * os.Getpagesize() / 1024
}
