// Package deploy tests the files of deploy/ on the real thing: the snmpd drop-in
// with Debian's stock configuration, the unit with systemd.
package deploy
