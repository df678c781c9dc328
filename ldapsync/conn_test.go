package ldapsync

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

// optionsFor returns how the sync identity reaches a server, with as much time for a
// write as slapd may need on a busy machine.
func optionsFor(s *ldaptest.Server) Options {
	return Options{URIs: []string{s.URI()}, BindDN: s.DN(ldaptest.Director), PasswordFile: s.PasswordFile(), WriteTimeout: 3 * time.Second}
}

func TestDialLogsInByEachWay(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{TLS: true})
	simple := optionsFor(s)
	secured := simple
	secured.CAFile = s.CAFile()
	started := secured
	started.StartTLS = true
	byName := func(uri string) string { return strings.Replace(uri, "127.0.0.1", "localhost", 1) }
	for name, tc := range map[string]struct {
		options Options
		uri     string
	}{
		"clear on loopback":   {simple, s.URI()},
		"StartTLS, address":   {started, s.URI()},
		"StartTLS, name":      {started, byName(s.URI())},
		"ldaps, address":      {secured, s.LDAPS()},
		"ldaps, name":         {started, byName(s.LDAPS())},
		"password over ldapi": {simple, s.LDAPI()},
		"EXTERNAL over ldapi": {Options{}, s.LDAPI()},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range []Purpose{ForSync, ForWrite, ForHeartbeat} {
				c, err := tc.options.Dial(t.Context(), tc.uri, p)
				if err != nil {
					t.Fatal(err)
				}
				who, err := c.WhoAmI(nil)
				if err != nil || who.AuthzID != "dn:"+s.DN(ldaptest.Director) {
					t.Errorf("the server takes us for %v, %v", who, err)
				}
				if got := c.Identity(); got != s.DN(ldaptest.Director) {
					t.Errorf("identity %q", got)
				}
				_, ok := c.TLSConnectionState()
				if want := tc.options.CAFile != ""; ok != want {
					t.Errorf("TLS: %v", ok)
				}
				if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
}

// refused checks that err has the kind of a directory that cannot be used and
// says each of the words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, lvs.ErrUnavailable) {
		t.Errorf("%v is not lvs.ErrUnavailable", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestDialRefusesWhatIsNotSafe(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{TLS: true})
	other := ldaptest.New(t, ldaptest.Options{TLS: true})
	plain := ldaptest.Start(t, ldaptest.Options{})
	good := optionsFor(s)
	good.CAFile, good.StartTLS = s.CAFile(), true
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // past the umask
			t.Fatal(err)
		}
		return path
	}
	noName := "ldaps://" + forward(t, "127.0.0.2:0", strings.TrimPrefix(s.LDAPS(), "ldaps://"))
	for name, tc := range map[string]struct {
		change func(*Options)
		uri    string
		words  []string
	}{
		"StartTLS, another authority": {func(o *Options) { o.CAFile = other.CAFile() }, s.URI(), []string{"nobody we trust signed", "add its authority to " + other.CAFile()}},
		"ldaps, another authority":    {func(o *Options) { o.CAFile = other.CAFile() }, s.LDAPS(), []string{"nobody we trust signed"}},
		"the machine's authorities":   {func(o *Options) { o.CAFile = "" }, s.LDAPS(), []string{"nobody we trust signed", "directory.ca-file"}},
		"another name":                {nil, noName, []string{"not for 127.0.0.2 but for localhost, 127.0.0.1", "directory.uris"}},
		"StartTLS refused":            {nil, plain.URI(), []string{"does not start TLS", "give it a certificate"}},
		"ldaps where there is ldap":   {nil, strings.Replace(s.URI(), "ldap:", "ldaps:", 1), []string{"no TLS"}},
		"no authority file":           {func(o *Options) { o.CAFile = dir + "/none" }, s.URI(), []string{"directory.ca-file", "no such file"}},
		"no PEM":                      {func(o *Options) { o.CAFile = file("not.pem", "hello", 0o600) }, s.URI(), []string{"has no certificate", "PEM"}},
		"wrong password":              {func(o *Options) { o.PasswordFile = file("wrong", "wrong", 0o600) }, s.URI(), []string{s.DN(ldaptest.Director) + " cannot log in", "invalidCredentials 49", dir + "/wrong"}},
		"no such name":                {func(o *Options) { o.BindDN = "uid=nobody," + s.Base() }, s.URI(), []string{"uid=nobody", "directory.bind-dn"}},
		"password for a group":        {func(o *Options) { o.PasswordFile = file("group", "secret", 0o640) }, s.URI(), []string{"mode 0640", "chmod 600 " + dir + "/group"}},
		"password for all":            {func(o *Options) { o.PasswordFile = file("all", "secret", 0o604) }, s.URI(), []string{"mode 0604", "chmod 600"}},
		"password written by a group": {func(o *Options) { o.PasswordFile = file("written", "secret", 0o620) }, s.URI(), []string{"chmod 600"}},
		"empty password":              {func(o *Options) { o.PasswordFile = file("empty", "", 0o600) }, s.URI(), []string{"is empty"}},
		"blank password":              {func(o *Options) { o.PasswordFile = file("blank", " \n", 0o600) }, s.URI(), []string{"is empty"}},
		"two lines":                   {func(o *Options) { o.PasswordFile = file("two", "a\nb\n", 0o600) }, s.URI(), []string{"more than one line"}},
		"huge password":               {func(o *Options) { o.PasswordFile = file("huge", strings.Repeat("x", maxPassword+1), 0o600) }, s.URI(), []string{"more than one line"}},
		"no password file":            {func(o *Options) { o.PasswordFile = dir + "/none" }, s.URI(), []string{"directory.password-file", "no such file"}},
		"a folder":                    {func(o *Options) { o.PasswordFile = dir }, s.URI(), []string{"no regular file"}},
		"EXTERNAL over TCP":           {func(o *Options) { o.BindDN, o.PasswordFile = "", "" }, s.URI(), []string{"directory.bind-dn", "ldapi"}},
		"nobody there":                {nil, "ldap://127.0.0.1:1", []string{"connection refused", "directory.uris"}},
		"no such socket":              {nil, "ldapi://%2Fnone", []string{"/none", "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			if tc.change != nil {
				tc.change(&o)
			}
			c, err := o.Dial(t.Context(), tc.uri, ForHeartbeat)
			if err == nil {
				_ = c.Close()
			}
			refused(t, err, tc.words...)
			if strings.Contains(err.Error(), s.Password()) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

// forward lets another address lead to a server, and returns it.
func forward(t *testing.T, at, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
			go func() { _, _ = io.Copy(near, far); _ = near.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestPasswordIsReadAnewAtEachDial(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	o := optionsFor(s)
	o.PasswordFile = filepath.Join(t.TempDir(), "password")
	for _, line := range []string{"old", s.Password() + "\n", "other", s.Password() + "\r\n", s.Password()} {
		if err := os.WriteFile(o.PasswordFile, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := o.Dial(t.Context(), s.URI(), ForHeartbeat)
		if right := strings.TrimSpace(line) == s.Password(); (err == nil) != right {
			t.Errorf("right password: %v, error: %v", right, err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

// nonLoopback returns an address of this machine that is not loopback.
func nonLoopback(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Fatal("this machine has no IPv4 address but loopback")
	return ""
}

// TestPasswordNeverCrossesANetworkInClear has a listener in place of the server,
// which would see the password.
func TestPasswordNeverCrossesANetworkInClear(t *testing.T) {
	l, err := net.Listen("tcp", net.JoinHostPort(nonLoopback(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			heard <- -1
			return
		}
		defer c.Close()
		n, _ := c.Read(make([]byte, 1024))
		heard <- n
	}()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{BindDN: "uid=ldapsync,dc=example,dc=org", PasswordFile: path}
	_, err = o.Dial(t.Context(), "ldap://"+l.Addr().String(), ForHeartbeat)
	refused(t, err, "in clear", "directory.start-tls", "ldaps")
	if n := <-heard; n != 0 {
		t.Errorf("the server has got %d octets", n)
	}
}

// TestDialEndsInTime has a server that takes connections and says nothing, as a
// hung one does.
func TestDialEndsInTime(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{TLS: true})
	o := optionsFor(s)
	o.CAFile = s.CAFile()
	s.Hang()
	defer s.Continue()
	started := o
	started.StartTLS = true
	for name, dial := range map[string]func(context.Context) error{
		"bind":     func(ctx context.Context) error { _, err := o.Dial(ctx, s.URI(), ForSync); return err },
		"StartTLS": func(ctx context.Context) error { _, err := started.Dial(ctx, s.URI(), ForSync); return err },
		"ldaps":    func(ctx context.Context) error { _, err := o.Dial(ctx, s.LDAPS(), ForSync); return err },
		"ldapi":    func(ctx context.Context) error { _, err := Options{}.Dial(ctx, s.LDAPI(), ForSync); return err },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			refused(t, dial(ctx), "cannot be reached")
		})
	}
	start := time.Now()
	o.WriteTimeout = 0 // the default
	_, err := o.Dial(t.Context(), s.URI(), ForWrite)
	refused(t, err, "no answer within 700ms")
	if d := time.Since(start); d < DefaultWriteTimeout || d > 10*DefaultWriteTimeout {
		t.Errorf("it took %s", d)
	}
	o.WriteTimeout = 50 * time.Millisecond
	_, err = o.Dial(t.Context(), s.URI(), ForWrite)
	refused(t, err, "no answer within 50ms")
}

func TestDoCutsOffWhatIsLate(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	c, err := optionsFor(s).Dial(t.Context(), s.URI(), ForSync)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	who := func() error { _, err := c.WhoAmI(nil); return err }
	if err := c.Do(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	s.Hang()
	defer s.Continue()
	why := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
	defer cancel()
	if err := c.Do(ctx, who); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

func TestOptionsCheck(t *testing.T) {
	good := Options{URIs: []string{"ldaps://ldap1.example.org", "ldap://[2001:db8::1]:1389/", "ldapi://"}, BindDN: "uid=ldapsync,dc=example", PasswordFile: "/x"}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Options)
		words  string
	}{
		"no URI":           {func(o *Options) { o.URIs = nil }, "set directory.uris"},
		"no scheme":        {func(o *Options) { o.URIs = []string{"ldap1.example.org"} }, "is no URI of a directory"},
		"another scheme":   {func(o *Options) { o.URIs = []string{"http://ldap1.example.org"} }, "is no URI of a directory"},
		"no host":          {func(o *Options) { o.URIs = []string{"ldap://:389"} }, "is no URI of a directory"},
		"a base":           {func(o *Options) { o.URIs = []string{"ldap://h/dc=example"} }, "is no URI of a directory"},
		"a password":       {func(o *Options) { o.URIs = []string{"ldap://u:p@h"} }, "is no URI of a directory"},
		"a bad port":       {func(o *Options) { o.URIs = []string{"ldap://h:x"} }, "is no URI of a directory"},
		"long path":        {func(o *Options) { o.URIs = []string{"ldapi://%2F" + strings.Repeat("x", 107)} }, "at most 107 octets, this one has 108"},
		"slashes":          {func(o *Options) { o.URIs = []string{"ldapi:///var/run/ldapi"} }, "%2F"},
		"no name over TCP": {func(o *Options) { o.BindDN, o.PasswordFile = "", "" }, "set directory.bind-dn"},
		"no password":      {func(o *Options) { o.PasswordFile = "" }, "set directory.password-file"},
		"password of none": {func(o *Options) { o.URIs, o.BindDN = []string{"ldapi://"}, "" }, "set directory.bind-dn"},
		"no DN":            {func(o *Options) { o.BindDN = "ldapsync" }, "cannot be read"},
	} {
		o := good
		tc.change(&o)
		err := o.Check()
		refused(t, err, tc.words)
		if !errors.Is(err, lvs.ErrInvalid) {
			t.Errorf("%s: %v is not lvs.ErrInvalid", name, err)
		}
	}
}
