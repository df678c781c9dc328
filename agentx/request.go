package agentx

import (
	"context"
	"errors"
	"slices"

	"github.com/lcms-project/lcms/agentx/smi"
)

var (
	sysUpTime   = smi.OID{1, 3, 6, 1, 2, 1, 1, 3, 0}
	snmpTrapOID = smi.OID{1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0}
)

// current returns the link of the session that is open at the moment, nil if none
// is.
func (s *Session) current() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.currentLocked()
}

// currentLocked is current for those who have the lock.
func (s *Session) currentLocked() *link {
	if s.link != nil {
		select {
		case <-s.link.lost:
			return nil
		default:
		}
	}
	return s.link
}

// call sends a request on the session that is open at the moment.
func (s *Session) call(ctx context.Context, p PDU) (*ResponsePDU, error) {
	l := s.current()
	if l == nil {
		return nil, ErrNotConnected
	}
	r, err := l.call(ctx, p)
	return &r.pdu, err
}

// Notify sends a notification and waits until the master has accepted it. The
// first varbind must be snmpTrapOID.0, or the second after sysUpTime.0 (RFC
// 2741 section 6.2.10). It fails with ErrNotConnected while there is no
// session, with a *ResponseError, or with ctx.
//
// The wait is the pace: net-snmp loses notifications that come faster than it
// answers. A few calls at the same time are fine.
func (s *Session) Notify(ctx context.Context, context string, vbs []smi.Varbind) error {
	return s.NotifyAll(ctx, context, [][]smi.Varbind{vbs})[0]
}

// NotifyAll is Notify for a few notifications, which are sent together and in
// order. It returns what Notify would return for each.
func (s *Session) NotifyAll(ctx context.Context, context string, list [][]smi.Varbind) []error {
	errs := make([]error, len(list))
	pdus, at := make([]PDU, 0, len(list)), make([]int, 0, len(list))
	for i, vbs := range list {
		if !startsWithTrapOID(vbs) {
			errs[i] = errors.New("agentx: a notification must start with snmpTrapOID.0, or with sysUpTime.0 and snmpTrapOID.0")
			continue
		}
		pdus, at = append(pdus, &NotifyPDU{Context: context, Varbinds: vbs}), append(at, i)
	}
	if len(pdus) == 0 {
		return errs
	}
	l := s.current()
	if l == nil {
		for _, i := range at {
			errs[i] = ErrNotConnected
		}
		return errs
	}
	for j, o := range l.exchange(ctx, pdus...) {
		errs[at[j]] = o.err
		if o.err == nil {
			s.stats.notifications.Add(1)
		}
	}
	return errs
}

func startsWithTrapOID(vbs []smi.Varbind) bool {
	if len(vbs) > 0 && vbs[0].Name.Equal(sysUpTime) {
		vbs = vbs[1:]
	}
	return len(vbs) > 0 && vbs[0].Name.Equal(snmpTrapOID) && vbs[0].Value.Type == smi.TypeObjectIdentifier
}

// Ping asks the master whether it is there and knows the context.
func (s *Session) Ping(ctx context.Context, context string) error {
	_, err := s.call(ctx, &PingPDU{Context: context})
	return err
}

// Register adds a registration to those of the session, for this connection
// and all later ones. If a session is open it waits for the master, and does
// not keep what the master refuses.
func (s *Session) Register(ctx context.Context, r Registration) error {
	if err := r.check(); err != nil {
		return err
	}
	entry := &registration{Registration: r.withDefaults()}
	for {
		s.mu.Lock()
		l := s.currentLocked()
		if l == entry.on {
			s.registrations = append(s.registrations, entry)
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if l == nil { // lost since: the next session registers it
			entry.on = nil
			continue
		}
		if _, err := l.call(ctx, entry.pdu()); errors.Is(err, ErrNotConnected) {
			select {
			case <-l.lost:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		} else if err != nil {
			return err
		}
		entry.on = l
	}
}

// Unregister takes a registration back, here and for all later connections.
// Timeout and Instance of r do not matter.
func (s *Session) Unregister(ctx context.Context, r Registration) error {
	r = r.withDefaults()
	s.mu.Lock()
	s.registrations = slices.DeleteFunc(s.registrations, func(e *registration) bool { return e.equal(r) })
	s.mu.Unlock()
	_, err := s.call(ctx, &UnregisterPDU{
		Context: r.Context, Priority: r.Priority, RangeSubid: r.RangeSubid, Subtree: r.Subtree, UpperBound: r.UpperBound,
	})
	return ignoreNotConnected(err)
}

// AddAgentCaps adds a row to the master's sysORTable, now and after each
// reconnection.
func (s *Session) AddAgentCaps(ctx context.Context, c Capability) error {
	s.mu.Lock()
	s.capabilities = append(s.capabilities, c)
	s.mu.Unlock()
	_, err := s.call(ctx, &AddAgentCapsPDU{Context: c.Context, ID: c.ID, Description: c.Description})
	return ignoreNotConnected(err)
}

// RemoveAgentCaps takes a row of the master's sysORTable back.
func (s *Session) RemoveAgentCaps(ctx context.Context, context string, id smi.OID) error {
	s.mu.Lock()
	s.capabilities = slices.DeleteFunc(s.capabilities, func(c Capability) bool { return c.Context == context && c.ID.Equal(id) })
	s.mu.Unlock()
	_, err := s.call(ctx, &RemoveAgentCapsPDU{Context: context, ID: id})
	return ignoreNotConnected(err)
}

// ignoreNotConnected: what a session had is gone with it, and what it shall
// have comes with the next.
func ignoreNotConnected(err error) error {
	if errors.Is(err, ErrNotConnected) {
		return nil
	}
	return err
}

// IndexMode says which index values IndexAllocate asks for.
type IndexMode uint8

// The modes (RFC 2741 section 6.2.12).
const (
	IndexExact IndexMode = iota // the values in the varbinds
	IndexNew                    // values that were never allocated
	IndexAny                    // values that are free
)

// IndexAllocate reserves index values with the master, all or none, and
// returns the varbinds with the values it gave. The name of each varbind is
// that of the index object. The allocation ends with the connection.
func (s *Session) IndexAllocate(ctx context.Context, context string, mode IndexMode, vbs []smi.Varbind) ([]smi.Varbind, error) {
	r, err := s.call(ctx, &IndexAllocatePDU{Context: context, New: mode == IndexNew, Any: mode == IndexAny, Varbinds: vbs})
	if err != nil {
		return nil, err
	}
	return r.Varbinds, nil
}

// IndexDeallocate gives index values back.
func (s *Session) IndexDeallocate(ctx context.Context, context string, vbs []smi.Varbind) error {
	_, err := s.call(ctx, &IndexDeallocatePDU{Context: context, Varbinds: vbs})
	return err
}
