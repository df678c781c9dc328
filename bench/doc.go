// The bench compares lcms-subagent with other AgentX subagents that serve the
// same table behind the same snmpd, side by side. See README.md.
package main
