//go:build lab

package watch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
	"github.com/lcms-project/lcms/tests/lab"
)

func TestMain(m *testing.M) {
	if lab.Inside() {
		_ = os.Setenv("LCMS_SUBAGENT_BIN", lab.Program("lcms-subagent"))
	}
	os.Exit(lab.Main(m, "watch.sh", "./cmd/lcms-subagent", "./cmd/lcms-poller", "./tests/lab/webserver", "./tests/lab/webclient", "./tests/lab/hostload"))
}

const (
	web = "tcp:10.0.1.100:80"
	url = "http://10.0.1.100/"

	forMonitor = "lcms-poller" // community of the directors
	forHosts   = "hosts"       // and of the real servers

	up = "2" // of lcmsServerHealth

	// limit is how long anything may take at most. The guest is slow, and so may be
	// the machine that it runs on.
	limit = 3 * time.Minute
)

// real returns the key of a server.
func real(n int) string { return fmt.Sprintf("10.0.2.1%d:8080", n) }

// ofServer and ofService return an object, or a varbind that begins with one.
func ofServer(key, column string) string {
	name, rest, _ := strings.Cut(column, " ")
	return strings.TrimSpace(fmt.Sprintf("lcmsServer%s.%q.%q %s", name, web, key, rest))
}

func ofService(column string) string {
	name, rest, _ := strings.Cut(column, " ")
	return strings.TrimSpace(fmt.Sprintf("lcmsService%s.%q %s", name, web, rest))
}

// daemon is a program that runs on a host of the lab.
type daemon struct {
	cmd *exec.Cmd
	out *output
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

// start runs a program on a host until it is killed or the test ends.
func start(t *testing.T, host, name string, args ...string) *daemon {
	t.Helper()
	d := &daemon{cmd: exec.Command(name, args...), out: &output{}}
	d.cmd.Env = append(os.Environ(), "MIBS=", "SNMP_PERSISTENT_DIR="+t.TempDir())
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := lab.Within(host, d.cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("%s on %s says:\n%s", filepath.Base(name), host, d.out)
		}
	})
	return d
}

// kill ends it as kill -9 does.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may have ended
	_ = d.cmd.Wait()
}

// serve has real server n serve HTTP, and waits until it does.
func serve(t *testing.T, n int, options ...string) *daemon {
	t.Helper()
	d := start(t, fmt.Sprintf("real%d", n), lab.Program("webserver"), append(options, "-name", fmt.Sprintf("real%d", n), "-http", ":8080")...)
	eventually(t, func() error {
		_, err := ask("monitor", fmt.Sprintf("http://%s/", real(n)), 1)
		return err
	})
	return d
}

// ask returns how often who answers at a URL.
func ask(host, url string, n int) (map[string]int, error) {
	var out []byte
	err := lab.Within(host, func() (err error) {
		out, err = exec.Command(lab.Program("webclient"), "-timeout", "30s", "-n", strconv.Itoa(n), url).CombinedOutput()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("webclient %s: %w: %s", url, err, out)
	}
	shares := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		count, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if shares[name], err = strconv.Atoi(count); err != nil {
			return nil, fmt.Errorf("webclient prints %q", line)
		}
	}
	return shares, nil
}

// answers checks that these servers answer the client, and no others.
func answers(t *testing.T, names ...string) {
	t.Helper()
	shares, err := ask("client", url, 6)
	if err != nil {
		t.Fatal(err)
	}
	for name := range shares {
		if !slices.Contains(names, name) {
			t.Errorf("%v answer, and it should be %v", shares, names)
		}
	}
	if len(shares) != len(names) {
		t.Errorf("%v answer, and it should be %v", shares, names)
	}
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	if err := director.Poll(limit, check); err != nil {
		t.Fatal(err)
	}
}

// site is a director that runs on host director1 or director2 and hears of the
// monitor there.
type site struct {
	*director.Director
	t    *testing.T
	host string
	heed *director.Receiver // of its notifications
}

// begin starts a director on host director1 or director2.
func begin(t *testing.T, n int) *site {
	t.Helper()
	s := &site{t: t, host: fmt.Sprintf("director%d", n)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the kernel of %s holds %v", s.host, s.weights())
		}
		s.here(func() error { return exec.Command("ipvsadm", "-C").Run() })
	})
	s.here(func() error {
		s.heed = director.NewReceiver(t)
		s.Director = director.New(t, director.Options{
			Kernel: director.Real, Netns: director.Own,
			Snmpd: append(s.heed.Sink("2c", true), "rwcommunity "+forMonitor+" 10.0.2.0/24", fmt.Sprintf("agentAddress udp:10.0.2.%d:161", n)),
		})
		s.heed.Start(s.Director)
		s.StartSnmpd()
		s.StartSubagent()
		s.WaitReady()
		return nil
	})
	return s
}

// here calls f on the host of the director.
func (s *site) here(f func() error) {
	s.t.Helper()
	if err := lab.Within(s.host, f); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) set(varbinds ...string) {
	s.t.Helper()
	s.here(func() error {
		_, err := s.Set(varbinds...)
		return err
	})
}

// get returns the value of an object.
func (s *site) get(object string) string {
	s.t.Helper()
	var value string
	s.here(func() error {
		vbs, err := s.Get(object)
		if err == nil {
			value = vbs[0].Value
		}
		return err
	})
	return value
}

// want waits until objects have values.
func (s *site) want(pairs ...string) {
	s.t.Helper()
	eventually(s.t, func() error {
		for i := 0; i < len(pairs); i += 2 {
			if got := s.get(pairs[i]); got != pairs[i+1] {
				return fmt.Errorf("%s: %s is %s, not %s", s.host, pairs[i], got, pairs[i+1])
			}
		}
		return nil
	})
}

// weights returns what the kernel balances by: the weight of each server that it
// holds, as ipvsadm shows it.
func (s *site) weights() map[string]int {
	s.t.Helper()
	var out []byte
	s.here(func() (err error) {
		out, err = exec.Command("ipvsadm", "-L", "-n").CombinedOutput()
		return err
	})
	weights := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != "->" {
			continue
		}
		if w, err := strconv.Atoi(f[3]); err == nil { // else it is the heading
			weights[f[1]] = w
		}
	}
	return weights
}

// weigh waits until the kernel holds these servers with these weights.
func (s *site) weigh(want map[string]int) {
	s.t.Helper()
	eventually(s.t, func() error {
		if got := s.weights(); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("the kernel of %s holds %v, want %v", s.host, got, want)
		}
		return nil
	})
}

// told waits for a notification about a row, whose object has a value, later than
// those that have been waited for with what it returns.
func (s *site) told(after int, name, object, value string) int {
	s.t.Helper()
	var at int
	s.heed.Wait(limit, fmt.Sprintf("%s with %s %s after %d", name, object, value, after), func(n *director.Notification) bool {
		at, _ = strconv.Atoi(n.Object("lcmsNotificationSequence"))
		if n.Name != name || at <= after {
			return false
		}
		return object == "" || slices.ContainsFunc(n.Varbinds, func(v director.Varbind) bool { return v.Name == object && v.Value == value })
	})
	return at
}

// monitor is an lcms-poller on host monitor.
type monitor struct {
	t   *testing.T
	dir string
	*daemon
}

// watch starts a monitor of directors, which are numbered. rest is the rest of its
// configuration; FILE/ there is the folder of secrets.
func watch(t *testing.T, rest string, directors ...int) *monitor {
	t.Helper()
	dir, err := os.MkdirTemp("", "lcms-poller") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := "status: {socket: " + dir + "/socket}\ndirectors:\n"
	for _, n := range directors {
		conf += fmt.Sprintf("- {name: lb%d, address: 10.0.2.%d, community-file: FILE/%s}\n", n, n, forMonitor)
	}
	conf = strings.ReplaceAll(conf+rest, "FILE/", dir+"/")
	for name, text := range map[string]string{"conf": conf, forMonitor: forMonitor, forHosts: forHosts, "phrase": "a long pass phrase"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &monitor{t: t, dir: dir}
	m.start()
	return m
}

func (m *monitor) start() {
	m.t.Helper()
	m.daemon = start(m.t, "monitor", lab.Program("lcms-poller"), "--config", filepath.Join(m.dir, "conf"))
}

// status returns the line of the status that has a word; all of it for "".
func (m *monitor) status(word string) (string, error) {
	out, err := exec.Command(lab.Program("lcms-poller"), "status", "--socket", filepath.Join(m.dir, "socket")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("status: %w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if word != "" && strings.Contains(line, word) {
			return line, nil
		}
	}
	if word == "" {
		return string(out), nil
	}
	return "", fmt.Errorf("the status lacks %s:\n%s", word, out)
}

// shows waits until the line of the status that has a word has others too.
func (m *monitor) shows(word string, others ...string) {
	m.t.Helper()
	eventually(m.t, func() error {
		line, err := m.status(word)
		for _, o := range others {
			if err == nil && !strings.Contains(line, o) {
				err = fmt.Errorf("the status says\n%s\nwithout %s", line, o)
			}
		}
		return err
	})
}

// agent starts the snmpd of a real server, with few modules of it.
func agent(t *testing.T, n int, conf ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snmpd.conf")
	if err := os.WriteFile(path, []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, fmt.Sprintf("real%d", n), "/usr/sbin/snmpd", "-f", "-LOw", "-I", "vacm_conf,usmConf,snmpEngine,system_mib,pass_persist", "-C", "-c", path,
		fmt.Sprintf("udp:10.0.2.1%d:161", n))
}

// cost is the time of the processor that a connection takes of a busy server.
const cost = "50ms"

// busy has a real server serve, and tell its load, and returns who sets the percent
// of its processor that somebody else uses.
func busy(t *testing.T, n int) (hog func(percent int)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hog")
	hog = func(percent int) {
		t.Helper()
		// A reader never sees half of it.
		if err := errors.Join(os.WriteFile(path+".new", []byte(strconv.Itoa(percent)), 0o644), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	hog(0)
	serve(t, n, "-cost", cost, "-hog", path)
	agent(t, n, "rocommunity "+forHosts, fmt.Sprintf("pass_persist .1.3.6.1.4.1.2021.11 %s -cost %s -hog %s", lab.Program("hostload"), cost, path))
	return hog
}

// service returns the varbinds of the service and of servers that are checked, with
// weight 20 each.
func service(servers []int, columns ...string) []string {
	vbs := []string{ofService("RowStatus i createAndGo")}
	for _, c := range append([]string{"Scheduler s wrr", "CheckType i http", "CheckTarget s /", "CheckInterval u 2000", "CheckTimeout u 2000", "CheckRise u 2", "CheckFall u 3"}, columns...) {
		vbs = append(vbs, ofService(c))
	}
	for _, n := range servers {
		vbs = append(vbs, ofServer(real(n), "RowStatus i createAndGo"), ofServer(real(n), "Weight u 20"))
	}
	return vbs
}

// host returns the varbinds of the row of a real server in lcmsHostTable.
func host(n int) []string {
	return []string{fmt.Sprintf(`lcmsHostRowStatus."real%d" i createAndGo`, n), fmt.Sprintf(`lcmsHostSnmpUri."real%d" s snmp://10.0.2.1%d`, n, n)}
}
