// Package traffic proves on a real IPVS kernel that what snmpset asks for is how
// packets travel: connections of clients through a director to real servers,
// which tools of net-snmp configure and watch, with nothing of ours between.
//
// All tests run in one guest of the lab, which the test binary enters by itself:
//
//	go test -count=1 -tags lab -v ./tests/lab/traffic -run TestThresholds
package traffic
