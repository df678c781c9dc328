// Package faults kills the real programs of a director at every step of a large
// SET, and changes the kernel behind their back, on a real IPVS kernel: the
// lcms-subagent with failure points compiled in, snmpd with several subagents,
// ipvsadm. The tests enter the lab by themselves:
//
//	go test -count=1 -tags lab ./tests/lab/faults
package faults
