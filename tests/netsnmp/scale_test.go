package netsnmp

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// perService is how many servers each service of the large tables has.
const perService = 10

// TestLargeTable loads a director with many servers and walks it: alone, with
// eight managers at once, and while it is changed.
func TestLargeTable(t *testing.T) {
	d := director.Start(t, director.Options{})
	services := 1000
	switch {
	case d.Kernel() == director.Real: // the guest is slow
		services = 30
	case testing.Short():
		services = 100
	}
	began := time.Now()
	load(t, d, services)
	t.Logf("%d servers were made in %s", services*perService, time.Since(began).Round(time.Millisecond))
	servers := services * perService
	eventually(t, d, row{want: fmt.Sprintf("Services %d; Servers %d; ServersUp %d", services, servers, servers)})
	if rules := d.Rules(); rules != nil && len(rules) != services+servers {
		t.Errorf("the kernel holds %d rules, want %d", len(rules), services+servers)
	}

	t.Run("every object once and in order", func(t *testing.T) {
		began := time.Now()
		w := walk(t, d, "lcmsObjects", "-Cr50")
		t.Logf("%d objects were walked in %s", len(w.vbs), time.Since(began).Round(time.Millisecond))
		columns := make(map[string]int)
		below := len(w.oids[0]) + 1 // the first is a scalar: root, 1, group, object, 0
		for _, oid := range w.oids {
			if len(oid) > below {
				columns[oid[:below].String()]++
			}
		}
		for table, rows := range map[string]int{"4.1.1": services, "4.2.1": services, "5.1.1": servers, "5.2.1": servers} {
			n := 0
			for column, count := range columns {
				if strings.HasPrefix(column, root+".1."+table+".") {
					n++
					if count != rows {
						t.Errorf("column %s has %d rows, want %d", column, count, rows)
					}
				}
			}
			if n < 15 {
				t.Errorf("table %s has %d columns", table, n)
			}
		}
	})

	t.Run("eight walks at once", func(t *testing.T) {
		want := walk(t, d, "lcmsServerWeight", "-Cr50")
		if len(want.vbs) != servers {
			t.Fatalf("%d rows, want %d", len(want.vbs), servers)
		}
		var group sync.WaitGroup
		began := time.Now()
		for manager := range 8 {
			group.Go(func() {
				got, err := d.BulkWalk("lcmsServerWeight", "-On", fmt.Sprintf("-Cr%d", 5+10*manager))
				if err != nil {
					t.Error(err)
				} else if !slices.Equal(got, want.vbs) {
					t.Errorf("manager %d got %d rows, or others than the first walk", manager+1, len(got))
				}
			})
		}
		group.Wait()
		t.Logf("they took %s", time.Since(began).Round(time.Millisecond))
	})

	t.Run("100 objects in one request", func(t *testing.T) {
		w := walk(t, d, "lcmsServerOperWeight", "-Cr50")
		from := len(w.vbs)/2 - batch/2
		got, err := d.Tool("snmpget", append([]string{"-On"}, namesOf(w.vbs[from:from+batch])...)...)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, parse(t, got), w.vbs[from:from+batch])
		if got, err = d.Tool("snmpgetnext", append([]string{"-On"}, namesOf(w.vbs[from:from+batch])...)...); err != nil {
			t.Fatal(err)
		}
		compare(t, parse(t, got), w.vbs[from+1:from+batch+1])
	})

	// Rows that are there all the time are found by every walk, whatever is
	// made and destroyed beside them.
	t.Run("walks while rows come and go", func(t *testing.T) {
		stop := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				for _, action := range []string{"createAndGo", "destroy"} {
					if _, err := d.Set(fmt.Sprintf(`lcmsServiceRowStatus."fwm4:%d" i %s`, i%10+1, action)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		for range 3 {
			w := walk(t, d, "lcmsServiceScheduler", "-Cr20")
			n := 0
			for _, v := range w.vbs {
				if v.Value == "wrr" { // those of load
					n++
				}
			}
			if n != services {
				t.Errorf("a walk finds %d services, want %d", n, services)
			}
		}
		close(stop)
		group.Wait()
	})
}

// load makes services with servers, 60 varbinds in each SET.
func load(t *testing.T, d *director.Director, services int) {
	t.Helper()
	var vbs []string
	for i := range services {
		key := fmt.Sprintf(`"tcp:10.%d.%d.1:80"`, i/250, i%250)
		vbs = append(vbs, `lcmsServiceRowStatus.`+key+` i createAndGo`, `lcmsServiceScheduler.`+key+` s wrr`)
		for j := range perService {
			vbs = append(vbs, fmt.Sprintf(`lcmsServerRowStatus.%s."172.16.%d.%d:8080" i createAndGo`, key, i%250, j+1))
		}
		if len(vbs) >= 60 || i == services-1 {
			mustSet(t, d, vbs...)
			vbs = nil
		}
	}
}
