package agentxtest_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/agentxtest"
	"github.com/lcms-project/lcms/agentx/smi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var root = smi.MustParseOID("1.3.6.1.4.1.8072.9999.9999.7002")

// raw is a subagent made by hand, to answer what no Session would.
type raw struct {
	net.Conn
	t *testing.T
}

// exchange sends a request and returns the Response.
func (r raw) exchange(session uint32, p agentx.PDU) (agentx.Header, *agentx.ResponsePDU) {
	r.t.Helper()
	b, err := agentx.Append(nil, agentx.Header{SessionID: session, PacketID: 9}, p)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
	h, p := r.read()
	response, ok := p.(*agentx.ResponsePDU)
	if !ok || h.PacketID != 9 {
		r.t.Fatalf("answer %+v %+v", h, p)
	}
	return h, response
}

func (r raw) read() (agentx.Header, agentx.PDU) {
	r.t.Helper()
	b := make([]byte, 4096) // one packet, as nothing else is sent meanwhile
	n, err := r.Read(b)
	if err != nil {
		r.t.Fatal(err)
	}
	h, p, err := agentx.Parse(b[:n])
	if err != nil {
		r.t.Fatal(err)
	}
	return h, p
}

// open makes a session with one registration.
func open(t *testing.T) (raw, *agentxtest.Subagent) {
	t.Helper()
	m, err := agentxtest.Listen("unix", filepath.Join(t.TempDir(), "m"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	c, err := net.Dial(m.Network(), m.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r := raw{c, t}
	h, response := r.exchange(0, &agentx.OpenPDU{ID: root})
	if response.Error != 0 || h.SessionID == 0 {
		t.Fatalf("Open: %+v %+v", h, response)
	}
	if _, wrong := r.exchange(h.SessionID+1, &agentx.PingPDU{}); wrong.Error != agentx.NotOpen {
		t.Errorf("wrong session: %s", wrong.Error)
	}
	if _, unknown := r.exchange(h.SessionID, &agentx.UnregisterPDU{Subtree: root}); unknown.Error != agentx.UnknownRegistration {
		t.Errorf("Unregister of nothing: %s", unknown.Error)
	}
	if _, response = r.exchange(h.SessionID, &agentx.RegisterPDU{Subtree: root}); response.Error != 0 {
		t.Fatalf("Register: %+v", response)
	}
	s, err := m.Subagent(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// answer reads one request and answers it with vbs.
func (r raw) answer(vbs ...smi.Varbind) {
	h, _ := r.read()
	b, err := agentx.Append(nil, h, &agentx.ResponsePDU{Varbinds: vbs})
	if err == nil {
		_, err = r.Write(b)
	}
	if err != nil {
		r.t.Error(err)
	}
}

// TestWalkFinds: a subagent that answers wrongly is found out.
func TestWalkFinds(t *testing.T) {
	for want, vbs := range map[string][]smi.Varbind{
		"2 varbinds":       {{Name: root, Value: smi.Null()}, {Name: root, Value: smi.Null()}},
		"outside":          {{Name: root.Successor(), Value: smi.Null()}},
		"gives":            {{Name: root.Child(1), Value: smi.NoSuchObject()}},
		"does not ascend":  {{Name: root.Child(1), Value: smi.Null()}},
		"answered with 0 ": {},
	} {
		r, s := open(t)
		done := make(chan error)
		go func() {
			_, err := s.Walk(limited(t), "", root)
			done <- err
		}()
		r.answer(vbs...)
		if want == "does not ascend" {
			r.answer(vbs...)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestLost(t *testing.T) {
	r, s := open(t)
	if s.Err() != nil {
		t.Error(s.Err())
	}
	done := make(chan error)
	go func() {
		_, err := s.Get(limited(t), "", root)
		done <- err
	}()
	r.read()
	r.Close()
	if err := <-done; !errors.Is(err, agentxtest.ErrLost) {
		t.Errorf("Get: %v", err)
	}
	<-s.Lost()
	if s.Err() == nil {
		t.Error("no reason for the loss")
	}
}

func TestNoSubagent(t *testing.T) {
	m := agentxtest.New()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := m.Subagent(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Subagent: %v", err)
	}
	m.Close()
	if _, err := m.Dial(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial: %v", err)
	}
}
