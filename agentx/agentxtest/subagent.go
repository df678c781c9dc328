package agentxtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// Subagent is one session, seen from the master.
type Subagent struct {
	master *Master
	conn   net.Conn
	lost   chan struct{}

	writing sync.Mutex

	// Guarded by master.mu.
	id            uint32
	order         agentx.Flags // FlagNetworkByteOrder or 0
	open          *agentx.OpenPDU
	registrations []*agentx.RegisterPDU
	requests      []agentx.PDU
	err           error // why the connection ended

	mu      sync.Mutex
	packet  uint32
	trans   uint32
	waiting map[uint32]chan *agentx.ResponsePDU
}

// ErrLost: the connection with the subagent is gone.
var ErrLost = errors.New("the subagent is gone")

// read serves the connection until it ends.
func (s *Subagent) read() {
	for {
		packet, err := readPacket(s.conn)
		if err == nil {
			err = s.take(packet)
		}
		if err != nil {
			s.master.change(func() { s.err = err })
			return
		}
	}
}

// take handles one packet of the subagent.
func (s *Subagent) take(packet []byte) error {
	h, p, err := agentx.Parse(packet)
	if err != nil {
		return err
	}
	if r, ok := p.(*agentx.ResponsePDU); ok {
		s.mu.Lock()
		ch := s.waiting[h.PacketID]
		delete(s.waiting, h.PacketID)
		s.mu.Unlock()
		if ch != nil {
			ch <- r
		}
		return nil
	}
	s.master.mu.Lock()
	answer := s.master.answer
	s.master.mu.Unlock()
	var r *agentx.ResponsePDU
	if answer != nil {
		r = answer(h, p)
	}
	if r == Silence {
		s.master.change(func() { s.requests = append(s.requests, p) })
		return nil
	}
	full := agentx.ResponsePDU{SysUpTime: 1}
	if r != nil {
		full = *r
	}
	s.master.change(func() { s.note(&h, p, &full) })
	b, err := agentx.Append(nil, h, &full)
	if err != nil {
		return err
	}
	if err := s.Send(b); err != nil {
		return err
	}
	if _, ok := p.(*agentx.ClosePDU); ok {
		return errors.New("the subagent has closed its session")
	}
	return nil
}

// note keeps the books of a request that is answered with r.
func (s *Subagent) note(h *agentx.Header, p agentx.PDU, r *agentx.ResponsePDU) {
	s.requests = append(s.requests, p)
	if _, ok := p.(*agentx.OpenPDU); !ok && h.SessionID != s.id && r.Error == 0 {
		r.Error = agentx.NotOpen
	}
	if r.Error != 0 {
		return
	}
	switch p := p.(type) {
	case *agentx.OpenPDU:
		s.master.lastID++
		s.id, s.open, s.order = s.master.lastID, p, h.Flags&agentx.FlagNetworkByteOrder
		h.SessionID = s.id
	case *agentx.RegisterPDU:
		s.registrations = append(s.registrations, p)
	case *agentx.UnregisterPDU:
		before := len(s.registrations)
		s.registrations = slices.DeleteFunc(s.registrations, func(r *agentx.RegisterPDU) bool {
			return r.Context == p.Context && r.Priority == p.Priority && r.Subtree.Equal(p.Subtree)
		})
		if len(s.registrations) == before {
			r.Error = agentx.UnknownRegistration
		}
	case *agentx.IndexAllocatePDU:
		r.Varbinds = p.Varbinds
	case *agentx.IndexDeallocatePDU:
		r.Varbinds = p.Varbinds
	}
}

// Open returns the PDU that opened the session.
func (s *Subagent) Open() *agentx.OpenPDU {
	s.master.mu.Lock()
	defer s.master.mu.Unlock()
	return s.open
}

// Registrations returns what is registered.
func (s *Subagent) Registrations() []*agentx.RegisterPDU {
	s.master.mu.Lock()
	defer s.master.mu.Unlock()
	return slices.Clone(s.registrations)
}

// Requests returns all requests of the subagent so far, in order.
func (s *Subagent) Requests() []agentx.PDU {
	s.master.mu.Lock()
	defer s.master.mu.Unlock()
	return slices.Clone(s.requests)
}

// Err returns why the connection ended, nil while it stands.
func (s *Subagent) Err() error {
	s.master.mu.Lock()
	defer s.master.mu.Unlock()
	return s.err
}

// Lost is closed when the connection has ended.
func (s *Subagent) Lost() <-chan struct{} { return s.lost }

// Drop ends the connection without a word, as a killed master does.
func (s *Subagent) Drop() { s.conn.Close() }

// Close tells the subagent that its session is over and drops the connection.
func (s *Subagent) Close(reason agentx.CloseReason) error {
	b, err := s.Packet(0, &agentx.ClosePDU{Reason: reason})
	if err != nil {
		return err
	}
	defer s.Drop()
	return s.Send(b)
}

// Send sends octets as they are.
func (s *Subagent) Send(b []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(b)
	return err
}

// Packet encodes a request to the subagent with a new packet id.
func (s *Subagent) Packet(transaction uint32, p agentx.PDU) ([]byte, error) {
	s.mu.Lock()
	s.packet++
	h := agentx.Header{TransactionID: transaction, PacketID: s.packet}
	s.mu.Unlock()
	s.master.mu.Lock()
	h.SessionID, h.Flags = s.id, s.order
	s.master.mu.Unlock()
	return agentx.Append(nil, h, p)
}

// Exchange sends a packet, perhaps once more, and waits for the Response.
func (s *Subagent) Exchange(ctx context.Context, packet []byte) (*agentx.ResponsePDU, error) {
	h, err := agentx.ParseHeader(packet)
	if err != nil {
		return nil, err
	}
	ch := make(chan *agentx.ResponsePDU, 1)
	s.mu.Lock()
	s.waiting[h.PacketID] = ch
	s.mu.Unlock()
	if err := s.Send(packet); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", h.Type, ErrLost, err)
	}
	select {
	case r := <-ch:
		return r, nil
	case <-s.lost:
		return nil, fmt.Errorf("%s: %w: %w", h.Type, ErrLost, s.Err())
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", h.Type, ctx.Err())
	}
}

// Request sends a request and waits for the Response.
func (s *Subagent) Request(ctx context.Context, transaction uint32, p agentx.PDU) (*agentx.ResponsePDU, error) {
	packet, err := s.Packet(transaction, p)
	if err != nil {
		return nil, err
	}
	return s.Exchange(ctx, packet)
}

// fetch sends a request of which the Response has varbinds; want is how many,
// or -1.
func (s *Subagent) fetch(ctx context.Context, p agentx.PDU, want int) ([]smi.Varbind, error) {
	r, err := s.Request(ctx, s.transaction(), p)
	switch {
	case err != nil:
		return nil, err
	case r.Error != 0:
		return nil, &agentx.ResponseError{Request: p.Type(), Code: r.Error, Index: int(r.Index)}
	case want >= 0 && len(r.Varbinds) != want:
		return nil, fmt.Errorf("%s of %d ranges is answered with %d varbinds", p.Type(), want, len(r.Varbinds))
	}
	return r.Varbinds, nil
}

func (s *Subagent) transaction() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trans++
	return s.trans
}

// Get asks for instances. A refusal is a *agentx.ResponseError.
func (s *Subagent) Get(ctx context.Context, context string, names ...smi.OID) ([]smi.Varbind, error) {
	ranges := make([]agentx.SearchRange, len(names))
	for i, name := range names {
		ranges[i].Start = name
	}
	return s.fetch(ctx, &agentx.GetPDU{Context: context, Ranges: ranges}, len(ranges))
}

// Next asks for the first instance in each range.
func (s *Subagent) Next(ctx context.Context, context string, ranges ...agentx.SearchRange) ([]smi.Varbind, error) {
	return s.fetch(ctx, &agentx.GetNextPDU{Context: context, Ranges: ranges}, len(ranges))
}

// Bulk sends a GetBulk, which net-snmp's master never does.
func (s *Subagent) Bulk(ctx context.Context, context string, nonRepeaters, maxRepetitions uint16, ranges ...agentx.SearchRange) ([]smi.Varbind, error) {
	return s.fetch(ctx, &agentx.GetBulkPDU{Context: context, NonRepeaters: nonRepeaters, MaxRepetitions: maxRepetitions, Ranges: ranges}, -1)
}

// Walk asks for each instance below root in turn, as snmpwalk does through
// snmpd, and fails if they are not in ascending order within root.
func (s *Subagent) Walk(ctx context.Context, context string, root smi.OID) ([]smi.Varbind, error) {
	var all []smi.Varbind
	at := agentx.SearchRange{Start: root, Include: true, End: root.Successor()}
	for {
		vbs, err := s.Next(ctx, context, at)
		if err != nil {
			return all, err
		}
		vb := vbs[0]
		switch {
		case vb.Value.Type == smi.TypeEndOfMibView && vb.Name.Equal(at.Start):
			return all, nil
		case vb.Value.IsException():
			return all, fmt.Errorf("GetNext of %s gives %s", at.Start, vb)
		case !vb.Name.HasPrefix(root):
			return all, fmt.Errorf("GetNext of %s gives %s, which is outside of %s", at.Start, vb.Name, root)
		case vb.Name.Compare(at.Start) < 0 || !at.Include && vb.Name.Equal(at.Start):
			return all, fmt.Errorf("GetNext of %s gives %s, which does not ascend", at.Start, vb.Name)
		}
		all = append(all, vb)
		at.Start, at.Include = vb.Name, false
	}
}
