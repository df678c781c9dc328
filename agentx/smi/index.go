package smi

import "cmp"

// AppendIndexString appends a variable-length string as an index: its length,
// then one sub-identifier for each octet (RFC 2578 section 7.7).
func AppendIndexString(oid OID, s string) OID {
	oid = append(oid, uint32(len(s)))
	for i := range len(s) {
		oid = append(oid, uint32(s[i]))
	}
	return oid
}

// CutIndexString splits a length-prefixed string off the front of an index.
// ok is false when the index is too short or a sub-identifier is no octet.
func CutIndexString(index OID) (s string, rest OID, ok bool) {
	if len(index) == 0 || uint64(index[0]) > uint64(len(index)-1) {
		return "", nil, false
	}
	n := int(index[0])
	b := make([]byte, n)
	for i, sub := range index[1 : 1+n] {
		if sub > 255 {
			return "", nil, false
		}
		b[i] = byte(sub)
	}
	return string(b), index[1+n:], true
}

// CompareIndexString compares the front of index, which may be cut short or be
// no valid string at all, with the index form of s. used is how many
// sub-identifiers of index belong to the string when the result is 0.
func CompareIndexString(index OID, s string) (order, used int) {
	if len(index) == 0 {
		return -1, 0
	}
	if c := cmp.Compare(index[0], uint32(len(s))); c != 0 {
		return c, 0
	}
	body := index[1:]
	for i := range len(s) {
		if i == len(body) {
			return -1, 0
		}
		if c := cmp.Compare(body[i], uint32(s[i])); c != 0 {
			return c, 0
		}
	}
	return 0, 1 + len(s)
}
