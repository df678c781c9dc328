package lvs

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Protocol is the transport protocol of a virtual service: its number in the
// IP header, or 0 for a service that is chosen by firewall mark.
type Protocol uint8

// The protocols IPVS balances (include/uapi/linux/in.h).
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the name as a key has it.
func (p Protocol) String() string {
	switch p {
	case 0:
		return "fwm"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return "protocol " + strconv.Itoa(int(p))
}

// Family is an IP version: 4 or 6.
type Family uint8

// The two IP versions.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the IP version of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Bits is the length of an address of the family: 32 or 128.
func (f Family) Bits() int {
	if f == IPv4 {
		return 32
	}
	return 128
}

// ServiceKey names a virtual service. It is IPVS's own identity: protocol,
// address and port, or a firewall mark with a family. The zero key names
// nothing. Keys are comparable; two are equal exactly if their texts are.
type ServiceKey struct {
	protocol Protocol
	family   Family
	addr     netip.AddrPort // of an address service
	mark     uint32         // of a firewall-mark service
}

// AddressKey returns the key of a service at an address. The address must be
// valid, without a zone and not IPv4 mapped into IPv6.
func AddressKey(p Protocol, addr netip.AddrPort) (ServiceKey, error) {
	if p != TCP && p != UDP && p != SCTP {
		return ServiceKey{}, invalid("%s is not balanced by IPVS: use tcp, udp or sctp", p)
	}
	if err := checkAddress(addr.Addr()); err != nil {
		return ServiceKey{}, err
	}
	return ServiceKey{protocol: p, family: FamilyOf(addr.Addr()), addr: addr}, nil
}

// FwmarkKey returns the key of a service that is chosen by firewall mark; mark
// must not be 0, which packets without a mark have.
func FwmarkKey(f Family, mark uint32) (ServiceKey, error) {
	if mark == 0 {
		return ServiceKey{}, invalid("firewall mark 0 means no mark: use 1 to 4294967295")
	}
	if f != IPv4 && f != IPv6 {
		return ServiceKey{}, invalid("IP version %d: use 4 or 6", f)
	}
	return ServiceKey{family: f, mark: mark}, nil
}

// ParseServiceKey reads the canonical text of a key: tcp:192.0.2.1:80,
// udp:[2001:db8::1]:53, sctp:192.0.2.1:3868, fwm4:7, fwm6:7. Any other
// spelling of the same service is refused with the canonical one named.
func ParseServiceKey(s string) (ServiceKey, error) {
	kind, rest, ok := strings.Cut(s, ":")
	if !ok {
		return ServiceKey{}, badServiceKey(s, "it has no colon")
	}
	var key ServiceKey
	var err error
	switch strings.ToLower(kind) {
	case "tcp":
		key, err = parseAddressKey(TCP, rest)
	case "udp":
		key, err = parseAddressKey(UDP, rest)
	case "sctp":
		key, err = parseAddressKey(SCTP, rest)
	case "fwm4":
		key, err = parseFwmarkKey(IPv4, rest)
	case "fwm6":
		key, err = parseFwmarkKey(IPv6, rest)
	default:
		err = invalid("%q is no kind of service", kind)
	}
	if err != nil {
		return ServiceKey{}, badServiceKey(s, err.Error())
	}
	if canonical := key.String(); canonical != s {
		return ServiceKey{}, invalid("service key %q is not canonical: write %q", s, canonical)
	}
	return key, nil
}

func badServiceKey(s, why string) error {
	return invalid("service key %q: %s: write it like tcp:192.0.2.1:80, udp:[2001:db8::1]:53, fwm4:7 or fwm6:7", s, why)
}

func parseAddressKey(p Protocol, s string) (ServiceKey, error) {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return ServiceKey{}, invalid("%q is not ADDRESS:PORT%s", s, withoutZeros(s))
	}
	return AddressKey(p, addr)
}

func parseFwmarkKey(f Family, s string) (ServiceKey, error) {
	mark, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return ServiceKey{}, invalid("%q is not a firewall mark from 1 to 4294967295", s)
	}
	return FwmarkKey(f, uint32(mark))
}

func checkAddress(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return invalid("no address")
	case a.Zone() != "":
		return invalid("address %s has a zone, which IPVS cannot express: leave out %%%s", a, a.Zone())
	case a.Is4In6():
		return invalid("address %s is IPv4 written as IPv6: write %s", a, a.Unmap())
	}
	return nil
}

// IsZero reports whether k names nothing.
func (k ServiceKey) IsZero() bool { return k == ServiceKey{} }

// Protocol returns the transport protocol, 0 for a firewall-mark service.
func (k ServiceKey) Protocol() Protocol { return k.protocol }

// Family returns the IP version that the service balances.
func (k ServiceKey) Family() Family { return k.family }

// Addr returns the virtual address, the invalid Addr for a firewall-mark
// service.
func (k ServiceKey) Addr() netip.Addr { return k.addr.Addr() }

// Port returns the port; 0 means every port.
func (k ServiceKey) Port() uint16 { return k.addr.Port() }

// Fwmark returns the firewall mark, 0 for an address service.
func (k ServiceKey) Fwmark() uint32 { return k.mark }

// IsFwmark reports whether the service is chosen by firewall mark.
func (k ServiceKey) IsFwmark() bool { return k.mark != 0 }

// AppendTo appends the canonical text, nothing for the zero key.
func (k ServiceKey) AppendTo(b []byte) []byte {
	switch {
	case k.IsFwmark():
		b = append(b, "fwm"...)
		b = strconv.AppendUint(b, uint64(k.family), 10)
		b = append(b, ':')
		return strconv.AppendUint(b, uint64(k.mark), 10)
	case k.protocol != 0:
		b = append(b, k.protocol.String()...)
		b = append(b, ':')
		return k.addr.AppendTo(b)
	}
	return b
}

// String returns the canonical text, "" for the zero key.
func (k ServiceKey) String() string { return string(k.AppendTo(nil)) }

// Compare orders keys as the rows of a table with this index are ordered: by
// the length of the text, then by its bytes.
func (k ServiceKey) Compare(l ServiceKey) int {
	var a, b [64]byte
	return CompareTexts(k.AppendTo(a[:0]), l.AppendTo(b[:0]))
}

// ServerKey names a real server within its service: address and port. The zero
// key names nothing. Keys are comparable; two are equal exactly if their texts
// are.
type ServerKey struct{ addr netip.AddrPort }

// NewServerKey returns the key of a server. The address must be valid, without
// a zone and not IPv4 mapped into IPv6.
func NewServerKey(addr netip.AddrPort) (ServerKey, error) {
	if err := checkAddress(addr.Addr()); err != nil {
		return ServerKey{}, err
	}
	return ServerKey{addr}, nil
}

// ParseServerKey reads the canonical text of a key: 10.0.0.11:80 or
// [2001:db8::11]:80. Any other spelling is refused with the canonical one
// named.
func ParseServerKey(s string) (ServerKey, error) {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return ServerKey{}, invalid("server key %q is not ADDRESS:PORT%s: write it like 10.0.0.11:80 or [2001:db8::11]:80", s, withoutZeros(s))
	}
	key, err := NewServerKey(addr)
	if err != nil {
		return ServerKey{}, invalid("server key %q: %v", s, err)
	}
	if canonical := key.String(); canonical != s {
		return ServerKey{}, invalid("server key %q is not canonical: write %q", s, canonical)
	}
	return key, nil
}

// IsZero reports whether k names nothing.
func (k ServerKey) IsZero() bool { return k == ServerKey{} }

// Addr returns the address of the server.
func (k ServerKey) Addr() netip.Addr { return k.addr.Addr() }

// Port returns the port of the server; 0 where the service has none.
func (k ServerKey) Port() uint16 { return k.addr.Port() }

// Family returns the IP version of the server's address.
func (k ServerKey) Family() Family { return FamilyOf(k.addr.Addr()) }

// AppendTo appends the canonical text, nothing for the zero key.
func (k ServerKey) AppendTo(b []byte) []byte {
	if k.IsZero() {
		return b
	}
	return k.addr.AppendTo(b)
}

// String returns the canonical text, "" for the zero key.
func (k ServerKey) String() string { return string(k.AppendTo(nil)) }

// Compare orders keys as the rows of a table with this index are ordered: by
// the length of the text, then by its bytes.
func (k ServerKey) Compare(l ServerKey) int {
	if a, b := k.addr.Addr(), l.addr.Addr(); a.Is4() && b.Is4() {
		return compareIPv4(a.As4(), b.As4(), k.addr.Port(), l.addr.Port())
	}
	var a, b [64]byte
	return CompareTexts(k.AppendTo(a[:0]), l.AppendTo(b[:0]))
}

// compareIPv4 compares the texts of two addresses with ports without making
// them, which is what most of the time of a search would go to.
func compareIPv4(a, b [4]byte, port, other uint16) int {
	length, order := digits(port)-digits(other), 0
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		length += digits(uint16(a[i])) - digits(uint16(b[i]))
		rank := &beforeDot
		if i == len(a)-1 {
			rank = &beforeColon
		}
		if order == 0 {
			order = int(rank[a[i]]) - int(rank[b[i]])
		}
	}
	switch {
	case length != 0:
		return length
	case order != 0:
		return order
	}
	return int(port) - int(other) // of one length
}

func digits(n uint16) int {
	switch {
	case n < 10:
		return 1
	case n < 100:
		return 2
	case n < 1000:
		return 3
	case n < 10000:
		return 4
	}
	return 5
}

// These rank each octet by its digits and what follows them in a text: a dot comes
// before all digits, a colon after them.
var beforeDot, beforeColon = ranks('.'), ranks(':')

func ranks(follows byte) (r [256]uint32) {
	for n := range r {
		text := append(strconv.AppendUint(nil, uint64(n), 10), follows, follows)
		r[n] = uint32(text[0])<<16 | uint32(text[1])<<8 | uint32(text[2])
	}
	return r
}

// CompareTexts orders texts as the indexes of tables are ordered: by length, then by
// octets (RFC 2578 section 7.7).
func CompareTexts[A, B ~string | ~[]byte](a A, b B) int {
	switch {
	case len(a) != len(b):
		return len(a) - len(b)
	case string(a) < string(b):
		return -1
	case string(a) > string(b):
		return 1
	}
	return 0
}

// MarshalText renders the canonical text.
func (k ServiceKey) MarshalText() ([]byte, error) { return k.AppendTo(nil), nil }

// UnmarshalText reads the canonical text, or nothing for the zero key.
func (k *ServiceKey) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*k = ServiceKey{}
		return nil
	}
	*k, err = ParseServiceKey(string(b))
	return err
}

// MarshalText renders the canonical text.
func (k ServerKey) MarshalText() ([]byte, error) { return k.AppendTo(nil), nil }

// UnmarshalText reads the canonical text, or nothing for the zero key.
func (k *ServerKey) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*k = ServerKey{}
		return nil
	}
	*k, err = ParseServerKey(string(b))
	return err
}

// invalid is the refusal of a text that is no key, in words only.
func invalid(format string, args ...any) error {
	return &Refusal{Kind: ErrInvalid, Reason: fmt.Sprintf(format, args...)}
}

var leadingZeros = regexp.MustCompile(`\b0+(\d)`)

// withoutZeros suggests an IPv4 address without leading zeros, where those are
// all that is wrong; else it is empty.
func withoutZeros(s string) string {
	addr, err := netip.ParseAddrPort(leadingZeros.ReplaceAllString(s, "$1"))
	if err != nil || !addr.Addr().Is4() {
		return ""
	}
	return fmt.Sprintf(" (numbers have no leading zeros: %s)", addr)
}
