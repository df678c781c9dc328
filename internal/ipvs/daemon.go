package ipvs

import (
	"errors"
	"net/netip"
	"os"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Attributes of a sync daemon (IPVS_DAEMON_ATTR_*).
const (
	daemonAttrState     = 1
	daemonAttrInterface = 2
	daemonAttrSyncID    = 3
	daemonAttrMaxLength = 4
	daemonAttrGroup     = 5
	daemonAttrGroup6    = 6
	daemonAttrPort      = 7 // in host order, unlike other ports
	daemonAttrTTL       = 8
)

// startDaemon leaves out what is zero, for the kernel to choose.
func (c *conn) startDaemon(d lvs.Daemon) error {
	return c.command(cmdNewDaemon, cmdAttrDaemon, func(e *netlink.AttributeEncoder) error {
		e.Uint32(daemonAttrState, uint32(d.State))
		e.String(daemonAttrInterface, d.Interface)
		e.Uint32(daemonAttrSyncID, uint32(d.SyncID))
		if d.MaxLength != 0 {
			e.Uint16(daemonAttrMaxLength, d.MaxLength)
		}
		switch {
		case d.Group.Is4():
			e.Bytes(daemonAttrGroup, d.Group.AsSlice())
		case d.Group.Is6():
			e.Bytes(daemonAttrGroup6, d.Group.AsSlice())
		}
		if d.Port != 0 {
			e.Uint16(daemonAttrPort, d.Port)
		}
		if d.TTL != 0 {
			e.Uint8(daemonAttrTTL, d.TTL)
		}
		return nil
	})
}

// stopDaemon looks for itself when the kernel does not answer. That is so if
// the daemon's thread has not run yet: to stop it gives EINTR, which
// netlink_rcv_skb takes as a reason to say nothing, and the daemon is gone.
func (c *conn) stopDaemon(s lvs.DaemonState) error {
	err := c.command(cmdDelDaemon, cmdAttrDaemon, func(e *netlink.AttributeEncoder) error {
		e.Uint32(daemonAttrState, uint32(s))
		return nil
	})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	daemons, err2 := c.daemons()
	if err2 == nil && !slices.ContainsFunc(daemons, func(d lvs.Daemon) bool { return d.State == s }) {
		return nil
	}
	return errors.Join(err, err2)
}

// daemons dumps the sync daemons that run, with what the kernel chose for
// them.
func (c *conn) daemons() ([]lvs.Daemon, error) {
	var all []lvs.Daemon
	err := c.dump(cmdGetDaemon, cmdAttrDaemon, func(a *netlink.AttributeDecoder) error {
		var d lvs.Daemon
		for a.Next() {
			switch a.Type() {
			case daemonAttrState:
				d.State = lvs.DaemonState(a.Uint32())
			case daemonAttrInterface:
				d.Interface = a.String()
			case daemonAttrSyncID:
				d.SyncID = uint8(a.Uint32())
			case daemonAttrMaxLength:
				d.MaxLength = a.Uint16()
			case daemonAttrGroup, daemonAttrGroup6:
				d.Group, _ = netip.AddrFromSlice(a.Bytes())
			case daemonAttrPort:
				d.Port = a.Uint16()
			case daemonAttrTTL:
				d.TTL = a.Uint8()
			}
		}
		all = append(all, d)
		return nil
	})
	return all, err
}
