package agentx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lcms-project/lcms/agentx/smi"
)

// Options say what a Session is. Network, Address and Handler are needed, the
// rest has defaults.
type Options struct {
	Network string // "unix" or "tcp"
	Address string // "/var/agentx/master" or "host:705"
	// Dial makes the connection instead of Network and Address.
	Dial func(ctx context.Context) (net.Conn, error)

	ID            smi.OID // of the subagent, for the master's log
	Description   string  // the same in words
	Registrations []Registration
	Capabilities  []Capability
	Handler       Handler // a Writer too if the MIB accepts SET
	Log           *slog.Logger

	NetworkByteOrder   bool          // talk big endian; the default is little endian
	Timeout            time.Duration // the master may wait for an answer; whole seconds to 255; 0 = as it likes
	DialTimeout        time.Duration // 2 s
	WriteTimeout       time.Duration // 5 s: a master that does not read for so long is dead
	RequestTimeout     time.Duration // 10 s: for the Response to our own requests
	Keepalive          time.Duration // 15 s: a Ping after so long without a request; negative = never
	TransactionTimeout time.Duration // 30 s: a SET without a further PDU is ended: undone if it was committed
	MinBackoff         time.Duration // 50 ms: before the first new attempt to connect or register
	MaxBackoff         time.Duration // 500 ms: before each of the later ones
	MaxPDU             int           // 1 MiB: octets of a packet from the master; larger ones end the session
}

// Registration is a subtree that the master shall hand to us (RFC 2741 section
// 6.2.3). Register the root of a MIB once: each further registration splits
// the requests into more PDUs.
type Registration struct {
	Context    string
	Subtree    smi.OID
	Priority   uint8         // 1 wins over 255; 0 = the default of 127
	RangeSubid uint8         // which sub-identifier of Subtree, from 1, runs up to UpperBound; 0 = none
	UpperBound uint32        // with RangeSubid
	Timeout    time.Duration // as that of Options
	Instance   bool          // Subtree is the full name of one instance
}

func (r Registration) equal(o Registration) bool {
	return r.Context == o.Context && r.Priority == o.Priority && r.RangeSubid == o.RangeSubid &&
		r.UpperBound == o.UpperBound && r.Subtree.Equal(o.Subtree)
}

// Capability is a row of the master's sysORTable (RFC 2741 section 6.2.14).
type Capability struct {
	Context     string
	ID          smi.OID
	Description string
}

// Session is a subagent's session with a master. All methods may be called at
// any time from any goroutine, except that those which wait for the master
// (Notify, Ping, Register, IndexAllocate and the like) must never be called
// from inside a Handler, Writer or Pending: the answer could not be read, and
// they would only fail after Options.RequestTimeout.
type Session struct {
	opts  Options
	stats counters
	state atomic.Int32
	busy  atomic.Bool // in Run

	mu            sync.Mutex
	link          *link // nil unless open
	registrations []*registration
	capabilities  []Capability
}

// registration is a Registration and the link on which the master accepted it.
type registration struct {
	Registration
	on      *link
	refused bool // logged
}

// New returns a Session that does nothing before Run.
func New(o Options) *Session {
	setDefault(&o.DialTimeout, 2*time.Second)
	setDefault(&o.WriteTimeout, 5*time.Second)
	setDefault(&o.RequestTimeout, 10*time.Second)
	setDefault(&o.Keepalive, 15*time.Second)
	setDefault(&o.TransactionTimeout, 30*time.Second)
	setDefault(&o.MinBackoff, 50*time.Millisecond)
	setDefault(&o.MaxBackoff, 500*time.Millisecond)
	setDefault(&o.MaxPDU, 1<<20)
	o.MaxPDU = max(o.MaxPDU, readBuffer)
	o.MaxBackoff = max(o.MaxBackoff, o.MinBackoff)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Session{opts: o, capabilities: slices.Clone(o.Capabilities)}
	for _, r := range o.Registrations {
		s.registrations = append(s.registrations, &registration{Registration: r.withDefaults()})
	}
	return s
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (r Registration) withDefaults() Registration {
	setDefault(&r.Priority, 127)
	return r
}

// check says what makes the Options unusable.
func (o *Options) check() error {
	switch {
	case o.Handler == nil:
		return errors.New("agentx: Options.Handler is missing")
	case o.Dial != nil:
	case o.Network != "unix" && o.Network != "tcp":
		return fmt.Errorf("agentx: network %q: use unix or tcp", o.Network)
	case o.Address == "":
		return errors.New("agentx: Options.Address is missing: use the agentXSocket of snmpd.conf, by default /var/agentx/master")
	}
	for _, r := range o.Registrations {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r Registration) check() error {
	if len(r.Subtree) == 0 || len(r.Subtree) > smi.MaxOIDLen {
		return fmt.Errorf("agentx: registration of a subtree of %d sub-identifiers: 1 to %d are allowed", len(r.Subtree), smi.MaxOIDLen)
	}
	if int(r.RangeSubid) > len(r.Subtree) {
		return fmt.Errorf("agentx: registration of %s: RangeSubid %d is beyond its %d sub-identifiers", r.Subtree, r.RangeSubid, len(r.Subtree))
	}
	if r.RangeSubid != 0 && r.UpperBound < r.Subtree[r.RangeSubid-1] {
		return fmt.Errorf("agentx: registration of %s: UpperBound %d is below its lower bound", r.Subtree, r.UpperBound)
	}
	return nil
}

// ParseAddress splits "unix:/var/agentx/master", a bare absolute path, or
// "tcp:host:port" into what Options want.
func ParseAddress(s string) (network, address string, err error) {
	if strings.HasPrefix(s, "/") {
		return "unix", s, nil
	}
	network, address, _ = strings.Cut(s, ":")
	switch network {
	case "unix":
		if address != "" {
			return network, address, nil
		}
	case "tcp":
		if _, _, err := net.SplitHostPort(address); err == nil {
			return network, address, nil
		}
	}
	return "", "", fmt.Errorf("AgentX address %q: write it like unix:/var/agentx/master or tcp:127.0.0.1:705", s)
}

// State is where a Session stands.
type State int32

// The states.
//
//	Idle -> Connecting -> Opening -> Registering -> Serving
//	            ^                                      |
//	            +------------- Waiting <---------------+  the session or an attempt has failed
const (
	Idle        State = iota // Run is not running
	Connecting               // dialing
	Opening                  // connected, waiting for a session id
	Registering              // open; some registration is not accepted yet
	Serving                  // all is registered
	Waiting                  // not connected, before the next attempt
)

// String returns the name in lower case.
func (s State) String() string {
	names := [...]string{"idle", "connecting", "opening", "registering", "serving", "waiting"}
	if s >= 0 && int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", int32(s))
}

// State returns where the session stands.
func (s *Session) State() State { return State(s.state.Load()) }

func (s *Session) setState(st State) { s.state.Store(int32(st)) }

// Stats count what a Session has done since New.
type Stats struct {
	Requests       uint64 // Get, GetNext, GetBulk and TestSet PDUs
	Varbinds       uint64 // in them
	Sets           uint64 // TestSet PDUs, repeated ones not counted
	SetFailures    uint64 // phases of a SET that were answered with an error
	Notifications  uint64 // accepted by the master
	Connects       uint64 // sessions opened
	ProtocolErrors uint64 // malformed or misplaced PDUs of the master
	LastError      string // "" if there was none
	LastErrorTime  time.Time
}

// Reconnects returns how many sessions were opened after the first.
func (s Stats) Reconnects() uint64 { return max(s.Connects, 1) - 1 }

type counters struct {
	requests, varbinds, sets, setFailures   atomic.Uint64
	notifications, connects, protocolErrors atomic.Uint64
	last                                    atomic.Pointer[failure]
}

type failure struct {
	err error
	at  time.Time
}

func (c *counters) fail(err error) { c.last.Store(&failure{err, time.Now()}) }

// Stats returns the counters.
func (s *Session) Stats() Stats {
	c := &s.stats
	st := Stats{
		Requests:       c.requests.Load(),
		Varbinds:       c.varbinds.Load(),
		Sets:           c.sets.Load(),
		SetFailures:    c.setFailures.Load(),
		Notifications:  c.notifications.Load(),
		Connects:       c.connects.Load(),
		ProtocolErrors: c.protocolErrors.Load(),
	}
	if f := c.last.Load(); f != nil {
		st.LastError, st.LastErrorTime = f.err.Error(), f.at
	}
	return st
}
