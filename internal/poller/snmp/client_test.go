package snmp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/internal/poller/snmp/snmptest"
	"github.com/lcms-project/lcms/tests/director"
)

func TestMain(m *testing.M) { os.Exit(director.Main(m)) }

var (
	uptime = snmp.MustOID("1.3.6.1.2.1.1.3.0")
	name   = snmp.MustOID("1.3.6.1.2.1.1.5.0")
	public = &snmp.Credentials{Community: "public"}
)

func newClient(t *testing.T, timeout time.Duration, attempts int) *snmp.Client {
	c := snmp.NewClient(timeout, attempts)
	t.Cleanup(c.Close)
	return c
}

// patient is a client for agents that do answer.
func patient(t *testing.T) *snmp.Client { return newClient(t, 20*time.Second, 1) }

func TestRealAgent(t *testing.T) {
	d := director.New(t, director.Options{Snmpd: []string{
		"rocommunity public 127.0.0.1",
		"sysName someone", // read only from now on
		"sysLocation here",
		`createUser watcher SHA-256 "auth pass phrase" AES "privacy pass phrase"`,
		"rwuser watcher priv",
	}})
	d.StartSnmpd()
	at := netip.MustParseAddrPort(d.Address())
	v3 := func(edit func(*snmp.Credentials)) *snmp.Credentials {
		c := &snmp.Credentials{User: "watcher", Auth: "SHA-256", AuthPass: "auth pass phrase", Privacy: "AES", PrivacyPass: "privacy pass phrase"}
		edit(c)
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for label, c := range map[string]*snmp.Credentials{"v2c": public, "v3": v3(func(*snmp.Credentials) {})} {
		t.Run(label, func(t *testing.T) {
			client := patient(t)
			to := snmp.Agent{Address: at, Credentials: c}
			missing := snmp.MustOID("1.3.6.1.2.1.1.99.0")
			object := snmp.MustOID("1.3.6.1.2.1.1.2.0")
			vbs, err := client.Do(t.Context(), to, snmp.Get(uptime, missing, name, object))
			if err != nil {
				t.Fatal(err)
			}
			if vbs[0].Value.Type != snmp.TypeTimeTicks || vbs[1].Value.Exists() || string(vbs[2].Value.Bytes) != "someone" ||
				!strings.HasPrefix(vbs[3].Value.Name.String(), ".1.3.6.1.4.1.8072.") {
				t.Errorf("answer %v", vbs)
			}
			if _, ok := snmp.Find(vbs, missing); ok {
				t.Error("a missing object is found")
			}

			// Two columns of sysORTable side by side.
			columns := []snmp.OID{snmp.MustOID("1.3.6.1.2.1.1.9.1.2"), snmp.MustOID("1.3.6.1.2.1.1.9.1.3")}
			vbs, err = client.Do(t.Context(), to, snmp.Bulk(3, columns...))
			if err != nil || len(vbs) != 6 {
				t.Fatalf("%v, %v", vbs, err)
			}
			for i, vb := range vbs {
				if rest, ok := vb.Name.Within(columns[i%2]); !ok || len(rest) != 1 || rest[0] != uint32(1+i/2) {
					t.Errorf("varbind %d is %v", i, vb.Name)
				}
			}

			// The system group is read-only here: the agent refuses with the index.
			_, err = client.Do(t.Context(), to, snmp.Set(snmp.Varbind{Name: name, Value: snmp.Text("x")}))
			var refusal *snmp.StatusError
			if !errors.As(err, &refusal) || refusal.Index != 1 && label == "v3" {
				t.Errorf("SET of a read-only object: %v", err)
			}
		})
	}
	impatient := newClient(t, 2*time.Second, 1)
	for label, tc := range map[string]struct {
		c    *snmp.Credentials
		want string
	}{
		"unknown user":             {v3(func(c *snmp.Credentials) { c.User = "nobody" }), "does not know the user nobody"},
		"wrong key":                {v3(func(c *snmp.Credentials) { c.AuthPass = "something else" }), "wrong authentication key of user watcher"},
		"other protocol":           {v3(func(c *snmp.Credentials) { c.Auth = "SHA" }), "wrong authentication key"},
		"wrong privacy":            {v3(func(c *snmp.Credentials) { c.PrivacyPass = "something else" }), "privacy key"},
		"wrong community":          {&snmp.Credentials{Community: "wrong"}, "no answer within"},
		"no privacy, though asked": {v3(func(c *snmp.Credentials) { c.Privacy, c.PrivacyPass = "", "" }), "authorizationError"},
	} {
		t.Run(label, func(t *testing.T) {
			to := snmp.Agent{Address: at, Credentials: tc.c}
			for range 2 { // again: what is remembered of it must not hide it
				_, err := impatient.Do(t.Context(), to, snmp.Get(uptime))
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error %v, want %q", err, tc.want)
				}
				if err != nil && strings.Contains(err.Error(), "pass phrase of") {
					t.Errorf("it may show a secret: %v", err)
				}
			}
		})
	}
}

// TestRestartOfAgent has an agent come back with another engine, as after a
// new installation.
func TestRestartOfAgent(t *testing.T) {
	d := director.New(t, director.Options{Snmpd: []string{
		`createUser watcher SHA-256 "auth pass phrase"`, "rouser watcher auth",
	}})
	d.StartSnmpd()
	client := newClient(t, 5*time.Second, 1)
	to := snmp.Agent{Address: netip.MustParseAddrPort(d.Address()), Credentials: &snmp.Credentials{User: "watcher", Auth: "SHA-256", AuthPass: "auth pass phrase"}}
	ask := func() error {
		_, err := client.Do(t.Context(), to, snmp.Get(uptime))
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	d.KillSnmpd()
	if err := ask(); !errors.Is(err, snmp.ErrNoAnswer) {
		t.Errorf("a dead agent: %v", err)
	}
	d.StartSnmpd()
	if err := director.Poll(d.Limit(), ask); err != nil {
		t.Errorf("it came back and is not asked: %v", err)
	}
}

func TestBrokenAgents(t *testing.T) {
	client := newClient(t, 300*time.Millisecond, 2)
	ask := func(a *snmptest.Agent) ([]snmp.Varbind, error) {
		return client.Do(t.Context(), snmp.Agent{Address: a.Address, Credentials: public}, snmp.Get(uptime, name))
	}
	good := snmptest.Start(t, "127.9.1.1", snmp.Varbind{Name: uptime, Value: snmp.Unsigned(7)}, snmp.Varbind{Name: name, Value: snmp.Text("good")})
	for label, tc := range map[string]struct {
		raw  func([]byte) []byte
		want string
	}{
		"silent":          {func([]byte) []byte { return nil }, "no answer within 300ms, asked 2 times"},
		"garbage":         {func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request") }, "no SNMPv2c message"},
		"nothing":         {func([]byte) []byte { return []byte{} }, "no SNMPv2c message"},
		"its own request": {func(b []byte) []byte { return b }, "no SNMPv2c message"},
		"cut short":       {func(b []byte) []byte { return b[:len(b)/2] }, "no SNMPv2c message"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			a := snmptest.Start(t, "127.9.1.2")
			a.Raw(tc.raw)
			if _, err := ask(a); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if vbs, err := patient(t).Do(t.Context(), snmp.Agent{Address: good.Address, Credentials: public}, snmp.Get(name)); err != nil || string(vbs[0].Value.Bytes) != "good" {
				t.Errorf("the others: %v, %v", vbs, err)
			}
		})
	}
	t.Run("other objects than asked for", func(t *testing.T) {
		a := snmptest.Start(t, "127.9.1.3", snmp.Varbind{Name: uptime, Value: snmp.Unsigned(7)})
		a.Raw(func(b []byte) []byte {
			b[bytes.Index(b, []byte("\x2b\x06\x01\x02\x01\x01\x03"))+6] = 4 // sysContact
			b[bytes.IndexByte(b, 0xa0)] = 0xa2                              // Response
			return b
		})
		if _, err := ask(a); err == nil || !strings.Contains(err.Error(), "other objects") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		a := snmptest.Start(t, "127.9.1.5")
		a.Raw(func([]byte) []byte { return nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := client.Do(ctx, snmp.Agent{Address: a.Address, Credentials: public}, snmp.Get(uptime)); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// TestManyAgents asks many agents at once through the one socket, some of which
// are dead.
func TestManyAgents(t *testing.T) {
	const agents, rounds = 60, 20
	client := newClient(t, 20*time.Second, 1)
	dead := newClient(t, 50*time.Millisecond, 1)
	var group sync.WaitGroup
	for i := range agents {
		want := fmt.Sprintf("agent %d", i)
		a := snmptest.Start(t, fmt.Sprintf("127.9.2.%d", 1+i), snmp.Varbind{Name: name, Value: snmp.Text(want)})
		group.Go(func() {
			for range rounds {
				vbs, err := client.Do(t.Context(), snmp.Agent{Address: a.Address, Credentials: public}, snmp.Get(name))
				if err != nil || string(vbs[0].Value.Bytes) != want {
					t.Errorf("%s: %v, %v", want, vbs, err)
				}
			}
		})
		group.Go(func() {
			gone := snmp.Agent{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 3, byte(1 + i)}), 9), Credentials: public}
			if _, err := dead.Do(t.Context(), gone, snmp.Get(name)); !errors.Is(err, snmp.ErrNoAnswer) {
				t.Errorf("a dead agent: %v", err)
			}
		})
	}
	group.Wait()
}

func TestCredentials(t *testing.T) {
	for want, c := range map[string]snmp.Credentials{
		"":                   {Community: "x"},
		"community is empty": {},
		"authentication":     {User: "u", Auth: "SHA256", AuthPass: "long enough"},
		"privacy \"3DES\"":   {User: "u", Auth: "SHA", AuthPass: "long enough", Privacy: "3DES"},
		"no privacy without": {User: "u", Privacy: "AES", PrivacyPass: "long enough"},
		"at least 8":         {User: "u", Auth: "SHA", AuthPass: "short"},
	} {
		err := c.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	secret := snmp.Credentials{User: "u", Community: "secret", AuthPass: "secret", PrivacyPass: "secret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, x := range []any{secret, &secret, snmp.Agent{Credentials: &secret}} {
			if text := fmt.Sprintf(format, x); strings.Contains(text, "secret") {
				t.Errorf("%s shows a secret: %s", format, text)
			}
		}
	}
}
