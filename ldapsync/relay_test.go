package ldapsync

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

// relay stands between a client and a server and sees every message.
type relay struct {
	l  net.Listener
	to string

	mu sync.Mutex
	// request is called before a message goes to the server, answer before one
	// goes to the client. A message is passed on as what they return; nil cuts the
	// connection.
	request, answer func(*ber.Packet) []byte
}

func newRelay(t *testing.T, s *ldaptest.Server) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{l: l, to: strings.TrimPrefix(s.URI(), "ldap://")}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", r.to)
			if err != nil {
				_ = near.Close()
				continue
			}
			end := func() { _ = near.Close(); _ = far.Close() }
			go r.pass(far, near, func() func(*ber.Packet) []byte { return r.request }, end)
			go r.pass(near, far, func() func(*ber.Packet) []byte { return r.answer }, end)
		}
	}()
	return r
}

func (r *relay) pass(to io.Writer, from io.Reader, hook func() func(*ber.Packet) []byte, end func()) {
	defer end()
	for {
		p, err := ber.ReadPacket(from)
		if err != nil {
			return
		}
		b := p.Bytes()
		r.mu.Lock()
		h := hook()
		r.mu.Unlock()
		if h != nil {
			b = h(p)
		}
		if b == nil {
			return
		}
		if _, err := to.Write(b); err != nil {
			return
		}
	}
}

// hook sets what is called from now on.
func (r *relay) hook(request, answer func(*ber.Packet) []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.request, r.answer = request, answer
}

func (r *relay) URI() string { return "ldap://" + r.l.Addr().String() }

// withoutTransactions hides from the writer that the server knows transactions.
func (s *site) withoutTransactions() {
	s.Helper()
	r := newRelay(s.T, s.Server)
	r.hook(nil, func(p *ber.Packet) []byte {
		return bytes.ReplaceAll(p.Bytes(), []byte("1.3.6.1.1.21."), []byte("1.3.6.1.1.99."))
	})
	o := optionsFor(s.Server)
	o.URIs = []string{r.URI()}
	s.Writer = newWriter(s.T, s.Server, o, "lb1")
}
