// Package agentxtest is an AgentX master in the process, to test subagents
// with.
//
// A Master accepts connections on a socket or, by its Dial method, through
// pipes. Each session that is opened is a Subagent, of which the test asks what
// a manager would ask through snmpd: Get, Next, Bulk, Walk, Set. Below that
// are the phases of a SET (Transaction), raw octets, repeated PDUs and lost
// connections.
//
// It speaks with the codec of package agentx; the golden files there, which a
// real snmpd has written, keep both honest.
package agentxtest
