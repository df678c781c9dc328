package lvs

import "net/netip"

// DaemonState is the role of a connection synchronisation daemon
// (IP_VS_STATE_*).
type DaemonState uint8

// The two sync daemons, which may run side by side.
const (
	DaemonMaster DaemonState = 1
	DaemonBackup DaemonState = 2
)

// Daemon is a connection synchronisation daemon: a kernel thread that sends
// the connection table to the other director (master) or receives it (backup).
// It is comparable.
type Daemon struct {
	State     DaemonState
	Interface string     // network interface of the multicast, at most 15 octets
	SyncID    uint8      // master and backup of one pair have the same
	MaxLength uint16     // octets of a sync message; 0 = what the interface carries
	Group     netip.Addr // multicast group, invalid = the kernel's 224.0.0.81
	Port      uint16     // UDP; 0 = the kernel's 8848
	TTL       uint8      // of multicast; 0 = the kernel's 1
}
