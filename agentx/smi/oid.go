package smi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxOIDLen is the largest number of sub-identifiers of an object identifier
// (RFC 2578 section 3.5).
const MaxOIDLen = 128

// OID is an object identifier, one element for each sub-identifier.
type OID []uint32

// ParseOID reads an OID in dotted decimal form, with or without a leading dot.
func ParseOID(s string) (OID, error) {
	text := strings.TrimPrefix(s, ".")
	if text == "" {
		return nil, fmt.Errorf("OID %q is empty: write it like 1.3.6.1.4.1", s)
	}
	parts := strings.Split(text, ".")
	if len(parts) > MaxOIDLen {
		return nil, fmt.Errorf("OID %q has %d sub-identifiers: at most %d are allowed", s, len(parts), MaxOIDLen)
	}
	oid := make(OID, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("OID %q: sub-identifier %q is not a number from 0 to 4294967295", s, p)
		}
		oid[i] = uint32(n)
	}
	return oid, nil
}

// MustParseOID is ParseOID for constants; it panics on an error.
func MustParseOID(s string) OID {
	oid, err := ParseOID(s)
	if err != nil {
		panic(err)
	}
	return oid
}

// String returns the dotted decimal form with a leading dot, as net-snmp
// prints it with -On. The empty OID is the empty string.
func (o OID) String() string {
	buf := make([]byte, 0, 4*len(o))
	for _, sub := range o {
		buf = append(buf, '.')
		buf = strconv.AppendUint(buf, uint64(sub), 10)
	}
	return string(buf)
}

// Compare orders OIDs lexicographically (RFC 2578 section 3.5): -1, 0 or +1.
func (o OID) Compare(p OID) int { return slices.Compare(o, p) }

// Equal reports whether o and p name the same object.
func (o OID) Equal(p OID) bool { return slices.Equal(o, p) }

// HasPrefix reports whether o lies in the subtree rooted at prefix.
func (o OID) HasPrefix(prefix OID) bool {
	return len(o) >= len(prefix) && slices.Equal(o[:len(prefix)], prefix)
}

// Clone returns a copy that shares no memory with o.
func (o OID) Clone() OID { return slices.Clone(o) }

// Child returns a new OID: o followed by subs.
func (o OID) Child(subs ...uint32) OID {
	child := make(OID, 0, len(o)+len(subs))
	return append(append(child, o...), subs...)
}

// Successor returns the smallest OID outside of the subtree of o and above
// it: the next sibling. The last sub-identifier must be below 2^32-1; if it is
// not, the successor is that of the parent.
func (o OID) Successor() OID {
	for n := len(o); n > 0; n-- {
		if o[n-1] != 1<<32-1 {
			next := o[:n].Clone()
			next[n-1]++
			return next
		}
	}
	return nil
}
