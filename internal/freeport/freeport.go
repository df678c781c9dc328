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
	"math/rand/v2"
	"net"
	"syscall"
)

// TB is what is needed of a test.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// TCP returns a TCP port of 127.0.0.1 on which nobody listens.
func TCP(t TB) int {
	t.Helper()
	return find(t, "tcp", func(port int) error {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback, Port: port})
		if err != nil {
			return err
		}
		return l.Close()
	})
}

// UDP returns a UDP port of 127.0.0.1 on which nobody listens.
func UDP(t TB) int {
	t.Helper()
	return find(t, "udp", func(port int) error {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback, Port: port})
		if err != nil {
			return err
		}
		return c.Close()
	})
}

var loopback = net.IPv4(127, 0, 0, 1)

// The range is free of clients' ports, and of well-known services.
const (
	first = 10000
	count = 20000
)

// find returns a port that can be had by the protocol and is nobody else's.
func find(t TB, protocol string, try func(port int) error) int {
	t.Helper()
	for range count {
		port := first + rand.IntN(count)
		err := reserve(protocol, port)
		if err == nil {
			err = try(port)
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

// reserve makes a port this process's. What says so is a name that the kernel gives to
// one process of the network namespace and takes back when that ends.
func reserve(protocol string, port int) error {
	name := fmt.Sprintf("@lcms-test-%s-%d", protocol, port)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}); err != nil {
		syscall.Close(fd)
		return err
	}
	return nil // fd stays open
}
