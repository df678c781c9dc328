package agentx_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/agentxtest"
	"github.com/lcms-project/lcms/agentx/smi"
)

// newMaster starts a master in the process on a socket, or for pipes if
// network is "pipe", and returns Options that reach it.
func newMaster(t testing.TB, network string, h agentx.Handler) (*agentxtest.Master, agentx.Options) {
	t.Helper()
	o := agentx.Options{
		ID: root, Description: "test", Handler: h, Registrations: []agentx.Registration{{Subtree: root}},
		MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
	}
	var m *agentxtest.Master
	var err error
	switch network {
	case "pipe":
		m = agentxtest.New()
		o.Dial = m.Dial
	case "unix":
		m, err = agentxtest.Listen(network, filepath.Join(t.TempDir(), "m"))
	default:
		m, err = agentxtest.Listen(network, "127.0.0.1:0")
	}
	must(t, err)
	if o.Dial == nil {
		o.Network, o.Address = m.Network(), m.Address()
	}
	t.Cleanup(m.Close)
	return m, o
}

// connected starts a master and a session that serves h.
func connected(t testing.TB, network string, h agentx.Handler) (*agentxtest.Subagent, *agentx.Session, *agentxtest.Master) {
	t.Helper()
	m, o := newMaster(t, network, h)
	s := serve(t, o)
	return subagent(t, m), s, m
}

func subagent(t testing.TB, m *agentxtest.Master) *agentxtest.Subagent {
	t.Helper()
	sub, err := m.Subagent(limited(t))
	must(t, err)
	return sub
}

// limited bounds a wait that would otherwise hang the test.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// sameVarbinds compares what was answered with what was expected.
func sameVarbinds(t testing.TB, got, want []smi.Varbind) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d varbinds %v, want %d %v", len(got), got, len(want), want)
	}
	for i := range got {
		if !got[i].Name.Equal(want[i].Name) || !got[i].Value.Equal(want[i].Value) {
			t.Errorf("varbind %d is %s, want %s", i+1, got[i], want[i])
		}
	}
}
