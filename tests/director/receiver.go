package director

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/freeport"
)

// The engine of snmpd and the user of SNMPv3 that sends to a Receiver.
const (
	engine     = "0x80001f88046c636d73"
	notifier   = "lcms-notify"
	notifyPass = "notify pass phrase"
)

// Receiver is a manager that listens: a private snmptrapd.
type Receiver struct {
	t       testing.TB
	dir     string
	port    int
	process process

	mu   sync.Mutex
	read int64 // octets of the log
	seen []Notification
}

// Notification is what a Receiver has got.
type Notification struct {
	Inform   bool
	Security string // as snmptrapd writes it: SNMP v3, user lcms-notify, context
	Name     string // lcmsServerStateChange
	Varbinds []Varbind
}

// Object returns the value of an object, whatever its index; "" if it is not
// there.
func (n *Notification) Object(name string) string {
	for _, v := range n.Varbinds {
		if object, _, _ := strings.Cut(v.Name, "."); object == name {
			return v.Value
		}
	}
	return ""
}

// NewReceiver returns a Receiver that does not listen yet. It stops when the
// test ends.
func NewReceiver(t testing.TB) *Receiver {
	t.Helper()
	Need(t, "snmptrapd", "snmpinform")
	r := &Receiver{t: t, dir: t.TempDir(), port: freeport.UDP(t)}
	r.process.log = filepath.Join(r.dir, "snmptrapd.log")
	t.Cleanup(r.process.kill)
	return r
}

// Address returns where it listens, as HOST:PORT.
func (r *Receiver) Address() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Sink returns the lines of snmpd.conf that make snmpd send to the Receiver:
// version is 2c or 3, which is authPriv. An inform is sent again only after so
// long that it was lost for certain: one that a busy machine answers late, sent
// again as usual after a second, would look like one that was told twice.
func (r *Receiver) Sink(version string, inform bool) []string {
	as := fmt.Sprintf(`-v 3 -l authPriv -u %s -a SHA-256 -A "%s" -x AES -X "%s" %s`, notifier, notifyPass, notifyPass, r.Address())
	if version == "2c" {
		as = "-v 2c -c public " + r.Address()
	}
	switch {
	case inform:
		return []string{"trapsess -Ci -t 8 -r 5 " + as}
	case version == "2c":
		return []string{"trap2sink " + r.Address() + " public"}
	}
	return []string{"exactEngineID " + engine, "trapsess -e " + engine + " " + as}
}

// Start makes it listen, with the modules of a director, and waits until it
// does.
func (r *Receiver) Start(d *Director) {
	r.t.Helper()
	user := fmt.Sprintf("%s SHA-256 %q AES %q\n", notifier, notifyPass, notifyPass)
	conf := "authCommunity log public\nauthUser log " + notifier + " priv\ncreateUser " + user + "createUser -e " + engine + " " + user
	path := filepath.Join(r.dir, "snmptrapd.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		r.t.Fatal(err)
	}
	env := append(d.env("LCMS-MIB"), "SNMP_PERSISTENT_DIR="+filepath.Join(r.dir, "state"))
	if err := r.process.start(env, tool("snmptrapd"), "-f", "-Lo", "-n", "-X", "-C", "-c", path, "-OseU", "-F", `%P\t%v\n`, "udp:"+r.Address()); err != nil {
		r.t.Fatal(err)
	}
	err := Poll(d.Limit(), func() error {
		if !r.process.running() {
			return Final{fmt.Errorf("snmptrapd ended: %s", r.process.said())}
		}
		return r.greet(d)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// greet sends an inform of no interest and waits for the answer.
func (r *Receiver) greet(d *Director) error {
	cmd := exec.Command(tool("snmpinform"), "-v2c", "-c", "public", "-r0", "-t1", r.Address(), "", ".1.3.6.1.6.3.1.1.5.1")
	cmd.Env = d.env("")
	return cmd.Run()
}

// CatchUp waits until everything has been received that was sent before.
func (r *Receiver) CatchUp(d *Director) {
	r.t.Helper()
	if err := Poll(d.Limit(), func() error { return r.greet(d) }); err != nil {
		r.t.Fatal(err)
	}
}

// Kill ends it as kill -9 does.
func (r *Receiver) Kill() { r.process.kill() }

// Received returns the notifications of LCMS so far, in the order of arrival.
func (r *Receiver) Received() []Notification {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	log, err := os.Open(r.process.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	b, err := io.ReadAll(io.NewSectionReader(log, r.read, 1<<40))
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		text, whole := strings.CutSuffix(line, "\n")
		if !whole {
			break
		}
		r.read += int64(len(line))
		if n, ok := r.parse(text); ok {
			r.seen = append(r.seen, n)
		}
	}
	return r.seen
}

// parse reads a line of the log; ok is false if it is about something else.
func (r *Receiver) parse(line string) (n Notification, ok bool) {
	fields := strings.Split(line, "\t")
	kind, security, _ := strings.Cut(fields[0], ", ")
	if kind != "INFORM" && kind != "TRAP2" || len(fields) < 3 {
		return n, false
	}
	n = Notification{Inform: kind == "INFORM", Security: strings.TrimSpace(security)}
	for _, f := range fields[1:] {
		vbs, err := Parse(f)
		if err != nil {
			r.t.Fatalf("snmptrapd prints %q: %v", f, err)
		}
		n.Varbinds = append(n.Varbinds, vbs...)
	}
	n.Name, n.Varbinds = n.Varbinds[1].Value, n.Varbinds[2:]
	return n, strings.HasPrefix(n.Name, "lcms")
}

// Wait waits for a notification that fits, and returns it.
func (r *Receiver) Wait(limit time.Duration, what string, fits func(*Notification) bool) Notification {
	r.t.Helper()
	var found Notification
	err := Poll(limit, func() error {
		for _, n := range r.Received() {
			if fits(&n) {
				found = n
				return nil
			}
		}
		return fmt.Errorf("no %s among %d notifications", what, len(r.seen))
	})
	if err != nil {
		r.t.Fatalf("%v: %v", err, r.seen)
	}
	return found
}
