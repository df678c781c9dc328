package smi

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Type is the type of a value: its BER tag, which is also its AgentX number
// (RFC 2741 section 5.4).
type Type uint16

// The types of SMIv2, and the three exceptions of RFC 3416 section 3 that
// stand in place of a value.
const (
	TypeInteger          Type = 2 // Integer32, INTEGER, enumerations
	TypeOctetString      Type = 4
	TypeNull             Type = 5
	TypeObjectIdentifier Type = 6
	TypeIPAddress        Type = 64
	TypeCounter32        Type = 65
	TypeGauge32          Type = 66 // also Unsigned32
	TypeTimeTicks        Type = 67 // hundredths of a second
	TypeOpaque           Type = 68
	TypeCounter64        Type = 70
	TypeNoSuchObject     Type = 128
	TypeNoSuchInstance   Type = 129
	TypeEndOfMibView     Type = 130
)

var typeNames = map[Type]string{
	TypeInteger:          "INTEGER",
	TypeOctetString:      "OCTET STRING",
	TypeNull:             "NULL",
	TypeObjectIdentifier: "OBJECT IDENTIFIER",
	TypeIPAddress:        "IpAddress",
	TypeCounter32:        "Counter32",
	TypeGauge32:          "Unsigned32",
	TypeTimeTicks:        "TimeTicks",
	TypeOpaque:           "Opaque",
	TypeCounter64:        "Counter64",
	TypeNoSuchObject:     "noSuchObject",
	TypeNoSuchInstance:   "noSuchInstance",
	TypeEndOfMibView:     "endOfMibView",
}

// String returns the name of the type as SMIv2 writes it.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return "type " + strconv.Itoa(int(t))
}

// Value is one typed value. The zero Value is not valid on the wire; use Null.
//
// Which field holds the value depends on Type: Num for the numeric types (an
// Integer32 is kept sign-extended, read it with Int), Bytes for OCTET STRING,
// IpAddress and Opaque, OID for OBJECT IDENTIFIER. A Value may share Bytes and
// OID with the table it came from: treat both as read-only.
type Value struct {
	Type  Type
	Num   uint64
	Bytes []byte
	OID   OID
}

// Integer returns an Integer32 or an enumeration.
func Integer(v int32) Value { return Value{Type: TypeInteger, Num: uint64(int64(v))} }

// OctetString returns an OCTET STRING that shares b.
func OctetString(b []byte) Value { return Value{Type: TypeOctetString, Bytes: b} }

// Text returns an OCTET STRING holding s.
func Text(s string) Value { return Value{Type: TypeOctetString, Bytes: []byte(s)} }

// ObjectIdentifier returns an OBJECT IDENTIFIER that shares o.
func ObjectIdentifier(o OID) Value { return Value{Type: TypeObjectIdentifier, OID: o} }

// IPAddress returns an IpAddress; a must be an IPv4 address.
func IPAddress(a netip.Addr) Value {
	b := a.As4()
	return Value{Type: TypeIPAddress, Bytes: b[:]}
}

// Counter32 returns a Counter32.
func Counter32(v uint32) Value { return Value{Type: TypeCounter32, Num: uint64(v)} }

// Gauge32 returns a Gauge32.
func Gauge32(v uint32) Value { return Value{Type: TypeGauge32, Num: uint64(v)} }

// Unsigned32 returns an Unsigned32, which on the wire is a Gauge32.
func Unsigned32(v uint32) Value { return Gauge32(v) }

// TimeTicks returns a time in hundredths of a second.
func TimeTicks(v uint32) Value { return Value{Type: TypeTimeTicks, Num: uint64(v)} }

// Counter64 returns a Counter64.
func Counter64(v uint64) Value { return Value{Type: TypeCounter64, Num: v} }

// Null is the value of the type NULL.
func Null() Value { return Value{Type: TypeNull} }

// NoSuchObject says that the agent has no object of that name.
func NoSuchObject() Value { return Value{Type: TypeNoSuchObject} }

// NoSuchInstance says that the object exists, but not this instance of it.
func NoSuchInstance() Value { return Value{Type: TypeNoSuchInstance} }

// EndOfMibView says that nothing follows in the requested range.
func EndOfMibView() Value { return Value{Type: TypeEndOfMibView} }

// IsException reports whether v is one of the three exceptions in place of a
// value.
func (v Value) IsException() bool { return v.Type >= TypeNoSuchObject && v.Type <= TypeEndOfMibView }

// Int returns the value of an Integer32.
func (v Value) Int() int32 { return int32(int64(v.Num)) }

// Equal reports whether v and w have the same type and the same value.
func (v Value) Equal(w Value) bool {
	return v.Type == w.Type && v.Num == w.Num && string(v.Bytes) == string(w.Bytes) && v.OID.Equal(w.OID)
}

// String renders the value for people and logs: numbers in decimal, printable
// strings as they are, others in hexadecimal.
func (v Value) String() string {
	switch v.Type {
	case TypeInteger:
		return strconv.FormatInt(int64(v.Int()), 10)
	case TypeOctetString, TypeOpaque:
		if printable(v.Bytes) {
			return string(v.Bytes)
		}
		return fmt.Sprintf("% x", v.Bytes)
	case TypeObjectIdentifier:
		return v.OID.String()
	case TypeIPAddress:
		if len(v.Bytes) == 4 {
			return netip.AddrFrom4([4]byte(v.Bytes)).String()
		}
		return fmt.Sprintf("% x", v.Bytes)
	case TypeCounter32, TypeGauge32, TypeTimeTicks, TypeCounter64:
		return strconv.FormatUint(v.Num, 10)
	default:
		return v.Type.String()
	}
}

func printable(b []byte) bool {
	return !strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == '\uFFFD' })
}

// Bits packs named bits as SMIv2 BITS (RFC 2578 section 7.1.4): bit 0 is the
// highest bit of the first octet. The string has as many octets as size bits
// need.
func Bits(mask uint32, size int) []byte {
	out := make([]byte, (size+7)/8)
	for i := range size {
		if mask&(1<<i) != 0 {
			out[i/8] |= 0x80 >> (i % 8)
		}
	}
	return out
}

// ParseBits is the reverse of Bits. It fails when a bit at or above size is
// set; missing octets are zero bits.
func ParseBits(b []byte, size int) (uint32, error) {
	var mask uint32
	for i := range 8 * len(b) {
		if b[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		if i >= size {
			return 0, fmt.Errorf("bit %d is not defined: the bits are 0 to %d", i, size-1)
		}
		mask |= 1 << i
	}
	return mask, nil
}

// Varbind is a variable binding: the name of an instance and its value.
type Varbind struct {
	Name  OID
	Value Value
}

// String renders the varbind as "name = type: value".
func (vb Varbind) String() string {
	return fmt.Sprintf("%s = %s: %s", vb.Name, vb.Value.Type, vb.Value)
}
