package main

import "slices"

// oid is an object identifier.
type oid []uint32

// child returns a new OID below o.
func (o oid) child(sub ...uint32) oid { return slices.Concat(o, oid(sub)) }

// ber returns the contents octets of X.690, section 8.19.
func (o oid) ber() []byte {
	b := []byte{byte(o[0]*40 + o[1])}
	for _, v := range o[2:] {
		for shift := 28; shift > 0; shift -= 7 {
			if v>>shift != 0 {
				b = append(b, byte(v>>shift)|0x80)
			}
		}
		b = append(b, byte(v&0x7f))
	}
	return b
}

// The tags of RFC 3416 that the bench uses.
const (
	tagInteger       = 0x02
	tagOctetString   = 0x04
	tagNull          = 0x05
	tagOID           = 0x06
	tagSequence      = 0x30
	tagUnsigned32    = 0x42
	tagGetRequest    = 0xa0
	tagNextRequest   = 0xa1
	tagSetRequest    = 0xa3
	tagBulkRequest   = 0xa5
	tagInformRequest = 0xa6
	tagResponse      = 0xa2

	tagNoSuchObject = 0x80
	tagEndOfMIBView = 0x82
)

// tlv appends one element.
func tlv(dst []byte, tag byte, contents []byte) []byte {
	switch n := len(contents); {
	case n < 0x80:
		dst = append(dst, tag, byte(n))
	case n < 0x100:
		dst = append(dst, tag, 0x81, byte(n))
	default:
		dst = append(dst, tag, 0x82, byte(n>>8), byte(n))
	}
	return append(dst, contents...)
}

// integer returns an INTEGER element.
func integer(v int32) []byte {
	return []byte{tagInteger, 4, byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

// unsigned32 returns an Unsigned32 element; v has at most 31 bits.
func unsigned32(v uint32) []byte {
	return []byte{tagUnsigned32, 4, byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

// cut takes the first element from b. The tag is 0 if there is none.
func cut(b []byte) (tag byte, contents, rest []byte) {
	if len(b) < 2 {
		return 0, nil, nil
	}
	n, at := int(b[1]), 2
	if n >= 0x80 {
		size := n & 0x7f
		if size > 3 || len(b) < 2+size {
			return 0, nil, nil
		}
		n = 0
		for _, c := range b[2 : 2+size] {
			n = n<<8 | int(c)
		}
		at += size
	}
	if len(b) < at+n {
		return 0, nil, nil
	}
	return b[0], b[at : at+n], b[at+n:]
}

// number returns the value of an integer's contents.
func number(contents []byte) int {
	n := 0
	for _, c := range contents {
		n = n<<8 | int(c)
	}
	return n
}
