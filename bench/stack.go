package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// workshop is where programs are built and processes keep their files.
type workshop struct {
	dir       string
	subagent  string // path of lcms-subagent
	container string
	floor     string
	stacks    int // started
}

// newWorkshop builds what is compared. A given subagent is used as it is.
func newWorkshop(ctx context.Context, dir, subagent string) (*workshop, error) {
	w := &workshop{dir: dir, subagent: subagent, container: filepath.Join(dir, "container"), floor: filepath.Join(dir, "floor")}
	if subagent == "" {
		w.subagent = filepath.Join(dir, "lcms-subagent")
		if err := build(ctx, "..", "go", "build", "-o", w.subagent, "./cmd/lcms-subagent"); err != nil {
			return nil, err
		}
	}
	flags, err := netSNMP(ctx, "--base-cflags")
	if err != nil {
		return nil, err
	}
	libraries, err := netSNMP(ctx, "--agent-libs")
	if err != nil {
		return nil, err
	}
	args := append([]string{"-O2", "-Wall"}, flags...)
	args = append(append(args, "-o", w.container, "container.c"), libraries...)
	if err := build(ctx, "peers", "gcc", args...); err != nil {
		return nil, err
	}
	return w, build(ctx, "peers", "gcc", "-O2", "-Wall", "-o", w.floor, "floor.c")
}

func netSNMP(ctx context.Context, flag string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "net-snmp-config", flag).Output()
	if err != nil {
		return nil, fmt.Errorf("net-snmp-config: %w: install libsnmp-dev", err)
	}
	return strings.Fields(string(out)), nil
}

func build(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// kind is one of the agents that are compared.
type kind string

const (
	lcms       kind = "lcms-subagent"
	lcmsStored kind = "lcms-subagent, stored rows"
	container  kind = "C table_container"
	floor      kind = "floor"
	goAgentX   kind = "go-agentx 0.3.0"
)

// isLCMS reports whether k is the real subagent.
func (k kind) isLCMS() bool { return k == lcms || k == lcmsStored }

// stack is an snmpd of its own with one provider of the table behind it.
type stack struct {
	kind
	rows     []row
	snmpd    *process
	provider *process
	port     int
	sink     *sink         // whom snmpd sends informs, nil = nobody
	told     int           // how many different ones it should have got
	down     bool          // the AdminStatus of the rows that informs are about
	load     time.Duration // how long the rows took to be there
	cursor   int           // where the next requests of rows begin
	set      uint32        // the last weight that was set
}

// patience is how long an answer is waited for.
const patience = 5 * time.Second

// start starts an snmpd and a provider and waits until the whole table is
// there. Only if informs are wanted snmpd sends any.
func (w *workshop) start(k kind, rows []row, informs bool) (*stack, error) {
	w.stacks++
	dir := filepath.Join(w.dir, fmt.Sprintf("stack%d", w.stacks))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	s := &stack{kind: k, rows: rows}
	var err error
	if informs {
		s.sink, err = listen()
	}
	if err == nil {
		err = s.startMaster(dir)
	}
	if err == nil {
		err = s.startProvider(w, dir)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", k, err)
	}
	return s, nil
}

func (s *stack) stop() {
	if s.provider != nil {
		s.provider.stop()
	}
	if s.snmpd != nil {
		s.snmpd.stop()
	}
	if s.sink != nil {
		s.sink.close()
	}
}

// modules that snmpd would only lose time with.
const unwanted = "-smux,mteTrigger,mteTriggerConf,mteEvent"

func (s *stack) startMaster(dir string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.port = port
	conf := filepath.Join(dir, "snmpd.conf")
	text := fmt.Sprintf("rwcommunity %s 127.0.0.1\nmaster agentx\nagentXSocket %s\nagentXTimeout 30\nagentXRetries 0\n", community, socket(dir))
	if s.sink != nil {
		text += fmt.Sprintf("trapsess -Ci -v 2c -c %s -t 10 -r 3 127.0.0.1:%d\n", community, s.sink.port())
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	env := []string{"MIBS=", "MIBDIRS=/nonexistent", "SNMP_PERSISTENT_DIR=" + dir}
	s.snmpd, err = start(filepath.Join(dir, "snmpd.log"), env,
		"/usr/sbin/snmpd", "-f", "-LE", "4", "-C", "-c", conf, "-I", unwanted, fmt.Sprintf("udp:127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("snmpd: %w", err)
	}
	sysUpTime := oid{1, 3, 6, 1, 2, 1, 1, 3, 0}
	return s.await(sysUpTime, 20*time.Second)
}

func socket(dir string) string { return filepath.Join(dir, "agentx") }

// freePort returns a UDP port of the loopback address that nobody uses now.
func freePort() (int, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// await waits until an object can be read.
func (s *stack) await(object oid, d time.Duration) error {
	m, err := dial(s.port, time.Second)
	if err != nil {
		return err
	}
	defer m.close()
	return within(d, func() error {
		for _, p := range []*process{s.snmpd, s.provider} {
			if p != nil && p.exited() != nil {
				return p.exited()
			}
		}
		m.begin()
		m.add(object.ber(), null)
		vbs, err := m.send(tagGetRequest, 0, 0)
		if err != nil {
			return err
		}
		if _, tag, _, _ := vbs.next(); tag >= tagNoSuchObject {
			return fmt.Errorf("%d is not there", object)
		}
		return nil
	})
}

func (s *stack) startProvider(w *workshop, dir string) error {
	began := time.Now()
	at := socket(dir)
	file := filepath.Join(dir, "rows")
	var program string
	var args, env []string
	ready := weight.child(s.rows[0].index()...)
	if s.isLCMS() {
		program, args = w.subagent, []string{"--config", filepath.Join(dir, "lcms.yaml")}
		text := fmt.Sprintf("agentx: {address: \"unix:%s\"}\nipvs: memory\nstore: {path: %s}\nlog: {level: warn}\n", at, filepath.Join(dir, "lcms.db"))
		if err := os.WriteFile(args[1], []byte(text), 0o600); err != nil {
			return err
		}
		ready = root.child(1, 1, 1, 0) // lcmsDirectorVersion
	} else {
		if err := writeRows(file, s.rows); err != nil {
			return err
		}
		args, env = []string{at, file}, []string{"MIBS=", "MIBDIRS=/nonexistent"}
		switch s.kind {
		case container:
			program = w.container
		case floor:
			program = w.floor
		case goAgentX:
			self, err := os.Executable()
			if err != nil {
				return err
			}
			program = self
			args = []string{goAgentXCommand, at, fmt.Sprint(len(s.rows)), fmt.Sprint(s.perService())}
		}
	}
	var err error
	if s.provider, err = start(filepath.Join(dir, "provider.log"), env, program, args...); err != nil {
		return err
	}
	if err := s.await(ready, time.Minute); err != nil {
		return err
	}
	if s.isLCMS() {
		if err := s.create(); err != nil {
			return fmt.Errorf("making the rows: %w", err)
		}
	}
	s.load = time.Since(began)
	return nil
}

// perService returns how many servers each service has.
func (s *stack) perService() int {
	if len(s.rows) > 1 && s.rows[0].service == s.rows[len(s.rows)-1].service {
		return len(s.rows)
	}
	return serversPerService
}

// create makes the rows by SETs, as an operator would, many in each.
func (s *stack) create() error {
	m, err := dial(s.port, time.Minute)
	if err != nil {
		return err
	}
	defer m.close()
	storage := integer(volatile)
	if s.kind == lcmsStored {
		storage = integer(nonVolatile)
	}
	const perRequest = 200
	service := ""
	for rows := s.rows; len(rows) > 0; {
		n := min(perRequest, len(rows))
		m.begin()
		for _, r := range rows[:n] {
			if r.service != service {
				service = r.service
				m.add(serviceStorage.child(indexOf(service)...).ber(), storage)
				m.add(serviceRowStatus.child(indexOf(service)...).ber(), integer(createAndGo))
			}
			m.add(serverStorage.child(r.index()...).ber(), storage)
			m.add(serverRowStatus.child(r.index()...).ber(), integer(createAndGo))
		}
		if _, err := m.send(tagSetRequest, 0, 0); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// usage is the processor time of both processes of a stack.
type usage struct{ snmpd, provider time.Duration }

func (s *stack) usage() (usage, error) {
	a, err1 := s.snmpd.cpu()
	b, err2 := s.provider.cpu()
	return usage{a, b}, errors.Join(err1, err2)
}
