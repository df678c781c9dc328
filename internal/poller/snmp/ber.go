package snmp

import (
	"bytes"
	"errors"
	"fmt"
)

// The subset of BER that SNMP uses (RFC 3417 section 8): definite lengths only.

const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagSequence = 0x30

	version2c = 1
)

func appendLength(b []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n < 0x100:
		return append(b, 0x81, byte(n))
	}
	return append(b, 0x82, byte(n>>8), byte(n))
}

func lengthSize(n int) int {
	switch {
	case n < 0x80:
		return 1
	case n < 0x100:
		return 2
	}
	return 3
}

func appendTLV(b []byte, tag byte, content []byte) []byte {
	b = appendLength(append(b, tag), len(content))
	return append(b, content...)
}

// appendNumber appends a number in as few octets as it takes; the highest bit
// of the first is its sign.
func appendNumber(b []byte, tag byte, n uint64, signed bool) []byte {
	var content [9]byte
	for i := range 8 {
		content[1+i] = byte(n >> (56 - 8*i))
	}
	if signed && int64(n) < 0 {
		content[0] = 0xff
	}
	at := 0
	for at < 8 && (content[at] == 0 && content[at+1] < 0x80 || content[at] == 0xff && content[at+1] >= 0x80) {
		at++
	}
	return appendTLV(b, tag, content[at:])
}

// appendOID appends the content of an OID, without tag and length.
func appendOID(b []byte, oid OID) []byte {
	if len(oid) < 2 {
		return append(b, 0)
	}
	b = appendBase128(b, uint64(oid[0])*40+uint64(oid[1]))
	for _, sub := range oid[2:] {
		b = appendBase128(b, uint64(sub))
	}
	return b
}

func appendBase128(b []byte, n uint64) []byte {
	shift := 0
	for n>>(shift+7) > 0 {
		shift += 7
	}
	for ; shift > 0; shift -= 7 {
		b = append(b, byte(n>>shift)|0x80)
	}
	return append(b, byte(n)&0x7f)
}

func appendValue(b []byte, v Value) []byte {
	switch v.Type {
	case TypeInteger:
		return appendNumber(b, tagInteger, v.Num, true)
	case TypeCounter32, TypeGauge32, TypeTimeTicks, TypeCounter64:
		return appendNumber(b, byte(v.Type), v.Num, false)
	case TypeOctetString, TypeIPAddress, TypeOpaque:
		return appendTLV(b, byte(v.Type), v.Bytes)
	case TypeOID:
		return appendTLV(b, byte(v.Type), appendOID(nil, v.Name))
	}
	return append(b, byte(v.Type), 0)
}

// appendVarbinds appends the list of varbinds with its header.
func appendVarbinds(b []byte, names [][]byte, vbs []Varbind) []byte {
	var list, one []byte
	for i, vb := range vbs {
		one = appendTLV(one[:0], byte(TypeOID), names[i])
		one = appendValue(one, vb.Value)
		list = appendTLV(list, tagSequence, one)
	}
	return appendTLV(b, tagSequence, list)
}

// appendMessage appends a message of SNMPv2c.
func appendMessage(b []byte, community string, r *Request, id uint32) []byte {
	var head [32]byte
	pdu := appendNumber(head[:0], tagInteger, uint64(id), true)
	second, third := uint64(0), uint64(0)
	if r.op == opBulk {
		second, third = uint64(r.repeatFrom), uint64(r.repetitions)
	}
	pdu = appendNumber(pdu, tagInteger, second, true)
	pdu = appendNumber(pdu, tagInteger, third, true)
	size := len(pdu) + len(r.encoded)
	whole := 3 + 1 + lengthSize(len(community)) + len(community) + 1 + lengthSize(size) + size
	b = appendLength(append(b, tagSequence), whole)
	b = append(b, tagInteger, 1, version2c)
	b = appendLength(append(b, tagOctets), len(community))
	b = append(b, community...)
	b = appendLength(append(b, byte(r.op)), size)
	return append(append(b, pdu...), r.encoded...)
}

var errGarbage = errors.New("it is no SNMPv2c message")

// decoder reads BER. The first error stays.
type decoder struct {
	b   []byte
	bad bool
}

// next reads the header of an element and returns its content.
func (d *decoder) next() (tag byte, content []byte) {
	if d.bad || len(d.b) < 2 {
		d.bad = true
		return 0, nil
	}
	tag = d.b[0]
	n, at := int(d.b[1]), 2
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 4 || len(d.b) < 2+octets {
			d.bad = true
			return 0, nil
		}
		n = 0
		for _, c := range d.b[2 : 2+octets] {
			n = n<<8 | int(c)
		}
		at += octets
	}
	if n < 0 || n > len(d.b)-at {
		d.bad = true
		return 0, nil
	}
	content, d.b = d.b[at:at+n:at+n], d.b[at+n:]
	return tag, content
}

// expect reads an element of one kind.
func (d *decoder) expect(tag byte) []byte {
	got, content := d.next()
	if got != tag {
		d.bad = true
	}
	return content
}

// number reads an INTEGER of 32 bits.
func (d *decoder) number() int64 {
	n, ok := parseNumber(d.expect(tagInteger), true)
	d.bad = d.bad || !ok
	return int64(n)
}

func parseNumber(b []byte, signed bool) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 9 || len(b) == 9 && (signed || b[0] != 0) {
		return 0, false
	}
	if signed && b[0] >= 0x80 {
		n = ^uint64(0)
	}
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, true
}

func parseOID(b []byte) (OID, bool) {
	if len(b) == 0 || len(b) > 5*128 || b[len(b)-1] >= 0x80 {
		return nil, false
	}
	oid := make(OID, 0, len(b)+1)
	for i := 0; i < len(b); {
		var n uint64
		for {
			c := b[i]
			i++
			if n = n<<7 | uint64(c&0x7f); n > 1<<32+79 {
				return nil, false
			}
			if c < 0x80 {
				break
			}
		}
		if len(oid) == 0 {
			first := min(n/40, 2)
			oid = append(oid, uint32(first))
			n -= 40 * first
		}
		if n > 1<<32-1 {
			return nil, false
		}
		oid = append(oid, uint32(n))
	}
	return oid, len(oid) <= 128
}

func parseValue(tag byte, b []byte) (Value, bool) {
	v := Value{Type: Type(tag)}
	ok := true
	switch v.Type {
	case TypeInteger:
		v.Num, ok = parseNumber(b, true)
		ok = ok && int64(v.Num) == int64(int32(v.Num))
	case TypeCounter32, TypeGauge32, TypeTimeTicks:
		v.Num, ok = parseNumber(b, false)
		v.Num &= 1<<32 - 1 // some agents send them as negative numbers
	case TypeCounter64:
		v.Num, ok = parseNumber(b, false)
	case TypeOctetString, TypeIPAddress, TypeOpaque:
		v.Bytes = bytes.Clone(b)
	case TypeOID:
		v.Name, ok = parseOID(b)
	case TypeNull, TypeNoSuchObject, TypeNoSuchInstance, TypeEndOfMibView:
		ok = len(b) == 0
	default:
		ok = false
	}
	return v, ok
}

// answer is a response before its varbinds are read.
type answer struct {
	id            uint32
	status, index int
	varbinds      []byte
}

// parseMessage reads a response of SNMPv2c as far as it takes to know whose it
// is.
func parseMessage(b []byte) (community []byte, a answer, err error) {
	d := decoder{b: b}
	d = decoder{b: d.expect(tagSequence), bad: d.bad}
	version := d.number()
	community = d.expect(tagOctets)
	d = decoder{b: d.expect(byte(opResponse)), bad: d.bad || version != version2c}
	a.id = uint32(d.number())
	a.status, a.index = int(d.number()), int(d.number())
	a.varbinds = d.expect(tagSequence)
	if d.bad {
		return nil, answer{}, errGarbage
	}
	return community, a, nil
}

// read returns the varbinds of an answer to r.
func (a *answer) read(r *Request) ([]Varbind, error) {
	if a.status != 0 {
		return nil, newStatusError(r, a.status, a.index)
	}
	capacity := len(r.vbs)
	if r.op == opBulk {
		capacity *= int(r.repetitions)
	}
	vbs := make([]Varbind, 0, min(capacity, 1024))
	for list := (decoder{b: a.varbinds}); len(list.b) > 0; {
		one := decoder{b: list.expect(tagSequence)}
		name := one.expect(byte(TypeOID))
		tag, content := one.next()
		v, ok := parseValue(tag, content)
		if list.bad || one.bad || !ok {
			return nil, fmt.Errorf("the answer is broken: %w", errGarbage)
		}
		vb := Varbind{Value: v}
		switch i := len(vbs); {
		case i < len(r.names) && r.op != opBulk && bytes.Equal(name, r.names[i]):
			vb.Name = r.vbs[i].Name // the same again needs no memory
		case r.op != opBulk:
			return nil, errors.New("the answer is about other objects than were asked for: the agent is broken")
		default:
			if vb.Name, ok = parseOID(name); !ok {
				return nil, fmt.Errorf("the answer is broken: %w", errGarbage)
			}
		}
		vbs = append(vbs, vb)
	}
	if r.op != opBulk && len(vbs) != len(r.vbs) {
		return nil, fmt.Errorf("the answer has %d objects of %d that were asked for: the agent is broken", len(vbs), len(r.vbs))
	}
	return vbs, nil
}
