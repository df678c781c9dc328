// Package notify tests what managers are told: the subagent's notifications
// through a real snmpd to a real snmptrapd, as traps and as informs, and the
// alarms that stand beside them.
package notify
