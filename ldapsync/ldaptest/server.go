package ldaptest

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/freeport"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// TB is a *testing.T, *testing.B or *rapid.T, or a program that demonstrates
// something.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Options say how a server is set up. The zero Options are right for most
// tests.
type Options struct {
	Base       string   // begins with dc=; "" = schema.Base
	TLS        bool     // StartTLS and ldaps, with a certificate for localhost and 127.0.0.1
	ServerID   int      // of the CSNs, 1 to 4095; 0 = none
	SizeLimit  int      // entries that the directors get at most; 0 = no limit
	SessionLog int      // writes that the session log holds; 0 = as shipped, below 0 = no session log
	NoSyncrepl bool     // leave the overlay syncprov out: for polling
	Durable    bool     // fsync each write, as slapd does when nobody tells it otherwise
	Global     []string // further lines of slapd.conf before the database
	Database   []string // further lines of slapd.conf after the database's
	Tree       string   // LDIF that is loaded after the skeleton, at the default base or at Base
}

// limit is how long anything may take at most that is waited for.
const limit = 20 * time.Second

// Server is a slapd that is private to one test. What its methods cannot do
// ends the test, unless they return an error.
type Server struct {
	Client  // as the rootdn, which may do everything
	t       TB
	opts    Options
	dir     string
	port    int
	tlsPort int
	peer    *Server // the other provider, if there is one
	slapd   process
}

// Start returns a server that is ready.
func Start(t TB, o Options) *Server {
	t.Helper()
	s := New(t, o)
	s.Start()
	return s
}

// New returns a server that does not run yet, with the skeleton and the tree in
// its database. Whatever is started is stopped when the test ends.
func New(t TB, o Options) *Server {
	t.Helper()
	s := create(t, o)
	s.configure()
	s.load()
	return s
}

// create returns a server of which only the folder exists.
func create(t TB, o Options) *Server {
	t.Helper()
	Need(t)
	if o.Base == "" {
		o.Base = schema.Base
	}
	// A socket path has at most 107 octets, which t.TempDir may exceed.
	dir, err := os.MkdirTemp("", "slapd")
	if err != nil {
		t.Fatalf("%v", err)
	}
	s := &Server{t: t, opts: o, dir: dir}
	s.Client = Client{uri: s.LDAPI(), base: o.Base, dn: "cn=admin," + o.Base, password: rand.Text()}
	s.slapd.log = s.path("slapd.log")
	t.Cleanup(func() {
		if s.slapd.died() && t.Failed() {
			t.Logf("slapd at %s died: %s", s.URI(), s.slapd.cmd.ProcessState)
		}
		s.slapd.kill()
		if t.Failed() {
			t.Logf("slapd at %s says:\n%s", s.URI(), tail(s.slapd.said()))
		}
		os.RemoveAll(dir)
	})
	s.port = freeport.TCP(t)
	if o.TLS {
		s.tlsPort = freeport.TCP(t)
		certify(t, s.dir)
	}
	return s
}

// Need ends a test where slapd or the tools are missing: in CI it has failed.
func Need(t TB) {
	t.Helper()
	for _, name := range []string{"slapd", "slapadd", "slapcat", "ldapsearch", "ldapmodify"} {
		if _, err := exec.LookPath(tool(name)); err != nil {
			missing(t, "%s is not installed: run `make deps`", name)
		}
	}
}

func missing(t TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// tool returns the path of a program. Daemons are often not in the PATH of an
// ordinary user.
func tool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/sbin", name)
}

func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatalf("%v", err)
	}
}

// Base returns the base of the tree.
func (s *Server) Base() string { return s.opts.Base }

// URI returns where the server listens: ldap://127.0.0.1:PORT.
func (s *Server) URI() string { return fmt.Sprintf("ldap://127.0.0.1:%d", s.port) }

// LDAPS returns where the server listens with TLS: ldaps://127.0.0.1:PORT.
func (s *Server) LDAPS() string { return fmt.Sprintf("ldaps://127.0.0.1:%d", s.tlsPort) }

// LDAPI returns the URI of the Unix socket. By SASL EXTERNAL the user that runs
// the test is the sync identity there.
func (s *Server) LDAPI() string { return socketURI(s.path("ldapi")) }

func socketURI(path string) string { return "ldapi://" + url.PathEscape(path) }

// CAFile returns the path of the certificate that signed that of the server.
func (s *Server) CAFile() string { return s.path("ca.pem") }

// Password returns the password of every identity. It is another one for each
// server.
func (s *Server) Password() string { return s.password }

// PasswordFile returns the path of a file with the password and mode 0600.
func (s *Server) PasswordFile() string { return s.path("password") }

// PID returns the process id of slapd.
func (s *Server) PID() int { return s.slapd.cmd.Process.Pid }

// Running reports whether slapd is there. One that hangs is.
func (s *Server) Running() bool { return s.slapd.running() }

// Start starts slapd, on the same port again if it ran before, and waits until
// it answers.
func (s *Server) Start() {
	s.t.Helper()
	uris := []string{s.URI() + "/"}
	if s.opts.TLS {
		uris = append(uris, s.LDAPS()+"/")
	}
	// The socket last: when it is there, so are the others.
	serve(s.t, &s.slapd, append(uris, s.LDAPI()), "-f", s.path("slapd.conf"))
}

// serve starts slapd and waits until it answers at the last of the URIs.
func serve(t TB, slapd *process, uris []string, config ...string) {
	t.Helper()
	err := slapd.start(tool("slapd"), append(config, "-d", "0", "-h", strings.Join(uris, " "))...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	wait(t, "an answer of slapd", func() error {
		if !slapd.running() {
			t.Fatalf("slapd has ended (%s): %s", slapd.cmd.ProcessState, slapd.said())
		}
		conn, err := ldap.DialURL(uris[len(uris)-1])
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetTimeout(time.Second)
		_, err = conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
		return err
	})
}

// wait polls until check succeeds.
func wait(t TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s: %v", limit, what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Wait polls until check succeeds. If it does not in 20 seconds, the test ends.
func (s *Server) Wait(check func() error) {
	s.t.Helper()
	wait(s.t, "the server", check)
}

// Stop asks slapd to end as its service does, and waits for it.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.slapd.stop(limit); err != nil {
		s.t.Fatalf("%v", err)
	}
}

// Kill ends slapd as kill -9 does.
func (s *Server) Kill() { s.slapd.kill() }

// Restart stops slapd and starts it again.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// Hang makes slapd hang: its connections stay and nothing answers. All its
// threads have stopped when Hang returns.
func (s *Server) Hang() {
	s.t.Helper()
	s.send(syscall.SIGSTOP)
	if err := s.slapd.stopped(); err != nil {
		s.t.Fatalf("%v", err)
	}
}

// Continue ends what Hang began.
func (s *Server) Continue() { s.send(syscall.SIGCONT) }

func (s *Server) send(signal syscall.Signal) {
	s.t.Helper()
	if err := s.slapd.signal(signal); err != nil {
		s.t.Fatalf("%v", err)
	}
}

// Wipe stops slapd, empties its database and loads the skeleton, without the
// tree. Then slapd runs again if it ran before.
func (s *Server) Wipe() {
	s.t.Helper()
	s.replace(s.skeleton(), withCSN)
}

// Backup returns the whole database as slapcat prints it, with entryUUIDs and
// CSNs. The server may be running.
func (s *Server) Backup() string {
	s.t.Helper()
	return s.offline("slapcat", nil)
}

// Restore makes the database as it was when Backup was called, on this server
// or another one. Then slapd runs again if it ran before.
func (s *Server) Restore(backup string) {
	s.t.Helper()
	s.replace(backup, withCSN)
}

// RestoreBare is Restore as somebody does it who forgets -w: slapd makes itself a
// contextCSN of the moment at which it starts.
func (s *Server) RestoreBare(backup string) {
	s.t.Helper()
	s.replace(contextCSN.ReplaceAllString(backup, ""))
}

var contextCSN = regexp.MustCompile(`(?m)^contextCSN: .*\n`)

func (s *Server) replace(ldif string, options ...string) {
	s.t.Helper()
	ran := s.slapd.running()
	s.Stop()
	s.empty()
	s.slapadd(ldif, options...)
	if ran {
		s.Start()
	}
}

// empty makes the folder of the database anew.
func (s *Server) empty() {
	s.t.Helper()
	err := os.RemoveAll(s.path("db"))
	if err == nil {
		err = os.Mkdir(s.path("db"), 0o700)
	}
	if err != nil {
		s.t.Fatalf("%v", err)
	}
}

// Load puts LDIF into the database past the server, which is fast and must not
// be running.
func (s *Server) Load(ldif string) {
	s.t.Helper()
	if s.slapd.running() {
		s.t.Fatalf("Load while slapd runs")
	}
	s.slapadd(schema.Rebase(ldif, s.opts.Base), withCSN)
}

func (s *Server) load() {
	s.t.Helper()
	s.empty()
	s.slapadd(s.skeleton(), withCSN)
	if s.opts.Tree != "" {
		s.Load(s.opts.Tree)
	}
}

// withCSN has slapadd work out the contextCSN.
const withCSN = "-w"

func (s *Server) slapadd(ldif string, options ...string) {
	s.t.Helper()
	args := append([]string{"-q"}, options...)
	if s.opts.ServerID != 0 {
		args = append(args, "-S", strconv.Itoa(s.opts.ServerID))
	}
	s.write("load.ldif", ldif)
	s.offline("slapadd", append(args, "-l", s.path("load.ldif")))
}

// offline runs one of slapd's own tools.
func (s *Server) offline(name string, args []string) string {
	s.t.Helper()
	cmd := exec.Command(tool(name), append([]string{"-f", s.path("slapd.conf")}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", name, err, stderr.String())
	}
	return string(out)
}
