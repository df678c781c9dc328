//go:build lab

package traffic

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/lab"
)

// connection is one of the client that stays open.
type connection struct {
	net.Conn
	r *bufio.Reader
}

// connect opens a connection from the client's network namespace, in which it
// stays.
func connect(t *testing.T, network, address string) *connection {
	t.Helper()
	var c net.Conn
	err := lab.Within("client", func() (err error) {
		c, err = net.DialTimeout(network, address, time.Minute)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &connection{Conn: c, r: bufio.NewReader(c)}
}

// hold opens connections until there is one to a server of that name, which it
// returns.
func hold(t *testing.T, network, address, name string) *connection {
	t.Helper()
	seen := make(shares)
	for range 12 {
		c := connect(t, network, address)
		got := c.name(t)
		if got == name {
			return c
		}
		c.Close()
		seen[got]++
	}
	t.Fatalf("no connection reaches %s, but %v", name, seen)
	return nil
}

// name asks who is at the other end: by HTTP, or by a datagram.
func (c *connection) name(t *testing.T) string {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: lab\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if c.RemoteAddr().Network() == "udp" {
		b := make([]byte, 2048)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
