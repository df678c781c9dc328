package deploy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSnmptrapdExample has snmptrapd read the example and receive an inform of
// its user, and nothing of anybody else.
func TestSnmptrapdExample(t *testing.T) {
	for _, program := range []string{"/usr/sbin/snmptrapd", "/usr/bin/snmpinform"} {
		if _, err := os.Stat(program); err != nil {
			missing(t)("%v: run `make deps`", err)
		}
	}
	dir, address := t.TempDir(), address(t)
	users := filepath.Join(dir, "users.conf")
	pass := passphrase("lcms-notify")
	if err := os.WriteFile(users, fmt.Appendf(nil, "createUser lcms-notify SHA-256 %q AES %q\n", pass, pass), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/snmptrapd", "-f", "-Lo", "-n", "-X", "-C", "-c", "../../deploy/snmptrapd/lcms.conf,"+users, "udp:"+address)
	cmd.Env = append(os.Environ(), "MIBS=", "SNMP_PERSISTENT_DIR="+dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inform := func(security ...string) error {
		args := append(security, "-r0", "-t1", address, "", root+".0.3", root+".1.12.3.0", "s", "drained")
		send := exec.Command("/usr/bin/snmpinform", args...)
		send.Env = cmd.Env
		return send.Run()
	}
	user := []string{"-v3", "-l", "authPriv", "-u", "lcms-notify", "-a", "SHA-256", "-A", pass, "-x", "AES", "-X", pass}
	deadline := time.Now().Add(time.Minute)
	for inform(user...) != nil && time.Now().Before(deadline) {
	}
	if inform("-v2c", "-c", "public") == nil {
		t.Error("an inform of a community is confirmed")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	last := lines[len(lines)-1]
	if !strings.Contains(last, `.1.12.3.0 = STRING: "drained"`) || !strings.HasPrefix(last, fmt.Sprint(time.Now().Year())) {
		t.Errorf("the last line is %q", last)
	}
	for _, line := range lines {
		if strings.Contains(line, "lcms.conf") {
			t.Errorf("snmptrapd complains: %s", line)
		}
	}
}
