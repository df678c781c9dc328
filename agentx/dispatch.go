package agentx

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lcms-project/lcms/agentx/smi"
)

// outLimit is how many octets of answers are gathered while further requests
// are already there, and the bound of the answer to one GetBulk.
const outLimit = 64 << 10

// dispatcher reads the packets of one connection and answers the requests
// among them, in order. All its memory is used again for each PDU; only a SET
// gets memory of its own.
type dispatcher struct {
	conn    *conn
	handler Handler
	calls   *calls
	sets    *transactions
	stats   *counters
	log     *slog.Logger
	session atomic.Uint32 // id, 0 until the master has given one
	inSet   atomic.Bool   // the Writer is at work, perhaps for long

	dec    decoder
	enc    encoder // its buf holds answers that are not sent yet
	get    GetPDU
	bulk   GetBulkPDU
	reply  ResponsePDU
	vb     smi.Varbind
	cursor []smi.OID // where each repeater of a GetBulk stands
}

// yieldAfter is how long run keeps its processor. The runtime takes it away
// by force from a goroutine that was not scheduled anew for 10 ms, and then
// watches it every 20 us on a thread of its own, which costs half as much CPU
// as the work itself.
const yieldAfter = 5 * time.Millisecond

// run serves until the connection or the session ends; the error says why.
func (d *dispatcher) run() error {
	scheduled := time.Now()
	for {
		h, payload, ok, err := d.conn.next()
		switch {
		case err != nil:
			d.stats.protocolErrors.Add(1)
			return err
		case ok:
			if err := d.dispatch(h, payload); err != nil {
				return err
			}
			if len(d.enc.buf) >= outLimit {
				err = d.flush()
			}
		default:
			if err = d.flush(); err != nil {
				return err
			}
			now := time.Now()
			if now.Sub(scheduled) > yieldAfter {
				runtime.Gosched()
				scheduled = now
			}
			err = d.conn.fill()
			if woken := time.Now(); woken.Sub(now) > yieldAfter {
				scheduled = woken // it waited, and was scheduled anew
			}
		}
		if err != nil {
			return err
		}
	}
}

// flush sends the answers that were gathered.
func (d *dispatcher) flush() error {
	if len(d.enc.buf) == 0 {
		return nil
	}
	err := d.conn.write(d.enc.buf)
	d.enc.buf = d.enc.buf[:0]
	return err
}

// dispatch handles one PDU. It returns an error only if the session cannot go
// on.
func (d *dispatcher) dispatch(h Header, payload []byte) error {
	if h.Type == TypeResponse {
		return d.response(h, payload)
	}
	if h.SessionID != d.session.Load() {
		d.refuse(h, NotOpen, fmt.Errorf("%s PDU for session %d, ours is %d", h.Type, h.SessionID, d.session.Load()))
		return nil
	}
	d.dec.reset(h, payload)
	switch h.Type {
	case TypeGet, TypeGetNext:
		d.get.decode(&d.dec, h.Flags)
		d.read(h, d.get.Context, d.get.Ranges)
	case TypeGetBulk:
		d.bulk.decode(&d.dec, h.Flags)
		d.read(h, d.bulk.Context, d.bulk.Ranges)
	case TypeTestSet, TypeCommitSet, TypeUndoSet, TypeCleanupSet:
		return d.set(h, payload)
	case TypeClose:
		var p ClosePDU
		p.decode(&d.dec, h.Flags)
		return fmt.Errorf("the AgentX master has closed the session: %s", p.Reason)
	case TypePing:
		d.answer(h, answer{})
	default:
		code := ParseError
		if newPDU(h.Type) != nil {
			code = ProcessingError // of those that only a master gets
		}
		d.refuse(h, code, fmt.Errorf("%w: %s is nothing that a subagent answers", ErrMalformed, h.Type))
	}
	return nil
}

// read answers a Get, GetNext or GetBulk from one View.
func (d *dispatcher) read(h Header, context string, ranges []SearchRange) {
	if err := d.dec.finish(); err != nil {
		d.refuse(h, ParseError, fmt.Errorf("%s PDU: %w", h.Type, err))
		return
	}
	d.stats.requests.Add(1)
	view, ok := d.handler.View(context)
	if !ok {
		d.answer(h, answer{UnsupportedContext, 0})
		return
	}
	start := d.begin(h)
	n := len(ranges)
	switch h.Type {
	case TypeGet:
		for i := range ranges {
			v := &d.vb.Value
			*v = view.Get(ranges[i].Start)
			d.enc.varbind(ranges[i].Start, v)
		}
	case TypeGetNext:
		for i := range ranges {
			d.next(view, &ranges[i])
		}
	default:
		n = d.repeat(view, start)
	}
	d.stats.varbinds.Add(uint64(n))
	d.finish(h, start)
}

// next appends the answer to one range and reports whether there was one.
func (d *dispatcher) next(view View, r *SearchRange) bool {
	if view.Next(&d.vb, r.Start, r.Include, r.End) {
		d.enc.varbind(d.vb.Name, &d.vb.Value)
		return true
	}
	d.vb.Value = smi.EndOfMibView()
	d.enc.varbind(r.Start, &d.vb.Value)
	return false
}

// repeat appends the answer to the GetBulk and returns how many varbinds it
// has. It stops early at a size limit or when all repeaters are at their end
// (RFC 2741 section 7.2.3.3, RFC 3416 section 4.2.3).
func (d *dispatcher) repeat(view View, start int) (n int) {
	ranges := d.bulk.Ranges
	once := min(int(d.bulk.NonRepeaters), len(ranges))
	for i := range once {
		d.next(view, &ranges[i])
	}
	n = once
	ranges = ranges[once:]
	d.cursor = slices.Grow(d.cursor[:0], len(ranges))[:len(ranges)]
	for range d.bulk.MaxRepetitions {
		going := false
		for i := range ranges {
			if len(d.enc.buf)-start > outLimit {
				return n
			}
			r := &ranges[i]
			n++
			if d.next(view, r) {
				going = true
				d.cursor[i] = append(d.cursor[i][:0], d.vb.Name...)
				r.Start, r.Include = d.cursor[i], false
			}
		}
		if !going {
			return n
		}
	}
	return n
}

// set handles the four phases. The answers before it are sent first, because
// a Writer may take its time.
func (d *dispatcher) set(h Header, payload []byte) error {
	if err := d.flush(); err != nil {
		return err
	}
	d.inSet.Store(true)
	defer d.inSet.Store(false)
	var a answer
	var fresh bool
	switch h.Type {
	case TypeTestSet:
		a, fresh = d.sets.test(h, func() (Pending, error) { return d.prepare(h, payload) })
		if fresh {
			d.stats.requests.Add(1)
			d.stats.sets.Add(1)
		}
	case TypeCommitSet:
		a, fresh = d.sets.commit(h)
	case TypeUndoSet:
		a, fresh = d.sets.undo(h)
	case TypeCleanupSet:
		d.sets.cleanup(h)
		return nil
	}
	if fresh && a.code != 0 {
		d.stats.setFailures.Add(1)
	}
	d.answer(h, a)
	return nil
}

// prepare decodes a TestSet into memory of its own and asks the Writer.
func (d *dispatcher) prepare(h Header, payload []byte) (Pending, error) {
	var own decoder
	own.reset(h, payload)
	var p TestSetPDU
	p.decode(&own, h.Flags)
	if err := own.finish(); err != nil {
		d.protocolError(fmt.Errorf("TestSet PDU: %w", err))
		return nil, &smi.SetError{Status: smi.ErrorStatus(ParseError), Reason: err.Error()}
	}
	detach(p.Varbinds)
	d.stats.varbinds.Add(uint64(len(p.Varbinds)))
	if _, ok := d.handler.View(p.Context); !ok {
		return nil, &smi.SetError{Status: smi.ErrorStatus(UnsupportedContext), Reason: "no context " + p.Context}
	}
	w, ok := d.handler.(Writer)
	if !ok {
		return nil, &smi.SetError{Status: smi.NotWritable, Reason: "the whole MIB is read-only"}
	}
	return w.Prepare(p.Context, p.Varbinds)
}

// response hands a Response to whoever waits for it.
func (d *dispatcher) response(h Header, payload []byte) error {
	d.dec.reset(h, payload)
	d.reply.decode(&d.dec, h.Flags)
	if err := d.dec.finish(); err != nil {
		d.protocolError(fmt.Errorf("answer of the master: %w", err))
		return err
	}
	if h.SessionID != d.session.Load() && d.session.Load() != 0 {
		d.protocolError(fmt.Errorf("answer of the master for session %d, ours is %d", h.SessionID, d.session.Load()))
		return nil
	}
	d.calls.settle(h.PacketID, outcome{session: h.SessionID, pdu: d.reply})
	return nil
}

// begin starts a Response to h. The first octets after the header are those
// of an answer without error.
func (d *dispatcher) begin(h Header) (start int) {
	h.Type, h.Flags = TypeResponse, h.Flags&FlagNetworkByteOrder
	start = d.enc.begin(h)
	d.enc.uint32(0) // sysUpTime is the master's to say
	d.enc.uint32(0) // error and index
	return start
}

// finish completes the Response that began at start, or makes it genErr when
// the View gave something that has no encoding.
func (d *dispatcher) finish(h Header, start int) {
	if err := d.enc.err; err != nil {
		d.enc.err = nil
		d.enc.buf = d.enc.buf[:start]
		d.log.Error("agentx: answer with genErr", "request", h.Type.String(), "error", err)
		d.stats.fail(err)
		d.answer(h, answer{ErrorCode(smi.GenErr), 1})
		return
	}
	d.enc.end(start)
}

// answer appends a Response without varbinds.
func (d *dispatcher) answer(h Header, a answer) {
	start := d.begin(h)
	d.enc.putUint16(start+HeaderLen+4, uint16(a.code))
	d.enc.putUint16(start+HeaderLen+6, uint16(a.index))
	d.enc.end(start)
}

// refuse answers a PDU that should not have come.
func (d *dispatcher) refuse(h Header, code ErrorCode, err error) {
	d.protocolError(err)
	if h.Type != TypeCleanupSet {
		d.answer(h, answer{code, 0})
	}
}

func (d *dispatcher) protocolError(err error) {
	d.stats.protocolErrors.Add(1)
	d.stats.fail(err)
	d.log.Warn("agentx: the master breaks the protocol", "error", err)
}
