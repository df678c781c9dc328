// Package check finds out whether a server does its work, by the means that its
// service names in LCMS-MIB: by opening a connection, by asking for something
// and looking at the answer, or by a script of the operator.
//
// A Probe is one way to ask one server; it runs once and says up, down, or
// unknown, which means that the monitor itself could not ask. A Judge makes a
// health of many results. No probe keeps a connection, a socket or a goroutine
// between its runs, and none outlives the context that it is given.
package check
