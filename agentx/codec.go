package agentx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lcms-project/lcms/agentx/smi"
)

// encoder appends the fields of PDUs to buf (RFC 2741 section 5). Its error is
// sticky: the first value that has no encoding makes all that was written
// since worthless.
type encoder struct {
	buf []byte
	big bool // network byte order
	err error
}

func (e *encoder) uint16(v uint16) {
	if e.big {
		e.buf = binary.BigEndian.AppendUint16(e.buf, v)
	} else {
		e.buf = binary.LittleEndian.AppendUint16(e.buf, v)
	}
}

func (e *encoder) uint32(v uint32) {
	if e.big {
		e.buf = binary.BigEndian.AppendUint32(e.buf, v)
	} else {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, v)
	}
}

func (e *encoder) uint64(v uint64) {
	if e.big {
		e.buf = binary.BigEndian.AppendUint64(e.buf, v)
	} else {
		e.buf = binary.LittleEndian.AppendUint64(e.buf, v)
	}
}

// putUint32 overwrites the four octets at offset at.
func (e *encoder) putUint32(at int, v uint32) {
	if e.big {
		binary.BigEndian.PutUint32(e.buf[at:], v)
	} else {
		binary.LittleEndian.PutUint32(e.buf[at:], v)
	}
}

// putUint16 overwrites the two octets at offset at.
func (e *encoder) putUint16(at int, v uint16) {
	if e.big {
		binary.BigEndian.PutUint16(e.buf[at:], v)
	} else {
		binary.LittleEndian.PutUint16(e.buf[at:], v)
	}
}

// octets appends an octet string, padded to a multiple of four.
func (e *encoder) octets(b []byte) {
	e.uint32(uint32(len(b)))
	e.buf = append(e.buf, b...)
	e.pad(len(b))
}

func (e *encoder) text(s string) {
	e.uint32(uint32(len(s)))
	e.buf = append(e.buf, s...)
	e.pad(len(s))
}

func (e *encoder) pad(n int) {
	e.buf = append(e.buf, "\x00\x00\x00"[:-n&3]...)
}

// oid appends an object identifier; 1.3.6.1.x is compressed into the prefix
// octet where x fits and is not 0, which stands for "no prefix".
func (e *encoder) oid(o smi.OID, include bool) {
	if len(o) > smi.MaxOIDLen {
		e.fail("OID of %d sub-identifiers, at most %d are allowed", len(o), smi.MaxOIDLen)
		return
	}
	var prefix, inc byte
	if len(o) >= 5 && o[0] == 1 && o[1] == 3 && o[2] == 6 && o[3] == 1 && o[4] != 0 && o[4] <= 255 {
		prefix = byte(o[4])
		o = o[5:]
	}
	if include {
		inc = 1
	}
	e.buf = append(slices.Grow(e.buf, 4+4*len(o)), byte(len(o)), prefix, inc, 0)
	at := len(e.buf)
	e.buf = e.buf[:at+4*len(o)]
	b := e.buf[at:]
	if e.big {
		for i, sub := range o {
			binary.BigEndian.PutUint32(b[4*i:4*i+4], sub)
		}
		return
	}
	for i, sub := range o {
		binary.LittleEndian.PutUint32(b[4*i:4*i+4], sub)
	}
}

func (e *encoder) varbind(name smi.OID, v *smi.Value) {
	e.uint16(uint16(v.Type))
	e.uint16(0)
	e.oid(name, false)
	switch v.Type {
	case smi.TypeInteger, smi.TypeCounter32, smi.TypeGauge32, smi.TypeTimeTicks:
		e.uint32(uint32(v.Num))
	case smi.TypeCounter64:
		e.uint64(v.Num)
	case smi.TypeOctetString, smi.TypeIPAddress, smi.TypeOpaque:
		e.octets(v.Bytes)
	case smi.TypeObjectIdentifier:
		e.oid(v.OID, false)
	case smi.TypeNull, smi.TypeNoSuchObject, smi.TypeNoSuchInstance, smi.TypeEndOfMibView:
	default:
		e.fail("%s has a value of %s, which is no SMIv2 type", name, v.Type)
	}
}

func (e *encoder) varbinds(vbs []smi.Varbind) {
	for i := range vbs {
		e.varbind(vbs[i].Name, &vbs[i].Value)
	}
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("cannot encode: "+format, args...)
	}
}

// decoder takes the fields of one PDU off the front of buf. Its error is
// sticky: after the first failure every field is zero, so that a PDU reads as
// the list of its fields and the error is asked for once, at the end.
//
// OIDs are cut from arena and octet strings share buf; both belong to the
// caller of reset until it calls reset again.
type decoder struct {
	buf     []byte
	big     bool
	err     error
	arena   []uint32
	context string // the last one seen, because they are few
}

// reset makes d ready for the payload of another PDU.
func (d *decoder) reset(h Header, payload []byte) {
	d.buf, d.err = payload, nil
	d.big = h.Flags&FlagNetworkByteOrder != 0
	d.arena = d.arena[:0]
}

// take returns the next n octets, or nil when there are fewer.
func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.buf) {
		d.fail("%d octets are missing at its end", n-len(d.buf))
		return nil
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

// more reports whether a further element of a list follows.
func (d *decoder) more() bool { return d.err == nil && len(d.buf) > 0 }

func (d *decoder) uint16() uint16 {
	b := d.take(2)
	switch {
	case len(b) < 2:
		return 0
	case d.big:
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (d *decoder) uint32() uint32 {
	b := d.take(4)
	switch {
	case len(b) < 4:
		return 0
	case d.big:
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (d *decoder) uint64() uint64 {
	b := d.take(8)
	switch {
	case len(b) < 8:
		return 0
	case d.big:
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}

// octets returns an octet string that shares buf.
func (d *decoder) octets() []byte {
	n := d.uint32()
	if d.err != nil {
		return nil
	}
	if int64(n) > int64(len(d.buf)) {
		d.fail("octet string of %d octets where %d are left", n, len(d.buf))
		return nil
	}
	b := d.take(int(n))
	d.take(int(-n & 3))
	return b[:len(b):len(b)]
}

func (d *decoder) text() string { return string(d.octets()) }

// oid returns an object identifier, nil for the null one, and the include
// field, which only a search range gives a meaning.
func (d *decoder) oid() (o smi.OID, include bool) {
	b := d.take(4)
	if len(b) < 4 {
		return nil, false
	}
	n, prefix, include := int(b[0]), b[1], b[2] != 0
	b = d.take(4 * n)
	if d.err != nil {
		return nil, false
	}
	total := n
	if prefix != 0 {
		total += 5
	}
	switch {
	case total == 0:
		return nil, include
	case total > smi.MaxOIDLen:
		d.fail("OID of %d sub-identifiers, at most %d are allowed", total, smi.MaxOIDLen)
		return nil, false
	case cap(d.arena)-len(d.arena) < total:
		// The old arena stays alive for the OIDs that were cut from it. What is
		// left has hardly more sub-identifiers than this: each takes four octets
		// but for those of a prefix, and all else takes four octets too.
		d.arena = make([]uint32, 0, max(2*cap(d.arena), total+len(d.buf)/3))
	}
	start := len(d.arena)
	d.arena = d.arena[:start+total]
	o = d.arena[start:len(d.arena):len(d.arena)]
	tail := o
	if prefix != 0 {
		o[0], o[1], o[2], o[3], o[4] = 1, 3, 6, 1, uint32(prefix)
		tail = o[5:]
	}
	if d.big {
		for i := range tail {
			tail[i] = binary.BigEndian.Uint32(b[4*i : 4*i+4])
		}
		return o, include
	}
	for i := range tail {
		tail[i] = binary.LittleEndian.Uint32(b[4*i : 4*i+4])
	}
	return o, include
}

func (d *decoder) varbind(vb *smi.Varbind) {
	t := smi.Type(d.uint16())
	d.uint16()
	vb.Name, _ = d.oid()
	vb.Value = smi.Value{Type: t}
	v := &vb.Value
	switch t {
	case smi.TypeInteger:
		v.Num = uint64(int64(int32(d.uint32())))
	case smi.TypeCounter32, smi.TypeGauge32, smi.TypeTimeTicks:
		v.Num = uint64(d.uint32())
	case smi.TypeCounter64:
		v.Num = d.uint64()
	case smi.TypeOctetString, smi.TypeIPAddress, smi.TypeOpaque:
		v.Bytes = d.octets()
	case smi.TypeObjectIdentifier:
		v.OID, _ = d.oid()
	case smi.TypeNull, smi.TypeNoSuchObject, smi.TypeNoSuchInstance, smi.TypeEndOfMibView:
	default:
		d.fail("varbind %s has a value of unknown %s", vb.Name, t)
	}
}

// varbinds reads all that is left, reusing the memory of vbs.
func (d *decoder) varbinds(vbs []smi.Varbind) []smi.Varbind {
	vbs = vbs[:0]
	all := len(d.buf)
	for d.more() {
		if len(vbs) == 1 { // the others are likely to be as long as the first
			vbs = slices.Grow(vbs, len(d.buf)/(all-len(d.buf))+1)
		}
		vbs = append(vbs, smi.Varbind{})
		d.varbind(&vbs[len(vbs)-1])
	}
	return vbs
}

// cloned returns a copy of varbinds with all that they hold.
func cloned(vbs []smi.Varbind) []smi.Varbind {
	vbs = slices.Clone(vbs)
	for i := range vbs {
		vbs[i].Name, vbs[i].Value.OID = vbs[i].Name.Clone(), vbs[i].Value.OID.Clone()
	}
	detach(vbs)
	return vbs
}

// detach gives the octet strings of varbinds memory of their own.
func detach(vbs []smi.Varbind) {
	for i := range vbs {
		if v := &vbs[i].Value; v.Bytes != nil {
			v.Bytes = bytes.Clone(v.Bytes)
		}
	}
}

// contextName reads the context when the header says that there is one.
func (d *decoder) contextName(f Flags) string {
	if f&FlagNonDefaultContext == 0 {
		return ""
	}
	if b := d.octets(); string(b) != d.context {
		d.context = string(b)
	}
	if d.err != nil {
		return ""
	}
	return d.context
}

// finish returns the error of the PDU, which must have been read to its end.
func (d *decoder) finish() error {
	if d.err == nil && len(d.buf) != 0 {
		d.fail("%d octets too many", len(d.buf))
	}
	return d.err
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}
