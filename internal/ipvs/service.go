package ipvs

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
	"syscall"

	"github.com/cloudflare/ipvs"
	"github.com/mdlayher/netlink"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Attributes of a service (IPVS_SVC_ATTR_*).
const (
	svcAttrFamily    = 1
	svcAttrProtocol  = 2
	svcAttrAddress   = 3
	svcAttrPort      = 4
	svcAttrFwmark    = 5
	svcAttrScheduler = 6
	svcAttrFlags     = 7
	svcAttrTimeout   = 8
	svcAttrNetmask   = 9
	svcAttrEngine    = 11
	svcAttrStats64   = 12
)

// Flags of a service (IP_VS_SVC_F_*).
const (
	flagPersistent     = 0x1
	flagHashed         = 0x2 // the kernel's own
	flagOnePacket      = 0x4
	flagSchedulerShift = 3
)

// identity names a service to the library.
func identity(k lvs.ServiceKey) ipvs.Service {
	s := ipvs.Service{Family: ipvs.AddressFamily(addressFamily(k.Family())), FWMark: k.Fwmark()}
	if !k.IsFwmark() {
		s.Protocol, s.Address, s.Port = ipvs.Protocol(k.Protocol()), k.Addr(), k.Port()
	}
	return s
}

func encodeIdentity(e *netlink.AttributeEncoder, k lvs.ServiceKey) {
	e.Uint16(svcAttrFamily, addressFamily(k.Family()))
	if k.IsFwmark() {
		e.Uint32(svcAttrFwmark, k.Fwmark())
		return
	}
	e.Uint16(svcAttrProtocol, uint16(k.Protocol()))
	e.Bytes(svcAttrAddress, k.Addr().AsSlice())
	e.Bytes(svcAttrPort, binary.BigEndian.AppendUint16(nil, k.Port()))
}

// setService adds or edits a service. The library could do so, but for the
// persistence engine.
func (c *conn) setService(command uint8, s lvs.ServiceSpec) error {
	return c.command(command, cmdAttrService, func(e *netlink.AttributeEncoder) error {
		encodeIdentity(e, s.Key)
		e.String(svcAttrScheduler, s.Scheduler)
		if s.PersistenceEngine != "" { // absent, it is taken away
			e.String(svcAttrEngine, s.PersistenceEngine)
		}
		flags := uint32(s.SchedulerFlags) << flagSchedulerShift
		if s.PersistenceTimeout > 0 {
			flags |= flagPersistent
		}
		if s.OnePacket {
			flags |= flagOnePacket
		}
		// The second word says which flags are meant: all, so that an edit
		// clears what is not set.
		const meant = ^uint32(flagHashed)
		e.Bytes(svcAttrFlags, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, flags), meant))
		e.Uint32(svcAttrTimeout, s.PersistenceTimeout)
		e.Bytes(svcAttrNetmask, netmask(s.Key.Family(), s.PersistenceNetmask))
		return nil
	})
}

// netmask encodes a prefix length: a mask for IPv4, a number for IPv6.
func netmask(f lvs.Family, length uint8) []byte {
	if f == lvs.IPv6 {
		return binary.NativeEndian.AppendUint32(nil, uint32(length))
	}
	return binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-length))
}

// prefixLength decodes what netmask encodes; 0 if there is no such length.
func prefixLength(f lvs.Family, b []byte) uint8 {
	if len(b) != 4 {
		return 0
	}
	if f == lvs.IPv6 {
		return uint8(min(binary.NativeEndian.Uint32(b), 128))
	}
	mask := binary.BigEndian.Uint32(b)
	length := bits.LeadingZeros32(^mask)
	if mask != ^uint32(0)<<(32-length) {
		return 0
	}
	return uint8(length)
}

// services dumps the services without their servers. Those that have no key,
// of a protocol that the kernel would never balance, are passed over.
func (c *conn) services(log *slog.Logger) ([]*lvs.ActualService, error) {
	var all []*lvs.ActualService
	err := c.dump(cmdGetService, cmdAttrService, func(d *netlink.AttributeDecoder) error {
		var s serviceAttributes
		for d.Next() {
			s.take(d)
		}
		if d.Err() != nil {
			return d.Err()
		}
		found, err := s.service()
		if err != nil {
			log.Debug("service of the kernel passed over", "error", err)
			return nil
		}
		all = append(all, found)
		return nil
	})
	return all, err
}

// serviceAttributes are the attributes of a service that can be understood
// only together.
type serviceAttributes struct {
	lvs.ActualService
	family, protocol, port uint16
	address, mask          []byte
	fwmark, flags          uint32
}

func (s *serviceAttributes) take(d *netlink.AttributeDecoder) {
	switch d.Type() {
	case svcAttrFamily:
		s.family = d.Uint16()
	case svcAttrProtocol:
		s.protocol = d.Uint16()
	case svcAttrAddress:
		s.address = d.Bytes()
	case svcAttrPort:
		if b := d.Bytes(); len(b) == 2 {
			s.port = binary.BigEndian.Uint16(b)
		}
	case svcAttrFwmark:
		s.fwmark = d.Uint32()
	case svcAttrScheduler:
		s.Scheduler = d.String()
	case svcAttrFlags:
		if b := d.Bytes(); len(b) >= 4 {
			s.flags = binary.NativeEndian.Uint32(b[:4])
		}
	case svcAttrTimeout:
		s.PersistenceTimeout = d.Uint32()
	case svcAttrNetmask:
		s.mask = d.Bytes()
	case svcAttrEngine:
		s.PersistenceEngine = d.String()
	case svcAttrStats64:
		d.Nested(decodeStats(&s.Stats))
	}
}

func (s *serviceAttributes) service() (*lvs.ActualService, error) {
	family := lvs.IPv4
	if s.family == syscall.AF_INET6 {
		family = lvs.IPv6
	}
	var err error
	if s.fwmark != 0 {
		s.Key, err = lvs.FwmarkKey(family, s.fwmark)
	} else {
		var addr netip.Addr
		if addr, err = address(family, s.address); err == nil {
			s.Key, err = lvs.AddressKey(lvs.Protocol(s.protocol), netip.AddrPortFrom(addr, s.port))
		}
	}
	if err != nil {
		return nil, err
	}
	s.SchedulerFlags = lvs.SchedulerFlags(s.flags >> flagSchedulerShift & 7)
	s.OnePacket = s.flags&flagOnePacket != 0
	s.PersistenceNetmask = prefixLength(family, s.mask)
	// A timeout without the flag is left over from an edit. The flag without
	// a timeout is persistence of a kind that has no normal form.
	switch persistent := s.flags&flagPersistent != 0; {
	case !persistent:
		s.PersistenceTimeout = 0
	case s.PersistenceTimeout == 0:
		s.PersistenceNetmask = 0
	}
	service := s.ActualService
	return &service, nil
}

// address decodes the kernel's 16 octets, of which IPv4 has the first 4.
func address(f lvs.Family, b []byte) (netip.Addr, error) {
	n := f.Bits() / 8
	if len(b) < n {
		return netip.Addr{}, fmt.Errorf("%w: address of %d octets, IPv%d has %d", lvs.ErrInvalid, len(b), f, n)
	}
	a, _ := netip.AddrFromSlice(b[:n])
	return a, nil
}
