package config

import (
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/mibs"
)

func TestParse(t *testing.T) {
	full := `agentx:
  address: tcp:127.0.0.1:705
root-oid: 1.3.6.1.4.1.12345.1
ipvs: memory
memory:
  traffic: 40
store:
  path: /tmp/x.db
drift:
  policy: adopt
host: lb1
directory:
  uris: [ldap://ldap1.example.org, "ldaps://ldap2.example.org:1636"]
  base: dc=lcms,dc=example,dc=org
  bind-dn: uid=ldapsync,ou=service,dc=lcms,dc=example,dc=org
  password-file: /etc/lcms/ldapsync.password
  start-tls: true
  ca-file: /etc/ldap/tls/ca.pem
  write-timeout: 1.5s
  queue: true
  mode: sync
log:
  level: debug
`
	want := Config{
		AgentXNetwork: "tcp", AgentXAddress: "127.0.0.1:705", RootOID: smi.OID{1, 3, 6, 1, 4, 1, 12345, 1},
		Memory: true, Traffic: 40, StorePath: "/tmp/x.db", Drift: "adopt", LogLevel: slog.LevelDebug,
		Host: "lb1",
		Directory: Directory{
			URIs: []string{"ldap://ldap1.example.org", "ldaps://ldap2.example.org:1636"}, Base: "dc=lcms,dc=example,dc=org",
			BindDN: "uid=ldapsync,ou=service,dc=lcms,dc=example,dc=org", PasswordFile: "/etc/lcms/ldapsync.password",
			StartTLS: true, CAFile: "/etc/ldap/tls/ca.pem", WriteTimeout: 1500 * time.Millisecond, Queue: true,
		},
	}
	long := Default()
	long.AgentXAddress = "/" + strings.Repeat("x", 106)
	local := Default()
	local.Directory = Directory{URIs: []string{"ldapi:///"}, Base: "dc=x", Observe: true}
	for name, c := range map[string]struct {
		text string
		want Config
	}{
		"empty":        {"", Default()},
		"comment only": {"# nothing\n", Default()},
		"every key":    {full, want},
		"long path":    {"agentx: {address: 'unix:/" + strings.Repeat("x", 106) + "'}\n", long},
		"ldapi":        {"directory: {uris: 'ldapi:///', base: dc=x, mode: observe}\n", local},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse("f.yaml", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestParseNamesLineCauseAndMend(t *testing.T) {
	for text, want := range map[string]string{
		"agentx:\n  address: unix:/" + strings.Repeat("x", 107) + "\n": "the path of a socket has at most 107 octets, this one has 108: use a shorter path",
		"agentx:\n  addres: unix:/x\n":                                 `f.yaml:2: unknown key "addres": the keys are agentx.address`,
		"agentx:\n  address: /var/agentx/master\n":                     `f.yaml:2: agentx.address "/var/agentx/master": use unix:/PATH or tcp:HOST:PORT`,
		"agentx:\n  address: unix:relative\n":                          `f.yaml:2: agentx.address "unix:relative": after unix: comes the absolute path`,
		"agentx:\n  address: tcp:localhost\n":                          `f.yaml:2: agentx.address "tcp:localhost": after tcp: comes HOST:PORT`,
		"agentx:\n  address: tcp:h:70000\n":                            `f.yaml:2: agentx.address`,
		"root-oid: 1.3.x\n":                                            `f.yaml:1: root-oid: OID "1.3.x": sub-identifier "x" is not a number`,
		"\n\nipvs: maybe\n":                                            `f.yaml:3: ipvs "maybe": use kernel or memory`,
		"ipvs: memory\nnetns: /run/netns/a\n":                          `f.yaml:2: netns is for ipvs: kernel only`,
		"memory:\n  traffic: 1\n":                                      `f.yaml:2: memory.traffic is for ipvs: memory only`,
		"ipvs: memory\nmemory:\n  traffic: much\n":                     `f.yaml:3: memory.traffic "much"`,
		"netns: lb\n":                                  `f.yaml:1: netns "lb": use an absolute path`,
		"store:\n  path: here\n":                       `f.yaml:2: store.path "here": use an absolute path`,
		"drift:\n  policy: ignore\n":                   `f.yaml:2: drift.policy "ignore": use enforce, alert or adopt`,
		"log:\n  level: loud\n":                        `f.yaml:2: log.level "loud": use debug, info, warn or error`,
		"log:\n  level: [a]\n":                         `f.yaml:2: log.level: a single value belongs here: not a list`,
		"\n\nagentx: unix:/x\n":                        `f.yaml:3: agentx: a mapping belongs here, with the keys address: not the text "unix:/x"`,
		"memory: 3\n":                                  `f.yaml:1: memory: a mapping belongs here, with the keys traffic: not the number 3`,
		"drift: enforce\nlog: debug\n":                 "f.yaml:1: drift: a mapping belongs here, with the keys policy: not the text \"enforce\"\nf.yaml:2: log: a mapping",
		"directory: ldap://x\n":                        `f.yaml:1: directory: a mapping belongs here, with the keys uris, base, bind-dn, password-file,`,
		"hello\n":                                      `f.yaml:1: a mapping belongs here, with the keys agentx, root-oid, ipvs,`,
		"- ipvs\n":                                     `f.yaml:1: a mapping belongs here, with the keys agentx, root-oid, ipvs, memory, netns, store, drift, host, directory, log: not a list`,
		"ipvs: kernel\nipvs: memory\n":                 `f.yaml:2: mapping key "ipvs" already defined`,
		"ipvs: kernel\n---\nipvs: memory\n":            `f.yaml: there is a second YAML document`,
		"agentx: [\n":                                  `f.yaml:`,
		"host: -x\n":                                   `f.yaml:1: host: `,
		"directory:\n  base: dc=x\n":                   `f.yaml:2: the directory has no servers: set directory.uris`,
		"directory:\n  uris: []\n  base: dc=x\n":       `f.yaml:3: the directory has no servers: set directory.uris`,
		"directory:\n  uris: ldapi:///\n":              `f.yaml:2: the directory has no base`,
		"directory:\n  base: lcms\n":                   `f.yaml:2: directory.base "lcms": write it like`,
		"directory:\n  uris: [ldapi:///, http://x]\n":  `f.yaml:2: directory.uris "http://x": use ldap://HOST:PORT`,
		"directory:\n  uris: [ldapi:///, ldapi:///]\n": `f.yaml:2: directory.uris "ldapi:///": it stands there twice`,
		"directory:\n  uris:\n  - a: b\n":              `f.yaml:3: directory.uris: a single value belongs here: not a mapping`,
		"directory:\n  uris: ldap://h\n  base: dc=x\n": `f.yaml:2: there is no name to log in with`,
		"directory:\n  uris: ldap://h\n  base: dc=x\n  bind-dn: uid=a\n":                `f.yaml:4: there is no password`,
		"directory:\n  uris: ldapi:///\n  base: dc=x\n  password-file: /p\n":            `f.yaml:4: directory.password-file is set`,
		"directory:\n  bind-dn: me\n":                                                   `f.yaml:2: directory.bind-dn "me": write it like`,
		"directory:\n  password-file: p\n":                                              `f.yaml:2: directory.password-file "p": use an absolute path`,
		"directory:\n  ca-file: p\n":                                                    `f.yaml:2: directory.ca-file "p": use an absolute path`,
		"directory:\n  start-tls: maybe\n":                                              `f.yaml:2: directory.start-tls "maybe": use true or false`,
		"directory:\n  write-timeout: 700\n":                                            `f.yaml:2: directory.write-timeout "700": use a time from 100ms to 10s, as in 700ms`,
		"directory:\n  write-timeout: 1m\n":                                             `f.yaml:2: directory.write-timeout "1m": use a time from 100ms to 10s`,
		"directory:\n  queue: maybe\n":                                                  `f.yaml:2: directory.queue "maybe": use true or false`,
		"directory:\n  mode: watch\n":                                                   `f.yaml:2: directory.mode "watch": use sync or observe`,
		"directory:\n  uris: ldapi:///\n  base: dc=x\n  mode: observe\n  queue: true\n": `f.yaml:5: with directory.mode observe`,
		"directory:\n  password: secret\n":                                              `f.yaml:2: unknown key "password"`,
		"log:\n  level: loud\nstore:\n  path: relative\n":                               `f.yaml:4: store.path`,
	} {
		_, err := parse("f.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestExample reads the file that is installed: it holds the defaults, and explains every
// key, if only in a comment.
func TestExample(t *testing.T) {
	const path = "../../deploy/lcms/lcms-subagent.yaml"
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.RootOID = mibs.DefaultRoot()
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("the values of the file are not the defaults: -want +got:\n%s", d)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for key := range strings.SplitSeq(knownKeys, ", ") {
		section, name, below := strings.Cut(key, ".")
		pattern := `(?m)^#?` + section + `:`
		if below {
			pattern += `\n(.*\n)*?#?  #?` + name + `:`
		}
		if !regexp.MustCompile(pattern).Match(text) {
			t.Errorf("%s does not explain %s", path, key)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("agentx:\n  address: unix:/x\n"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parse("f.yaml", b) })
}
