// Package agentx is the subagent's side of AgentX, RFC 2741: the protocol by
// which an SNMP master agent (net-snmp's snmpd, for one) hands the requests
// for a part of its tree to another process.
//
// A Session is given a Handler, which answers from memory, and the subtrees to
// register. Session.Run connects, opens, registers, serves, and comes back
// when the master has gone and returned. A Handler that is a Writer as well
// takes part in SET, which is a transaction over all subagents of the master.
//
// The package is built for what net-snmp's master really does: it pipelines
// requests, sends one varbind per PDU in a walk, repeats an unanswered PDU
// unchanged, and never closes a session by itself. So answers come in order from
// one goroutine, without allocation, and a repeated
// PDU of a SET gets the stored answer instead of being done again.
//
// The codec of all 18 PDU types is exported (Append, Parse), so that tests can
// play the master: see the package agentxtest.
package agentx
