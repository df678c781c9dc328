// Package config reads the configuration file of the monitor, and the secrets
// that it names, into a checked value. What is wrong is reported with file,
// line, cause and mend; nothing is guessed.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lcms-project/lcms/internal/config/strict"
	"github.com/lcms-project/lcms/internal/poller/check"
	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/weight"
)

// DefaultSocket is where a monitor shows its status if nothing else is said.
const DefaultSocket = "/run/lcms-poller/status.sock"

// Config is the checked configuration of the monitor.
type Config struct {
	Directors    []Director
	Hosts        []Hosts // the first that matches counts
	Root         snmp.OID
	DirectorPoll time.Duration // between two looks for changes
	Checks       Checks
	Load         Load
	Weights      weight.Params
	Socket       string // of the status
	LogLevel     slog.Level
}

// Director is one whose services are watched.
type Director struct {
	Name  string
	Agent snmp.Agent
}

// Hosts are machines that are asked for their load.
type Hosts struct {
	Networks    []netip.Prefix
	Port        uint16
	Credentials *snmp.Credentials
}

// Checks say how servers are checked.
type Checks struct {
	Parallel int
	Scripts  string // the folder, "" = none
}

// Load says how hosts are asked.
type Load struct {
	Interval time.Duration
	Timeout  time.Duration
	Attempts int
	Parallel int
}

// Of returns how a host is to be asked, nil if nothing is said of it.
func (c *Config) Of(host netip.Addr) *Hosts {
	for i := range c.Hosts {
		for _, n := range c.Hosts[i].Networks {
			if n.Contains(host) {
				return &c.Hosts[i]
			}
		}
	}
	return nil
}

// credentials are those of the file.
type credentials struct {
	CommunityFile strict.Text `yaml:"community-file"`
	User          strict.Text `yaml:"user"`
	Auth          strict.Text `yaml:"auth"`
	AuthFile      strict.Text `yaml:"auth-file"`
	Privacy       strict.Text `yaml:"privacy"`
	PrivacyFile   strict.Text `yaml:"privacy-file"`
	Context       strict.Text `yaml:"context"`
}

// raw is the file as it is written.
type raw struct {
	Directors []struct {
		Name        strict.Text `yaml:"name"`
		Address     strict.Text `yaml:"address"`
		credentials `yaml:",inline"`
	} `yaml:"directors"`
	Hosts []struct {
		Networks    strict.Texts `yaml:"networks"`
		Port        strict.Text  `yaml:"port"`
		credentials `yaml:",inline"`
	} `yaml:"hosts"`
	RootOID  strict.Text `yaml:"root-oid"`
	Discover struct {
		Interval strict.Text `yaml:"interval"`
	} `yaml:"discover"`
	Checks struct {
		Parallel strict.Text `yaml:"parallel"`
		Scripts  strict.Text `yaml:"scripts"`
	} `yaml:"checks"`
	Load struct {
		Interval strict.Text `yaml:"interval"`
		Timeout  strict.Text `yaml:"timeout"`
		Attempts strict.Text `yaml:"attempts"`
		Parallel strict.Text `yaml:"parallel"`
	} `yaml:"load"`
	Weights struct {
		Interval  strict.Text `yaml:"interval"`
		Smoothing strict.Text `yaml:"smoothing"`
		DeadBand  strict.Text `yaml:"dead-band"`
		Step      strict.Text `yaml:"step"`
		Low       strict.Text `yaml:"low"`
		High      strict.Text `yaml:"high"`
		Stale     strict.Text `yaml:"stale"`
		Panic     strict.Text `yaml:"panic"`
	} `yaml:"weights"`
	Status struct {
		Socket strict.Text `yaml:"socket"`
	} `yaml:"status"`
	Log struct {
		Level strict.Text `yaml:"level"`
	} `yaml:"log"`
}

const knownKeys = "directors and hosts (lists), root-oid, discover.interval, checks.parallel, checks.scripts, " +
	"load.interval, load.timeout, load.attempts, load.parallel, " +
	"weights.interval, weights.smoothing, weights.dead-band, weights.step, weights.low, weights.high, weights.stale, weights.panic, " +
	"status.socket, log.level; of a director: name, address; of hosts: networks, port; " +
	"of both: community-file, or user, auth, auth-file, privacy, privacy-file, context"

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		Root: snmp.MustOID("1.3.6.1.4.1.8072.9999.9999.5267"), DirectorPoll: 2 * time.Second,
		Checks:  Checks{Parallel: 1024},
		Load:    Load{Interval: 10 * time.Second, Timeout: time.Second, Attempts: 2, Parallel: 1024},
		Weights: weight.Default(), Socket: DefaultSocket,
	}
}

// Read reads and checks a file and the secrets that it names. The error lists
// every fault on a line of its own, as FILE:LINE: REASON.
func Read(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	var r raw
	if err := strict.Decode(path, b, &r, knownKeys); err != nil {
		return Config{}, err
	}
	c := Default()
	f := &strict.Faults{Path: path}
	lines := strict.Lines(b, "directors", len(r.Directors))
	for i := range r.Directors {
		d := &r.Directors[i]
		one := Director{Name: d.Name.Value}
		one.Agent.Credentials = d.read(f, lines[i])
		if d.Address.Line == 0 {
			f.Add(lines[i], errors.New("the director has no address: set address, as in 192.0.2.10:161"))
			continue
		}
		f.Read(d.Address, func(s string) (err error) {
			one.Agent.Address, err = address("address", s)
			return err
		})
		if one.Name == "" {
			one.Name = one.Agent.Address.Addr().String()
		}
		if slices.ContainsFunc(c.Directors, func(o Director) bool { return o.Name == one.Name || o.Agent.Address == one.Agent.Address }) {
			f.Add(d.Address.Line, fmt.Errorf("director %s is there twice: leave one, or give them different names and addresses", one.Name))
		}
		c.Directors = append(c.Directors, one)
	}
	lines = strict.Lines(b, "hosts", len(r.Hosts))
	for i := range r.Hosts {
		h := &r.Hosts[i]
		one := Hosts{Port: 161}
		one.Credentials = h.read(f, lines[i])
		if len(h.Networks) == 0 {
			f.Add(lines[i], errors.New("it is not said which hosts: set networks, as in [10.0.0.0/24, 10.0.1.7]"))
		}
		for _, n := range h.Networks {
			f.Read(n, func(s string) error {
				p, err := network(s)
				one.Networks = append(one.Networks, p)
				return err
			})
		}
		f.Read(h.Port, func(s string) error {
			n, err := strconv.ParseUint(s, 10, 16)
			if one.Port = uint16(n); err != nil || n == 0 {
				return fmt.Errorf("port %q: use 1 to 65535", s)
			}
			return nil
		})
		c.Hosts = append(c.Hosts, one)
	}
	f.Read(r.RootOID, func(s string) (err error) {
		c.Root, err = snmp.ParseOID(s)
		return err
	})
	f.Read(r.Discover.Interval, strict.Duration("discover.interval", &c.DirectorPoll, 100*time.Millisecond, time.Minute, "10s"))
	f.Read(r.Checks.Parallel, number("checks.parallel", &c.Checks.Parallel, 2, 100000))
	f.Read(r.Checks.Scripts, func(s string) error {
		if err := strict.Absolute("checks.scripts", &c.Checks.Scripts)(s); err != nil {
			return err
		}
		if err := check.ScriptFolder(s); err != nil {
			return fmt.Errorf("checks.scripts: %w", err)
		}
		return nil
	})
	f.Read(r.Load.Interval, strict.Duration("load.interval", &c.Load.Interval, time.Second, 5*time.Minute, "10s"))
	f.Read(r.Load.Timeout, strict.Duration("load.timeout", &c.Load.Timeout, 10*time.Millisecond, time.Minute, "10s"))
	f.Read(r.Load.Attempts, number("load.attempts", &c.Load.Attempts, 1, 10))
	f.Read(r.Load.Parallel, number("load.parallel", &c.Load.Parallel, 2, 100000))
	w := &c.Weights
	f.Read(r.Weights.Interval, strict.Duration("weights.interval", &w.Interval, time.Second, time.Hour, "10s"))
	f.Read(r.Weights.Smoothing, strict.Duration("weights.smoothing", &w.Smoothing, time.Second, time.Hour, "10s"))
	f.Read(r.Weights.DeadBand, fraction("weights.dead-band", &w.DeadBand, 0, 0.9))
	f.Read(r.Weights.Step, fraction("weights.step", &w.Step, 0.01, 0.9))
	f.Read(r.Weights.Low, fraction("weights.low", &w.Low, 0.001, 1))
	f.Read(r.Weights.High, fraction("weights.high", &w.High, 1, 1000))
	f.Read(r.Weights.Stale, strict.Duration("weights.stale", &w.Stale, time.Second, time.Hour, "10s"))
	f.Read(r.Weights.Panic, fraction("weights.panic", &w.Panic, 0, 1))
	w.Forget = max(w.Forget, 10*w.Stale)
	f.Read(r.Status.Socket, strict.Socket("status.socket", &c.Socket))
	f.Read(r.Log.Level, func(s string) error {
		switch s {
		case "debug", "info", "warn", "error":
			return c.LogLevel.UnmarshalText([]byte(s))
		}
		return fmt.Errorf("log.level %q: use debug, info, warn or error", s)
	})
	if r.Weights.Stale.Line == 0 {
		w.Stale = max(w.Stale, 4*c.Load.Interval)
		w.Forget = max(w.Forget, w.Stale)
	} else if w.Stale < 2*c.Load.Interval {
		f.Add(r.Weights.Stale.Line, fmt.Errorf("weights.stale %s is less than two of load.interval %s: loads would be stale before the next comes", w.Stale, c.Load.Interval))
	}
	if err := f.Err(); err != nil {
		return Config{}, err
	}
	if len(c.Directors) == 0 {
		return Config{}, fmt.Errorf("%s: there is no director: name one under directors", path)
	}
	return c, w.Check()
}

// read makes the credentials that stand there; line is that of the entry.
func (r *credentials) read(f *strict.Faults, line int) *snmp.Credentials {
	var c snmp.Credentials
	secret := func(t strict.Text, name string, into *string) {
		f.Read(t, func(path string) (err error) {
			*into, err = readSecret(name, path)
			return err
		})
	}
	secret(r.CommunityFile, "community-file", &c.Community)
	secret(r.AuthFile, "auth-file", &c.AuthPass)
	secret(r.PrivacyFile, "privacy-file", &c.PrivacyPass)
	c.User, c.Auth, c.Privacy, c.Context = r.User.Value, r.Auth.Value, r.Privacy.Value, r.Context.Value
	v3 := r.User.Line != 0
	switch {
	case r.CommunityFile.Line == 0 && !v3:
		f.Add(line, errors.New("there are no credentials: set community-file (SNMPv2c), or user, auth, auth-file, privacy and privacy-file (SNMPv3)"))
	case r.CommunityFile.Line != 0 && v3:
		f.Add(r.CommunityFile.Line, errors.New("there are a community and a user: leave the one for SNMPv2c or the one for SNMPv3"))
	case !v3 && (r.Auth.Line+r.AuthFile.Line+r.Privacy.Line+r.PrivacyFile.Line+r.Context.Line) != 0:
		f.Add(line, errors.New("auth, privacy and context are for SNMPv3: set user, or leave them out"))
	case v3 && (r.Auth.Line != 0) != (r.AuthFile.Line != 0), v3 && (r.Privacy.Line != 0) != (r.PrivacyFile.Line != 0):
		f.Add(r.User.Line, errors.New("a protocol and the file of its pass phrase go together: set auth and auth-file, privacy and privacy-file"))
	case r.AuthFile.Line != 0 && c.AuthPass == "", r.PrivacyFile.Line != 0 && c.PrivacyPass == "", r.CommunityFile.Line != 0 && c.Community == "":
		// The file is at fault, which is told already.
	default:
		if err := c.Check(); err != nil {
			f.Add(max(r.User.Line, r.CommunityFile.Line), err)
		}
	}
	return &c
}

func address(name, s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), "161"
	}
	addr, err := netip.ParseAddr(host)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%s %q: use an IP address, and a port if it is not 161, as in 192.0.2.10:161 or [2001:db8::10]:161", name, s)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

func network(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("network %q: use an address or a prefix, as in 10.0.0.11 or 10.0.0.0/24", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func number(name string, into *int, low, high int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return fmt.Errorf("%s %q: use a number from %d to %d", name, s, low, high)
		}
		*into = n
		return nil
	}
}

func fraction(name string, into *float64, low, high float64) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(n >= low && n <= high) {
			return fmt.Errorf("%s %q: use a number from %v to %v", name, s, low, high)
		}
		*into = n
		return nil
	}
}
