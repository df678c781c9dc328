package agentx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"time"
)

// Run serves the master until ctx is cancelled, and then returns nil. It
// dials, opens and registers, and does so again whenever the session is lost.
// It returns an error at once if the Options are unusable or another Run is
// at work.
func (s *Session) Run(ctx context.Context) error {
	if err := s.opts.check(); err != nil {
		return err
	}
	if !s.busy.CompareAndSwap(false, true) {
		return errors.New("agentx: Run is already running")
	}
	defer s.busy.Store(false)
	defer s.setState(Idle)

	wait := backoff{min: s.opts.MinBackoff, max: s.opts.MaxBackoff}
	said := ""
	for {
		opened := time.Time{}
		err := s.serve(ctx, &opened)
		if ctx.Err() != nil {
			return nil
		}
		s.stats.fail(err)
		if !opened.IsZero() {
			said = ""
			if time.Since(opened) >= s.opts.MaxBackoff {
				wait.reset()
			}
		}
		if err.Error() != said { // a master that is away is told once
			said = err.Error()
			s.opts.Log.Warn("agentx: no session with the master, trying again", "error", err)
		}
		s.setState(Waiting)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait.next()):
		}
	}
}

// serve is one connection from dial to loss. It notes when the session was
// opened.
func (s *Session) serve(ctx context.Context, opened *time.Time) error {
	s.setState(Connecting)
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	l, err := s.newLink(c)
	if err != nil {
		return err
	}
	go func() {
		l.err = l.run()
		l.conn.shutdown()
		close(l.lost)
	}()
	defer func() {
		s.setLink(nil)
		l.conn.shutdown()
		<-l.lost
		l.conn.close()
		l.sets.close()
	}()

	s.setState(Opening)
	if err := s.open(ctx, l); err != nil {
		return err
	}
	*opened = time.Now()
	s.stats.connects.Add(1)
	s.opts.Log.Info("agentx: session is open", "session", l.session.Load())
	s.setState(Registering)
	s.setLink(l)
	err = s.attend(ctx, l)
	if ctx.Err() != nil {
		s.sayGoodbye(l)
	}
	return err
}

func (s *Session) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.DialTimeout)
	defer cancel()
	dial := s.opts.Dial
	if dial == nil {
		dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, s.opts.Network, s.opts.Address)
		}
	}
	c, err := dial(ctx)
	if err != nil {
		hint := `is snmpd running, with "master agentx" in its snmpd.conf?`
		if errors.Is(err, fs.ErrPermission) {
			hint = "may this user use its socket? agentXPerms in its snmpd.conf says who may; become a member of that group"
		}
		return nil, fmt.Errorf("connect to the AgentX master (%s): %w", hint, err)
	}
	return c, nil
}

func (s *Session) newLink(c net.Conn) (*link, error) {
	st, err := newStream(c, s.opts.WriteTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect to the AgentX master: %w", err)
	}
	l := &link{
		dispatcher: &dispatcher{
			conn:    newConn(st, s.opts.MaxPDU),
			handler: s.opts.Handler,
			calls:   newCalls(),
			sets:    newTransactions(s.opts.Log),
			stats:   &s.stats,
			log:     s.opts.Log,
		},
		limit: s.opts.RequestTimeout,
		lost:  make(chan struct{}),
	}
	if s.opts.NetworkByteOrder {
		l.order = FlagNetworkByteOrder
	}
	return l, nil
}

// setLink publishes the link for Notify and the like; nil takes it away.
func (s *Session) setLink(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = l
}

// open gets a session id.
func (s *Session) open(ctx context.Context, l *link) error {
	r, err := l.call(ctx, &OpenPDU{Timeout: seconds(s.opts.Timeout), ID: s.opts.ID, Description: s.opts.Description})
	if err != nil {
		return s.cause(l, err)
	}
	l.session.Store(r.session)
	return nil
}

// attend registers what there is to register and watches over the session
// until it is lost or ctx is cancelled.
func (s *Session) attend(ctx context.Context, l *link) error {
	if err := s.addCapabilities(ctx, l); err != nil {
		return s.cause(l, err)
	}
	var tick <-chan time.Time
	if s.opts.Keepalive > 0 {
		ticker := time.NewTicker(s.opts.Keepalive)
		defer ticker.Stop()
		tick = ticker.C
	}
	sweeper := time.NewTicker(max(s.opts.TransactionTimeout/sweeps, time.Millisecond))
	defer sweeper.Stop()
	wait := backoff{min: s.opts.MinBackoff, max: s.opts.MaxBackoff}
	seen := uint64(0)
	for {
		all, err := s.registerMissing(ctx, l)
		if err != nil && ctx.Err() == nil {
			return s.cause(l, err)
		}
		var again <-chan time.Time
		if all {
			s.setState(Serving)
		} else {
			s.setState(Registering)
			again = time.After(wait.next())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.lost:
			return l.err
		case <-again:
		case <-sweeper.C:
			l.sets.sweep()
		case <-tick:
			now := s.stats.requests.Load()
			if now == seen && !l.inSet.Load() {
				if err := s.keepalive(ctx, l); err != nil {
					return s.cause(l, err)
				}
			}
			seen = now
		}
	}
}

// cause returns why a call failed: if the connection is lost, that is the
// reason to tell, not the call.
func (s *Session) cause(l *link, err error) error {
	if errors.Is(err, ErrNotConnected) {
		<-l.lost
		return l.err
	}
	return err
}

// keepalive asks an idle master whether it is there. No answer while a
// request is served says nothing: the Response waits behind it.
func (s *Session) keepalive(ctx context.Context, l *link) error {
	before := s.stats.requests.Load()
	_, err := l.call(ctx, &PingPDU{})
	if errors.Is(err, ErrTimeout) && (l.inSet.Load() || s.stats.requests.Load() != before) {
		return nil
	}
	return err
}

// addCapabilities fills the master's sysORTable. A refusal is logged and
// otherwise ignored: nothing depends on it.
func (s *Session) addCapabilities(ctx context.Context, l *link) error {
	s.mu.Lock()
	capabilities := slices.Clone(s.capabilities)
	s.mu.Unlock()
	for _, c := range capabilities {
		_, err := l.call(ctx, &AddAgentCapsPDU{Context: c.Context, ID: c.ID, Description: c.Description})
		var refusal *ResponseError
		if errors.As(err, &refusal) {
			s.opts.Log.Warn("agentx: capability is not accepted", "id", c.ID.String(), "error", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// registerMissing registers what is not registered on l. all is false if the
// master refused something: net-snmp's may still hold the registration of a
// subagent that was killed, so it is tried again until it is accepted.
func (s *Session) registerMissing(ctx context.Context, l *link) (all bool, err error) {
	s.mu.Lock()
	var missing []*registration
	for _, r := range s.registrations {
		if r.on != l {
			missing = append(missing, r)
		}
	}
	s.mu.Unlock()
	all = true
	for _, r := range missing {
		_, err := l.call(ctx, r.pdu())
		var refusal *ResponseError
		switch {
		case err == nil:
			s.mu.Lock()
			r.on = l
			s.mu.Unlock()
			if r.refused {
				r.refused = false
				s.opts.Log.Info("agentx: registration is accepted after all", "subtree", r.Subtree.String())
			}
		case errors.As(err, &refusal):
			all = false
			s.stats.fail(err)
			if !r.refused {
				r.refused = true
				s.opts.Log.Warn("agentx: registration is refused, trying again", "subtree", r.Subtree.String(), "context", r.Context, "error", err)
			}
		default:
			return false, err
		}
	}
	return all, nil
}

func (r Registration) pdu() *RegisterPDU {
	return &RegisterPDU{
		Context: r.Context, Timeout: seconds(r.Timeout), Priority: r.Priority,
		RangeSubid: r.RangeSubid, Subtree: r.Subtree, UpperBound: r.UpperBound, Instance: r.Instance,
	}
}

// goodbyeLimit is how long a cancelled Run waits for the master's answer to
// Close.
const goodbyeLimit = 250 * time.Millisecond

// sayGoodbye closes the session in order. A master that does not read must not
// hold us.
func (s *Session) sayGoodbye(l *link) {
	s.setLink(nil)
	stuck := time.AfterFunc(goodbyeLimit, l.conn.shutdown)
	defer stuck.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeLimit)
	defer cancel()
	if _, err := l.call(ctx, &ClosePDU{Reason: ReasonShutdown}); err != nil {
		s.opts.Log.Debug("agentx: close was not answered", "error", err)
	}
}

// seconds is the form of a timeout in a PDU, rounded up.
func seconds(d time.Duration) uint8 {
	return uint8(min((d+time.Second-1)/time.Second, 255))
}

// backoff is a delay that doubles from min to max.
type backoff struct{ min, max, last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, b.min), b.max)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }
