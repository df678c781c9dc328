package snmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gosnmp/gosnmp"
)

// openSessions is how many sessions of SNMPv3 keep their socket and the 64 KiB
// that gosnmp reads into. Those above that open one for each request; they still
// know the engine of the agent and its keys.
const openSessions = 512

// sessions are those of SNMPv3, one for each agent.
type sessions struct {
	mu   sync.Mutex
	all  map[Agent]*session
	open int
}

// session is what is known of an agent. gosnmp serves one goroutine at a time.
type session struct {
	mu     sync.Mutex
	params *gosnmp.UsmSecurityParameters // with the engine, once it is known
	g      *gosnmp.GoSNMP                // nil: not open
	heard  *recorder                     // what came through g
	kept   bool                          // g stays open
}

// recorder keeps the last message that came. A report of an agent that could
// not authenticate a request is itself not authenticated; gosnmp drops it and
// does not tell what it said.
type recorder struct {
	net.Conn
	last []byte
}

// Read implements net.Conn.
func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.last = append(r.last[:0], b[:min(n, maxReport)]...)
	return n, err
}

// maxReport is more than the longest report.
const maxReport = 512

// usmStats are the beginnings of the counters that a report names (RFC 3414,
// usmStats), by what they count.
func usmStats(n uint32) []byte {
	return appendOID(nil, MustOID("1.3.6.1.6.3.15.1.1").Child(n))
}

func (s *sessions) of(a Agent) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[a]
	if one == nil {
		if s.all == nil {
			s.all = make(map[Agent]*session)
		}
		one = &session{kept: s.open < openSessions}
		if one.kept {
			s.open++
		}
		s.all[a] = one
	}
	return one
}

func (s *sessions) forget(a Agent) {
	s.mu.Lock()
	one := s.all[a]
	if one != nil {
		delete(s.all, a)
		if one.kept {
			s.open--
		}
	}
	s.mu.Unlock()
	if one != nil {
		one.mu.Lock()
		defer one.mu.Unlock()
		one.close()
	}
}

func (s *sessions) close() {
	s.mu.Lock()
	agents := make([]Agent, 0, len(s.all))
	for a := range s.all {
		agents = append(agents, a)
	}
	s.mu.Unlock()
	for _, a := range agents {
		s.forget(a)
	}
}

func (s *session) close() {
	if s.g != nil && s.g.Conn != nil {
		s.g.Conn.Close()
	}
	s.g = nil
}

func (s *sessions) do(ctx context.Context, to Agent, r *Request, timeout time.Duration, attempts int) ([]Varbind, error) {
	one := s.of(to)
	one.mu.Lock()
	defer one.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	vbs, err := one.do(ctx, to, r, timeout, attempts)
	var refusal *StatusError
	if !one.kept || err != nil && !errors.As(err, &refusal) {
		one.close()
	}
	if err != nil && !errors.As(err, &refusal) {
		one.params = nil // the agent may be another one when it comes back
	}
	return vbs, err
}

func (s *session) do(ctx context.Context, to Agent, r *Request, timeout time.Duration, attempts int) ([]Varbind, error) {
	if s.g == nil {
		if s.params == nil {
			c := to.Credentials
			s.params = &gosnmp.UsmSecurityParameters{
				UserName:               c.User,
				AuthenticationProtocol: auths[c.Auth], AuthenticationPassphrase: c.AuthPass,
				PrivacyProtocol: privacies[c.Privacy], PrivacyPassphrase: c.PrivacyPass,
			}
		}
		s.g = open(to, s.params)
		if err := s.g.Connect(); err != nil {
			return nil, explain(err, nil, to, timeout, attempts)
		}
		s.heard = &recorder{Conn: s.g.Conn}
		s.g.Conn = s.heard
	}
	s.g.Context, s.g.Timeout, s.g.Retries = ctx, timeout, attempts-1
	p, err := s.ask(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explain(err, s.heard.last, to, timeout, attempts)
	}
	if p.Error != gosnmp.NoError {
		return nil, newStatusError(r, int(p.Error), int(p.ErrorIndex))
	}
	return convert(r, p)
}

func open(to Agent, params *gosnmp.UsmSecurityParameters) *gosnmp.GoSNMP {
	flags := gosnmp.NoAuthNoPriv
	if to.Credentials.Auth != "" {
		flags = gosnmp.AuthNoPriv
	}
	if to.Credentials.Privacy != "" {
		flags = gosnmp.AuthPriv
	}
	return &gosnmp.GoSNMP{
		Target: to.Address.Addr().String(), Port: to.Address.Port(), Transport: "udp",
		Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: flags,
		SecurityParameters: params, ContextName: to.Credentials.Context,
		MaxOids: 1 << 10, Context: context.Background(),
	}
}

func (s *session) ask(r *Request) (*gosnmp.SnmpPacket, error) {
	switch r.op {
	case opSet:
		pdus := make([]gosnmp.SnmpPDU, len(r.vbs))
		for i, vb := range r.vbs {
			pdus[i] = gosnmp.SnmpPDU{Name: vb.Name.String(), Type: gosnmp.Asn1BER(vb.Value.Type)}
			switch vb.Value.Type {
			case TypeInteger:
				pdus[i].Value = int(vb.Value.Int())
			case TypeGauge32, TypeCounter32, TypeTimeTicks:
				pdus[i].Value = uint32(vb.Value.Num)
			default:
				pdus[i].Value = vb.Value.Bytes
			}
		}
		return s.g.Set(pdus)
	case opBulk:
		return s.g.GetBulk(namesOf(r), uint8(r.repeatFrom), r.repetitions)
	}
	return s.g.Get(namesOf(r))
}

func namesOf(r *Request) []string {
	names := make([]string, len(r.vbs))
	for i, vb := range r.vbs {
		names[i] = vb.Name.String()
	}
	return names
}

// convert makes our varbinds of those of gosnmp.
func convert(r *Request, p *gosnmp.SnmpPacket) ([]Varbind, error) {
	if r.op != opBulk && len(p.Variables) != len(r.vbs) {
		return nil, fmt.Errorf("the answer has %d objects of %d that were asked for: the agent is broken", len(p.Variables), len(r.vbs))
	}
	vbs := make([]Varbind, len(p.Variables))
	for i, v := range p.Variables {
		name, err := ParseOID(v.Name)
		if err != nil {
			return nil, fmt.Errorf("the answer is broken: %w", err)
		}
		vbs[i] = Varbind{name, Value{Type: Type(v.Type)}}
		switch x := v.Value.(type) {
		case []byte:
			vbs[i].Value.Bytes = x
		case string:
			if vbs[i].Value.Type == TypeOID {
				if vbs[i].Value.Name, err = ParseOID(x); err != nil {
					return nil, fmt.Errorf("the answer is broken: %w", err)
				}
			} else {
				vbs[i].Value.Bytes = []byte(x)
			}
		default:
			if vbs[i].Value.IsNumber() {
				vbs[i].Value.Num = gosnmp.ToBigInt(v.Value).Uint64()
				if n := gosnmp.ToBigInt(v.Value); n.Sign() < 0 {
					vbs[i].Value.Num = uint64(n.Int64())
				}
			}
		}
	}
	return vbs, nil
}

// explain says what an error of gosnmp means. last is the last message that
// came.
func explain(err error, last []byte, to Agent, timeout time.Duration, attempts int) error {
	user := to.Credentials.User
	reported := func(n uint32, as error) bool { return errors.Is(err, as) || bytes.Contains(last, usmStats(n)) }
	switch {
	case reported(1, gosnmp.ErrUnknownSecurityLevel):
		return fmt.Errorf("the agent has no such authentication or privacy for user %s: name what it has", user)
	case reported(3, gosnmp.ErrUnknownUsername):
		return fmt.Errorf("the agent does not know the user %s: create it there, or correct the name", user)
	case reported(5, gosnmp.ErrWrongDigest):
		return fmt.Errorf("wrong authentication key of user %s: compare pass phrase and protocol with those of the agent", user)
	case reported(6, gosnmp.ErrDecryption):
		return fmt.Errorf("wrong privacy key of user %s: compare pass phrase and protocol with those of the agent", user)
	case strings.Contains(err.Error(), "connection refused"):
		return fmt.Errorf("%w: nothing listens there", ErrNoAnswer)
	case strings.Contains(err.Error(), "timeout"), errors.Is(err, gosnmp.ErrMaxRetriesExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w within %s, asked %d times; a wrong privacy key looks the same", ErrNoAnswer, timeout, attempts)
	}
	return fmt.Errorf("SNMPv3: %w", err)
}
