// Package lab runs tests on a real IPVS kernel, as a process of this machine
// (see umlrun). Tests and scenarios are built on the host and run inside:
//
//	go test -count=1 -tags lab ./tests/lab/...
//
// or, for the tests of one package alone,
//
//	go build -o /tmp/umlrun ./tests/lab/umlrun
//	CGO_ENABLED=0 go test -tags lab -exec /tmp/umlrun ./internal/ipvs
//
// Without the packages that it needs a test fails; it never passes by being
// skipped. System calls are some ninety times slower inside than on the host:
// no test may assert a time.
//
// topology.sh, sourced by a scenario, makes a client, two directors and three
// real servers; webserver and webclient are the traffic.
package lab
