package agentx

import (
	"fmt"

	"github.com/lcms-project/lcms/agentx/smi"
)

// PDU is what follows a Header: one of the types named ...PDU of this package.
type PDU interface {
	// Type returns the PDU type of the header.
	Type() Type
	flags() Flags
	encode(*encoder)
	decode(*decoder, Flags)
}

// Append appends the packet made of h and p to b. Of h only the ids and
// FlagNetworkByteOrder count; the rest follows from p. It fails when a value
// of p has no encoding; b is then returned as it was.
func Append(b []byte, h Header, p PDU) ([]byte, error) {
	e := encoder{buf: b}
	h.Type = p.Type()
	h.Flags = h.Flags&FlagNetworkByteOrder | p.flags()
	start := e.begin(h)
	p.encode(&e)
	e.end(start)
	if e.err != nil {
		return b, fmt.Errorf("%s PDU: %w", h.Type, e.err)
	}
	return e.buf, nil
}

// Parse reads the one packet that b holds. Octet strings of the PDU share b.
// A failure wraps ErrMalformed; the Header is valid if its Type is not 0.
func Parse(b []byte) (Header, PDU, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, nil, err
	}
	if int64(h.Length) != int64(len(b)-HeaderLen) {
		return h, nil, fmt.Errorf("%w: %s PDU says it has %d octets, but %d are there", ErrMalformed, h.Type, h.Length, len(b)-HeaderLen)
	}
	p := newPDU(h.Type)
	if p == nil {
		return h, nil, fmt.Errorf("%w: unknown %s", ErrMalformed, h.Type)
	}
	var d decoder
	d.reset(h, b[HeaderLen:])
	p.decode(&d, h.Flags)
	if err := d.finish(); err != nil {
		return h, nil, fmt.Errorf("%s PDU: %w", h.Type, err)
	}
	return h, p, nil
}

func newPDU(t Type) PDU {
	switch t {
	case TypeOpen:
		return new(OpenPDU)
	case TypeClose:
		return new(ClosePDU)
	case TypeRegister:
		return new(RegisterPDU)
	case TypeUnregister:
		return new(UnregisterPDU)
	case TypeGet:
		return new(GetPDU)
	case TypeGetNext:
		return new(GetNextPDU)
	case TypeGetBulk:
		return new(GetBulkPDU)
	case TypeTestSet:
		return new(TestSetPDU)
	case TypeCommitSet:
		return new(CommitSetPDU)
	case TypeUndoSet:
		return new(UndoSetPDU)
	case TypeCleanupSet:
		return new(CleanupSetPDU)
	case TypeNotify:
		return new(NotifyPDU)
	case TypePing:
		return new(PingPDU)
	case TypeIndexAllocate:
		return new(IndexAllocatePDU)
	case TypeIndexDeallocate:
		return new(IndexDeallocatePDU)
	case TypeAddAgentCaps:
		return new(AddAgentCapsPDU)
	case TypeRemoveAgentCaps:
		return new(RemoveAgentCapsPDU)
	case TypeResponse:
		return new(ResponsePDU)
	}
	return nil
}

// SearchRange is what a Get, GetNext or GetBulk asks for: an instance after
// Start, or Start itself if Include, and before End. An empty End sets no
// bound. A Get asks for Start alone.
type SearchRange struct {
	Start   smi.OID
	Include bool
	End     smi.OID
}

func (e *encoder) ranges(rs []SearchRange) {
	for _, r := range rs {
		e.oid(r.Start, r.Include)
		e.oid(r.End, false)
	}
}

// ranges reads all that is left, reusing the memory of rs.
func (d *decoder) ranges(rs []SearchRange) []SearchRange {
	rs = rs[:0]
	for d.more() {
		var r SearchRange
		r.Start, r.Include = d.oid()
		r.End, _ = d.oid()
		rs = append(rs, r)
	}
	return rs
}

func contextFlag(context string) Flags {
	if context == "" {
		return 0
	}
	return FlagNonDefaultContext
}

func (e *encoder) contextName(context string) {
	if context != "" {
		e.text(context)
	}
}

// OpenPDU opens a session (RFC 2741 section 6.2.1).
type OpenPDU struct {
	Timeout     uint8 // seconds; 0 = the master's default
	ID          smi.OID
	Description string
}

// Type returns TypeOpen.
func (*OpenPDU) Type() Type   { return TypeOpen }
func (*OpenPDU) flags() Flags { return 0 }

func (p *OpenPDU) encode(e *encoder) {
	e.buf = append(e.buf, p.Timeout, 0, 0, 0)
	e.oid(p.ID, false)
	e.text(p.Description)
}

func (p *OpenPDU) decode(d *decoder, _ Flags) {
	if b := d.take(4); b != nil {
		p.Timeout = b[0]
	}
	p.ID, _ = d.oid()
	p.Description = d.text()
}

// ClosePDU ends a session (RFC 2741 section 6.2.2).
type ClosePDU struct{ Reason CloseReason }

// Type returns TypeClose.
func (*ClosePDU) Type() Type   { return TypeClose }
func (*ClosePDU) flags() Flags { return 0 }

func (p *ClosePDU) encode(e *encoder) { e.buf = append(e.buf, byte(p.Reason), 0, 0, 0) }

func (p *ClosePDU) decode(d *decoder, _ Flags) {
	if b := d.take(4); b != nil {
		p.Reason = CloseReason(b[0])
	}
}

// RegisterPDU registers a subtree (RFC 2741 section 6.2.3). If RangeSubid is
// not 0 it names the sub-identifier of Subtree, counted from 1, that runs from
// its value up to UpperBound.
type RegisterPDU struct {
	Context    string
	Timeout    uint8 // seconds; 0 = that of the session
	Priority   uint8 // 1 wins over 255; 127 is the default
	RangeSubid uint8
	Subtree    smi.OID
	UpperBound uint32
	Instance   bool // Subtree is the full name of one instance
}

// Type returns TypeRegister.
func (*RegisterPDU) Type() Type { return TypeRegister }

func (p *RegisterPDU) flags() Flags {
	f := contextFlag(p.Context)
	if p.Instance {
		f |= FlagInstanceRegistration
	}
	return f
}

func (p *RegisterPDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.buf = append(e.buf, p.Timeout, p.Priority, p.RangeSubid, 0)
	e.oid(p.Subtree, false)
	if p.RangeSubid != 0 {
		e.uint32(p.UpperBound)
	}
}

func (p *RegisterPDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	p.Instance = f&FlagInstanceRegistration != 0
	if b := d.take(4); b != nil {
		p.Timeout, p.Priority, p.RangeSubid = b[0], b[1], b[2]
	}
	p.Subtree, _ = d.oid()
	if p.RangeSubid != 0 {
		p.UpperBound = d.uint32()
	}
}

// UnregisterPDU takes a registration back; its fields are those of the
// RegisterPDU (RFC 2741 section 6.2.4).
type UnregisterPDU struct {
	Context    string
	Priority   uint8
	RangeSubid uint8
	Subtree    smi.OID
	UpperBound uint32
}

// Type returns TypeUnregister.
func (*UnregisterPDU) Type() Type     { return TypeUnregister }
func (p *UnregisterPDU) flags() Flags { return contextFlag(p.Context) }

func (p *UnregisterPDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.buf = append(e.buf, 0, p.Priority, p.RangeSubid, 0)
	e.oid(p.Subtree, false)
	if p.RangeSubid != 0 {
		e.uint32(p.UpperBound)
	}
}

func (p *UnregisterPDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	if b := d.take(4); b != nil {
		p.Priority, p.RangeSubid = b[1], b[2]
	}
	p.Subtree, _ = d.oid()
	if p.RangeSubid != 0 {
		p.UpperBound = d.uint32()
	}
}

// GetPDU asks for instances by their names (RFC 2741 section 6.2.5).
type GetPDU struct {
	Context string
	Ranges  []SearchRange
}

// Type returns TypeGet.
func (*GetPDU) Type() Type     { return TypeGet }
func (p *GetPDU) flags() Flags { return contextFlag(p.Context) }

func (p *GetPDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.ranges(p.Ranges)
}

func (p *GetPDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	p.Ranges = d.ranges(p.Ranges)
}

// GetNextPDU asks for the first instance in each range (RFC 2741 section
// 6.2.6).
type GetNextPDU struct {
	Context string
	Ranges  []SearchRange
}

// Type returns TypeGetNext.
func (*GetNextPDU) Type() Type     { return TypeGetNext }
func (p *GetNextPDU) flags() Flags { return contextFlag(p.Context) }

func (p *GetNextPDU) encode(e *encoder) { (*GetPDU)(p).encode(e) }

func (p *GetNextPDU) decode(d *decoder, f Flags) { (*GetPDU)(p).decode(d, f) }

// GetBulkPDU asks for the first instance in each of the first NonRepeaters
// ranges and for up to MaxRepetitions in each of the others (RFC 2741 section
// 6.2.7).
type GetBulkPDU struct {
	Context        string
	NonRepeaters   uint16
	MaxRepetitions uint16
	Ranges         []SearchRange
}

// Type returns TypeGetBulk.
func (*GetBulkPDU) Type() Type     { return TypeGetBulk }
func (p *GetBulkPDU) flags() Flags { return contextFlag(p.Context) }

func (p *GetBulkPDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.uint16(p.NonRepeaters)
	e.uint16(p.MaxRepetitions)
	e.ranges(p.Ranges)
}

func (p *GetBulkPDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	p.NonRepeaters = d.uint16()
	p.MaxRepetitions = d.uint16()
	p.Ranges = d.ranges(p.Ranges)
}

// TestSetPDU is the first phase of a SET (RFC 2741 section 6.2.8).
type TestSetPDU struct {
	Context  string
	Varbinds []smi.Varbind
}

// Type returns TypeTestSet.
func (*TestSetPDU) Type() Type     { return TypeTestSet }
func (p *TestSetPDU) flags() Flags { return contextFlag(p.Context) }

func (p *TestSetPDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.varbinds(p.Varbinds)
}

func (p *TestSetPDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	p.Varbinds = d.varbinds(p.Varbinds)
}

// empty is a PDU that is all said by its header.
type empty struct{}

func (empty) flags() Flags           { return 0 }
func (empty) encode(*encoder)        {}
func (empty) decode(*decoder, Flags) {}

// CommitSetPDU is the second phase of a SET (RFC 2741 section 6.2.9).
type CommitSetPDU struct{ empty }

// UndoSetPDU takes a commit back (RFC 2741 section 6.2.9).
type UndoSetPDU struct{ empty }

// CleanupSetPDU ends a SET; it has no answer (RFC 2741 section 6.2.9).
type CleanupSetPDU struct{ empty }

// Type returns TypeCommitSet.
func (*CommitSetPDU) Type() Type { return TypeCommitSet }

// Type returns TypeUndoSet.
func (*UndoSetPDU) Type() Type { return TypeUndoSet }

// Type returns TypeCleanupSet.
func (*CleanupSetPDU) Type() Type { return TypeCleanupSet }

// NotifyPDU is a notification (RFC 2741 section 6.2.10).
type NotifyPDU struct {
	Context  string
	Varbinds []smi.Varbind
}

// Type returns TypeNotify.
func (*NotifyPDU) Type() Type     { return TypeNotify }
func (p *NotifyPDU) flags() Flags { return contextFlag(p.Context) }

func (p *NotifyPDU) encode(e *encoder) { (*TestSetPDU)(p).encode(e) }

func (p *NotifyPDU) decode(d *decoder, f Flags) { (*TestSetPDU)(p).decode(d, f) }

// PingPDU asks the master whether it is there (RFC 2741 section 6.2.11).
type PingPDU struct{ Context string }

// Type returns TypePing.
func (*PingPDU) Type() Type     { return TypePing }
func (p *PingPDU) flags() Flags { return contextFlag(p.Context) }

func (p *PingPDU) encode(e *encoder) { e.contextName(p.Context) }

func (p *PingPDU) decode(d *decoder, f Flags) { p.Context = d.contextName(f) }

// IndexAllocatePDU asks for index values (RFC 2741 section 6.2.12): those in
// the varbinds, or New ones that were never used, or Any that are free.
type IndexAllocatePDU struct {
	Context  string
	New, Any bool
	Varbinds []smi.Varbind
}

// Type returns TypeIndexAllocate.
func (*IndexAllocatePDU) Type() Type { return TypeIndexAllocate }

func (p *IndexAllocatePDU) flags() Flags {
	f := contextFlag(p.Context)
	if p.New {
		f |= FlagNewIndex
	}
	if p.Any {
		f |= FlagAnyIndex
	}
	return f
}

func (p *IndexAllocatePDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.varbinds(p.Varbinds)
}

func (p *IndexAllocatePDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	p.New, p.Any = f&FlagNewIndex != 0, f&FlagAnyIndex != 0
	p.Varbinds = d.varbinds(p.Varbinds)
}

// IndexDeallocatePDU gives index values back (RFC 2741 section 6.2.13).
type IndexDeallocatePDU struct {
	Context  string
	Varbinds []smi.Varbind
}

// Type returns TypeIndexDeallocate.
func (*IndexDeallocatePDU) Type() Type     { return TypeIndexDeallocate }
func (p *IndexDeallocatePDU) flags() Flags { return contextFlag(p.Context) }

func (p *IndexDeallocatePDU) encode(e *encoder) { (*TestSetPDU)(p).encode(e) }

func (p *IndexDeallocatePDU) decode(d *decoder, f Flags) { (*TestSetPDU)(p).decode(d, f) }

// AddAgentCapsPDU adds a row to the master's sysORTable (RFC 2741 section
// 6.2.14).
type AddAgentCapsPDU struct {
	Context     string
	ID          smi.OID
	Description string
}

// Type returns TypeAddAgentCaps.
func (*AddAgentCapsPDU) Type() Type     { return TypeAddAgentCaps }
func (p *AddAgentCapsPDU) flags() Flags { return contextFlag(p.Context) }

func (p *AddAgentCapsPDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.oid(p.ID, false)
	e.text(p.Description)
}

func (p *AddAgentCapsPDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	p.ID, _ = d.oid()
	p.Description = d.text()
}

// RemoveAgentCapsPDU takes a row of sysORTable back (RFC 2741 section 6.2.15).
type RemoveAgentCapsPDU struct {
	Context string
	ID      smi.OID
}

// Type returns TypeRemoveAgentCaps.
func (*RemoveAgentCapsPDU) Type() Type     { return TypeRemoveAgentCaps }
func (p *RemoveAgentCapsPDU) flags() Flags { return contextFlag(p.Context) }

func (p *RemoveAgentCapsPDU) encode(e *encoder) {
	e.contextName(p.Context)
	e.oid(p.ID, false)
}

func (p *RemoveAgentCapsPDU) decode(d *decoder, f Flags) {
	p.Context = d.contextName(f)
	p.ID, _ = d.oid()
}

// ResponsePDU answers every other PDU but CleanupSet (RFC 2741 section
// 6.2.16).
type ResponsePDU struct {
	SysUpTime uint32 // hundredths of a second; of the master, 0 from a subagent
	Error     ErrorCode
	Index     uint16 // of the varbind at fault, from 1
	Varbinds  []smi.Varbind
}

// Type returns TypeResponse.
func (*ResponsePDU) Type() Type   { return TypeResponse }
func (*ResponsePDU) flags() Flags { return 0 }

func (p *ResponsePDU) encode(e *encoder) {
	e.uint32(p.SysUpTime)
	e.uint16(uint16(p.Error))
	e.uint16(p.Index)
	e.varbinds(p.Varbinds)
}

func (p *ResponsePDU) decode(d *decoder, _ Flags) {
	p.SysUpTime = d.uint32()
	p.Error = ErrorCode(d.uint16())
	p.Index = d.uint16()
	p.Varbinds = d.varbinds(p.Varbinds)
}
