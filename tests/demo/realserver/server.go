package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/snmp/snmptest"
)

// slowness is how much longer the work takes on a slow server.
const slowness = 4

// The objects that the monitor asks for, of SNMPv2-MIB and UCD-SNMP-MIB. Times are
// in hundredths of a second.
var (
	sysDescr     = snmp.MustOID("1.3.6.1.2.1.1.1.0")
	sysUpTime    = snmp.MustOID("1.3.6.1.2.1.1.3.0")
	ssCpuRawUser = snmp.MustOID("1.3.6.1.4.1.2021.11.50.0")
	ssCpuRawIdle = snmp.MustOID("1.3.6.1.4.1.2021.11.53.0")
)

// worker does one piece of work after another, as a machine with one processor
// does. Its work is to wait, so that a demonstration leaves the machine in peace.
type worker struct {
	takes time.Duration
	slow  atomic.Bool
	free  chan struct{} // has one element while nothing is done

	mu   sync.Mutex
	busy time.Duration // in all
}

func newWorker(takes time.Duration) *worker {
	w := &worker{takes: takes, free: make(chan struct{}, 1)}
	w.free <- struct{}{}
	return w
}

// do does a piece of work when its turn comes; false if nobody waits any more.
func (w *worker) do(ctx context.Context) bool {
	select {
	case <-w.free:
	case <-ctx.Done():
		return false
	}
	takes := w.takes
	if w.slow.Load() {
		takes *= slowness
	}
	time.Sleep(takes)
	w.mu.Lock()
	w.busy += takes
	w.mu.Unlock()
	w.free <- struct{}{}
	return true
}

func (w *worker) worked() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

// serve is a real server until the context ends.
func serve(ctx context.Context, at netip.AddrPort, name string, takes time.Duration) error {
	listener, agent, err := listen(at)
	if err != nil {
		return err
	}
	defer agent.Close()
	w := newWorker(takes)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ready\n") })
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		if w.do(r.Context()) {
			_, _ = io.WriteString(rw, name+"\n")
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer server.Close()
	fmt.Println(agent.Address)

	turns := make(chan os.Signal, 1)
	signal.Notify(turns, syscall.SIGUSR1)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for start := time.Now(); ; {
		tell(agent, name, time.Since(start), w.worked())
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-turns:
			w.slow.Store(!w.slow.Load())
		case <-ticker.C:
		}
	}
}

// tell has the agent say how long the server has been there and busy.
func tell(agent *snmptest.Agent, name string, there, busy time.Duration) {
	ticks := func(d time.Duration) uint64 { return uint64(max(0, d) / (10 * time.Millisecond) % (1 << 32)) }
	agent.Serve(
		snmp.Varbind{Name: sysDescr, Value: snmp.Text("Demonstration of LCMS: " + name)},
		snmp.Varbind{Name: sysUpTime, Value: snmp.Value{Type: snmp.TypeTimeTicks, Num: ticks(there)}},
		snmp.Varbind{Name: ssCpuRawUser, Value: snmp.Value{Type: snmp.TypeCounter32, Num: ticks(busy)}},
		snmp.Varbind{Name: ssCpuRawIdle, Value: snmp.Value{Type: snmp.TypeCounter32, Num: ticks(there - busy)}})
}

// listen opens the same port of TCP and UDP: the one that is wanted, or else any
// that is free for both.
func listen(at netip.AddrPort) (net.Listener, *snmptest.Agent, error) {
	for attempt := 0; ; attempt++ {
		l, err := net.Listen("tcp4", at.String())
		if err == nil {
			port := l.Addr().(*net.TCPAddr).AddrPort()
			var agent *snmptest.Agent
			if agent, err = snmptest.Listen(port, community); err == nil {
				return l, agent, nil
			}
			l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) || attempt == 20 {
			return nil, nil, err
		}
		at = netip.AddrPortFrom(at.Addr(), 0)
	}
}
