package director

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/freeport"
)

// Kernel says which IPVS table a director manages.
type Kernel string

// The kernels. Real is that of the machine, in a network namespace.
const (
	Memory Kernel = "memory"
	Real   Kernel = "real"
)

// Env returns the kernel that the environment asks for.
func Env(t testing.TB) Kernel {
	t.Helper()
	switch k := Kernel(os.Getenv("LCMS_TEST_KERNEL")); k {
	case "", Memory:
		return Memory
	case Real:
		return Real
	default:
		t.Fatalf("LCMS_TEST_KERNEL is %q: use memory or real", k)
		return ""
	}
}

// Options say how a director is set up. The zero Options are right for most
// tests.
type Options struct {
	Kernel        Kernel        // "" = as the environment says
	Netns         string        // Real: path of the namespace to manage, or Own; "" = a new one, with the interface Interface
	RootOID       string        // of LCMS-MIB; "" = the published one
	StorePath     string        // "" = in the director's own folder
	Drift         string        // policy about drift; "" = the default
	Traffic       int           // Memory: connections per second and service that the kernel makes up
	AgentXTimeout time.Duration // of snmpd; 0 = what no busy machine exceeds: 15 s, or 30 s on the slow Real
	Snmpd         []string      // further lines of snmpd.conf
	Config        []string      // further lines of the subagent's configuration
	Binary        string        // the subagent; "" = as Main has built it
}

// Director is a snmpd and a subagent behind it, both private to one test. Its
// methods that query may be called from several goroutines at once.
type Director struct {
	t        testing.TB
	opts     Options
	dir      string
	port     int
	binary   string
	snmpd    process
	subagent process
}

// Start returns a director that is ready.
func Start(t testing.TB, o Options) *Director {
	t.Helper()
	d := New(t, o)
	d.StartSnmpd()
	d.StartSubagent()
	d.WaitReady()
	return d
}

// New returns a director of which nothing runs yet. Whatever is started is
// stopped when the test ends.
func New(t testing.TB, o Options) *Director {
	t.Helper()
	if o.Kernel == "" {
		o.Kernel = Env(t)
	}
	Need(t, "snmpd", "snmpget", "snmpset", "snmpbulkwalk")
	// A socket path has at most 107 octets, which t.TempDir may exceed.
	dir, err := os.MkdirTemp("", "lcms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if o.Kernel == Real && o.Netns == "" {
		o.Netns = namespace(t)
	}
	if o.StorePath == "" {
		o.StorePath = filepath.Join(dir, "lcms.db")
	}
	if o.AgentXTimeout == 0 {
		o.AgentXTimeout = 15 * time.Second
		if o.Kernel == Real {
			o.AgentXTimeout = 30 * time.Second
		}
	}
	d := &Director{t: t, opts: o, dir: dir, port: freeport.UDP(t), binary: o.Binary}
	if d.binary == "" {
		d.binary = Binary(t)
	}
	d.snmpd.log, d.subagent.log = d.path("snmpd.log"), d.path("subagent.log")
	d.configure()
	modules(t, d.Modules(), d.binary, o.RootOID)
	t.Cleanup(d.end)
	return d
}

// configure writes the file of the subagent.
func (d *Director) configure() {
	d.t.Helper()
	lines := []string{"agentx: {address: \"unix:" + d.Socket() + "\"}", "store: {path: \"" + d.opts.StorePath + "\"}"}
	if d.opts.Kernel == Real {
		lines = append(lines, "ipvs: kernel")
		if d.opts.Netns != Own {
			lines = append(lines, "netns: "+d.opts.Netns)
		}
	} else {
		lines = append(lines, "ipvs: memory")
	}
	if d.opts.RootOID != "" {
		lines = append(lines, "root-oid: "+d.opts.RootOID)
	}
	if d.opts.Drift != "" {
		lines = append(lines, "drift: {policy: "+d.opts.Drift+"}")
	}
	if d.opts.Traffic > 0 {
		lines = append(lines, fmt.Sprintf("memory: {traffic: %d}", d.opts.Traffic))
	}
	d.write("lcms-subagent.yaml", append(lines, d.opts.Config...))
}

// end stops everything, and tells what the daemons said if the test failed. A
// panic or a data race of the subagent fails it in any case.
func (d *Director) end() {
	d.subagent.kill()
	d.snmpd.kill()
	for _, word := range []string{"\npanic: ", "\nfatal error: ", "WARNING: DATA RACE"} {
		if strings.Contains("\n"+d.subagent.said(), word) {
			d.t.Errorf("lcms-subagent had a %s", strings.TrimSpace(word))
		}
	}
	if d.t.Failed() {
		d.t.Logf("snmpd says:\n%s\nlcms-subagent says:\n%s", tail(d.snmpd.said()), tail(d.subagent.said()))
	}
}

func tail(s string) string {
	const limit = 4000
	if len(s) > limit {
		return "..." + s[len(s)-limit:]
	}
	return s
}

func (d *Director) path(name string) string { return filepath.Join(d.dir, name) }

func (d *Director) write(name string, lines []string) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// Kernel returns the kernel that is managed.
func (d *Director) Kernel() Kernel { return d.opts.Kernel }

// Modules returns the folder with LCMS-MIB, as the subagent prints it, and with
// all that it imports from.
func (d *Director) Modules() string { return d.path("mibs") }

// ConfigPath returns the path of the configuration of the subagent.
func (d *Director) ConfigPath() string { return d.path("lcms-subagent.yaml") }

// Configure replaces the further lines of the configuration, from the next start
// on.
func (d *Director) Configure(lines []string) {
	d.t.Helper()
	d.opts.Config = lines
	d.configure()
}

// StorePath returns the path of the store.
func (d *Director) StorePath() string { return d.opts.StorePath }

// Socket returns the path of the AgentX socket.
func (d *Director) Socket() string { return d.path("master") }

// loopback is the address of every snmpd.
const loopback = "127.0.0.1"

// Address returns where snmpd listens, as HOST:PORT.
func (d *Director) Address() string { return fmt.Sprintf("%s:%d", loopback, d.port) }

// Community returns the name that opens snmpd. Each director has its own, so
// that no other one that got the same port is taken for it.
func (d *Director) Community() string { return filepath.Base(d.dir) }

// Limit is how long anything may take at most that is waited for. The real
// kernel is expected in a guest where system calls are many times slower.
func (d *Director) Limit() time.Duration {
	if d.opts.Kernel == Real {
		return 3 * time.Minute
	}
	return time.Minute
}

// StartSnmpd starts snmpd, on the port of this director, and waits until it answers.
func (d *Director) StartSnmpd() {
	d.t.Helper()
	seconds := int(d.opts.AgentXTimeout / time.Second)
	d.write("snmpd.conf", append([]string{
		"rwcommunity " + d.Community() + " 127.0.0.1",
		"master agentx",
		"agentXSocket unix:" + d.Socket(),
		fmt.Sprintf("agentXTimeout %d", seconds),
		"agentXRetries 0",
		"agentAddress udp:" + d.Address(),
	}, d.opts.Snmpd...))
	// The modules left out look for other daemons or for a configured user.
	if err := d.snmpd.start(d.env(""), tool("snmpd"), "-f", "-LOw", "-I", "-smux,mteTrigger,mteTriggerConf", "-C", "-c", d.path("snmpd.conf")); err != nil {
		d.t.Fatal(err)
	}
	err := Poll(d.Limit(), func() error {
		if !d.snmpd.running() {
			return Final{fmt.Errorf("snmpd ended: %s", d.snmpd.said())}
		}
		_, err := d.ask(sysUpTime, time.Second)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// KillSnmpd ends snmpd as kill -9 does.
func (d *Director) KillSnmpd() { d.snmpd.kill() }

// StartSubagent starts the subagent, with further variables in its environment,
// and waits for nothing.
func (d *Director) StartSubagent(env ...string) {
	d.t.Helper()
	if d.subagent.running() {
		d.t.Fatal("lcms-subagent runs already")
	}
	if err := d.subagent.start(append(os.Environ(), env...), d.binary, "--config", d.path("lcms-subagent.yaml")); err != nil {
		d.t.Fatal(err)
	}
}

// KillSubagent ends the subagent as kill -9 does.
func (d *Director) KillSubagent() { d.subagent.kill() }

// PauseSubagent lets the subagent stand still until resume is called.
func (d *Director) PauseSubagent() (resume func()) {
	d.t.Helper()
	signal := func(s syscall.Signal) {
		d.t.Helper()
		if err := d.subagent.cmd.Process.Signal(s); err != nil {
			d.t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	return func() { d.t.Helper(); signal(syscall.SIGCONT) }
}

// StopSubagent ends the subagent as systemd does.
func (d *Director) StopSubagent() {
	d.t.Helper()
	status, err := d.subagent.stop(d.Limit())
	if err != nil || status != 0 {
		d.t.Fatalf("lcms-subagent ends with status %d, %v: %s", status, err, d.subagent.said())
	}
}

// Running reports whether the subagent runs, and its process id.
func (d *Director) Running() (pid int, ok bool) {
	if !d.subagent.running() {
		return 0, false
	}
	return d.subagent.cmd.Process.Pid, true
}

// WaitReady waits until the MIB is served and the kernel has been read.
func (d *Director) WaitReady() {
	d.t.Helper()
	err := Poll(d.Limit(), func() error {
		if !d.subagent.running() {
			return Final{fmt.Errorf("lcms-subagent ended: %s", d.subagent.said())}
		}
		const ok = 2
		state, err := d.ask(d.root()+kernelState, d.Limit())
		if err == nil && state != ok {
			err = fmt.Errorf("lcmsDirectorKernelState is %v, not ok(2)", state)
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// Said returns all that the subagent has logged.
func (d *Director) Said() string { return d.subagent.said() }
