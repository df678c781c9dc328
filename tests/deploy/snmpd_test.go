package deploy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/freeport"
)

const (
	root   = ".1.3.6.1.4.1.8072.9999.9999.5267"
	weight = root + ".1.5.1.1.7.1"  // an instance below lcmsServerWeight
	admin  = root + ".1.5.1.1.16.1" // an instance below lcmsServerAdminStatus
)

// snmpd is a private snmpd with Debian's stock configuration and our drop-in.
type snmpd struct {
	dir     string
	address string
}

func TestDropInWithStockSnmpd(t *testing.T) {
	d := start(t)

	// What snmpd did not understand it says at the start.
	log, err := os.ReadFile(d.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(log)) > 0 {
		t.Errorf("snmpd complains:\n%s", log)
	}
	socket, err := os.Stat(d.file("agentx/master"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := socket.Mode().Perm(); mode != 0o660 {
		t.Errorf("the AgentX socket has mode %o, want 660: for snmpd's group only", mode)
	}

	read := func(user, oid string) []string { return d.as(user, "snmpwalk", oid) }
	set := func(user, oid string) []string { return d.as(user, "snmpset", oid, "i", "2") }
	for _, tc := range []struct {
		name string
		cmd  []string
		want string
	}{
		{"the stock community still sees the system group", d.community("snmpget", ".1.3.6.1.2.1.1.3.0"), "Timeticks"},
		{"the stock community does not see LCMS", d.community("snmpwalk", root), "No more variables"},
		{"a reader sees LCMS", read("lcms-read", weight), "INTEGER: "},
		{"a reader sees the load of the director", read("lcms-read", ".1.3.6.1.4.1.2021.10.1.5"), "INTEGER: "},
		{"a reader sees the memory of the director", read("lcms-read", ".1.3.6.1.4.1.2021.4.5"), "INTEGER: "},
		{"a reader does not see the users", read("lcms-read", ".1.3.6.1.6.3.15"), "No more variables"},
		{"a reader cannot write", set("lcms-read", weight), "noAccess"},
		{"an operator sets a weight", set("lcms-weight", weight), "INTEGER: 2"},
		{"an operator sets nothing else", set("lcms-weight", admin), "noAccess"},
		{"an administrator sets what LCMS has", set("lcms-admin", admin), "INTEGER: 2"},
		{"an administrator sets nothing of snmpd", d.as("lcms-admin", "snmpset", ".1.3.6.1.2.1.1.5.0", "s", "x"), "noAccess"},
		{"without privacy nobody sees LCMS", append(d.as("lcms-read", "snmpwalk", root), "-l", "authNoPriv"), "authorizationError"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if out := d.run(tc.cmd); !strings.Contains(out, tc.want) {
				t.Errorf("%s\nprints %q, want %q", strings.Join(tc.cmd, " "), out, tc.want)
			}
		})
	}
}

// TestUnit has systemd read the units. The commands are not installed here, so
// one that exists stands in for them.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		missing(t)("systemd-analyze is not installed: run `make deps`")
	}
	for _, name := range []string{"lcms-subagent", "lcms-poller"} {
		unit, err := os.ReadFile("../../deploy/systemd/" + name + ".service")
		if err != nil {
			t.Fatal(err)
		}
		unit = bytes.ReplaceAll(unit, []byte("=/usr/bin/"+name), []byte("=/bin/true"))
		file := filepath.Join(t.TempDir(), name+".service")
		if err := os.WriteFile(file, unit, 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}

// address returns one of loopback on which nobody listens.
func address(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freeport.UDP(t))
}

// start starts snmpd as Debian's unit does, with the stock configuration moved
// to a loopback port and the drop-in in the folder that it includes.
func start(t *testing.T) *snmpd {
	t.Helper()
	daemon, err := user.Lookup("Debian-snmp")
	if err != nil || os.Getuid() != 0 {
		missing(t)("this needs root, to read snmpd's configuration and become its user, and the packages snmpd and snmp (%v)", err)
	}
	// Not t.TempDir: a user other than root has to pass through.
	dir, err := os.MkdirTemp("", "lcms-deploy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &snmpd{dir: dir, address: address(t)}

	stock, err := os.ReadFile("/etc/snmp/snmpd.conf")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(stock), "\n")
	moved := 0
	for i, line := range lines {
		switch fields := strings.Fields(line); {
		case len(fields) > 1 && strings.EqualFold(fields[0], "agentaddress"):
			lines[i] = "agentaddress udp:" + d.address
			moved++
		case len(fields) > 1 && strings.EqualFold(fields[0], "includeDir"):
			lines[i] = "includeDir " + d.file("conf.d")
			moved++
		}
	}
	if moved != 2 {
		t.Fatal("/etc/snmp/snmpd.conf is not the stock one: it should have one agentaddress and one includeDir")
	}
	dropIn, err := os.ReadFile("../../deploy/snmpd.conf.d/lcms.conf")
	if err != nil {
		t.Fatal(err)
	}
	var extra strings.Builder
	for _, name := range []string{"lcms-read", "lcms-weight", "lcms-admin"} {
		fmt.Fprintf(&extra, "createUser %s SHA-256 %q AES %q\n", name, passphrase(name), passphrase(name))
	}
	// Objects that snmpd serves in place of a subagent.
	fmt.Fprintf(&extra, "override -rw %s integer 1\noverride -rw %s integer 1\n", weight, admin)

	for _, folder := range []string{"conf.d", "persist"} {
		if err := os.Mkdir(d.file(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	uid, _ := strconv.Atoi(daemon.Uid)
	if err := os.Chown(d.file("persist"), uid, -1); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"snmpd.conf":       strings.Join(lines, "\n"),
		"conf.d/lcms.conf": string(dropIn),
		"extra.conf":       extra.String(),
	} {
		if err := os.WriteFile(d.file(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	log, err := os.Create(d.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("/usr/sbin/snmpd", "-f", "-LOw", "-u", "Debian-snmp", "-g", "Debian-snmp", "-I", "-smux,mteTrigger,mteTriggerConf",
		"-C", "-c", d.file("snmpd.conf")+","+d.file("extra.conf"), "-x", d.file("agentx/master"))
	cmd.Env = d.env()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; {
		out := d.run(d.community("snmpget", ".1.3.6.1.2.1.1.3.0"))
		if strings.Contains(out, "Timeticks") {
			return d
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(d.file("log"))
			t.Fatalf("snmpd does not answer: %s\n%s", out, said)
		}
	}
}

// missing ends a test that cannot run here: in CI it has failed.
func missing(t *testing.T) func(format string, args ...any) {
	if os.Getenv("CI") == "true" {
		return t.Fatalf
	}
	return t.Skipf
}

func (d *snmpd) file(name string) string { return filepath.Join(d.dir, name) }

// env keeps net-snmp away from the machine's own state. Debian's snmp.conf loads
// no MIBs; neither does this.
func (d *snmpd) env() []string {
	return append(os.Environ(), "MIBS=", "SNMP_PERSISTENT_DIR="+d.file("persist"))
}

func (d *snmpd) community(tool string, args ...string) []string {
	return append([]string{tool, "-v2c", "-c", "public", "-On", "-r0", "-t1", d.address}, args...)
}

func (d *snmpd) as(name, tool string, args ...string) []string {
	return append([]string{tool, "-v3", "-l", "authPriv", "-u", name, "-a", "SHA-256", "-A", passphrase(name),
		"-x", "AES", "-X", passphrase(name), "-On", "-r0", "-t30", d.address}, args...)
}

func passphrase(name string) string { return name + " pass phrase" }

// run returns all that a command prints; a refusal is what some tests want.
func (d *snmpd) run(command []string) string {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = d.env()
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		return err.Error()
	}
	return string(out)
}
