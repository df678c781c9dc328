package ldaptest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lcms-project/lcms/internal/freeport"
)

// stockConfig is what Debian's package makes the first configuration from.
const stockConfig = "/usr/share/slapd/slapd.init.ldif"

// Stock is a private slapd with its configuration in cn=config, as Debian's
// package sets it up, and nothing of LCMS.
type Stock struct {
	Client // by SASL EXTERNAL, which is root for this server
	t      TB
	dir    string
	port   int
	slapd  process
}

// StartStock returns such a server that is ready. Its own base is
// dc=nodomain.
func StartStock(t TB) *Stock {
	t.Helper()
	Need(t)
	init, err := os.ReadFile(stockConfig)
	if err != nil {
		missing(t, "%v: run `make deps`", err)
	}
	dir, err := os.MkdirTemp("", "slapd")
	if err != nil {
		t.Fatalf("%v", err)
	}
	s := &Stock{t: t, dir: dir, port: freeport.TCP(t)}
	s.Client = Client{uri: s.LDAPI(), base: "dc=nodomain", external: true}
	s.slapd.log = s.Path("slapd.log")
	t.Cleanup(func() {
		s.slapd.kill()
		if t.Failed() {
			t.Logf("slapd at %s says:\n%s", s.URI(), tail(s.slapd.said()))
		}
		os.RemoveAll(dir)
	})
	// Who runs the test is root here.
	config := strings.NewReplacer(
		"@SUFFIX@", s.base, "@PASSWORD@", "{CRYPT}*",
		"/var/run/slapd", dir, "/var/lib/ldap", s.Path("nodomain"),
		"gidNumber=0+uidNumber=0", fmt.Sprintf("gidNumber=%d+uidNumber=%d", os.Getgid(), os.Getuid()),
	).Replace(string(init))
	for _, folder := range []string{"slapd.d", "nodomain"} {
		if err := os.Mkdir(s.Path(folder), 0o700); err != nil {
			t.Fatalf("%v", err)
		}
	}
	slapadd := exec.Command(tool("slapadd"), "-F", s.Path("slapd.d"), "-n0")
	slapadd.Stdin = strings.NewReader(config)
	if out, err := slapadd.CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v: %s", err, out)
	}
	s.Start()
	return s
}

// Path returns the path of a file in the folder of the server.
func (s *Stock) Path(name string) string { return filepath.Join(s.dir, name) }

// URI returns where the server listens: ldap://127.0.0.1:PORT.
func (s *Stock) URI() string { return fmt.Sprintf("ldap://127.0.0.1:%d", s.port) }

// LDAPI returns the URI of the Unix socket.
func (s *Stock) LDAPI() string { return socketURI(s.Path("ldapi")) }

// Start starts slapd, on the same port again if it ran before, and waits until
// it answers.
func (s *Stock) Start() {
	s.t.Helper()
	serve(s.t, &s.slapd, []string{s.URI() + "/", s.LDAPI()}, "-F", s.Path("slapd.d"))
}

// Stop asks slapd to end as its service does, and waits for it.
func (s *Stock) Stop() {
	s.t.Helper()
	if err := s.slapd.stop(limit); err != nil {
		s.t.Fatalf("%v", err)
	}
}

// Certify makes, in a folder of the server, ca.pem of an authority and cert.pem
// and key.pem for localhost and 127.0.0.1.
func (s *Stock) Certify(folder string) {
	s.t.Helper()
	if err := os.Mkdir(s.Path(folder), 0o700); err != nil {
		s.t.Fatalf("%v", err)
	}
	certify(s.t, s.Path(folder))
}

// As returns the server as who logs in with a DN and a password.
func (s *Stock) As(dn, password string) Client {
	return Client{uri: s.LDAPI(), base: s.base, dn: dn, password: password}
}

// Config returns the configuration as cn=config has it.
func (s *Stock) Config() []Entry {
	s.t.Helper()
	return config(s.t, s.Path("slapd.d"))
}

// Config returns the configuration as cn=config would have it.
func (s *Server) Config() []Entry {
	s.t.Helper()
	dir := s.path("slapd.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.t.Fatalf("%v", err)
	}
	s.offline("slaptest", []string{"-F", dir})
	return config(s.t, dir)
}

func config(t TB, dir string) []Entry {
	t.Helper()
	out, err := exec.Command(tool("slapcat"), "-F", dir, "-n0", "-o", "ldif-wrap=no").Output()
	if err != nil {
		t.Fatalf("slapcat: %v", err)
	}
	entries, err := parse(string(out))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return entries
}
