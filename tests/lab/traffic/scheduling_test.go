//go:build lab

package traffic

import (
	"fmt"
	"testing"
)

const (
	web    = "tcp:10.0.1.100:80"
	webURL = "http://10.0.1.100:80"
)

// reals returns the varbinds for masqueraded servers on all real hosts.
func reals(service string, columns ...string) []string {
	var varbinds []string
	for n := 1; n <= 3; n++ {
		varbinds = append(varbinds, server(service, real(n), columns...)...)
	}
	return varbinds
}

// real returns the key of the server on a real host, by its number.
func real(n int) string { return fmt.Sprintf("10.0.2.1%d:8080", n) }

// numberOf returns the number of a real host.
func numberOf(name string) int { return int(name[len(name)-1] - '0') }

func TestWeightsArriveExactly(t *testing.T) {
	d := begin(t)
	weights := []int{0, 1, 255, 256, 300, 65535}
	for shift := range weights {
		var varbinds []string
		rules := []string{"-A -t 10.0.1.100:80 -s wlc"}
		if shift == 0 {
			varbinds = service(web)
		}
		for i := range weights {
			key, w := fmt.Sprintf("10.0.2.%d:80", 101+i), weights[(i+shift)%len(weights)]
			if shift == 0 {
				varbinds = append(varbinds, server(web, key, fmt.Sprintf("Weight u %d", w))...)
			} else {
				varbinds = append(varbinds, ofServer(web, key, fmt.Sprintf("Weight u %d", w)))
			}
			rules = append(rules, fmt.Sprintf("-a -t 10.0.1.100:80 -r %s -m -w %d", key, w))
		}
		set(t, d, varbinds...)
		holds(t, d, rules...)
	}
	destroy(t, d, web)
}

// TestPersistence has several clients, each of which stays with its server, and
// then makes one client of them.
func TestPersistence(t *testing.T) {
	d := begin(t)
	set(t, d, append(service(web, "Scheduler s rr", "PersistenceTimeout u 300"), reals(web)...)...)
	from := func(client int) []string { return []string{"--interface", fmt.Sprintf("10.0.1.%d", client)} }
	of := make(shares)
	for client := 20; client < 23; client++ {
		of[ask(t, webURL, 4, from(client)...).only(t)]++
	}
	if len(of) != 3 {
		t.Errorf("three clients are bound to the servers %v, not to each one", of)
	}
	for n := 1; n <= 3; n++ {
		becomes(t, d, ofServer(web, real(n), "StatsPersistentConnections"), "1")
	}
	becomes(t, d, ofService(web, "StatsPersistentConnections"), "3")

	set(t, d, ofService(web, "PersistenceNetmask u 24"))
	holds(t, d, "-A -t 10.0.1.100:80 -s rr -p 300 -M 255.255.255.0",
		"-a -t 10.0.1.100:80 -r 10.0.2.11:8080 -m -w 1", "-a -t 10.0.1.100:80 -r 10.0.2.12:8080 -m -w 1", "-a -t 10.0.1.100:80 -r 10.0.2.13:8080 -m -w 1")
	all := make(shares)
	for client := 23; client < 27; client++ {
		all[ask(t, webURL, 1, from(client)...).only(t)]++
	}
	all.only(t)

	set(t, d, ofService(web, "PersistenceTimeout u 0"))
	if got := ask(t, webURL, 6, from(27)...); len(got) != 3 {
		t.Errorf("without persistence a client comes to %v, not to all", got)
	}
	destroy(t, d, web)
}

// TestThresholds fills two servers up. No other test has their port: the kernel
// takes connections over to a server that is made again.
func TestThresholds(t *testing.T) {
	d := begin(t)
	const small, large = "10.0.2.11:8081", "10.0.2.12:8081"
	set(t, d, append(service(web, "Scheduler s rr"), append(
		server(web, small, "UpperThreshold u 2", "LowerThreshold u 1"),
		server(web, large, "UpperThreshold u 6")...)...)...)
	holds(t, d, "-A -t 10.0.1.100:80 -s rr",
		"-a -t 10.0.1.100:80 -r "+small+" -m -w 1 -x 2 -y 1", "-a -t 10.0.1.100:80 -r "+large+" -m -w 1 -x 6")
	held := make(shares)
	for n := range 8 {
		held[connect(t, "tcp", "10.0.1.100:80").name(t)]++
		if n == 5 {
			becomes(t, d, ofServer(web, small, "OperStatus"), overloaded)
			becomes(t, d, ofServer(web, large, "OperStatus"), up)
			becomes(t, d, ofService(web, "OperStatus"), up)
		}
	}
	if held["real1"] != 2 || held["real2"] != 6 {
		t.Errorf("8 connections are held as %v, want 2 by real1 and 6 by real2", held)
	}
	becomes(t, d, ofService(web, "OperStatus"), overloaded)
	if got, err := tryAsk(webURL, 1); err == nil {
		t.Errorf("all are full, and %v answer", got)
	}

	// More room, and it takes connections again.
	set(t, d, ofServer(web, small, "UpperThreshold u 100"))
	if got := ask(t, webURL, 3).only(t); got != "real1" {
		t.Errorf("%s answers, not real1", got)
	}
	becomes(t, d, ofServer(web, small, "OperStatus"), up)
	becomes(t, d, ofService(web, "OperStatus"), up)
	destroy(t, d, web)
}

// TestSourceHash shows each flag of the scheduler sh at work.
func TestSourceHash(t *testing.T) {
	d := begin(t)
	set(t, d, append(service(web, "Scheduler s sh"), reals(web)...)...)
	holds(t, d, append(masqueraded(), "-A -t 10.0.1.100:80 -s sh")...)
	mine := ask(t, webURL, 6).only(t)

	set(t, d, ofServer(web, real(numberOf(mine)), "Weight u 0"))
	if got, err := tryAsk(webURL, 1); err == nil {
		t.Errorf("the server of this client takes none, there is no fallback, and %v answer", got)
	}
	set(t, d, ofService(web, "SchedulerFlags b 0"))
	if got := ask(t, webURL, 6).only(t); got == mine {
		t.Errorf("the fallback of %s is itself", mine)
	}

	// With the port, each connection is hashed by itself.
	set(t, d, ofServer(web, real(numberOf(mine)), "Weight u 1"), ofService(web, "SchedulerFlags b 0,1"))
	holds(t, d, append(masqueraded(), "-A -t 10.0.1.100:80 -s sh -b sh-fallback,sh-port")...)
	if got := ask(t, webURL, 40); len(got) < 2 {
		t.Errorf("40 ports of a client come to %v alone", got)
	}
	destroy(t, d, web)
}

// TestMaglevHash does so for mh.
func TestMaglevHash(t *testing.T) {
	d := begin(t)
	set(t, d, append(service(web, "Scheduler s mh", "SchedulerFlags b 0"), reals(web)...)...)
	holds(t, d, append(masqueraded(), "-A -t 10.0.1.100:80 -s mh -b mh-fallback")...)
	ask(t, webURL, 6).only(t)
	set(t, d, ofService(web, "SchedulerFlags b 0,1"))
	holds(t, d, append(masqueraded(), "-A -t 10.0.1.100:80 -s mh -b mh-fallback,mh-port")...)
	if got := ask(t, webURL, 40); len(got) < 2 {
		t.Errorf("40 ports of a client come to %v alone", got)
	}
	destroy(t, d, web)
}

// masqueraded returns the rules of reals.
func masqueraded() []string {
	var rules []string
	for n := 1; n <= 3; n++ {
		rules = append(rules, fmt.Sprintf("-a -t 10.0.1.100:80 -r %s -m -w 1", real(n)))
	}
	return rules
}

// TestOnePacket sends datagrams of one flow, which go to one server, and then
// to all in turn.
func TestOnePacket(t *testing.T) {
	d := begin(t)
	const key = "udp:10.0.1.100:5004"
	varbinds := service(key, "Scheduler s rr")
	rules := []string{"-A -u 10.0.1.100:5004 -s rr -o"}
	for n := 1; n <= 3; n++ {
		s := fmt.Sprintf("10.0.1.1%d:5004", n)
		varbinds = append(varbinds, server(key, s, "Forwarding i directRoute")...)
		rules = append(rules, "-a -u 10.0.1.100:5004 -r "+s+" -g -w 1")
	}
	set(t, d, varbinds...)
	flow := func() shares {
		c := connect(t, "udp", "10.0.1.100:5004")
		s := make(shares)
		for range 6 {
			s[c.name(t)]++
		}
		return s
	}
	flow().only(t)
	set(t, d, ofService(key, "OnePacket i true"))
	holds(t, d, rules...)
	if got := flow(); got["real1"] != 2 || got["real2"] != 2 || got["real3"] != 2 {
		t.Errorf("six datagrams of one flow are answered by %v", got)
	}
	destroy(t, d, key)
}
