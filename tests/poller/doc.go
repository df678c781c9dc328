// Package poller tests lcms-poller from outside: with a real snmpd and
// lcms-subagent as its director, and small servers on loopback to watch.
package poller
