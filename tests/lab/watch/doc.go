// Package watch proves on a real IPVS kernel that real servers are watched: the
// lcms-poller on a host of its own checks web servers that die, asks their snmpds
// for their load, and tells directors, whose kernels follow, under the traffic of a
// client.
//
// All tests run in one guest of the lab, which the test binary enters by itself:
//
//	go test -count=1 -tags lab -v ./tests/lab/watch -run TestServersDie
//
// The snmpds of the real servers are real, and so is what goes over the wire. How
// busy a host is, is not: all hosts share one processor and one kernel. hostload
// tells snmpd what the host would be with a processor of its own, by the connections
// that it has really taken and by a hog that is a number.
package watch
