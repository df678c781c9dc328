package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/config/strict"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/mibs"
)

// Config is the checked configuration of the subagent.
type Config struct {
	AgentXNetwork string // "unix" or "tcp"
	AgentXAddress string
	RootOID       smi.OID // nil = that of the published MIB
	Memory        bool    // the in-memory kernel in place of the real one
	Traffic       uint64  // connections per second that the in-memory kernel makes up for each service
	Netns         string  // path of a network namespace, "" = our own
	StorePath     string
	Drift         string // "enforce", "alert" or "adopt"
	Host          string // by which the director is known in the directory, "" = as the machine is called
	Directory     Directory
	LogLevel      slog.Level
}

// Directory is the checked configuration of the directory.
type Directory struct {
	URIs         []string // nil = there is no directory
	Base         string
	BindDN       string // "" = SASL EXTERNAL
	PasswordFile string
	StartTLS     bool
	CAFile       string
	WriteTimeout time.Duration // 0 = the default of package ldapsync
	Queue        bool          // changes are kept and made later while the directory is away
	Observe      bool          // look on and change nothing, neither the kernel nor the directory
}

// Used reports whether there is a directory.
func (d *Directory) Used() bool { return d.URIs != nil }

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{AgentXNetwork: "unix", AgentXAddress: "/var/agentx/master", StorePath: "/var/lib/lcms/lcms.db", Drift: "enforce"}
}

// raw is the file as it is written.
type raw struct {
	AgentX struct {
		Address strict.Text `yaml:"address"`
	} `yaml:"agentx"`
	RootOID strict.Text `yaml:"root-oid"`
	IPVS    strict.Text `yaml:"ipvs"`
	Memory  struct {
		Traffic strict.Text `yaml:"traffic"`
	} `yaml:"memory"`
	Netns strict.Text `yaml:"netns"`
	Store struct {
		Path strict.Text `yaml:"path"`
	} `yaml:"store"`
	Drift struct {
		Policy strict.Text `yaml:"policy"`
	} `yaml:"drift"`
	Host      strict.Text `yaml:"host"`
	Directory struct {
		URIs         strict.Texts `yaml:"uris"`
		Base         strict.Text  `yaml:"base"`
		BindDN       strict.Text  `yaml:"bind-dn"`
		PasswordFile strict.Text  `yaml:"password-file"`
		StartTLS     strict.Text  `yaml:"start-tls"`
		CAFile       strict.Text  `yaml:"ca-file"`
		WriteTimeout strict.Text  `yaml:"write-timeout"`
		Queue        strict.Text  `yaml:"queue"`
		Mode         strict.Text  `yaml:"mode"`
	} `yaml:"directory"`
	Log struct {
		Level strict.Text `yaml:"level"`
	} `yaml:"log"`
}

const knownKeys = "agentx.address, root-oid, ipvs, memory.traffic, netns, store.path, drift.policy, host, " +
	"directory.uris, directory.base, directory.bind-dn, directory.password-file, directory.start-tls, directory.ca-file, " +
	"directory.write-timeout, directory.queue, directory.mode, log.level"

// Load reads and checks a file. The error lists every fault on a line of its
// own, as FILE:LINE: REASON.
func Load(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return parse(path, b)
}

func parse(path string, b []byte) (Config, error) {
	var r raw
	if err := strict.Decode(path, b, &r, knownKeys); err != nil {
		return Config{}, err
	}
	c := Default()
	faults := strict.Faults{Path: path}
	read := faults.Read
	read(r.AgentX.Address, c.setAgentX)
	read(r.RootOID, c.setRootOID)
	read(r.IPVS, c.setIPVS)
	read(r.Memory.Traffic, c.setTraffic)
	read(r.Netns, c.setNetns)
	read(r.Store.Path, strict.Absolute("store.path", &c.StorePath))
	read(r.Drift.Policy, c.setDrift)
	read(r.Host, c.setHost)
	for _, uri := range r.Directory.URIs {
		read(uri, c.Directory.addURI)
	}
	read(r.Directory.Base, c.Directory.setBase)
	read(r.Directory.BindDN, c.Directory.setBindDN)
	read(r.Directory.PasswordFile, strict.Absolute("directory.password-file", &c.Directory.PasswordFile))
	read(r.Directory.StartTLS, boolSetter("directory.start-tls", &c.Directory.StartTLS))
	read(r.Directory.CAFile, strict.Absolute("directory.ca-file", &c.Directory.CAFile))
	read(r.Directory.WriteTimeout, strict.Duration("directory.write-timeout", &c.Directory.WriteTimeout, 100*time.Millisecond, 10*time.Second, "700ms"))
	read(r.Directory.Queue, boolSetter("directory.queue", &c.Directory.Queue))
	read(r.Directory.Mode, c.Directory.setMode)
	read(r.Log.Level, c.setLogLevel)
	if r.Memory.Traffic.Line != 0 && !c.Memory {
		faults.Add(r.Memory.Traffic.Line, errors.New("memory.traffic is for ipvs: memory only"))
	}
	if c.Netns != "" && c.Memory {
		faults.Add(r.Netns.Line, errors.New("netns is for ipvs: kernel only"))
	}
	if line, reason := r.directoryFault(&c.Directory); reason != "" {
		faults.Add(line, errors.New(reason))
	}
	if err := faults.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// directoryFault says what does not go together among the keys of the directory,
// and at which line; nothing if all is well.
func (r *raw) directoryFault(d *Directory) (line int, reason string) {
	keys := &r.Directory
	line = 0
	for _, t := range append([]strict.Text{keys.Base, keys.BindDN, keys.PasswordFile, keys.StartTLS, keys.CAFile, keys.WriteTimeout, keys.Queue, keys.Mode}, keys.URIs...) {
		if t.Line != 0 && (line == 0 || t.Line < line) {
			line = t.Line
		}
	}
	local := !slices.ContainsFunc(d.URIs, func(uri string) bool { return !strings.HasPrefix(uri, "ldapi:") })
	switch {
	case line == 0:
	case len(keys.URIs) == 0:
		return line, "the directory has no servers: set directory.uris, as in [ldap://ldap1.example.org, ldap://ldap2.example.org]"
	case keys.Base.Line == 0:
		return line, "the directory has no base: set directory.base, as in dc=lcms,dc=example,dc=org"
	case d.BindDN == "" && !local:
		return line, "there is no name to log in with: set directory.bind-dn, or use ldapi:/// only"
	case d.BindDN != "" && d.PasswordFile == "":
		return keys.BindDN.Line, "there is no password for directory.bind-dn: set directory.password-file"
	case d.BindDN == "" && d.PasswordFile != "":
		return keys.PasswordFile.Line, "directory.password-file is set, and no name that it belongs to: set directory.bind-dn"
	case d.Queue && d.Observe:
		return keys.Queue.Line, "with directory.mode observe nothing is changed, so nothing can be queued: leave out directory.queue"
	}
	return 0, ""
}

func (c *Config) setAgentX(s string) error {
	network, address, _ := strings.Cut(s, ":")
	switch network {
	case "unix":
		if !filepath.IsAbs(address) {
			return fmt.Errorf("agentx.address %q: after unix: comes the absolute path of a socket, as in unix:/var/agentx/master", s)
		}
		if err := strict.Socket("agentx.address", &address)(address); err != nil {
			return err
		}
	case "tcp":
		host, port, err := net.SplitHostPort(address)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || host == "" || n == 0 {
			return fmt.Errorf("agentx.address %q: after tcp: comes HOST:PORT, as in tcp:localhost:705", s)
		}
	default:
		return fmt.Errorf("agentx.address %q: use unix:/PATH or tcp:HOST:PORT", s)
	}
	c.AgentXNetwork, c.AgentXAddress = network, address
	return nil
}

func (c *Config) setRootOID(s string) (err error) {
	if c.RootOID, err = smi.ParseOID(s); err == nil {
		_, err = mibs.Text(c.RootOID)
	}
	if err != nil {
		return fmt.Errorf("root-oid: %w", err)
	}
	return nil
}

func (c *Config) setIPVS(s string) error {
	if s != "kernel" && s != "memory" {
		return fmt.Errorf("ipvs %q: use kernel or memory", s)
	}
	c.Memory = s == "memory"
	return nil
}

func (c *Config) setTraffic(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return fmt.Errorf("memory.traffic %q: use a number of connections per second", s)
	}
	c.Traffic = n
	return nil
}

func (c *Config) setNetns(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("netns %q: use an absolute path, as in /run/netns/lb", s)
	}
	c.Netns = s
	return nil
}

func (c *Config) setDrift(s string) error {
	switch s {
	case "enforce", "alert", "adopt":
		c.Drift = s
		return nil
	}
	return fmt.Errorf("drift.policy %q: use enforce, alert or adopt", s)
}

func (c *Config) setHost(s string) error {
	name, err := lvs.ParseHostName(s)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	c.Host = string(name)
	return nil
}

func (d *Directory) addURI(s string) error {
	u, err := url.Parse(s)
	local := strings.HasPrefix(s, "ldapi://")
	if !local && (err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "") {
		return fmt.Errorf("directory.uris %q: use ldap://HOST:PORT, ldaps://HOST:PORT or ldapi://PATH with %%2F for each /", s)
	}
	if slices.Contains(d.URIs, s) {
		return fmt.Errorf("directory.uris %q: it stands there twice", s)
	}
	d.URIs = append(d.URIs, s)
	return nil
}

func (d *Directory) setBase(s string) error {
	if !strings.Contains(s, "=") {
		return fmt.Errorf("directory.base %q: write it like dc=lcms,dc=example,dc=org", s)
	}
	d.Base = s
	return nil
}

func (d *Directory) setBindDN(s string) error {
	if !strings.Contains(s, "=") {
		return fmt.Errorf("directory.bind-dn %q: write it like uid=ldapsync,ou=service,dc=lcms,dc=example,dc=org", s)
	}
	d.BindDN = s
	return nil
}

func (d *Directory) setMode(s string) error {
	if s != "sync" && s != "observe" {
		return fmt.Errorf("directory.mode %q: use sync or observe", s)
	}
	d.Observe = s == "observe"
	return nil
}

// boolSetter sets a key that is true or false.
func boolSetter(key string, at *bool) func(string) error {
	return func(s string) error {
		if s != "true" && s != "false" {
			return fmt.Errorf("%s %q: use true or false", key, s)
		}
		*at = s == "true"
		return nil
	}
}

func (c *Config) setLogLevel(s string) error {
	switch s {
	case "debug", "info", "warn", "error":
		return c.LogLevel.UnmarshalText([]byte(s))
	}
	return fmt.Errorf("log.level %q: use debug, info, warn or error", s)
}
