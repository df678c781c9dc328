package directory

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
	"github.com/lcms-project/lcms/tests/director"
)

// Over TLS the director is in sync, and takes writes.
func TestSecured(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.Start(t, ldaptest.Options{TLS: true, Tree: schema.Demo, Global: []string{"security simple_bind=128", "localSSF 128"}})
	for name, keys := range map[string][]string{
		"StartTLS": {"uris: " + slapd.URI(), "start-tls: true"},
		"ldaps":    {"uris: " + strings.Replace(slapd.LDAPS(), "127.0.0.1", "localhost", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			s := secured(t, slapd, slapd.CAFile(), slapd.PasswordFile(), keys...)
			s.waitState(inSync)
			s.set(`lcmsServerWeight.` + first + ` u 44`)
			if got := s.inDirectory(firstDN, "lcmsWeight"); got != "44" {
				t.Errorf("the directory has weight %s", got)
			}
			s.modify(firstDN, "lcmsWeight", "3")
			s.wait("lcmsServerOperWeight."+first, "3")
		})
	}
}

// secured starts a director that logs in with a password, in whatever state.
func secured(t *testing.T, slapd *ldaptest.Server, ca, password string, keys ...string) *scene {
	t.Helper()
	lines := []string{"host: lb1", "directory:", "  base: " + slapd.Base(), "  bind-dn: " + slapd.DN(ldaptest.Director), "  ca-file: " + ca, "  password-file: " + password}
	for _, k := range keys {
		lines = append(lines, "  "+k)
	}
	return &scene{T: t, slapd: slapd, Director: director.Start(t, director.Options{Config: lines})}
}

// What is wrong with the way to the directory is named with its mend, nothing is
// sent to a server that is not the one it should be, and once it is mended the
// director goes on by itself.
func TestInsecureIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		wrong func(dir string, slapd *ldaptest.Server)
		words []string
		mend  func(dir string, slapd *ldaptest.Server)
	}{
		"another authority": {
			wrong: func(dir string, _ *ldaptest.Server) {
				other := ldaptest.New(t, ldaptest.Options{TLS: true})
				copyFile(t, other.CAFile(), filepath.Join(dir, "ca.pem"), 0o600)
			},
			words: []string{"nobody we trust signed the server's certificate", "ca.pem"},
			mend: func(dir string, slapd *ldaptest.Server) {
				copyFile(t, slapd.CAFile(), filepath.Join(dir, "ca.pem"), 0o600)
			},
		},
		"readable password": {
			wrong: func(dir string, slapd *ldaptest.Server) { chmod(t, filepath.Join(dir, "password"), 0o644) },
			words: []string{"can be read or written by others", "chmod 600"},
			mend:  func(dir string, _ *ldaptest.Server) { chmod(t, filepath.Join(dir, "password"), 0o600) },
		},
		"wrong password": {
			wrong: func(dir string, _ *ldaptest.Server) { write(t, filepath.Join(dir, "password"), "wrong\n") },
			words: []string{"invalidCredentials", "correct directory.bind-dn, or the password in"},
			mend: func(dir string, slapd *ldaptest.Server) {
				copyFile(t, slapd.PasswordFile(), filepath.Join(dir, "password"), 0o600)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slapd := ldaptest.Start(t, ldaptest.Options{TLS: true, Tree: schema.Demo})
			dir := t.TempDir()
			copyFile(t, slapd.CAFile(), filepath.Join(dir, "ca.pem"), 0o600)
			copyFile(t, slapd.PasswordFile(), filepath.Join(dir, "password"), 0o600)
			c.wrong(dir, slapd)
			s := secured(t, slapd, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "password"), "uris: "+slapd.LDAPS())
			s.waitState(failed)
			s.lastError(c.words...)
			s.refused("resourceUnavailable", `lcmsServiceRowStatus."tcp:192.0.2.30:80" i 4`)
			c.mend(dir, slapd)
			s.waitState(inSync)
			s.must("lcmsDirectorServices.0", fmt.Sprint(demoServices))
			s.set(`lcmsServerWeight.` + first + ` u 44`)
		})
	}
}

// proxy listens on 127.0.0.2, which the certificate is not for, and passes on to
// the server what it gets.
func proxy(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
	return l.Addr().String()
}

// The certificate of another machine is none, also if it is valid.
func TestNameOfServerIsChecked(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.Start(t, ldaptest.Options{TLS: true, Tree: schema.Demo})
	at := proxy(t, strings.TrimPrefix(slapd.LDAPS(), "ldaps://"))
	s := secured(t, slapd, slapd.CAFile(), slapd.PasswordFile(), "uris: ldaps://"+at)
	s.waitState(failed)
	s.lastError("is not for 127.0.0.2 but for localhost, 127.0.0.1", "correct the name in directory.uris")
	s.must("lcmsDirectorServices.0", "0")
}

// lastError checks what lcmsDirectoryLastError says.
func (s *scene) lastError(words ...string) {
	s.Helper()
	says, err := value(s.Director, "lcmsDirectoryLastError.0")
	if err != nil {
		s.Fatal(err)
	}
	for _, w := range words {
		if !strings.Contains(says, w) {
			s.Errorf("lcmsDirectoryLastError is %q, which does not say %q", says, w)
		}
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// On the Unix socket the kernel tells who the director is, who sees nothing of
// the managers.
func TestSocketTellsWhoItIs(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	who, err := s.slapd.External().WhoAmI()
	if err != nil || who != "dn:"+s.slapd.DN(ldaptest.Director) {
		t.Fatalf("on the socket we are %s, %v", who, err)
	}
	for _, c := range []ldaptest.Client{s.slapd.External(), s.slapd.As(ldaptest.Director)} {
		found, err := c.Search("(|(objectClass=inetOrgPerson)(uid=*)(userPassword=*))")
		if err != nil || len(found) > 0 {
			t.Errorf("the director sees managers: %v, %v", found, err)
		}
		var r *ldaptest.Refusal
		if e, err := c.Read(s.slapd.DN(ldaptest.Administrator)); !errors.As(err, &r) || r.Code != 32 {
			t.Errorf("the director reads a manager: %v, %v", e, err)
		}
		if err := c.Modify(replace(s.slapd.DN(ldaptest.Administrator), "mail", "x@example.org")); !errors.As(err, &r) {
			t.Errorf("the director changes a manager: %v", err)
		}
	}
	// Whatever managers do, the director does not mind.
	if err := s.slapd.Modify(replace(s.slapd.DN(ldaptest.Viewer), "mail", "carol@example.net")); err != nil {
		t.Fatal(err)
	}
	s.modify(firstDN, "lcmsWeight", "42")
	s.wait("lcmsServerOperWeight."+first, "42")
	s.must("lcmsDirectoryState.0", inSync)
}
