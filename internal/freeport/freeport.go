// Package freeport finds ports of the loopback address for the daemons that tests
// start. A port is for one daemon from the moment it is given out, also while that
// is not yet or no longer there:
//
//   - It lies below those that Linux gives to clients (ip_local_port_range), of which
//     any connection on the machine may take one at any time.
//   - It is given to no other test until the process ends that asked for it, also not
//     by tests of another package that run at the same time.
package freeport

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"

	"github.com/lcms-project/lcms/internal/claim"
)

// TB is what is needed of a test.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// TCP returns a TCP port of 127.0.0.1 on which nobody listens.
func TCP(t TB) int {
	t.Helper()
	return find(t, "tcp", func(address string) (io.Closer, error) { return net.Listen("tcp", address) })
}

// UDP returns a UDP port of 127.0.0.1 on which nobody listens.
func UDP(t TB) int {
	t.Helper()
	return find(t, "udp", func(address string) (io.Closer, error) { return net.ListenPacket("udp", address) })
}

// The range is free of clients' ports, and of well-known services.
const (
	first = 10000
	count = 20000
)

// find returns a port that can be had by the protocol and is nobody else's.
func find(t TB, protocol string, listen func(address string) (io.Closer, error)) int {
	t.Helper()
	for range count {
		port := first + rand.IntN(count)
		err := claim.Name(nameOf(protocol, port))
		if err == nil {
			var c io.Closer
			if c, err = listen(fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				err = c.Close()
			}
		}
		switch {
		case err == nil:
			return port
		case !errors.Is(err, syscall.EADDRINUSE):
			t.Fatalf("%v", err)
		}
	}
	t.Fatalf("no %s port from %d to %d is free", protocol, first, first+count-1)
	return 0
}

func nameOf(protocol string, port int) string { return fmt.Sprintf("%s-%d", protocol, port) }
