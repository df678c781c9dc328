// Package directory tests a whole director with a directory, as its users see
// it: snmpd, the subagent and slapd run for real, and are asked with net-snmp's
// tools and OpenLDAP's. On the in-memory kernel anybody can run it; in the lab
// the same cases run on a real one.
package directory
