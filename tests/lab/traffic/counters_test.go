//go:build lab

package traffic

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// statistics are the columns of lcmsServiceStatsTable and lcmsServerStatsTable
// that ipvsadm has too, in its order.
var statistics = []string{"Connections", "InPackets", "OutPackets", "InBytes", "OutBytes", "ActiveConnections", "InactiveConnections"}

// counters are values by the row, a server's key or "" for the service, and by
// column.
type counters map[string]string

func (c counters) set(row string, columns, values []string) {
	for i, column := range columns {
		c[row+" "+column] = values[i]
	}
}

// kernelCounters returns what ipvsadm says of the one service there is. It has
// no active and inactive connections of services, which are the sums.
func kernelCounters(t *testing.T, d *director.Director) counters {
	t.Helper()
	c := make(counters)
	read := func(columns []string, option ...string) {
		out, err := d.Ipvsadm(append([]string{"-L", "-n", "--exact"}, option...)...)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(out, "\n") {
			fields := strings.Fields(line)
			if n < 3 || len(fields) < len(columns) {
				continue
			}
			row, values := "", fields[len(fields)-len(columns):]
			if fields[0] == "->" {
				row = fields[1]
			} else if len(option) == 0 {
				continue
			}
			c.set(row, columns, values)
		}
	}
	read(statistics[:5], "--stats")
	read(statistics[5:])
	return c
}

// servedCounters returns what SNMP says of it.
func servedCounters(t *testing.T, d *director.Director) counters {
	t.Helper()
	c := make(counters)
	for _, table := range []string{"lcmsServiceStats", "lcmsServerStats"} {
		varbinds, err := d.BulkWalk(table + "Table")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range varbinds {
			column, index, _ := strings.Cut(strings.TrimPrefix(v.Name, table), ".")
			row := ""
			if keys := strings.Split(index, `"`); len(keys) > 3 {
				row = keys[3]
			}
			c[row+" "+column] = v.Value
		}
	}
	return c
}

// sameCounters waits until SNMP and ipvsadm say the same of the one service
// there is, and it is so many connections. There must be no traffic.
func sameCounters(t *testing.T, d *director.Director, connections int) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		kernel, served := kernelCounters(t, d), servedCounters(t, d)
		if got, want := kernel[" Connections"], fmt.Sprint(connections); got != want {
			return fmt.Errorf("%s connections in the kernel, not %s", got, want)
		}
		common := make(counters)
		for key := range kernel {
			common[key] = served[key]
		}
		if !maps.Equal(kernel, common) {
			return fmt.Errorf("ipvsadm says\n%v, SNMP\n%v", kernel, common)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
