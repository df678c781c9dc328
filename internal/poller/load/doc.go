// Package load measures how busy a host is by what its SNMP agent tells:
// UCD-SNMP-MIB, which net-snmp has, or HOST-RESOURCES-MIB, which others have
// too. It takes one GET for each host and interval.
package load
