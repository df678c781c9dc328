package demo

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// programs is the folder of the monitor and the real servers.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "lcms-demo"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := 1
	if err := director.Build(programs+"/", "github.com/lcms-project/lcms/cmd/lcms-poller", "github.com/lcms-project/lcms/tests/demo/realserver"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = director.Main(m)
	}
	os.RemoveAll(programs)
	os.Exit(status)
}

const (
	// limit is how long anything may take at most, and patience how long weights
	// may take to follow load.
	limit    = time.Minute
	patience = 3 * time.Minute
)

// demo is a demonstration that runs.
type demo struct {
	cmd      *exec.Cmd
	dir      string // its TMPDIR, empty when it has cleaned up
	stdin    io.Closer
	said     string   // until it was ready
	commands []string // that it wants to be pasted
	address  string   // of its snmpd
	rest     chan error
}

// start runs scripts/demo as a terminal does, in a process group of its own,
// and waits until it has said all.
func start(t *testing.T, env ...string) *demo {
	t.Helper()
	director.Need(t, "snmpd", "snmpget", "snmpset", "snmpbulkwalk", "slapd", "ldapsearch", "ldapmodify")
	// Not t.TempDir: the path of a socket in it would be too long.
	dir, err := os.MkdirTemp("", "lcms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &demo{cmd: exec.Command("../../scripts/demo"), dir: dir, rest: make(chan error, 1)}
	d.cmd.Env = append(os.Environ(), append(env, "TMPDIR="+dir, "LCMS_MARK="+dir, "LCMS_SUBAGENT_BIN="+director.Binary(t),
		"LCMS_POLLER_BIN="+filepath.Join(programs, "lcms-poller"), "LCMS_REALSERVER_BIN="+filepath.Join(programs, "realserver"))...)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// A file and not a pipe of this process: the end of the demonstration is
	// its own end, not that of whoever holds the pipe.
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	d.cmd.Stdout, d.cmd.Stderr = out, out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.rest <- d.cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL) })
	err = director.Poll(limit, func() error {
		over := false
		select {
		case err := <-d.rest:
			d.rest <- err
			over = true
		default:
		}
		b, err := os.ReadFile(out.Name())
		if d.said = string(b); err == nil && !strings.Contains(d.said, "Ctrl-C ends it") {
			err = io.EOF
			if over {
				err = director.Final{Err: io.ErrUnexpectedEOF}
			}
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v: %s", err, d.said)
	}
	d.parse(t)
	return d
}

// command matches a line that wants to be pasted.
var command = regexp.MustCompile(`^((MIBDIRS=|ldapsearch |printf ).*(-v2c| -H )|kill -|/.* status )`)

// parse finds the commands, a line each.
func (d *demo) parse(t *testing.T) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(d.said))
	for lines.Scan() {
		if command.MatchString(lines.Text()) {
			d.commands = append(d.commands, lines.Text())
		}
	}
	if len(d.commands) != 12 {
		t.Fatalf("%d commands to paste, not 12: %s", len(d.commands), d.said)
	}
	if d.address = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(d.commands[0]); d.address == "" {
		t.Fatalf("no address in %s", d.commands[0])
	}
}

// paste runs a line as another shell would, with nothing of this environment.
func (d *demo) paste(t *testing.T, line string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SNMP_PERSISTENT_DIR=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v: %s", line, err, out)
	}
	return string(out)
}

// walk is the first command for another object.
func (d *demo) walk(t *testing.T, object string) string {
	t.Helper()
	return d.paste(t, strings.Replace(d.commands[0], "lcmsMIB", object, 1))
}

// ended waits for the end, expects success, and that nothing is left.
func (d *demo) ended(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	select {
	case err := <-d.rest:
		if err != nil {
			t.Errorf("it ends with %v", err)
		}
	case <-ctx.Done():
		t.Fatal("it does not end")
	}
	if left, _ := os.ReadDir(d.dir); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	if pids := d.processes(); len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
	if c, err := net.ListenPacket("udp4", d.address); err != nil {
		t.Errorf("the port is not free: %v", err)
	} else {
		c.Close()
	}
}

// processes returns the folders below /proc of what the demonstration started.
func (d *demo) processes() (found []string) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("LCMS_MARK="+d.dir+"\x00")) {
			found = append(found, filepath.Dir(path))
		}
	}
	return found
}

func TestCommandsDoWhatTheySay(t *testing.T) {
	d := start(t)
	for _, row := range []string{"fwm4:443", "tcp:192.0.2.10:80", "tcp:[2001:db8::10]:80", "udp:192.0.2.10:5004"} {
		if !strings.Contains(d.said, row) {
			t.Errorf("the table has no %s: %s", row, d.said)
		}
	}

	all := d.paste(t, d.commands[0])
	for _, object := range []string{
		"LCMS-MIB::lcmsDirectorKernelState.0 = INTEGER: ok(2)",
		`LCMS-MIB::lcmsServerWeight."tcp:192.0.2.10:80"."10.0.0.11:80" = Gauge32: 3`,
		`LCMS-MIB::lcmsServiceOnePacket."udp:192.0.2.10:5004" = INTEGER: true(1)`,
	} {
		if !strings.Contains(all, object) {
			t.Errorf("the walk does not show %s", object)
		}
	}

	const drained = `LCMS-MIB::lcmsServerOperWeight."tcp:192.0.2.10:80"."10.0.0.11:80" = Gauge32: `
	if got := d.walk(t, "lcmsServerOperWeight"); !strings.Contains(got, drained+"3") {
		t.Errorf("before it is drained: %s", got)
	}
	d.paste(t, d.commands[1])
	if got := d.walk(t, "lcmsServerOperWeight"); !strings.Contains(got, drained+"0") {
		t.Errorf("after it is drained: %s", got)
	}
	if got := d.paste(t, d.commands[2]); !strings.Contains(got, "\nlcmsAdminStatus: drain\n") {
		t.Errorf("in the directory, after it is drained by SNMP: %s", got)
	}

	d.paste(t, d.commands[3])
	err := director.Poll(limit, func() error {
		if got := d.paste(t, d.commands[4]); !strings.Contains(got, drained+"30") {
			return fmt.Errorf("after it is changed in the directory: %s", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	d.paste(t, d.commands[5])
	if got := d.walk(t, "lcmsServerOperWeight"); !strings.Contains(got, `"tcp:192.0.2.20:8080"."10.0.0.41:8080" = Gauge32: 300`) {
		t.Errorf("after it is created: %s", got)
	}

	// The clients go on, and find the new service too.
	const connections = `lcmsServiceStatsConnections."tcp:192.0.2.20:8080"`
	err = director.Poll(limit, func() error {
		if got := d.walk(t, "lcmsServiceStatsConnections"); !strings.Contains(got, connections) || strings.Contains(got, connections+" = Counter64: 0 ") {
			return io.EOF
		}
		return nil
	})
	if err != nil {
		t.Errorf("nobody comes to the new service: %v", err)
	}
	interrupt(t, d)
	d.ended(t)
}

// weights returns the operational weights of app1, app2, app3 and the sorry server.
func (d *demo) weights(t *testing.T) (w [4]int) {
	t.Helper()
	walk := d.walk(t, "lcmsServerOperWeight")
	for i, host := range []string{"11", "12", "13", "19"} {
		m := regexp.MustCompile(`"tcp:192\.0\.2\.30:80"\."127\.0\.0\.` + host + `:\d+" = Gauge32: (\d+)`).FindStringSubmatch(walk)
		if m == nil {
			t.Fatalf("no weight of 127.0.0.%s in %s", host, walk)
		}
		w[i], _ = strconv.Atoi(m[1])
	}
	return w
}

// until waits until the weights fit.
func (d *demo) until(t *testing.T, what string, fits func(w [4]int) bool) {
	t.Helper()
	err := director.Poll(patience, func() error {
		if w := d.weights(t); !fits(w) {
			return fmt.Errorf("%s: weights are %v", what, w)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v: %s", err, d.status(t))
	}
}

// status is the command that shows what the monitor finds, once.
func (d *demo) status(t *testing.T) string {
	t.Helper()
	return d.paste(t, strings.Replace(d.commands[6], " --watch", "", 1))
}

func TestWeightsMove(t *testing.T) {
	d := start(t)
	d.until(t, "at first", func(w [4]int) bool { return w[0] > 0 && w[1] > 0 && w[2] > 0 && w[3] == 0 })
	err := director.Poll(patience, func() error {
		if s := d.status(t); strings.Count(s, " status 200 ") != 4 || strings.Count(s, "capacity: ") < 3 {
			return fmt.Errorf("the status does not show three servers that are judged: %s", s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	d.paste(t, d.commands[7])
	d.until(t, "app1 is slow", func(w [4]int) bool { return w[0] > 0 && 3*w[0] < 2*w[1] && 3*w[0] < 2*w[2] })
	if reasons := d.paste(t, d.commands[8]); !strings.Contains(reasons, " x configured; capacity: ") {
		t.Errorf("the reasons do not tell it: %s", reasons)
	}

	d.paste(t, d.commands[9])
	d.until(t, "app2 hangs", func(w [4]int) bool { return w[0] > 0 && w[1] == 0 && w[2] > 0 && w[3] == 0 })
	d.paste(t, d.commands[10])
	d.until(t, "app2 and app3 hang", func(w [4]int) bool { return w == [4]int{0, 0, 0, 1} })
	d.paste(t, d.commands[11])
	d.until(t, "both are back", func(w [4]int) bool { return w[0] > 0 && w[1] > 0 && w[2] > 0 && w[3] == 0 })

	// Who is stopped is ended too.
	d.paste(t, d.commands[9])
	interrupt(t, d)
	d.ended(t)
}

// interrupt does what Ctrl-C does: it tells the whole group.
func interrupt(t *testing.T, d *demo) {
	t.Helper()
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsLeft(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *demo){
		"Ctrl-C": interrupt,
		"SIGTERM": func(t *testing.T, d *demo) {
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		},
		"standard input closes": func(t *testing.T, d *demo) { d.stdin.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t)
			if len(d.processes()) < 10 {
				t.Fatalf("processes %v: the test does not see them", d.processes())
			}
			end(t, d)
			d.ended(t)
		})
	}
	t.Run("time is over", func(t *testing.T) {
		t.Parallel()
		start(t, "LCMS_DEMO_SECONDS=1").ended(t)
	})
}

func TestSaysWhatIsMissing(t *testing.T) {
	cmd := exec.Command("../../scripts/demo")
	cmd.Env = append(os.Environ(), "LCMS_SUBAGENT_BIN=/nonexistent/lcms-subagent")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is not built: run `make ") {
		t.Errorf("%v: %s", err, out)
	}
}
