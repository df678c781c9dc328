package snmp

import (
	"fmt"
	"strconv"
	"strings"
)

// OID is an object identifier, one element for each sub-identifier.
type OID []uint32

// ParseOID reads an OID in dotted decimal form, with or without a leading dot.
func ParseOID(s string) (OID, error) {
	parts := strings.Split(strings.TrimPrefix(s, "."), ".")
	if len(parts) < 2 || len(parts) > 128 {
		return nil, fmt.Errorf("OID %q: write 2 to 128 numbers like 1.3.6.1.2.1.1.3.0", s)
	}
	oid := make(OID, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("OID %q: %q is not a number from 0 to 4294967295", s, p)
		}
		oid[i] = uint32(n)
	}
	if oid[0] > 2 || oid[0] < 2 && oid[1] > 39 {
		return nil, fmt.Errorf("OID %q: it begins with 0, 1 or 2, and after 0 and 1 comes at most 39", s)
	}
	return oid, nil
}

// MustOID is ParseOID for constants; it panics on an error.
func MustOID(s string) OID {
	oid, err := ParseOID(s)
	if err != nil {
		panic(err)
	}
	return oid
}

// String returns the dotted decimal form with a leading dot.
func (o OID) String() string {
	b := make([]byte, 0, 4*len(o))
	for _, sub := range o {
		b = append(b, '.')
		b = strconv.AppendUint(b, uint64(sub), 10)
	}
	return string(b)
}

// Child returns a new OID: o followed by subs.
func (o OID) Child(subs ...uint32) OID {
	return append(append(make(OID, 0, len(o)+len(subs)), o...), subs...)
}

// Within returns what follows root in o; false if o is not below root.
func (o OID) Within(root OID) (rest OID, ok bool) {
	if len(o) < len(root) {
		return nil, false
	}
	for i, sub := range root {
		if o[i] != sub {
			return nil, false
		}
	}
	return o[len(root):], true
}
