//go:build lab

package traffic

import (
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// forwarding is one way from the client to the servers.
type forwarding struct {
	name    string
	key     string // of the service
	url     string // where the client finds it
	suffix  string // of server n: prefix n suffix
	prefix  string
	columns []string // of each server
	rule    string   // of the service in ipvsadm -Sn
	option  string   // of each server there
}

var forwardings = []forwarding{
	{"masquerade", "tcp:10.0.1.100:80", "http://10.0.1.100:80", ":8080", "10.0.2.1", nil, "-t 10.0.1.100:80", "-m"},
	{"direct route", "tcp:10.0.1.100:80", "http://10.0.1.100:80", ":80", "10.0.1.1", []string{"Forwarding i directRoute"}, "-t 10.0.1.100:80", "-g"},
	{"tunnel", "tcp:10.0.1.100:80", "http://10.0.1.100:80", ":80", "10.0.2.1", []string{"Forwarding i tunnel"}, "-t 10.0.1.100:80", "-i --tun-type ipip"},
	{"fwmark", "fwm4:7", "http://10.0.1.100:8080", ":0", "10.0.1.1", []string{"Forwarding i directRoute"}, "-f 7", "-g"},
	{"IPv6 masquerade", "tcp:[fd00:1::100]:80", "http://[fd00:1::100]:80", "]:8080", "[fd00:2::1", nil, "-t [fd00:1::100]:80", "-m"},
	{"IPv6 direct route", "tcp:[fd00:1::100]:80", "http://[fd00:1::100]:80", "]:80", "[fd00:1::1", []string{"Forwarding i directRoute"}, "-t [fd00:1::100]:80", "-g"},
	{"UDP", "udp:10.0.1.100:53", "udp://10.0.1.100:53", ":53", "10.0.2.1", nil, "-u 10.0.1.100:53", "-m"},
}

func (f forwarding) server(n string) string { return f.prefix + n + f.suffix }

// TestForwarding takes a service with three servers from its making to its end,
// by each way.
func TestForwarding(t *testing.T) {
	for _, f := range forwardings {
		t.Run(f.name, func(t *testing.T) { f.live(t, begin(t)) })
	}
}

func (f forwarding) live(t *testing.T, d *director.Director) {
	// One SET makes it all, the servers before their service.
	var varbinds, rules []string
	for _, n := range []string{"1", "2", "3"} {
		varbinds = append(varbinds, server(f.key, f.server(n), append(f.columns, "Weight u "+n)...)...)
		rules = append(rules, "-a "+f.rule+" -r "+f.server(n)+" "+strings.Replace(f.option, "-i", "-i -w "+n, 1))
		if f.option != "-i --tun-type ipip" {
			rules[len(rules)-1] += " -w " + n
		}
	}
	set(t, d, append(varbinds, service(f.key, "Scheduler s wrr")...)...)
	holds(t, d, append(rules, "-A "+f.rule+" -s wrr")...)

	// Clients come to the servers by their weights, and are counted.
	expectShares(t, f.url, shares{"real1": 2, "real2": 4, "real3": 6})
	sameCounters(t, d, 12)

	// With weight 0 a server gets no new connections and keeps those it has.
	network, address, _ := strings.Cut(strings.Replace(f.url, "http", "tcp", 1), "://")
	held := hold(t, network, address, "real3")
	set(t, d, ofServer(f.key, f.server("3"), "Weight u 0"))
	var from []string
	if network == "udp" { // a port that was used before would be a flow that was there before
		from = []string{"-from", "10.0.1.20"}
	}
	if got := ask(t, f.url, 6, from...); !got.among("real1", "real2") {
		t.Errorf("real3 has weight 0, and %v answer", got)
	}
	if got := held.name(t); got != "real3" {
		t.Errorf("the connection to real3 goes on with %s", got)
	}
	becomes(t, d, ofServer(f.key, f.server("3"), "OperStatus"), draining)
	held.Close()
	if network == "tcp" { // the kernel does not know when a flow of UDP is over
		becomes(t, d, ofServer(f.key, f.server("3"), "OperStatus"), drained)
	}

	destroy(t, d, f.key)
	if network == "tcp" {
		if got, err := tryAsk(f.url, 1); err == nil {
			t.Errorf("there is no service, and %v answer", got)
		}
	}
}
