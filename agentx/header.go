package agentx

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Type is the type of a PDU (RFC 2741 section 6.1).
type Type uint8

// The 18 PDU types.
const (
	TypeOpen            Type = 1
	TypeClose           Type = 2
	TypeRegister        Type = 3
	TypeUnregister      Type = 4
	TypeGet             Type = 5
	TypeGetNext         Type = 6
	TypeGetBulk         Type = 7
	TypeTestSet         Type = 8
	TypeCommitSet       Type = 9
	TypeUndoSet         Type = 10
	TypeCleanupSet      Type = 11
	TypeNotify          Type = 12
	TypePing            Type = 13
	TypeIndexAllocate   Type = 14
	TypeIndexDeallocate Type = 15
	TypeAddAgentCaps    Type = 16
	TypeRemoveAgentCaps Type = 17
	TypeResponse        Type = 18
)

var typeNames = [...]string{
	TypeOpen:            "Open",
	TypeClose:           "Close",
	TypeRegister:        "Register",
	TypeUnregister:      "Unregister",
	TypeGet:             "Get",
	TypeGetNext:         "GetNext",
	TypeGetBulk:         "GetBulk",
	TypeTestSet:         "TestSet",
	TypeCommitSet:       "CommitSet",
	TypeUndoSet:         "UndoSet",
	TypeCleanupSet:      "CleanupSet",
	TypeNotify:          "Notify",
	TypePing:            "Ping",
	TypeIndexAllocate:   "IndexAllocate",
	TypeIndexDeallocate: "IndexDeallocate",
	TypeAddAgentCaps:    "AddAgentCaps",
	TypeRemoveAgentCaps: "RemoveAgentCaps",
	TypeResponse:        "Response",
}

// String returns the name of the type as RFC 2741 writes it.
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return "PDU type " + strconv.Itoa(int(t))
}

// Flags of a header (RFC 2741 section 6.1). Append sets all but
// FlagNetworkByteOrder by itself, from the PDU.
type Flags uint8

// The flags.
const (
	FlagInstanceRegistration Flags = 0x01
	FlagNewIndex             Flags = 0x02
	FlagAnyIndex             Flags = 0x04
	FlagNonDefaultContext    Flags = 0x08
	FlagNetworkByteOrder     Flags = 0x10 // big endian; without it little endian
)

// HeaderLen is the number of octets of a header.
const HeaderLen = 20

const version = 1

// Header stands before each PDU (RFC 2741 section 6.1).
type Header struct {
	Type          Type
	Flags         Flags
	SessionID     uint32
	TransactionID uint32
	PacketID      uint32
	Length        uint32 // octets after the header; Append computes it
}

// ParseHeader reads a header from the first HeaderLen octets of b. It fails
// when they cannot be a header, after which nothing can be said of the rest of
// the stream. An unknown Type is no failure.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("%w: header of %d octets, %d are needed", ErrMalformed, len(b), HeaderLen)
	}
	if b[0] != version {
		return Header{}, fmt.Errorf("%w: AgentX version %d, only version %d exists", ErrMalformed, b[0], version)
	}
	h := Header{Type: Type(b[1]), Flags: Flags(b[2])}
	if h.Flags&FlagNetworkByteOrder != 0 {
		h.SessionID = binary.BigEndian.Uint32(b[4:])
		h.TransactionID = binary.BigEndian.Uint32(b[8:])
		h.PacketID = binary.BigEndian.Uint32(b[12:])
		h.Length = binary.BigEndian.Uint32(b[16:])
	} else {
		h.SessionID = binary.LittleEndian.Uint32(b[4:])
		h.TransactionID = binary.LittleEndian.Uint32(b[8:])
		h.PacketID = binary.LittleEndian.Uint32(b[12:])
		h.Length = binary.LittleEndian.Uint32(b[16:])
	}
	if h.Length%4 != 0 {
		return Header{}, fmt.Errorf("%w: payload of %d octets is no multiple of 4", ErrMalformed, h.Length)
	}
	return h, nil
}

// begin appends h with a length of zero, which end fills in.
func (e *encoder) begin(h Header) (start int) {
	start = len(e.buf)
	e.big = h.Flags&FlagNetworkByteOrder != 0
	e.buf = append(e.buf, version, byte(h.Type), byte(h.Flags), 0)
	e.uint32(h.SessionID)
	e.uint32(h.TransactionID)
	e.uint32(h.PacketID)
	e.uint32(0)
	return start
}

// end fills in the length of the PDU that began at start.
func (e *encoder) end(start int) {
	e.putUint32(start+16, uint32(len(e.buf)-start-HeaderLen))
}
