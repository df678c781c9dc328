// Package snmp is the manager's side of SNMP, as much as the monitor needs of
// it: GET, GETBULK and SET of many objects at once, by SNMPv2c and SNMPv3.
//
// SNMPv2c has its own codec here: all agents share one UDP socket, and a table
// of request ids tells whose answer has come. For ten thousand hosts that costs
// a tenth of a socket and a session for each. SNMPv3 has state for each agent
// anyway; there the sessions of gosnmp are used, and kept.
//
// What went wrong is told in words that name the mend: an agent that does not
// answer, one that answers garbage, a wrong key, an object that is not there.
package snmp
