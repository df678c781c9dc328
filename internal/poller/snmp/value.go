package snmp

import "fmt"

// Type is the type of a value: its BER tag.
type Type byte

// The types, and the three exceptions of RFC 3416 section 3 that stand in place
// of a value.
const (
	TypeInteger        Type = 0x02
	TypeOctetString    Type = 0x04
	TypeNull           Type = 0x05
	TypeOID            Type = 0x06
	TypeIPAddress      Type = 0x40
	TypeCounter32      Type = 0x41
	TypeGauge32        Type = 0x42 // also Unsigned32
	TypeTimeTicks      Type = 0x43
	TypeOpaque         Type = 0x44
	TypeCounter64      Type = 0x46
	TypeNoSuchObject   Type = 0x80
	TypeNoSuchInstance Type = 0x81
	TypeEndOfMibView   Type = 0x82
)

// Value is a typed value. Num holds a number (an INTEGER sign-extended: see
// Int), Bytes octets, Name an OBJECT IDENTIFIER.
type Value struct {
	Type  Type
	Num   uint64
	Bytes []byte
	Name  OID
}

// Integer returns an INTEGER.
func Integer(n int32) Value { return Value{Type: TypeInteger, Num: uint64(int64(n))} }

// Unsigned returns an Unsigned32.
func Unsigned(n uint32) Value { return Value{Type: TypeGauge32, Num: uint64(n)} }

// Text returns an OCTET STRING.
func Text(s string) Value { return Value{Type: TypeOctetString, Bytes: []byte(s)} }

// Int returns a number with its sign.
func (v Value) Int() int64 { return int64(v.Num) }

// Exists reports whether there is a value, and not an exception or NULL.
func (v Value) Exists() bool { return v.Type != TypeNull && v.Type < TypeNoSuchObject && v.Type != 0 }

// IsNumber reports whether Num is the value.
func (v Value) IsNumber() bool {
	switch v.Type {
	case TypeInteger, TypeCounter32, TypeGauge32, TypeTimeTicks, TypeCounter64:
		return true
	}
	return false
}

// String renders the value for people.
func (v Value) String() string {
	switch v.Type {
	case TypeInteger:
		return fmt.Sprint(v.Int())
	case TypeCounter32, TypeGauge32, TypeTimeTicks, TypeCounter64:
		return fmt.Sprint(v.Num)
	case TypeOctetString, TypeOpaque, TypeIPAddress:
		return fmt.Sprintf("%q", v.Bytes)
	case TypeOID:
		return v.Name.String()
	case TypeNull:
		return "NULL"
	case TypeNoSuchObject:
		return "noSuchObject"
	case TypeNoSuchInstance:
		return "noSuchInstance"
	case TypeEndOfMibView:
		return "endOfMibView"
	}
	return fmt.Sprintf("type %#x", byte(v.Type))
}

// Varbind is an object and its value.
type Varbind struct {
	Name  OID
	Value Value
}

// Find returns the value of an object in an answer; false if the answer does
// not have it.
func Find(vbs []Varbind, name OID) (Value, bool) {
	for _, vb := range vbs {
		if rest, ok := vb.Name.Within(name); ok && len(rest) == 0 {
			return vb.Value, vb.Value.Exists()
		}
	}
	return Value{}, false
}
