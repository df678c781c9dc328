//go:build lab

package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
	"github.com/lcms-project/lcms/tests/lab"
)

func TestMain(m *testing.M) {
	if lab.Inside() {
		_ = os.Setenv("LCMS_SUBAGENT_BIN", lab.Program("lcms-subagent"))
	} else {
		_ = os.Setenv("GOFLAGS", "-tags=failpoint")
	}
	os.Exit(lab.Main(m, "faults.sh", "./cmd/lcms-subagent"))
}

// foreign is a service of somebody else.
var foreign = []string{"-A -t 198.51.100.9:80 -s rr", "-a -t 198.51.100.9:80 -r 10.0.9.1:80 -m -w 3"}

// prepare returns a director of which nothing runs yet, in a kernel with a
// service of somebody else.
func prepare(t *testing.T, policy string, o director.Options) *director.Director {
	t.Helper()
	o.Kernel, o.Drift = director.Real, policy
	d := director.New(t, o)
	for _, rule := range foreign {
		ipvsadm(t, d, rule)
	}
	return d
}

func ipvsadm(t *testing.T, d *director.Director, args string) string {
	t.Helper()
	out, err := d.Ipvsadm(strings.Fields(args)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// state is all that a director holds: in the kernel, in the store, and as the
// MIB shows it.
type state struct{ kernel, store, shown string }

// look returns the state as it is when nothing is left to be done.
func look(t *testing.T, d *director.Director) state {
	t.Helper()
	rows := d.SettledStore().Rows
	var s state
	lines := []string{}
	for key, text := range rows {
		if !strings.HasPrefix(key, "meta/") || key == "meta/timeouts" {
			lines = append(lines, key+" "+text)
		}
	}
	slices.Sort(lines)
	s.store = strings.Join(lines, "\n")
	s.kernel = held(t, d)
	columns := []string{"lcmsServiceScheduler", "lcmsServerOperWeight", "lcmsSyncDaemonSyncId", "lcmsDirectorTcpTimeout"}
	vbs, err := d.Bulk(9, columns...)
	if err != nil {
		t.Fatal(err)
	}
	for i, column := range columns {
		rows := 0
		for j := i; j < len(vbs); j += len(columns) {
			if strings.HasPrefix(vbs[j].Name, column+".") {
				s.shown += vbs[j].String() + "\n"
				rows++
			}
		}
		if rows == 9 {
			t.Fatalf("%s may have more rows than were asked for: %v", column, vbs)
		}
	}
	return s
}

// held returns what the kernel holds.
func held(t *testing.T, d *director.Director) string {
	t.Helper()
	return strings.Join(d.Rules(), "\n") + "\n" + ipvsadm(t, d, "-L --daemon") + ipvsadm(t, d, "-L --timeout")
}

// eventually waits until the kernel holds what it should.
func eventually(t *testing.T, d *director.Director, want string) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		if got := held(t, d); got != want {
			return fmt.Errorf("the kernel holds\n%s\nwant\n%s", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func mustSet(t *testing.T, d *director.Director, vbs ...string) {
	t.Helper()
	if _, err := d.Set(vbs...); err != nil {
		t.Fatal(err)
	}
}

// get returns the value of one object.
func get(t *testing.T, d *director.Director, object string) string {
	t.Helper()
	vbs, err := d.Get(object)
	if err != nil {
		t.Fatal(err)
	}
	return vbs[0].Value
}

// begun measures how long a part of a test takes.
func begun(t *testing.T) func() {
	start := time.Now()
	return func() { t.Logf("took %s", time.Since(start).Round(100*time.Millisecond)) }
}
