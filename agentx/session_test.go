package agentx_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/agentxtest"
	"github.com/lcms-project/lcms/agentx/smi"
)

func TestOptions(t *testing.T) {
	good := agentx.Options{Network: "unix", Address: "/nowhere", Handler: newTable(1)}
	for _, c := range []struct {
		want   string
		change func(o *agentx.Options)
	}{
		{"Handler", func(o *agentx.Options) { o.Handler = nil }},
		{"use unix or tcp", func(o *agentx.Options) { o.Network = "udp" }},
		{"Address", func(o *agentx.Options) { o.Address = "" }},
		{"0 sub-identifiers", func(o *agentx.Options) { o.Registrations = []agentx.Registration{{}} }},
		{"RangeSubid", func(o *agentx.Options) { o.Registrations = []agentx.Registration{{Subtree: root, RangeSubid: 99}} }},
		{"UpperBound", func(o *agentx.Options) { o.Registrations = []agentx.Registration{{Subtree: root, RangeSubid: 1}} }},
	} {
		o := good
		c.change(&o)
		if err := agentx.New(o).Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q in it", err, c.want)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"unix:/var/agentx/master": "unix /var/agentx/master",
		"/var/agentx/master":      "unix /var/agentx/master",
		"tcp:localhost:705":       "tcp localhost:705",
		"tcp:[::1]:705":           "tcp [::1]:705",
		"tcp:localhost":           "",
		"unix:":                   "",
		"udp:localhost:705":       "",
		"":                        "",
	} {
		network, address, err := agentx.ParseAddress(in)
		if got := strings.TrimSpace(network + " " + address); got != want || (err == nil) != (want != "") {
			t.Errorf("ParseAddress(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestOpen(t *testing.T) {
	m, o := newMaster(t, "unix", newTable(1))
	o.Timeout = 1500 * time.Millisecond
	o.Capabilities = []agentx.Capability{{ID: root, Description: "caps"}}
	o.Registrations = []agentx.Registration{
		{Subtree: root, Context: "c", Priority: 5, Timeout: time.Hour},
		{Subtree: root.Child(1, 1), RangeSubid: uint8(len(root) + 2), UpperBound: 9, Instance: true},
	}
	s := serve(t, o)
	sub := subagent(t, m)
	if open := sub.Open(); open.Timeout != 2 || !open.ID.Equal(root) || open.Description != "test" {
		t.Errorf("Open %+v", open)
	}
	rs := sub.Registrations()
	if len(rs) != 2 || rs[0].Context != "c" || rs[0].Priority != 5 || rs[0].Timeout != 255 ||
		rs[1].Priority != 127 || rs[1].UpperBound != 9 || !rs[1].Instance {
		t.Errorf("registrations %+v", rs)
	}
	if caps, ok := sub.Requests()[1].(*agentx.AddAgentCapsPDU); !ok || caps.Description != "caps" {
		t.Errorf("requests %+v", sub.Requests())
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("a second Run is accepted")
	}
}

func TestClose(t *testing.T) {
	m, o := newMaster(t, "unix", newTable(1))
	s := agentx.New(o)
	if s.State() != agentx.Idle {
		t.Errorf("state %s", s.State())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	waitFor(t, s, agentx.Serving)
	sub := subagent(t, m)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	<-sub.Lost()
	requests := sub.Requests()
	if p, ok := requests[len(requests)-1].(*agentx.ClosePDU); !ok || p.Reason != agentx.ReasonShutdown {
		t.Errorf("last request %+v", requests[len(requests)-1])
	}
	if s.State() != agentx.Idle {
		t.Errorf("state %s", s.State())
	}
}

// TestCloseInTheMiddle: the session is closed in order whatever it waits for.
func TestCloseInTheMiddle(t *testing.T) {
	m, o := newMaster(t, "unix", newTable(1))
	o.Keepalive = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	m.Answer(func(_ agentx.Header, p agentx.PDU) *agentx.ResponsePDU {
		if _, ok := p.(*agentx.PingPDU); ok {
			cancel()
			time.Sleep(50 * time.Millisecond) // the answer comes too late
		}
		return nil
	})
	s := agentx.New(o)
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	sub := subagent(t, m)
	must(t, <-done)
	<-sub.Lost()
	requests := sub.Requests()
	if p, ok := requests[len(requests)-1].(*agentx.ClosePDU); !ok || p.Reason != agentx.ReasonShutdown {
		t.Errorf("last request %+v", requests[len(requests)-1])
	}
}

// TestCloseOfDeaf: a master that does not read or answer cannot hold Run.
func TestCloseOfDeaf(t *testing.T) {
	for _, network := range []string{"pipe", "unix"} {
		m, o := newMaster(t, network, newTable(1))
		hold := make(chan struct{})
		m.Answer(func(_ agentx.Header, p agentx.PDU) *agentx.ResponsePDU {
			if _, ok := p.(*agentx.PingPDU); ok {
				<-hold
			}
			return nil
		})
		s := agentx.New(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		waitFor(t, s, agentx.Serving)
		pinged := make(chan error)
		go func() { pinged <- s.Ping(t.Context(), "") }()
		cancel()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(time.Minute):
			t.Error("Run does not end")
		}
		if err := <-pinged; err == nil {
			t.Error("Ping succeeds without an answer")
		}
		close(hold)
	}
}

func TestReconnect(t *testing.T) {
	mib := newTable(10)
	sub, s, m := connected(t, "unix", mib)
	for i, end := range []func(){sub.Drop, func() { must(t, sub.Close(agentx.ReasonByManager)) }} {
		end()
		<-sub.Lost()
		sub = subagent(t, m)
		vbs, err := sub.Get(limited(t), "", mib.rows[0].Name)
		must(t, err)
		sameVarbinds(t, vbs, mib.rows[:1])
		if got := s.Stats().Reconnects(); got != uint64(i+1) {
			t.Errorf("%d reconnects, want %d", got, i+1)
		}
	}
	if !strings.Contains(s.Stats().LastError, "reasonByManager") {
		t.Errorf("last error %q", s.Stats().LastError)
	}
}

// logged counts the records of a log.
type logged struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Message)
	return nil
}

func (l *logged) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// TestMasterAway: attempts go on, are told once, and may be cancelled.
func TestMasterAway(t *testing.T) {
	m, o := newMaster(t, "unix", newTable(1))
	dials := atomic.Int32{}
	o.Dial = func(ctx context.Context) (net.Conn, error) {
		if dials.Add(1) < 5 {
			return nil, errBroken
		}
		return net.Dial(m.Network(), m.Address())
	}
	log := &logged{}
	o.Log = slog.New(log)
	s := serve(t, o)
	if n := log.count("no session"); n != 1 {
		t.Errorf("%d lines of log, want 1", n)
	}
	if st := s.Stats(); !strings.Contains(st.LastError, "snmpd") || st.LastErrorTime.IsZero() {
		t.Errorf("stats %+v", st)
	}
}

// TestRegistrationRefused: a stale registration of a killed subagent goes away
// with time.
func TestRegistrationRefused(t *testing.T) {
	m, o := newMaster(t, "unix", newTable(1))
	log := &logged{}
	o.Log = slog.New(log)
	tries := atomic.Int32{}
	m.Answer(func(_ agentx.Header, p agentx.PDU) *agentx.ResponsePDU {
		if _, ok := p.(*agentx.RegisterPDU); ok && tries.Add(1) <= 5 {
			return &agentx.ResponsePDU{Error: agentx.DuplicateRegistration}
		}
		return nil
	})
	s := serve(t, o)
	if tries.Load() != 6 || log.count("is refused") != 1 || log.count("after all") != 1 || s.Stats().Connects != 1 {
		t.Errorf("%d tries, %d lines of log, stats %+v", tries.Load(), log.count("registration"), s.Stats())
	}
}

// TestOpenRefused: so is a refused Open.
func TestOpenRefused(t *testing.T) {
	m, o := newMaster(t, "unix", newTable(1))
	tries := atomic.Int32{}
	m.Answer(func(_ agentx.Header, p agentx.PDU) *agentx.ResponsePDU {
		if _, ok := p.(*agentx.OpenPDU); ok && tries.Add(1) == 1 {
			return &agentx.ResponsePDU{Error: agentx.OpenFailed}
		}
		return nil
	})
	s := serve(t, o)
	if tries.Load() != 2 || !strings.Contains(s.Stats().LastError, "openFailed") {
		t.Errorf("%d tries, stats %+v", tries.Load(), s.Stats())
	}
}

// TestGarbage: what is no AgentX ends the session, and the next one works.
func TestGarbage(t *testing.T) {
	mib := newTable(10)
	sub, s, m := connected(t, "unix", mib)
	header := func(change func(b []byte)) []byte {
		b, err := sub.Packet(0, &agentx.PingPDU{})
		must(t, err)
		change(b)
		return b
	}
	for i, garbage := range [][]byte{
		[]byte("GET / HTTP/1.0\r\n\r\n      "),
		bytes.Repeat([]byte{0xff}, 1000),
		make([]byte, 20),
		header(func(b []byte) { b[0] = 2 }),
		header(func(b []byte) { b[16] = 3 }),
		header(func(b []byte) { binary.LittleEndian.PutUint32(b[16:], 1<<20) }),
		header(func(b []byte) { binary.LittleEndian.PutUint32(b[16:], 1<<32-4) }),
		header(func(b []byte) { b[1] = byte(agentx.TypeResponse) }), // a Response too short to be one
	} {
		must(t, sub.Send(garbage))
		<-sub.Lost()
		sub = subagent(t, m)
		vbs, err := sub.Get(limited(t), "", mib.rows[0].Name)
		must(t, err)
		sameVarbinds(t, vbs, mib.rows[:1])
		if st := s.Stats(); st.ProtocolErrors != uint64(i+1) || st.Reconnects() != uint64(i+1) {
			t.Errorf("garbage %d: stats %+v", i, st)
		}
	}
	// The end of the connection within a PDU is no different.
	must(t, sub.Send(header(func([]byte) {})[:10]))
	sub.Drop()
	<-sub.Lost()
	_, err := subagent(t, m).Get(limited(t), "", root)
	must(t, err)
}

// TestMisplaced: a PDU that can be skipped does not end the session.
func TestMisplaced(t *testing.T) {
	mib := newTable(10)
	sub, s, _ := connected(t, "unix", mib)
	ctx := limited(t)
	for i, c := range []struct {
		want   agentx.ErrorCode
		pdu    agentx.PDU
		change func(b []byte)
	}{
		{agentx.ParseError, &agentx.PingPDU{}, func(b []byte) { b[1] = 19 }},
		{agentx.ParseError, &agentx.PingPDU{}, func(b []byte) { b[1] = 0 }},
		{agentx.ParseError, &agentx.GetPDU{Ranges: []agentx.SearchRange{{Start: root}}}, func(b []byte) { b[20] = 255 }},
		{agentx.ParseError, &agentx.GetBulkPDU{}, func(b []byte) { b[1] = byte(agentx.TypeGet) }},
		{agentx.ProcessingError, &agentx.RegisterPDU{}, func([]byte) {}},
		{agentx.NotOpen, &agentx.GetPDU{}, func(b []byte) { b[4]++ }},
	} {
		packet, err := sub.Packet(7, c.pdu)
		must(t, err)
		c.change(packet)
		r, err := sub.Exchange(ctx, packet)
		must(t, err)
		if r.Error != c.want {
			t.Errorf("case %d: %s, want %s", i, r.Error, c.want)
		}
	}
	r, err := sub.Request(ctx, 0, &agentx.PingPDU{})
	must(t, err)
	if r.Error != 0 {
		t.Errorf("Ping: %s", r.Error)
	}
	if st := s.Stats(); st.ProtocolErrors != 6 || st.Connects != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestNotify(t *testing.T) {
	sub, s, m := connected(t, "unix", newTable(10))
	ctx := limited(t)
	uptime := smi.Varbind{Name: smi.MustParseOID("1.3.6.1.2.1.1.3.0"), Value: smi.TimeTicks(1)}
	for _, vbs := range [][]smi.Varbind{nil, {uptime}, {first, trap[0]}, {uptime, first, trap[0]}} {
		if err := s.Notify(ctx, "", vbs); err == nil {
			t.Errorf("notification %v is sent", vbs)
		}
	}
	must(t, s.Notify(ctx, "", append(trap[:1:1], first)))
	must(t, s.Notify(ctx, "c", []smi.Varbind{uptime, trap[0]}))
	sent := sub.Requests()[2:]
	if len(sent) != 2 || sent[1].(*agentx.NotifyPDU).Context != "c" {
		t.Fatalf("requests %+v", sent)
	}
	sameVarbinds(t, sent[0].(*agentx.NotifyPDU).Varbinds, append(trap[:1:1], first))
	if got := s.Stats().Notifications; got != 2 {
		t.Errorf("%d notifications", got)
	}

	m.Answer(func(agentx.Header, agentx.PDU) *agentx.ResponsePDU {
		return &agentx.ResponsePDU{Error: agentx.ProcessingError, Index: 1}
	})
	if err := s.Notify(ctx, "", trap); !isRefusal(err, agentx.ProcessingError) {
		t.Errorf("refused: %v", err)
	}
	m.Answer(func(agentx.Header, agentx.PDU) *agentx.ResponsePDU { return agentxtest.Silence })
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := s.Notify(short, "", trap); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
	failed := make(chan error)
	go func() { failed <- s.Notify(ctx, "", trap) }()
	sub.Drop()
	if err := <-failed; !errors.Is(err, agentx.ErrNotConnected) && err == nil {
		t.Errorf("lost: %v", err)
	}
	if err := agentx.New(agentx.Options{}).Notify(ctx, "", trap); !errors.Is(err, agentx.ErrNotConnected) {
		t.Errorf("not connected: %v", err)
	}
}

func TestNotifyMany(t *testing.T) {
	mib := newTable(100)
	sub, s, _ := connected(t, "unix", mib)
	ctx := limited(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if err := s.Notify(ctx, "", trap); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		_, err := sub.Walk(ctx, "", root)
		must(t, err)
	}
	wg.Wait()
	if st := s.Stats(); st.Notifications != 400 || st.ProtocolErrors != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestRegisterLater(t *testing.T) {
	m, o := newMaster(t, "unix", newTable(10))
	s := agentx.New(o)
	ctx := limited(t)
	extra := agentx.Registration{Subtree: root.Successor()}
	must(t, s.Register(ctx, extra)) // before Run
	run, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- s.Run(run) }()
	defer func() { cancel(); must(t, <-done) }()
	waitFor(t, s, agentx.Serving)
	sub := subagent(t, m)
	more := agentx.Registration{Subtree: root.Successor().Successor(), Priority: 9}
	must(t, s.Register(ctx, more))
	check := func(want int) {
		t.Helper()
		if rs := sub.Registrations(); len(rs) != want {
			t.Errorf("%d registrations, want %d", len(rs), want)
		}
	}
	check(3)
	if err := s.Register(ctx, agentx.Registration{}); err == nil {
		t.Error("an empty registration is accepted")
	}
	must(t, s.Unregister(ctx, extra))
	check(2)
	if err := s.Unregister(ctx, extra); !isRefusal(err, agentx.UnknownRegistration) {
		t.Errorf("second Unregister: %v", err)
	}
	m.Answer(func(_ agentx.Header, p agentx.PDU) *agentx.ResponsePDU {
		if p, ok := p.(*agentx.RegisterPDU); ok && p.Subtree.Equal(extra.Subtree) {
			return &agentx.ResponsePDU{Error: agentx.RequestDenied}
		}
		return nil
	})
	if err := s.Register(ctx, extra); !isRefusal(err, agentx.RequestDenied) {
		t.Errorf("Register: %v", err)
	}
	sub.Drop()
	<-sub.Lost()
	sub = subagent(t, m)
	waitFor(t, s, agentx.Serving)
	check(2)
}

func TestOwnRequests(t *testing.T) {
	sub, s, m := connected(t, "unix", newTable(10))
	ctx := limited(t)
	must(t, s.Ping(ctx, "c"))
	must(t, s.AddAgentCaps(ctx, agentx.Capability{Context: "c", ID: root, Description: "d"}))
	must(t, s.AddAgentCaps(ctx, agentx.Capability{ID: root, Description: "stays"}))
	must(t, s.RemoveAgentCaps(ctx, "c", root))
	for _, mode := range []agentx.IndexMode{agentx.IndexExact, agentx.IndexNew, agentx.IndexAny} {
		vbs, err := s.IndexAllocate(ctx, "", mode, index)
		must(t, err)
		sameVarbinds(t, vbs, index)
	}
	must(t, s.IndexDeallocate(ctx, "c", index))
	var got []string
	for _, p := range sub.Requests()[2:] {
		if a, ok := p.(*agentx.IndexAllocatePDU); ok {
			got = append(got, fmt.Sprintf("IndexAllocate %t %t", a.New, a.Any))
			continue
		}
		got = append(got, p.Type().String())
	}
	want := "Ping AddAgentCaps AddAgentCaps RemoveAgentCaps IndexAllocate false false IndexAllocate true false IndexAllocate false true IndexDeallocate"
	if strings.Join(got, " ") != want {
		t.Errorf("requests %s, want %s", got, want)
	}
	sub.Drop()
	<-sub.Lost()
	sub = subagent(t, m)
	if caps, ok := sub.Requests()[1].(*agentx.AddAgentCapsPDU); !ok || caps.Description != "stays" {
		t.Errorf("requests after the reconnection %+v", sub.Requests())
	}
}

// TestKeepalive: a master that hangs is left, one that is idle or whose
// manager waits for a slow SET is not.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mib := newTable(10)
		m, o := newMaster(t, "pipe", mib)
		o.Keepalive, o.RequestTimeout = 20*time.Millisecond, 500*time.Millisecond
		pings := atomic.Int32{}
		hang := atomic.Bool{}
		m.Answer(func(_ agentx.Header, p agentx.PDU) *agentx.ResponsePDU {
			if _, ok := p.(*agentx.PingPDU); ok {
				pings.Add(1)
				if hang.Load() {
					return agentxtest.Silence
				}
			}
			return nil
		})
		s := serve(t, o)
		sub := subagent(t, m)
		eventually(t, time.Minute, func() error {
			if pings.Load() < 3 {
				return errors.New("no pings")
			}
			return nil
		})
		mib.let(func(t *table) { t.commitDelay = 2 * o.RequestTimeout })
		must(t, sub.Set(limited(t), "", first))
		if s.Stats().Connects != 1 {
			t.Errorf("the session was given up while the master was well: %+v", s.Stats())
		}
		hang.Store(true)
		<-sub.Lost()
		hang.Store(false)
		subagent(t, m)
		eventually(t, time.Minute, func() error {
			if st := s.Stats(); st.Reconnects() == 0 || !strings.Contains(st.LastError, "does not answer") {
				return fmt.Errorf("stats %+v", st)
			}
			return nil
		})
	})
}

func TestNames(t *testing.T) {
	for got, want := range map[fmt.Stringer]string{
		agentx.Serving: "serving", agentx.State(99): "state 99",
		agentx.TypeGetBulk: "GetBulk", agentx.Type(99): "PDU type 99",
		agentx.ReasonTimeouts: "reasonTimeouts", agentx.CloseReason(0): "reason 0", agentx.CloseReason(99): "reason 99",
		agentx.ProcessingError: "processingError", agentx.ErrorCode(5): "genErr", agentx.ErrorCode(999): "error status 999",
	} {
		if got.String() != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
