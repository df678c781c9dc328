// Package netsnmp tests a director from outside: a real snmpd, the real
// lcms-subagent, the tools of net-snmp, and nothing of ours between them.
//
// The cases run on the in-memory kernel, as anybody, or with
// LCMS_TEST_KERNEL=real on a kernel with IPVS, as root; tests/lab runs the
// same test binary there. With -short the large tables are smaller.
package netsnmp
