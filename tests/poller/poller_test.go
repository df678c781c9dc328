package poller

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/freeport"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/snmp/snmptest"
	"github.com/lcms-project/lcms/tests/director"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lcms-poller")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "lcms-poller")
	status := 1
	if err := director.Build(binary, "github.com/lcms-project/lcms/cmd/lcms-poller"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = director.Main(m)
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

const (
	community = "lcms-poller"
	service   = `"tcp:192.0.2.1:80"`
)

// monitor is a poller that watches a director.
type monitor struct {
	t      *testing.T
	dir    string
	socket string
	cmd    *exec.Cmd
	said   *output
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func newMonitor(t *testing.T, config string) *monitor {
	t.Helper()
	dir, err := os.MkdirTemp("", "lcms-poller") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &monitor{t: t, dir: dir, socket: filepath.Join(dir, "status.sock"), said: &output{}}
	for name, text := range map[string]string{"community": community + "\n", "wrong": "wrong\n", "pass": "a long pass phrase\n", "lcms-poller.yaml": strings.ReplaceAll(config, "%", dir) + "\nstatus: {socket: " + m.socket + "}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		m.kill()
		if t.Failed() {
			t.Logf("lcms-poller says:\n%s", m.said)
		}
		if said := m.said.String(); strings.Contains(said, "panic: ") || strings.Contains(said, "DATA RACE") {
			t.Errorf("lcms-poller had a panic or a race:\n%s", said)
		}
	})
	return m
}

func (m *monitor) start() {
	m.t.Helper()
	m.cmd = exec.Command(binary, "--config", filepath.Join(m.dir, "lcms-poller.yaml"))
	m.cmd.Stdout, m.cmd.Stderr = m.said, m.said
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *monitor) kill() {
	if m.cmd != nil {
		m.cmd.Process.Kill()
		m.cmd.Wait()
		m.cmd = nil
	}
}

// stop ends it as systemd does.
func (m *monitor) stop() {
	m.t.Helper()
	m.cmd.Process.Signal(syscall.SIGTERM)
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("lcms-poller ends with %v", err)
	}
	m.cmd = nil
}

func (m *monitor) status(args ...string) string {
	out, err := exec.Command(binary, append([]string{"status", "--socket", m.socket}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s (%v)", out, err)
	}
	return string(out)
}

// web is a small server that can be killed and come back on the same port.
type web struct {
	t      *testing.T
	addr   string
	server *http.Server
}

func newWeb(t *testing.T) *web {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", freeport.TCP(t)))
	if err != nil {
		t.Fatal(err)
	}
	w := &web{t: t, addr: l.Addr().String()}
	w.serve(l)
	t.Cleanup(w.kill)
	return w
}

func (w *web) serve(l net.Listener) {
	w.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "ready") })}
	go w.server.Serve(l)
}

func (w *web) kill() { w.server.Close() }

func (w *web) back() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.serve(l)
}

func (w *web) key() string { return fmt.Sprintf("%s.%q", service, w.addr) }

// setUp makes a director whose service has two servers that are checked.
func setUp(t *testing.T) (*director.Director, *web, *web) {
	t.Helper()
	d := director.Start(t, director.Options{Kernel: director.Memory, Snmpd: []string{
		"rwcommunity " + community + " 127.0.0.1",
		`createUser lcms-monitor SHA-256 "a long pass phrase" AES "a long pass phrase"`, "rwuser lcms-monitor priv",
	}})
	a, b := newWeb(t), newWeb(t)
	set(t, d, "lcmsServiceRowStatus."+service+" i createAndGo", "lcmsServiceCheckType."+service+" i http", "lcmsServiceCheckTarget."+service+` s / body=ready`,
		"lcmsServiceCheckInterval."+service+" u 500", "lcmsServiceCheckTimeout."+service+" u 500",
		"lcmsServiceCheckRise."+service+" u 2", "lcmsServiceCheckFall."+service+" u 2",
		"lcmsServerRowStatus."+a.key()+" i createAndGo", "lcmsServerRowStatus."+b.key()+" i createAndGo",
		`lcmsHostRowStatus."rs1" i createAndGo`, `lcmsHostSnmpUri."rs1" s snmp://`+d.Address())
	return d, a, b
}

func set(t *testing.T, d *director.Director, vbs ...string) {
	t.Helper()
	if _, err := d.Set(vbs...); err != nil {
		t.Fatal(err)
	}
}

// want waits until objects have values.
func want(t *testing.T, d *director.Director, pairs ...string) {
	t.Helper()
	err := director.Poll(3*d.Limit(), func() error {
		for i := 0; i < len(pairs); i += 2 {
			v, err := d.Get(pairs[i])
			if err != nil {
				return err
			}
			if v[0].Value != pairs[i+1] {
				return fmt.Errorf("%s, want %s", v[0], pairs[i+1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, d *director.Director, object string) string {
	t.Helper()
	v, err := d.Get(object)
	if err != nil {
		t.Fatal(err)
	}
	return v[0].Value
}

const (
	up   = "2" // lcmsServerHealth
	down = "3"
)

func TestServerIsKilledAndComesBack(t *testing.T) {
	d, a, b := setUp(t)
	m := newMonitor(t, `
directors: [{name: lb1, address: "`+d.Address()+`", community-file: %/community}]
hosts: [{networks: 127.0.0.1, community-file: %/community}]
load: {interval: 1s}
`)
	m.start()
	want(t, d, "lcmsServerHealth."+a.key(), up, "lcmsServerHealth."+b.key(), up, "lcmsServerOperWeight."+a.key(), "1")

	killed := time.Now()
	a.kill()
	want(t, d, "lcmsServerHealth."+a.key(), down, "lcmsServerOperWeight."+a.key(), "0", "lcmsServerHealth."+b.key(), up)
	// On a machine that is not busy, fall x interval + 1 s is 2 s.
	t.Logf("out of rotation after %s", time.Since(killed).Round(time.Millisecond))
	if detail := value(t, d, "lcmsServerHealthDetail."+a.key()); !strings.Contains(detail, "connection refused") {
		t.Errorf("detail %q", detail)
	}
	// Another monitor in its place goes on where it was: nothing flaps.
	changes := value(t, d, "lcmsServerTransitions."+a.key()) + value(t, d, "lcmsServerTransitions."+b.key())
	m.kill()
	m.start()
	if err := director.Poll(3*d.Limit(), func() error {
		s := m.status()
		for _, word := range []string{"lb1", "ok", a.addr, "down", "connection refused", "up", "status 200"} {
			if !strings.Contains(s, word) {
				return fmt.Errorf("the status lacks %q:\n%s", word, s)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if now := value(t, d, "lcmsServerTransitions."+a.key()) + value(t, d, "lcmsServerTransitions."+b.key()); now != changes {
		t.Errorf("transitions went from %s to %s when the monitor was replaced", changes, now)
	}
	want(t, d, "lcmsServerHealth."+a.key(), down)

	a.back()
	want(t, d, "lcmsServerHealth."+a.key(), up, "lcmsServerOperWeight."+a.key(), "1")
	if strings.Contains(m.status(), "\x1b") {
		t.Error("the status has colours though it goes to no terminal")
	}
	// The load of the host, and what its row lacked.
	if err := director.Poll(3*d.Limit(), func() error {
		if size := value(t, d, `lcmsHostMemorySize."rs1"`); size == "0" || value(t, d, `lcmsHostCpuType."rs1"`) == "" {
			return fmt.Errorf("memory size %s", size)
		}
		if age := value(t, d, `lcmsHostReportAge."rs1"`); age == "4294967295" || value(t, d, `lcmsHostMemoryAvailable."rs1"`) == "0" {
			return fmt.Errorf("report age %s", age)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	m.stop()
}

// TestChecksBySNMPAndScript has one service checked by the agents of its servers, and
// then by a script of the monitor.
func TestChecksBySNMPAndScript(t *testing.T) {
	d, a, b := setUp(t)
	m := newMonitor(t, `
directors: [{name: lb1, address: "`+d.Address()+`", community-file: %/community}]
hosts: [{networks: 127.0.0.1, community-file: %/community}]
checks: {scripts: %/checks}
`)
	folder := filepath.Join(m.dir, "checks")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(d.Address(), ":")
	_, portOfA, _ := strings.Cut(a.addr, ":")
	script := fmt.Sprintf("#!/bin/sh\necho \"asked $3 of $LCMS_SERVER at $1 $2\"\n[ $2 = %s ]\n", portOfA)
	if err := os.WriteFile(filepath.Join(folder, "ask"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	target := "1.3.6.1.2.1.1.3.0 min=1 port=" + port
	set(t, d, "lcmsServiceCheckType."+service+" i snmp", "lcmsServiceCheckTarget."+service+" s "+target)
	m.start()
	detail := func(w *web, what string) {
		t.Helper()
		if err := director.Poll(3*d.Limit(), func() error {
			if got := value(t, d, "lcmsServerHealthDetail."+w.key()); !strings.Contains(got, what) {
				return fmt.Errorf("%s: detail %q, want %q\n%s", w.addr, got, what, m.status())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	detail(a, "value ")
	detail(b, "value ")
	want(t, d, "lcmsServerHealth."+a.key(), up, "lcmsServerHealth."+b.key(), up)
	set(t, d, "lcmsServiceCheckTarget."+service+" s 1.3.6.1.2.1.1.3.0 max=0 port="+port)
	want(t, d, "lcmsServerHealth."+a.key(), down, "lcmsServerHealth."+b.key(), down)
	detail(a, "is above 0")

	set(t, d, "lcmsServiceCheckType."+service+" i script", "lcmsServiceCheckTarget."+service+` s ask "all is well"`)
	want(t, d, "lcmsServerHealth."+a.key(), up, "lcmsServerHealth."+b.key(), down, "lcmsServerOperWeight."+b.key(), "0")
	detail(a, fmt.Sprintf("asked all is well of %s at 127.0.0.1 %s", a.addr, portOfA))
	m.stop()
}

// TestOneDirectorIsAway reports to the other all the same, by SNMPv3, and names
// what is wrong.
func TestOneDirectorIsAway(t *testing.T) {
	d, a, b := setUp(t)
	m := newMonitor(t, `
directors:
  - {name: dead, address: "127.0.0.2:9", community-file: %/community}
  - {name: lb1, address: "`+d.Address()+`", user: lcms-monitor, auth: SHA-256, auth-file: %/pass, privacy: AES, privacy-file: %/pass}
hosts: [{networks: 127.0.0.1, community-file: %/wrong}]
load: {interval: 1s, timeout: 200ms}
`)
	m.start()
	want(t, d, "lcmsServerHealth."+a.key(), up, "lcmsServerHealth."+b.key(), up)
	b.kill()
	want(t, d, "lcmsServerHealth."+b.key(), down)
	if err := director.Poll(3*d.Limit(), func() error {
		s := m.status()
		for _, word := range []string{"away", "no answer within", "its services answer", "is the community right?"} {
			if !strings.Contains(s, word) {
				return fmt.Errorf("the status lacks %q:\n%s", word, s)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if s := m.status("--json"); !strings.Contains(s, `"ReadError": "no answer`) {
		t.Errorf("as JSON:\n%s", s)
	}
}

func TestCommand(t *testing.T) {
	run := func(args ...string) (string, error) {
		out, err := exec.Command(binary, args...).CombinedOutput()
		return string(out), err
	}
	m := newMonitor(t, "directors: [{address: 192.0.2.1, community-file: %/community}]")
	file := filepath.Join(m.dir, "lcms-poller.yaml")
	if out, err := run("check-config", "--config", file); err != nil || !strings.Contains(out, "no fault found") {
		t.Errorf("%v: %s", err, out)
	}
	if err := os.Chmod(filepath.Join(m.dir, "community"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"check-config", "--config", file}, "lcms-poller.yaml:1: community-file"},
		{[]string{"--config", file}, "chmod 600"},
		{nil, "--config is missing"},
		{[]string{"dance"}, `there is no command "dance"`},
		{[]string{"version", "now"}, "one argument too many"},
		{[]string{"status", "--socket", m.socket}, "is lcms-poller running?"},
	} {
		if out, err := run(tc.args...); err == nil || !strings.Contains(out, tc.want) {
			t.Errorf("%q: %v: %s", tc.args, err, out)
		}
	}
}

// TestExample has the example of the configuration checked, with secrets where
// it looks for them.
func TestExample(t *testing.T) {
	example, err := os.ReadFile("../../deploy/lcms/lcms-poller.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := newMonitor(t, "")
	text := strings.ReplaceAll(string(example), "/etc/lcms/", m.dir+"/")
	text = strings.NewReplacer("\n  # - name", "\n  - name", "\n  #   ", "\n    ", "# scripts:", "scripts:").Replace(text)
	if err := os.Mkdir(filepath.Join(m.dir, "checks"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"monitor.auth", "monitor.privacy", "hosts.community"} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte("a pass phrase\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(m.dir, "example.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "check-config", "--config", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWeightsFollowLoad has two hosts bear the same connections, one of them
// three times as busy by that, and a monitor that is replaced meanwhile.
func TestWeightsFollowLoad(t *testing.T) {
	d := director.Start(t, director.Options{Kernel: director.Memory, Traffic: 200, Snmpd: []string{"rwcommunity " + community + " 127.0.0.1"}})
	vbs := []string{"lcmsServiceRowStatus." + service + " i createAndGo", "lcmsServiceWeightPolicy." + service + " i capacity", "lcmsServiceScheduler." + service + " s rr"}
	for i, busy := range []uint64{25, 75} {
		name := fmt.Sprintf("rs%d", i+1)
		agent := busyHost(t, busy)
		server := fmt.Sprintf(`%s."10.0.0.%d:80"`, service, i+1)
		vbs = append(vbs, "lcmsServerRowStatus."+server+" i createAndGo", "lcmsServerHost."+server+" s "+name,
			`lcmsHostRowStatus."`+name+`" i createAndGo`, `lcmsHostSnmpUri."`+name+`" s snmp://`+agent.Address.String())
	}
	set(t, d, vbs...)
	m := newMonitor(t, `
directors: [{name: lb1, address: "`+d.Address()+`", community-file: %/community}]
hosts: [{networks: 127.0.0.0/8, community-file: %/public}]
load: {interval: 1s}
weights: {interval: 1s, smoothing: 2s}
`)
	if err := os.WriteFile(filepath.Join(m.dir, "public"), []byte("public\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	weights := func() (a, b float64) {
		for i, into := range []*float64{&a, &b} {
			fmt.Sscan(value(t, d, fmt.Sprintf(`lcmsServerOperWeight.%s."10.0.0.%d:80"`, service, i+1)), into)
		}
		return a, b
	}
	apart := func() error {
		if a, b := weights(); a < 2*b || b == 0 {
			return fmt.Errorf("weights are %v and %v", a, b)
		}
		return nil
	}
	m.start()
	if err := director.Poll(3*d.Limit(), apart); err != nil {
		t.Fatal(err)
	}
	if reason := value(t, d, `lcmsServerWeightReason.`+service+`."10.0.0.1:80"`); !strings.Contains(reason, "capacity") || !strings.Contains(reason, "busy") {
		t.Errorf("reason %q", reason)
	}
	m.kill()
	m.start()
	if err := director.Poll(3*d.Limit(), func() error {
		if err := apart(); err != nil {
			return director.Final{Err: fmt.Errorf("when the monitor was replaced: %w", err)}
		}
		if s := m.status(); !strings.Contains(s, "capacity: ") {
			return fmt.Errorf("the new monitor advises nothing yet:\n%s", s)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := apart(); err != nil {
		t.Error(err)
	}
	t.Logf("the status:\n%s", m.status())
}

// busyHost is the agent of a host whose processor is busy to so many percent.
func busyHost(t *testing.T, busy uint64) *snmptest.Agent {
	t.Helper()
	agent := snmptest.Start(t, "127.0.0.1")
	number := func(object string, kind snmp.Type, n uint64) snmp.Varbind {
		return snmp.Varbind{Name: snmp.MustOID(object), Value: snmp.Value{Type: kind, Num: n}}
	}
	ticks := func(n uint64) {
		agent.Serve(number("1.3.6.1.2.1.1.3.0", snmp.TypeTimeTicks, n), number("1.3.6.1.4.1.2021.11.50.0", snmp.TypeCounter32, n*busy),
			number("1.3.6.1.4.1.2021.11.53.0", snmp.TypeCounter32, n*(100-busy)))
	}
	ticks(1)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for n := uint64(2); ; n++ {
			select {
			case <-done:
				return
			case <-ticker.C:
				ticks(n)
			}
		}
	}()
	return agent
}

// TestSystemd has the monitor tell systemd that it is ready, that it turns, and that
// it stops.
func TestSystemd(t *testing.T) {
	m := newMonitor(t, `directors: [{name: lb1, address: "127.0.0.2:9", community-file: %/community}]`)
	path := filepath.Join(m.dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	heard := func(want string) {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		for {
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("%s was not told: %v", want, err)
			}
			if string(b[:n]) == want {
				return
			}
		}
	}
	m.start()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		heard(want)
	}
	m.stop()
	heard("STOPPING=1")
}
