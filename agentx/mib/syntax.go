package mib

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lcms-project/lcms/agentx/smi"
)

// unsigned are the Go types that an Unsigned32 column may be kept in.
type unsigned interface {
	~uint8 | ~uint16 | ~uint32
}

// Unsigned32 declares a column of type Unsigned32.
func Unsigned32[R any, N unsigned](n uint32, name string, ptr func(R) *N, opts ...Option) Column[R] {
	s := newSpec(opts)
	if !s.bounded() {
		s.min, s.max = 0, int64(^N(0))
	}
	return column(n, name, smi.TypeGauge32, s,
		func(r R) smi.Value { return smi.Unsigned32(uint32(*ptr(r))) },
		func(v smi.Value) error { return s.checkNumber(name, int64(v.Num)) },
		func(r R, v smi.Value) error { *ptr(r) = N(v.Num); return nil })
}

// Gauge32 declares a read-only column of type Gauge32, which stops at its
// largest value.
func Gauge32[R any](n uint32, name string, get func(R) uint64) Column[R] {
	return computed(n, name, smi.TypeGauge32, func(r R) smi.Value { return smi.Gauge32(uint32(min(get(r), 1<<32-1))) })
}

// Counter32 declares a read-only column of type Counter32.
func Counter32[R any](n uint32, name string, get func(R) uint32) Column[R] {
	return computed(n, name, smi.TypeCounter32, func(r R) smi.Value { return smi.Counter32(get(r)) })
}

// Counter64 declares a read-only column of type Counter64.
func Counter64[R any](n uint32, name string, get func(R) uint64) Column[R] {
	return computed(n, name, smi.TypeCounter64, func(r R) smi.Value { return smi.Counter64(get(r)) })
}

// Text declares a column of a string for people (SnmpAdminString): UTF-8
// without control characters.
func Text[R any](n uint32, name string, ptr func(R) *string, opts ...Option) Column[R] {
	s := newSpec(opts)
	return column(n, name, smi.TypeOctetString, s,
		func(r R) smi.Value { return smi.Text(AdminString(*ptr(r))) },
		func(v smi.Value) error {
			if err := s.checkLength(name, len(v.Bytes)); err != nil {
				return err
			}
			if !utf8.Valid(v.Bytes) || bytes.ContainsFunc(v.Bytes, unicode.IsControl) {
				return refuse(smi.WrongValue, "%s must be UTF-8 text without control characters", name)
			}
			return nil
		},
		func(r R, v smi.Value) error { *ptr(r) = string(v.Bytes); return nil })
}

// TextOf declares a read-only column of a string for people that is computed.
// What is longer than an SnmpAdminString can be, or than Range says, is cut.
func TextOf[R any](n uint32, name string, get func(R) string, opts ...Option) Column[R] {
	s := newSpec(append([]Option{Range(0, maxAdminString)}, opts...))
	return column(n, name, smi.TypeOctetString, s, func(r R) smi.Value { return smi.Text(cut(get(r), int(s.max))) }, nil, nil)
}

// maxAdminString is how many octets an SnmpAdminString has at most (RFC 3411).
const maxAdminString = 255

// AdminString returns as much of a text as an SnmpAdminString can hold. What is told
// of values and errors that come from outside may be longer, and a value that fits
// into no message would end every walk.
func AdminString(s string) string { return cut(s, maxAdminString) }

// cut returns as much of a text as so many octets can hold, and marks that there
// is more.
func cut(s string, most int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	if len(s) > most {
		const more = "..."
		end := most - len(more)
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + more
	}
	return s
}

// Enum declares a column of an enumeration. In the MIB the first label has the
// number 1 and the others follow; the Go values are the same numbers, or with
// From(1) begin at 0.
func Enum[R any, E ~uint8](n uint32, name string, ptr func(R) *E, labels []string, opts ...Option) Column[R] {
	s := newSpec(opts)
	s.min, s.max = 1, int64(len(labels))
	if s.settable == 0 {
		s.settable = s.max
	}
	c := column(n, name, smi.TypeInteger, s,
		func(r R) smi.Value { return smi.Integer(int32(int64(*ptr(r)) + s.offset)) },
		func(v smi.Value) error {
			if i := int64(v.Int()); i < 1 || i > s.settable {
				return refuse(smi.WrongValue, "%s %d: use %s", name, i, enumeration(labels[:s.settable]))
			}
			return nil
		},
		func(r R, v smi.Value) error { *ptr(r) = E(int64(v.Int()) - s.offset); return nil })
	c.Labels = labels
	return c
}

func enumeration(labels []string) string {
	var b strings.Builder
	for i, l := range labels {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s(%d)", l, i+1)
	}
	return b.String()
}

// EnumOf declares a read-only column of an enumeration that is computed; get
// returns the number of the MIB.
func EnumOf[R any](n uint32, name string, get func(R) int32, labels []string) Column[R] {
	s := newSpec(nil)
	s.min, s.max = 1, int64(len(labels))
	c := column(n, name, smi.TypeInteger, s, func(r R) smi.Value { return smi.Integer(get(r)) }, nil, nil)
	c.Labels = labels
	return c
}

// Truth declares a column of type TruthValue (RFC 2579): true is 1, false 2.
func Truth[R any](n uint32, name string, ptr func(R) *bool, opts ...Option) Column[R] {
	s := newSpec(opts)
	c := column(n, name, smi.TypeInteger, s,
		func(r R) smi.Value {
			if *ptr(r) {
				return smi.Integer(1)
			}
			return smi.Integer(2)
		},
		func(v smi.Value) error {
			if i := v.Int(); i != 1 && i != 2 {
				return refuse(smi.WrongValue, "%s %d is neither true(1) nor false(2)", name, i)
			}
			return nil
		},
		func(r R, v smi.Value) error { *ptr(r) = v.Int() == 1; return nil })
	c.Labels = []string{"true", "false"}
	return c
}

// Bits declares a column of type BITS; bit i of the Go value is the bit that
// labels[i] names.
func Bits[R any, B unsigned](n uint32, name string, ptr func(R) *B, labels []string, opts ...Option) Column[R] {
	s := newSpec(opts)
	c := column(n, name, smi.TypeOctetString, s,
		func(r R) smi.Value { return smi.OctetString(smi.Bits(uint32(*ptr(r)), len(labels))) },
		func(v smi.Value) error {
			if _, err := smi.ParseBits(v.Bytes, len(labels)); err != nil {
				return refuse(smi.WrongValue, "%s: %v (%s)", name, err, strings.Join(labels, ", "))
			}
			return nil
		},
		func(r R, v smi.Value) error {
			mask, err := smi.ParseBits(v.Bytes, len(labels))
			*ptr(r) = B(mask)
			return err
		})
	c.Labels = labels
	return c
}

// Address declares a column of type InetAddress (RFC 4001); an invalid address
// is the empty string.
func Address[R any](n uint32, name string, ptr func(R) *netip.Addr, opts ...Option) Column[R] {
	return column(n, name, smi.TypeOctetString, newSpec(opts),
		func(r R) smi.Value { return smi.OctetString(ptr(r).AsSlice()) },
		func(v smi.Value) error {
			if _, ok := netip.AddrFromSlice(v.Bytes); !ok && len(v.Bytes) != 0 {
				return refuse(smi.WrongLength, "%s has %d octets: an address has 4 (IPv4), 16 (IPv6) or 0 (none)", name, len(v.Bytes))
			}
			return nil
		},
		func(r R, v smi.Value) error { *ptr(r), _ = netip.AddrFromSlice(v.Bytes); return nil })
}

// AddressOf declares a read-only column of type InetAddress that is computed.
func AddressOf[R any](n uint32, name string, get func(R) netip.Addr) Column[R] {
	return computed(n, name, smi.TypeOctetString, func(r R) smi.Value { return smi.OctetString(get(r).AsSlice()) })
}

// The values of InetAddressType (RFC 4001).
const (
	AddressTypeUnknown = 0
	AddressTypeIPv4    = 1
	AddressTypeIPv6    = 2
)

// AddressType returns the InetAddressType of an address.
func AddressType(a netip.Addr) int32 {
	switch {
	case !a.IsValid():
		return AddressTypeUnknown
	case a.Is4():
		return AddressTypeIPv4
	}
	return AddressTypeIPv6
}

// AddressTypeOf declares a read-only column of type InetAddressType.
func AddressTypeOf[R any](n uint32, name string, get func(R) int32) Column[R] {
	return computed(n, name, smi.TypeInteger, func(r R) smi.Value { return smi.Integer(get(r)) })
}

// Time declares a read-only column of type DateAndTime (RFC 2579), in UTC. The
// zero time means never.
func Time[R any](n uint32, name string, get func(R) time.Time) Column[R] {
	return computed(n, name, smi.TypeOctetString, func(r R) smi.Value { return smi.OctetString(DateAndTime(get(r))) })
}

// DateAndTime encodes a time as the textual convention of RFC 2579 does, with
// deciseconds and in UTC; eight zero octets stand for the zero time.
func DateAndTime(t time.Time) []byte {
	if t.IsZero() {
		return make([]byte, 8)
	}
	t = t.UTC()
	return []byte{
		byte(t.Year() >> 8), byte(t.Year()), byte(t.Month()), byte(t.Day()),
		byte(t.Hour()), byte(t.Minute()), byte(t.Second()), byte(t.Nanosecond() / 1e8), '+', 0, 0,
	}
}

// OID declares a read-only column of type OBJECT IDENTIFIER; no OID is
// zeroDotZero.
func OID[R any](n uint32, name string, get func(R) smi.OID) Column[R] {
	return computed(n, name, smi.TypeObjectIdentifier, func(r R) smi.Value {
		if oid := get(r); len(oid) >= 2 {
			return smi.ObjectIdentifier(oid)
		}
		return smi.ObjectIdentifier(smi.OID{0, 0})
	})
}

// TestAndIncr declares a column of type TestAndIncr (RFC 2579): a SET must
// name the present value and leaves the next one, so that of two managers that
// read the same value only one succeeds.
func TestAndIncr[R any](n uint32, name string, ptr func(R) *int32) Column[R] {
	s := newSpec([]Option{Writable, Range(0, 1<<31-1)})
	return column(n, name, smi.TypeInteger, s,
		func(r R) smi.Value { return smi.Integer(*ptr(r)) },
		func(v smi.Value) error { return s.checkNumber(name, int64(v.Int())) },
		func(r R, v smi.Value) error {
			p := ptr(r)
			if v.Int() != *p {
				return refuse(smi.InconsistentValue, "%s is %d, not %d: somebody changed something since you read it; read again", name, *p, v.Int())
			}
			*p = int32((int64(*p) + 1) % (1 << 31))
			return nil
		})
}

// InetAddressType declares a writable column of type InetAddressType, of which
// unknown(0), ipv4(1) and ipv6(2) are known here.
func InetAddressType[R any](n uint32, name string, ptr func(R) *int32, opts ...Option) Column[R] {
	return column(n, name, smi.TypeInteger, newSpec(opts),
		func(r R) smi.Value { return smi.Integer(*ptr(r)) },
		func(v smi.Value) error {
			if i := v.Int(); i < AddressTypeUnknown || i > AddressTypeIPv6 {
				return refuse(smi.WrongValue, "%s %d: use unknown(0), ipv4(1) or ipv6(2)", name, i)
			}
			return nil
		},
		func(r R, v smi.Value) error { *ptr(r) = v.Int(); return nil })
}
