package agentx_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/freeport"
)

// snmpd is a private net-snmp master on loopback.
type snmpd struct {
	t      testing.TB
	dir    string
	port   int
	socket string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startSnmpd starts snmpd with extra lines of configuration. In CI the test
// fails when there is no snmpd; elsewhere it is skipped.
func startSnmpd(t testing.TB, extra ...string) *snmpd {
	t.Helper()
	if _, err := exec.LookPath("snmpd"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("snmpd is not installed: apt-get install snmpd snmp")
		}
		t.Skip("snmpd is not installed: apt-get install snmpd snmp")
	}
	// A socket path has at most 107 octets, which t.TempDir may exceed.
	dir, err := os.MkdirTemp("", "agentx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &snmpd{t: t, dir: dir, port: freeport.UDP(t), socket: filepath.Join(dir, "master")}
	conf := []string{
		"rocommunity public 127.0.0.1", "rwcommunity private 127.0.0.1",
		"rocommunity ctxpublic 127.0.0.1", "master agentx", "agentXPerms 0777 0777",
		"agentXTimeout 15", // what no busy machine exceeds
		"agentXSocket unix:" + d.socket,
		fmt.Sprintf("agentAddress udp:127.0.0.1:%d", d.port),
	}
	conf = append(conf, extra...)
	if err := os.WriteFile(filepath.Join(dir, "snmpd.conf"), []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	t.Cleanup(d.kill)
	return d
}

// start starts the process and waits until it answers.
func (d *snmpd) start() {
	d.t.Helper()
	os.Remove(d.socket)
	d.cmd = exec.Command("snmpd", "-f", "-Lf", filepath.Join(d.dir, "log"), "-C", "-c", filepath.Join(d.dir, "snmpd.conf"),
		"-p", filepath.Join(d.dir, "pid"))
	d.cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+filepath.Join(d.dir, "state"), "MIBS=")
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
	eventually(d.t, time.Minute, func() error {
		c, err := net.Dial("unix", d.socket)
		if err == nil {
			return c.Close()
		}
		log, _ := os.ReadFile(filepath.Join(d.dir, "log"))
		return fmt.Errorf("%w; the log says: %s", err, log)
	})
}

// kill ends the process with SIGKILL.
func (d *snmpd) kill() {
	d.cmd.Process.Kill()
	<-d.exited
}

func (d *snmpd) tool(name string, community string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	all := append([]string{"-v2c", "-c", community, "-On", "-Oe", "-t20", "-r0", fmt.Sprintf("udp:127.0.0.1:%d", d.port)}, args...)
	cmd := exec.CommandContext(ctx, name, all...)
	cmd.Env = append(os.Environ(), "MIBS=", "SNMP_PERSISTENT_DIR="+filepath.Join(d.dir, "state"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, &out, &errs)
	}
	return out.String() + errs.String(), err
}

// run is tool, which must succeed.
func (d *snmpd) run(name string, args ...string) string {
	d.t.Helper()
	out, err := d.tool(name, "private", args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// eventually polls until check succeeds.
func eventually(t testing.TB, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
