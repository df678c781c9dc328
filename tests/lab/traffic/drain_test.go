//go:build lab

package traffic

import (
	"fmt"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// TestDrain takes servers out of service under clients: by the end of the last
// connection, after which the row is destroyed; at a deadline, after which the
// server goes down in spite of a connection; of UDP by time.
func TestDrain(t *testing.T) {
	d := begin(t)
	set(t, d, append(service(web, "Scheduler s rr"), reals(web)...)...)
	rules := func(servers ...string) []string {
		all := []string{"-A -t 10.0.1.100:80 -s rr"}
		for _, s := range servers {
			all = append(all, "-a -t 10.0.1.100:80 -r "+s)
		}
		return all
	}

	held := hold(t, "tcp", "10.0.1.100:80", "real2")
	set(t, d, ofServer(web, real(2), "AdminStatus i drain"), ofServer(web, real(2), "DrainAction i destroy"))
	becomes(t, d, ofServer(web, real(2), "OperStatus"), draining)
	holds(t, d, rules(real(1)+" -m -w 1", real(2)+" -m -w 0", real(3)+" -m -w 1")...)
	if got := ask(t, webURL, 6); !got.among("real1", "real3") {
		t.Errorf("real2 is drained, and %v answer", got)
	}
	if got := held.name(t); got != "real2" {
		t.Errorf("the connection to real2 goes on with %s", got)
	}
	held.Close()
	gone(t, d, ofServer(web, real(2), "RowStatus"))
	holds(t, d, rules(real(1)+" -m -w 1", real(3)+" -m -w 1")...)

	held = hold(t, "tcp", "10.0.1.100:80", "real3")
	set(t, d, ofServer(web, real(3), "AdminStatus i drain"), ofServer(web, real(3), "DrainAction i down"), ofServer(web, real(3), "DrainTimeout u 1"))
	becomes(t, d, ofServer(web, real(3), "AdminStatus"), "3")
	holds(t, d, rules(real(1)+" -m -w 1")...)
	held.Close()
	destroy(t, d, web)

	// Nobody tells the kernel that a flow of UDP is over.
	const dns, flows = "udp:10.0.1.100:53", "10.0.2.11:53"
	set(t, d, append(service(dns), server(dns, flows)...)...)
	set(t, d, "lcmsDirectorUdpTimeout.0 u 5")
	t.Cleanup(func() { run(t, "ipvsadm", "--set", "0", "0", "300") })
	ask(t, "udp://10.0.1.100:53", 3)
	set(t, d, ofServer(dns, flows, "AdminStatus i drain"))
	becomes(t, d, ofServer(dns, flows, "OperStatus"), drained)
	for _, column := range []string{"ActiveConnections", "InactiveConnections"} {
		if n := get(t, d, ofServer(dns, flows, "Stats"+column)); n != "0" {
			t.Errorf("it is drained with %s %s", n, column)
		}
	}
	destroy(t, d, dns)
}

// gone waits until there is no such object.
func gone(t *testing.T, d *director.Director, object string) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		v, err := d.Get(object)
		if err == nil && v[0].Type != director.NoSuchInstance {
			err = fmt.Errorf("%v is there", v)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
