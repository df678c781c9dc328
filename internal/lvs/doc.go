// Package lvs is the domain: virtual services and real servers as Linux
// Virtual Server (IPVS) knows them, what may be said of them, and what follows
// from that for the kernel.
//
// It holds three states apart. The desired state is a Config: what an
// administrator asked for. The effective state is a Target, computed from it
// by Effective: what the kernel should hold. The actual state is what the
// kernel was last read to hold: an Actual. Diff turns the difference of the
// last two into operations.
//
// The package knows no store, no kernel and no SNMP; it depends on the
// standard library only.
package lvs
