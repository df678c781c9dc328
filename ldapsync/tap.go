package ldapsync

import (
	"net"
	"sync"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// tap is a connection to a server that notes the new cookies which go-ldap leaves
// empty when it decodes them (Sync Info Message, RFC 4533 section 2.5). Without them
// a cookie would not know what one provider got from another, and the other would
// have to tell all when it is followed.
type tap struct {
	net.Conn

	head []byte // of a message, until it is known of what kind it is; or all of it
	skip int    // octets of it that do not matter
	deaf bool   // this is not LDAP

	mu      sync.Mutex
	cookies [][]byte // in the order in which they came
}

// most is how long a message with a cookie may be: that of 1,000 servers is shorter.
const most = 1 << 16

// Read reads, and notes cookies.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.hear(p[:n])
	return n, err
}

// next returns the first cookie that was not returned yet, nil if there is none.
func (t *tap) next() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cookies) == 0 {
		return nil
	}
	c := t.cookies[0]
	t.cookies = t.cookies[1:]
	return c
}

// hear takes what has come.
func (t *tap) hear(p []byte) {
	for len(p) > 0 && !t.deaf {
		if t.skip > 0 {
			n := min(t.skip, len(p))
			p, t.skip = p[n:], t.skip-n
			continue
		}
		t.head, p = append(t.head, p[0]), p[1:]
		total, op, ok := messageHead(t.head)
		switch {
		case !ok:
			t.deaf = true
		case op == 0: // more is needed to tell
		case op != intermediateResponse || total > most:
			t.head, t.skip = t.head[:0], total-len(t.head)
		default:
			n := min(total-len(t.head), len(p))
			t.head, p = append(t.head, p[:n]...), p[n:]
			if len(t.head) == total {
				t.note(t.head)
				t.head = t.head[:0]
			}
		}
	}
}

// intermediateResponse is the tag of RFC 4511 section 4.13.
const intermediateResponse = 0x79

// messageHead reads the beginning of an LDAPMessage: its length with this head, and
// the tag of what it is, 0 if that has not come yet. ok is false if it is none.
func messageHead(b []byte) (total int, op byte, ok bool) {
	const sequence, integer = 0x30, 0x02
	length, at, ok := berLength(b, sequence)
	if !ok || at == 0 {
		return 0, 0, ok
	}
	n, idAt, ok := berLength(b[at:], integer)
	if !ok || idAt == 0 {
		return 0, 0, ok
	}
	if n < 1 || n > 4 || idAt+n >= length {
		return 0, 0, false
	}
	if len(b) <= at+idAt+n {
		return 0, 0, true
	}
	return at + length, b[at+idAt+n], true
}

// berLength reads a tag and a definite length. at is where the content begins, 0 if
// that has not come yet.
func berLength(b []byte, tag byte) (length, at int, ok bool) {
	switch {
	case len(b) == 0:
		return 0, 0, true
	case b[0] != tag:
		return 0, 0, false
	case len(b) == 1:
		return 0, 0, true
	case b[1] < 0x80:
		return int(b[1]), 2, true
	}
	octets := int(b[1] & 0x7f)
	if octets == 0 || octets > 4 {
		return 0, 0, false
	}
	if len(b) < 2+octets {
		return 0, 0, true
	}
	for _, o := range b[2 : 2+octets] {
		length = length<<8 | int(o)
	}
	return length, 2 + octets, true
}

// note notes the cookie of an intermediate response, if it is one.
func (t *tap) note(message []byte) {
	const responseValue, newCookie = 1, 0
	p, err := ber.DecodePacketErr(message)
	if err != nil || len(p.Children) < 2 {
		return
	}
	for _, field := range p.Children[1].Children {
		if field.ClassType != ber.ClassContext || field.Tag != responseValue || field.Data == nil {
			continue
		}
		value, err := ber.DecodePacketErr(field.Data.Bytes())
		if err != nil || value.ClassType != ber.ClassContext || value.Tag != newCookie || value.TagType != ber.TypePrimitive || value.Data == nil {
			continue
		}
		t.mu.Lock()
		t.cookies = append(t.cookies, value.Data.Bytes())
		t.mu.Unlock()
	}
}
