package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// manager asks one agent by SNMPv2c over a blocking socket, one request at a
// time. It never sends a request again: what is lost is found out.
type manager struct {
	fd  int
	id  int32
	vbs []byte // varbinds of the request being made
	pdu []byte
	msg []byte
	out []byte
	in  [1 << 16]byte
}

const community = "public"

// dial returns a manager of the agent at a UDP port of the loopback address.
// A request is lost after the time patience.
func dial(port int, patience time.Duration) (*manager, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("socket: %w", err)
	}
	return &manager{fd: fd}, nil
}

func (m *manager) close() { unix.Close(m.fd) }

// begin starts a request; add gives it a varbind: the contents of an OID and
// an element.
func (m *manager) begin() { m.vbs = m.vbs[:0] }

func (m *manager) add(name, value []byte) {
	m.pdu = append(tlv(m.pdu[:0], tagOID, name), value...)
	m.vbs = tlv(m.vbs, tagSequence, m.pdu)
}

var null = []byte{tagNull, 0}

// lost is the error of a request that was not answered.
var errLost = errors.New("no answer")

// send sends the request and returns the varbinds of its answer. a and b are
// non-repeaters and max-repetitions of a GETBULK, else 0. The varbinds are
// overwritten by the next answer.
func (m *manager) send(tag byte, a, b int32) (varbinds, error) {
	m.id++
	m.pdu = append(m.pdu[:0], integer(m.id)...)
	m.pdu = append(append(m.pdu, integer(a)...), integer(b)...)
	m.pdu = tlv(m.pdu, tagSequence, m.vbs)
	m.msg = tlv(append(m.msg[:0], tagInteger, 1, 1), tagOctetString, []byte(community))
	m.msg = tlv(m.msg, tag, m.pdu)
	m.out = tlv(m.out[:0], tagSequence, m.msg)
	if _, err := unix.Write(m.fd, m.out); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	for {
		n, err := unix.Read(m.fd, m.in[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil, errLost
		case err != nil:
			return nil, fmt.Errorf("receive: %w", err)
		}
		id, vbs, err := answer(m.in[:n])
		if id == m.id || err != nil && id == 0 {
			return vbs, err
		}
	}
}

// answer takes a message apart.
func answer(b []byte) (id int32, vbs varbinds, err error) {
	_, b, _ = cut(b)
	_, _, b = cut(b) // version
	_, _, b = cut(b) // community
	_, b, _ = cut(b) // PDU
	_, request, b := cut(b)
	_, status, b := cut(b)
	_, index, b := cut(b)
	tag, list, _ := cut(b)
	if tag != tagSequence {
		return 0, nil, errors.New("the answer is no SNMP message")
	}
	if s := number(status); s != 0 {
		err = fmt.Errorf("error-status %d, error-index %d", s, number(index))
	}
	return int32(number(request)), list, err
}

// varbinds are those that were not yet taken from an answer.
type varbinds []byte

// next takes the first varbind: the contents of its name, tag and contents of
// its value. ok is false at the end.
func (v *varbinds) next() (name []byte, tag byte, value []byte, ok bool) {
	t, vb, rest := cut(*v)
	if t == 0 {
		return nil, 0, nil, false
	}
	*v = rest
	_, name, vb = cut(vb)
	tag, value, _ = cut(vb)
	return name, tag, value, true
}
