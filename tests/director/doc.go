// Package director runs a whole director for tests: a private snmpd and the
// real lcms-subagent, on the in-memory kernel or on the kernel of the machine.
// Tests speak to it as operators do, with the tools of net-snmp.
//
//	d := director.Start(t, director.Options{})
//	_, err := d.Set(`lcmsServiceRowStatus."tcp:192.0.2.1:80" i createAndGo`)
//	rows, err := d.BulkWalk("lcmsServiceTable")
//
// Everything lives in a folder of its own, listens on loopback or a socket
// there, and is gone when the test ends. These variables of the environment
// say how a test runs:
//
//	LCMS_TEST_KERNEL    memory (the default) or real; real needs root and IPVS
//	LCMS_SUBAGENT_BIN   a built lcms-subagent, where go build cannot run
//	LCMS_BASE_MIBS      the folder that scripts/base-mibs filled, if not its default
//	CI                  true: a missing tool is a failure and not a skip
package director
