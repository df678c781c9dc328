package freeport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lcms-project/lcms/internal/claim"
)

// TestMain hands out a port as the tests of another package would.
func TestMain(m *testing.M) {
	if port := os.Getenv("FREEPORT_RESERVE"); port != "" {
		n, _ := strconv.Atoi(port)
		if err := claim.Name(nameOf("tcp", n)); errors.Is(err, syscall.EADDRINUSE) {
			fmt.Println("taken")
		} else {
			fmt.Println("got it:", err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPortIsGivenOutOnce(t *testing.T) {
	for name, get := range map[string]func(TB) int{"tcp": TCP, "udp": UDP} {
		given := map[int]bool{}
		for range 500 {
			port := get(t)
			if given[port] {
				t.Fatalf("%s port %d was given out twice", name, port)
			}
			if port >= 32768 {
				t.Fatalf("%s port %d is one of those that Linux gives to clients", name, port)
			}
			given[port] = true
		}
	}
}

// A port is not another process's while its daemon is away.
func TestPortIsNotGivenToOthers(t *testing.T) {
	port := TCP(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("FREEPORT_RESERVE=%d", port))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "taken" {
		t.Fatalf("another process says of port %d: %s, %v", port, out, err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("its owner cannot have it: %v", err)
	}
	l.Close()
}
