//go:build lab

package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/internal/ipvs"
	"github.com/lcms-project/lcms/internal/ipvs/ipvstest"
	"github.com/lcms-project/lcms/internal/lvs"
)

// TestWithoutModule comes first: no other test may have loaded the module.
func TestWithoutModule(t *testing.T) {
	loader := loadBy(t, "/bin/false")
	k := open(t, "")
	_, err := k.Read(t.Context())
	if !errors.Is(err, lvs.ErrNotFound) || !strings.Contains(err.Error(), "modprobe ip_vs") {
		t.Errorf("%v", err)
	}
	loadBy(t, loader)
	// The kernel loads the module itself when it is asked for the family.
	if _, err := k.Read(t.Context()); err != nil {
		t.Errorf("after the module can be loaded: %v", err)
	}
	// Unloaded and loaded again, the family has another number.
	run(t, "modprobe", "-r", "ip_vs")
	run(t, "modprobe", "ip_vs")
	if err := k.Apply(t.Context(), lvs.Op{Do: lvs.AddService, Service: &lvs.ServiceSpec{Key: key(t, "fwm4:1"), Scheduler: "rr"}}); err != nil {
		t.Errorf("after the module was loaded anew: %v", err)
	}
	if err := k.Apply(t.Context(), lvs.Op{Do: lvs.DeleteService, Service: &lvs.ServiceSpec{Key: key(t, "fwm4:1")}}); err != nil {
		t.Error(err)
	}
}

// loadBy has the kernel load modules by a program, and returns which it was before.
func loadBy(t *testing.T, program string) (before string) {
	t.Helper()
	const modprobe = "/proc/sys/kernel/modprobe"
	b, err := os.ReadFile(modprobe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(modprobe, []byte(program), 0); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// TestSlowModule has the kernel wait long for the module of a scheduler.
func TestSlowModule(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "modprobe")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\nsleep 2\nexec modprobe \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	loader := loadBy(t, slow)
	defer loadBy(t, loader)
	k := open(t, namespace(t))
	service := lvs.ServiceSpec{Key: key(t, "fwm4:1"), Scheduler: "nq", PersistenceNetmask: 32}
	if err := k.Apply(t.Context(), lvs.Op{Do: lvs.AddService, Service: new(service)}); err != nil {
		t.Error(err)
	}
	a, err := k.Read(t.Context())
	if err != nil || len(a.Services) != 1 || a.Services[0].ServiceSpec != service {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestConformance(t *testing.T) {
	ipvstest.Run(t, func(t *testing.T) ipvstest.Kernel { return open(t, namespace(t)) })
}

func TestWithoutCapability(t *testing.T) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is spoilt
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- err
			return
		}
		_, err := ipvs.New(ipvs.Options{}).Read(t.Context())
		done <- err
	}()
	if err := <-done; !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("%v", err)
	}
}

func TestNamespaceThatIsGone(t *testing.T) {
	k := open(t, "/run/netns/lab-gone")
	absent := func() {
		t.Helper()
		if _, err := k.Read(t.Context()); !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), "ip netns add") {
			t.Errorf("%v", err)
		}
	}
	service := lvs.Op{Do: lvs.AddService, Service: &lvs.ServiceSpec{Key: key(t, "fwm4:1"), Scheduler: "rr"}}
	absent()
	for range 2 {
		run(t, "ip", "netns", "add", "lab-gone")
		if err := k.Apply(t.Context(), service); err != nil {
			t.Errorf("in a namespace that is new: %v", err)
		}
		run(t, "ip", "netns", "del", "lab-gone")
		absent()
	}
	if a, err := open(t, "").Read(t.Context()); err != nil || len(a.Services) != 0 {
		t.Errorf("the process's own namespace has %+v, %v", a, err)
	}
	if _, err := ipvs.New(ipvs.Options{Netns: "/etc/hosts"}).Read(t.Context()); !errors.Is(err, lvs.ErrUnavailable) {
		t.Errorf("a path that is no namespace: %v", err)
	}
}

// TestIpvsadm compares with the kernel's own tool, both ways.
func TestIpvsadm(t *testing.T) {
	netns := namespace(t)
	name := strings.TrimPrefix(netns, "/run/netns/")
	ipvsadm := func(args string) string {
		return run(t, "ip", append([]string{"netns", "exec", name, "ipvsadm"}, strings.Fields(args)...)...)
	}
	const saved = `-A -t 192.0.2.1:443 -s mh -p 600 -M 255.255.255.0 -b mh-fallback,mh-port
-a -t 192.0.2.1:443 -r 10.0.0.11:443 -g -w 256
-a -t 192.0.2.1:443 -r 10.0.0.12:443 -i -w 65535 -x 500 -y 400 --tun-type gue --tun-port 6080 --tun-nocsum
-A -t [2001:db8::1]:80 -s wlc
-a -t [2001:db8::1]:80 -r 10.0.0.11:80 -i -w 1 --tun-type ipip
-A -u 192.0.2.1:5060 -s rr -p 60 --pe sip
-A -u 192.0.2.1:53 -s rr -o
-A -f 7 -s sed
-A -f 7 -6 -s nq -p 5 -M 64
`
	want := []lvs.ActualService{
		{ServiceSpec: lvs.ServiceSpec{Key: key(t, "tcp:192.0.2.1:443"), Scheduler: "mh", SchedulerFlags: 3, PersistenceTimeout: 600, PersistenceNetmask: 24},
			Servers: []lvs.ActualServer{
				{ServerSpec: lvs.ServerSpec{Key: server(t, "10.0.0.11:443"), Forwarding: lvs.DirectRoute, Weight: 256}},
				{ServerSpec: lvs.ServerSpec{Key: server(t, "10.0.0.12:443"), Forwarding: lvs.Tunnel, Weight: 65535, UpperThreshold: 500, LowerThreshold: 400, TunnelType: lvs.GUE, TunnelPort: 6080}},
			}},
		{ServiceSpec: lvs.ServiceSpec{Key: key(t, "tcp:[2001:db8::1]:80"), Scheduler: "wlc", PersistenceNetmask: 128},
			Servers: []lvs.ActualServer{{ServerSpec: lvs.ServerSpec{Key: server(t, "10.0.0.11:80"), Forwarding: lvs.Tunnel, Weight: 1}}}},
		{ServiceSpec: lvs.ServiceSpec{Key: key(t, "udp:192.0.2.1:5060"), Scheduler: "rr", PersistenceTimeout: 60, PersistenceNetmask: 32, PersistenceEngine: "sip"}},
		{ServiceSpec: lvs.ServiceSpec{Key: key(t, "udp:192.0.2.1:53"), Scheduler: "rr", OnePacket: true, PersistenceNetmask: 32}},
		{ServiceSpec: lvs.ServiceSpec{Key: key(t, "fwm4:7"), Scheduler: "sed", PersistenceNetmask: 32}},
		{ServiceSpec: lvs.ServiceSpec{Key: key(t, "fwm6:7"), Scheduler: "nq", PersistenceTimeout: 5, PersistenceNetmask: 64}},
	}
	// What the tool made is read as it is meant.
	for line := range strings.Lines(saved) {
		ipvsadm(line)
	}
	k := open(t, netns)
	a, err := k.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := make(map[lvs.ServiceKey]lvs.ActualService)
	for _, s := range a.Services {
		held[s.Key] = *s
	}
	if len(held) != len(want) {
		t.Errorf("%d services, want %d", len(held), len(want))
	}
	for _, w := range want {
		h := held[w.Key]
		if h.ServiceSpec != w.ServiceSpec || len(h.Servers) != len(w.Servers) {
			t.Errorf("read %+v, want %+v", h, w)
		}
		for _, ws := range w.Servers {
			found := false
			for _, hs := range h.Servers {
				found = found || hs.ServerSpec == ws.ServerSpec
			}
			if !found {
				t.Errorf("read %+v, want among them %+v", h.Servers, ws)
			}
		}
	}
	// What is made of the reading is what the tool would have made.
	before := ipvsadm("-Sn")
	ipvsadm("-C")
	for _, w := range want {
		if err := k.Apply(t.Context(), lvs.Op{Do: lvs.AddService, Service: new(w.ServiceSpec)}); err != nil {
			t.Fatal(err)
		}
		for _, s := range w.Servers {
			if err := k.Apply(t.Context(), lvs.Op{Do: lvs.AddServer, Service: new(w.ServiceSpec), Server: new(s.ServerSpec)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := ipvsadm("-Sn"); after != before {
		t.Errorf("the tool lists\n%s\nafter what it made was\n%s", after, before)
	}
	// Persistence that no specification expresses is no reading of another.
	ipvsadm("-C")
	ipvsadm("-A -t 192.0.2.1:80 -s rr -p 60 -M 255.0.255.0")
	if a, err = k.Read(t.Context()); err != nil || len(a.Services) != 1 || a.Services[0].PersistenceNetmask != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestCounters sends traffic through a service and compares with ipvsadm.
func TestCounters(t *testing.T) {
	netns := namespace(t)
	name := strings.TrimPrefix(netns, "/run/netns/")
	k := open(t, netns)
	service := lvs.ServiceSpec{Key: key(t, "udp:198.51.100.1:5300"), Scheduler: "rr"}
	for _, op := range []lvs.Op{
		{Do: lvs.AddService, Service: new(service)},
		{Do: lvs.AddServer, Service: new(service), Server: &lvs.ServerSpec{Key: server(t, "127.0.0.1:5300"), Weight: 1}},
	} {
		if err := k.Apply(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	const datagrams, size = 20, 100
	within(t, netns, func() error {
		c, err := net.Dial("udp4", service.Key.Addr().String()+":5300")
		if err != nil {
			return err
		}
		defer c.Close()
		for range datagrams {
			_, _ = c.Write(make([]byte, size)) // refused by the server, which is not there
		}
		return nil
	})
	var a *lvs.Actual
	poll(t, func() (err error) {
		if a, err = k.Read(t.Context()); err != nil {
			return err
		}
		if s := a.Services[0]; s.Connections != 1 || s.InPackets == 0 || s.ConnectionRate > 0 {
			return fmt.Errorf("service %+v", s)
		}
		return nil
	})
	s := a.Services[0]
	if s.InBytes != s.InPackets*(size+28) || s.Servers[0].Stats.InPackets != s.InPackets || s.Servers[0].InactiveConnections != 1 {
		t.Errorf("service %+v", s)
	}
	if a.Totals.Connections != 1 || a.Totals.InPackets != s.InPackets || a.Totals.InBytes != s.InBytes {
		t.Errorf("totals %+v, service %+v", a.Totals, s.Stats)
	}
	out := run(t, "ip", "netns", "exec", name, "ipvsadm", "-Ln", "--stats", "--exact")
	if want := fmt.Sprintf("%d", s.InBytes); !strings.Contains(out, want) {
		t.Errorf("ipvsadm does not show %s octets:\n%s", want, out)
	}
	if out := run(t, "ip", "netns", "exec", name, "ipvsadm", "-Lnc"); !strings.Contains(out, "198.51.100.1:5300") {
		t.Errorf("ipvsadm shows no connection:\n%s", out)
	}
	if err := k.Zero(t.Context(), service.Key); err != nil {
		t.Fatal(err)
	}
	poll(t, func() (err error) {
		if a, err = k.Read(t.Context()); err == nil && (a.Services[0].Connections != 0 || a.Services[0].Servers[0].InBytes != 0 || a.Totals.Connections != 1) {
			err = fmt.Errorf("after the service's counters were zeroed: %+v, totals %+v", a.Services[0], a.Totals)
		}
		return err
	})
	if err := k.Zero(t.Context(), lvs.ServiceKey{}); err != nil {
		t.Fatal(err)
	}
	poll(t, func() (err error) {
		if a, err = k.Read(t.Context()); err == nil && a.Totals.Connections != 0 {
			err = fmt.Errorf("after all counters were zeroed: totals %+v", a.Totals)
		}
		return err
	})
}

// namespace makes a network namespace with an interface for sync daemons and
// returns its path.
func namespace(t *testing.T) string {
	t.Helper()
	name := "lab-" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { run(t, "ip", "netns", "del", name) })
	in := func(args ...string) { run(t, "ip", append([]string{"-n", name}, args...)...) }
	in("link", "set", "lo", "up")
	in("link", "add", ipvstest.Interface, "mtu", "1500", "type", "dummy")
	in("addr", "add", "198.51.100.1/24", "dev", ipvstest.Interface)
	in("addr", "add", "2001:db8:51::1/64", "dev", ipvstest.Interface, "nodad")
	in("link", "set", ipvstest.Interface, "up")
	return "/run/netns/" + name
}

// within calls f on a thread of the network namespace.
func within(t *testing.T, netns string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		ns, err := os.Open(netns)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, netns string) *ipvs.Kernel {
	k := ipvs.New(ipvs.Options{Netns: netns})
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// poll calls f until it succeeds. Time is unreliable in the lab: the limit is
// far above what is needed.
func poll(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func key(t *testing.T, s string) lvs.ServiceKey {
	t.Helper()
	k, err := lvs.ParseServiceKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func server(t *testing.T, s string) lvs.ServerKey {
	t.Helper()
	k, err := lvs.ParseServerKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
