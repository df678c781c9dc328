package agentx

import (
	"context"
	"errors"
	"testing"

	"github.com/lcms-project/lcms/agentx/smi"
)

// ending is a stream that knows whether it was closed.
type ending struct {
	t      *testing.T
	closed bool
}

func (*ending) Read([]byte) (int, error)  { return 0, errors.New("nothing comes") }
func (*ending) Write([]byte) (int, error) { return 0, errors.New("nobody is there") }
func (s *ending) close()                  { s.closed = true }

func (s *ending) shutdown() {
	if s.closed {
		s.t.Error("shutdown of a descriptor that may be another's now")
	}
}

func TestShutdownAfterClose(t *testing.T) {
	c := newConn(&ending{t: t}, readBuffer)
	c.shutdown()
	c.close()
	c.shutdown()
}

// lostSession is a session that does not know yet that its connection is lost.
func lostSession(t *testing.T) *Session {
	s := New(Options{})
	l := &link{
		dispatcher: &dispatcher{conn: newConn(&ending{t: t}, readBuffer), calls: newCalls(), sets: newTransactions(s.opts.Log), stats: &s.stats, log: s.opts.Log},
		limit:      s.opts.RequestTimeout, lost: make(chan struct{}),
	}
	s.setLink(l)
	go func() { // as serve does
		_ = l.conn.write([]byte{1})
		l.err = errors.New("gone")
		close(l.lost)
	}()
	return s
}

// TestCallsOnALostConnection: what is kept for the next session does not fail, what
// is not says that there is none.
func TestCallsOnALostConnection(t *testing.T) {
	ctx := context.Background()
	id := smi.OID{1, 3, 6, 1, 4, 1, 8072}
	if err := lostSession(t).AddAgentCaps(ctx, Capability{ID: id}); err != nil {
		t.Errorf("AddAgentCaps: %v", err)
	}
	if err := lostSession(t).RemoveAgentCaps(ctx, "", id); err != nil {
		t.Errorf("RemoveAgentCaps: %v", err)
	}
	s := lostSession(t)
	if err := s.Register(ctx, Registration{Subtree: id}); err != nil || len(s.registrations) != 1 {
		t.Errorf("Register: %v, %d are kept", err, len(s.registrations))
	}
	if err := s.Unregister(ctx, Registration{Subtree: id}); err != nil || len(s.registrations) != 0 {
		t.Errorf("Unregister: %v, %d are kept", err, len(s.registrations))
	}
	trap := []smi.Varbind{{Name: snmpTrapOID, Value: smi.ObjectIdentifier(id)}}
	if err := lostSession(t).Notify(ctx, "", trap); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Notify: %v", err)
	}
}
