package rules

import (
	"net/netip"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Normal returns the form in which a service is read back: it differs in that
// netmask 0 becomes the full one, 32 or 128, which means that each client
// stands by itself. The kernel keeps the netmask of a service that is not
// persistent, too.
//
// One reading has no normal form: netmask 0 stands for persistence that a
// ServiceSpec cannot express (an IPv4 mask with holes or 0.0.0.0, a timeout of
// 0 seconds), which only other programs can set.
func Normal(s lvs.ServiceSpec) lvs.ServiceSpec {
	if s.PersistenceNetmask == 0 {
		s.PersistenceNetmask = uint8(s.Key.Family().Bits())
	}
	return s
}

// InForce returns the sync daemon as the kernel runs it on an interface of the
// given MTU: what was zero has the kernel's own choice, and a backup's
// MaxLength is at least 1024 (start_sync_thread in
// net/netfilter/ipvs/ip_vs_sync.c).
func InForce(d lvs.Daemon, mtu uint32) lvs.Daemon {
	const least, most = 1500, 65535
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	if d.Port == 0 {
		d.Port = 8848
	}
	if d.TTL == 0 {
		d.TTL = 1
	}
	headers := uint32(20 + 8)
	if d.Group.Is6() {
		headers = 40 + 8
	}
	backup := d.State == lvs.DaemonBackup
	length := uint32(d.MaxLength)
	switch {
	case length == 0 && backup:
		length = min(max(mtu, least), most) - headers
	case length == 0:
		length = least - headers
	case backup:
		length = max(length, 1024)
	}
	d.MaxLength = uint16(min(length, most-headers))
	return d
}
