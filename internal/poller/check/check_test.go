package check

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// wait is how long a server has that does answer.
const wait = 20 * time.Second

// brief is how long one has that does not.
const brief = 300 * time.Millisecond

type want struct {
	health Health
	detail string // part of it
}

// probe makes the probe of a server and runs it once.
func probe(t *testing.T, kind lvs.CheckType, target string, at netip.AddrPort, limit time.Duration, o Options) Result {
	t.Helper()
	service, err := lvs.ParseServiceKey("tcp:192.0.2.1:80")
	if kind == lvs.CheckDNS || kind == lvs.CheckUDP {
		service, err = lvs.ParseServiceKey("udp:192.0.2.1:80")
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := lvs.NewServerKey(at)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(service, server, lvs.HealthCheck{CheckType: kind, CheckTarget: target}, o)
	if err != nil {
		return unknown("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r := p.Run(ctx)
	if len(r.Detail) == 0 || len(r.Detail) > MaxDetail || strings.ContainsAny(r.Detail, "\n\r\x00") {
		t.Errorf("detail %q", r.Detail)
	}
	return r
}

func (w want) check(t *testing.T, r Result) {
	t.Helper()
	if r.Health != w.health || !strings.Contains(r.Detail, w.detail) {
		t.Errorf("%s, %q: want %s, %q", r.Health, r.Detail, w.health, w.detail)
	}
}

// serve answers connections of a loopback port by a function each.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// hang takes a connection and says nothing.
func hang(conn net.Conn) { io.Copy(io.Discard, conn) }

// request reads one by HTTP.
func request(conn net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		r.Body.Close()
	}
}

// serveUDP answers datagrams; nil: not at all.
func serveUDP(t *testing.T, answer func([]byte) []byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 65535)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if out := answer(b[:n]); out != nil {
				conn.WriteToUDPAddrPort(out, from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// closed returns a TCP port that refuses.
func closed(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestTargetsThatAreTakenCanBeAsked makes a probe of any target that the director
// takes.
func TestTargetsThatAreTakenCanBeAsked(t *testing.T) {
	service, err := lvs.ParseServiceKey("udp:192.0.2.1:53")
	if err != nil {
		t.Fatal(err)
	}
	server, err := lvs.ParseServerKey("192.0.2.2:53")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Scripts: "/nowhere", Ask: func(context.Context, netip.Addr, uint16, snmp.OID) (snmp.Value, error) { return snmp.Value{}, nil }}
	texts := []string{`[a-z.]{1,70}`, `[a-z]{60,66}\.[a-z]{60,66}\.[a-z]{60,66}\.[a-z]{55,66}`, `[.]?[0-9]{1,2}(\.[0-9]{1,10}){1,5}`, `/[ -~]{0,20}`, `(HEAD )?/[a-z%0-9?#]{0,9}`, `port=[0-9]{1,5}`}
	rapid.Check(t, func(t *rapid.T) {
		c := lvs.HealthCheck{
			CheckType:   lvs.CheckType(rapid.Uint8Range(uint8(lvs.CheckTCP), uint8(lvs.CheckScript)).Draw(t, "type")),
			CheckTarget: rapid.StringMatching(rapid.SampledFrom(texts).Draw(t, "form")).Draw(t, "target"),
		}
		if _, err := lvs.ParseCheckTarget(c.CheckType, c.CheckTarget); err != nil {
			return
		}
		if _, err := New(service, server, c, o); err != nil {
			t.Errorf("%s %q is taken, and %v", c.CheckType, c.CheckTarget, err)
		}
	})
}

func portOf(server *httptest.Server) netip.AddrPort {
	return server.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func TestTCP(t *testing.T) {
	open := serve(t, hang)
	want{Up, "connected in"}.check(t, probe(t, lvs.CheckTCP, "", open, wait, Options{}))
	want{Down, "connection refused"}.check(t, probe(t, lvs.CheckTCP, "", closed(t), wait, Options{}))
	other := netip.AddrPortFrom(open.Addr(), 0)
	want{Unknown, "add port=NUMBER"}.check(t, probe(t, lvs.CheckTCP, "", other, wait, Options{}))
	want{Up, "connected"}.check(t, probe(t, lvs.CheckTCP, fmt.Sprintf("port=%d", open.Port()), other, wait, Options{}))
	want{Unknown, "no option path"}.check(t, probe(t, lvs.CheckTCP, "path=/", open, wait, Options{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := (tcp{open}).Run(ctx); r.Health != Down || !r.Silent {
		t.Errorf("over before it began: %+v", r)
	}
}

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-State", "ready, more or less")
		fmt.Fprintf(w, "%s of %s, ready; agent %s", r.Method, r.Host, r.UserAgent())
	})
	mux.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "database away", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/sick", http.StatusFound) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(strings.Repeat("x", bodyLimit)))
		w.Write([]byte("the end"))
	})
	mux.HandleFunc("/asked/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.RawQuery) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for target, w := range map[string]want{
		"":       {Up, "status 200 in"},
		"/":      {Up, "status 200"},
		"HEAD /": {Up, "status 200"},
		"/ host=www.example.org body=\"GET of www.example.org, ready\"": {Up, "status 200"},
		"/ body=lcms-poller":             {Up, "status 200"},
		"/ body=sorry":                   {Down, `"sorry" is not in the first`},
		"/sick":                          {Down, "status 503 Service Unavailable"},
		"/sick status=200-299,503":       {Up, "status 503"},
		"/moved":                         {Up, "status 302"},
		"/moved status=200":              {Down, "status 302 Found"},
		"/large body=\"the end\"":        {Down, "not in the first 65536 octets"},
		"/query?a=1&b=2 body=a=1&b=2":    {Up, "status 200"},
		"/asked/a%20b body=/asked/a%20b": {Up, "status 200"},
		"/ header=X-State:ready":         {Up, "status 200"},
		"/ header=X-State:broken":        {Down, `header X-State is "ready, more or less"`},
		"/ header=X-Other:":              {Down, "no header X-Other"},
		"nowhere":                        {Unknown, "check target"},
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			w.check(t, probe(t, lvs.CheckHTTP, target, portOf(server), wait, Options{}))
		})
	}
	for name, c := range map[string]struct {
		handle func(net.Conn)
		limit  time.Duration
		want   want
	}{
		"hangs":   {hang, brief, want{Down, "no answer in time"}},
		"no HTTP": {func(c net.Conn) { request(c); io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") }, wait, want{Down, "HTTP: "}},
		"closes":  {request, wait, want{Down, "HTTP: "}},
		"long head": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX: %s\r\n\r\n", strings.Repeat("x", 2*headerLimit))
		}, wait, want{Down, "HTTP: "}},
		"open body": {func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxab\r\n")
			io.WriteString(c, "2\r\ncx\r\n")
			hang(c)
		}, wait, want{Up, "status 200"}},
		"broken body": {func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nxab")
		}, wait, want{Down, "but the body: connection closed"}},
		"slow body": {func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
			hang(c)
		}, brief, want{Down, "but the body: no answer in time"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.check(t, probe(t, lvs.CheckHTTP, "/ body=abc", serve(t, c.handle), c.limit, Options{}))
		})
	}
	want{Down, "connection refused"}.check(t, probe(t, lvs.CheckHTTP, "", closed(t), wait, Options{}))
}

// certificate makes one for a name, valid from a day ago for some time.
func certificate(t *testing.T, name string, valid time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHTTPS(t *testing.T) {
	start := func(valid time.Duration) netip.AddrPort {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "for %s", r.TLS.ServerName)
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, "www.example.org", valid)}}
		server.StartTLS()
		t.Cleanup(server.Close)
		return portOf(server)
	}
	good, expired, soon := start(1000*day), start(-day), start(10*day+time.Hour)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct {
		at     netip.AddrPort
		target string
		limit  time.Duration
		want   want
	}{
		"good":               {good, "", wait, want{Up, "status 200"}},
		"name":               {good, `/ host=www.example.org body="for www.example.org"`, wait, want{Up, "status 200"}},
		"not trusted":        {good, "/ host=www.example.org verify=yes", wait, want{Down, "certificate is not accepted"}},
		"expired":            {expired, "", wait, want{Down, "the certificate expired on 20"}},
		"expired, verified":  {expired, "/ host=www.example.org verify=yes", wait, want{Down, "the certificate"}},
		"expires too soon":   {soon, "/ expiry=30", wait, want{Down, "the certificate expires in 10 days"}},
		"expires later":      {soon, "/ expiry=5", wait, want{Up, "status 200"}},
		"no TLS":             {portOf(plain), "", wait, want{Down, "no TLS"}},
		"refused":            {closed(t), "", wait, want{Down, "connection refused"}},
		"hangs in handshake": {serve(t, hang), "", brief, want{Down, "no answer in time"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.check(t, probe(t, lvs.CheckHTTPS, c.target, c.at, c.limit, Options{}))
		})
	}
}

func TestSMTP(t *testing.T) {
	said := make(chan string, 1)
	mail := func(greeting, reply string) netip.AddrPort {
		return serve(t, func(c net.Conn) {
			io.WriteString(c, greeting)
			line, _ := bufio.NewReader(c).ReadString('\n')
			select {
			case said <- strings.TrimSpace(line):
			default:
			}
			io.WriteString(c, reply)
			hang(c)
		})
	}
	good := mail("220-mx.example.org\r\n220 ready\r\n", "250-mx.example.org greets you\r\n250 PIPELINING\r\n")
	want{Up, "mx.example.org greets you PIPELINING in"}.check(t, probe(t, lvs.CheckSMTP, "helo=monitor.example.org", good, wait, Options{}))
	if line := <-said; line != "EHLO monitor.example.org" {
		t.Errorf("it said %q", line)
	}
	want{Down, "greeting: 554 no service"}.check(t, probe(t, lvs.CheckSMTP, "", mail("554 no service\r\n", ""), wait, Options{}))
	want{Down, "EHLO: 421 closing"}.check(t, probe(t, lvs.CheckSMTP, "", mail("220 x\r\n", "421 closing\r\n"), wait, Options{}))
	want{Down, "no SMTP"}.check(t, probe(t, lvs.CheckSMTP, "", mail("hello\r\n", ""), wait, Options{}))
	want{Down, "greeting: no answer in time"}.check(t, probe(t, lvs.CheckSMTP, "", serve(t, hang), brief, Options{}))
	want{Down, "connection refused"}.check(t, probe(t, lvs.CheckSMTP, "", closed(t), wait, Options{}))
}

func TestUDP(t *testing.T) {
	echo := serveUDP(t, func(b []byte) []byte { return append([]byte("you said "), b...) })
	silent := serveUDP(t, func([]byte) []byte { return nil })
	gone := closed(t) // of TCP: UDP refuses there too
	want{Up, "answer of 14 octets"}.check(t, probe(t, lvs.CheckUDP, `send=hello expect="said hello"`, echo, wait, Options{}))
	want{Down, `the answer lacks "bye"`}.check(t, probe(t, lvs.CheckUDP, "send=hello expect=bye", echo, wait, Options{}))
	want{Down, "no answer in time"}.check(t, probe(t, lvs.CheckUDP, "expect=bye", silent, brief, Options{}))
	want{Up, "does not refuse"}.check(t, probe(t, lvs.CheckUDP, "", silent, brief, Options{}))
	want{Down, "connection refused"}.check(t, probe(t, lvs.CheckUDP, "", gone, wait, Options{}))
	want{Down, "connection refused"}.check(t, probe(t, lvs.CheckUDP, "expect=x", gone, wait, Options{}))
}

func TestDNS(t *testing.T) {
	reply := func(edit func(*dnsmessage.Message)) func([]byte) []byte {
		return func(b []byte) []byte {
			var m dnsmessage.Message
			if err := m.Unpack(b); err != nil {
				return nil
			}
			m.Response = true
			q := m.Questions[0]
			switch q.Type {
			case dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}}})
			case dnsmessage.TypeTXT:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.TXTResource{TXT: []string{"v=spf1 ", "-all"}}})
			}
			edit(&m)
			out, err := m.Pack()
			if err != nil {
				return nil
			}
			return out
		}
	}
	same := func(*dnsmessage.Message) {}
	good := serveUDP(t, reply(same))
	want{Up, "192.0.2.7 in"}.check(t, probe(t, lvs.CheckDNS, "www.example.org", good, wait, Options{}))
	want{Up, "192.0.2.7 in"}.check(t, probe(t, lvs.CheckDNS, "www.example.org. answer=192.0.2.7", good, wait, Options{}))
	want{Down, "is not in the answer: 192.0.2.7"}.check(t, probe(t, lvs.CheckDNS, "www.example.org answer=192.0.2.8", good, wait, Options{}))
	want{Up, "v=spf1 -all in"}.check(t, probe(t, lvs.CheckDNS, "example.org type=TXT", good, wait, Options{}))
	want{Down, "the server knows no MX of that name"}.check(t, probe(t, lvs.CheckDNS, "example.org type=MX", good, wait, Options{}))
	refused := serveUDP(t, reply(func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeRefused }))
	want{Down, "Refused"}.check(t, probe(t, lvs.CheckDNS, "www.example.org", refused, wait, Options{}))
	garbage := serveUDP(t, func([]byte) []byte { return []byte("what?") })
	want{Down, "no DNS"}.check(t, probe(t, lvs.CheckDNS, "www.example.org", garbage, wait, Options{}))
	late := serveUDP(t, reply(func(m *dnsmessage.Message) { m.ID++ }))
	want{Down, "no answer in time"}.check(t, probe(t, lvs.CheckDNS, "www.example.org", late, brief, Options{}))
	want{Unknown, "at most 63"}.check(t, probe(t, lvs.CheckDNS, strings.Repeat("x", 64)+".org", good, wait, Options{}))
}

func TestPing(t *testing.T) {
	r := probe(t, lvs.CheckPing, "", netip.MustParseAddrPort("127.0.0.1:80"), wait, Options{})
	if os.Getuid() != 0 && r.Health == Unknown {
		want{Unknown, "may not ping"}.check(t, r)
		return
	}
	want{Up, "answer in"}.check(t, r)
}

func TestSNMP(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.11:80")
	ask := func(v snmp.Value, err error) Options {
		return Options{Ask: func(_ context.Context, host netip.Addr, port uint16, o snmp.OID) (snmp.Value, error) {
			if host != at.Addr() || o.String() != ".1.3.6.1.4.1.2021.10.1.5.1" {
				return v, fmt.Errorf("asked %s for %s", host, o)
			}
			return v, err
		}}
	}
	const object = "1.3.6.1.4.1.2021.10.1.5.1"
	for _, c := range []struct {
		target string
		o      Options
		want   want
	}{
		{object, ask(snmp.Integer(250), nil), want{Up, "value 250"}},
		{object + " min=200 max=300", ask(snmp.Integer(250), nil), want{Up, "value 250"}},
		{object + " max=200", ask(snmp.Text("250"), nil), want{Down, "250 is above 200"}},
		{object + " min=-5", ask(snmp.Integer(-6), nil), want{Down, "-6 is below -5"}},
		{object + " max=200", ask(snmp.Text("much"), nil), want{Down, "no number"}},
		{object + " is=ready", ask(snmp.Text("ready"), nil), want{Up, "value ready"}},
		{object + " is=ready", ask(snmp.Text("not ready"), nil), want{Down, "is not ready"}},
		{object, ask(snmp.Value{Type: snmp.TypeNoSuchInstance}, nil), want{Down, "has no object"}},
		{object, ask(snmp.Value{}, snmp.ErrNoAnswer), want{Down, "no answer"}},
		{object, ask(snmp.Value{}, errors.New("wrong key")), want{Down, "wrong key"}},
		{object, Options{}, want{Unknown, "no credentials"}},
	} {
		c.want.check(t, probe(t, lvs.CheckSNMP, c.target, at, wait, c.o))
	}
}

func TestScript(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(t.TempDir(), "left")
	write("good", `echo "$1 $2 $3 $LCMS_SERVER $LCMS_SERVICE"; echo more`, 0o755)
	write("quiet", "exit 0", 0o755)
	write("bad", "echo the disk is full >&2; exit 2", 0o755)
	write("dies", "kill -9 $$", 0o755)
	write("hangs", "sleep 600 & sleep 600", 0o755)
	write("leaves", "(sleep 5; echo x > "+left+") & echo left", 0o755)
	write("floods", "yes | head -c 10000000; exit 1", 0o755)
	write("open", "exit 0", 0o777)
	write("data", "exit 0", 0o644)
	if err := os.Symlink("/bin/true", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort("10.0.0.11:80")
	o := Options{Scripts: folder}
	for _, c := range []struct {
		target string
		limit  time.Duration
		want   want
	}{
		{`good "a b"`, wait, want{Up, "10.0.0.11 80 a b 10.0.0.11:80 tcp:192.0.2.1:80"}},
		{"quiet", wait, want{Up, "ended well"}},
		{"bad", wait, want{Down, "the disk is full"}},
		{"dies", wait, want{Down, "killed"}},
		{"hangs", brief, want{Down, "did not end in time"}},
		{"leaves", wait, want{Up, "left"}},
		{"floods", wait, want{Down, "y"}},
		{"open", wait, want{Unknown, "chmod go-w"}},
		{"data", wait, want{Unknown, "chmod +x"}},
		{"link", wait, want{Unknown, "no link"}},
		{"absent", wait, want{Unknown, "no such file"}},
		{"../check", wait, want{Unknown, "check target"}},
	} {
		t.Run(c.target, func(t *testing.T) {
			start := time.Now()
			c.want.check(t, probe(t, lvs.CheckScript, c.target, at, c.limit, o))
			if time.Since(start) > wait {
				t.Errorf("it took %s", time.Since(start))
			}
		})
	}
	for path, w := range map[string]string{filepath.Join(folder, "none"): "there is no folder", filepath.Join(folder, "good"): "is no folder", "/tmp": "may be written by others than its owner: chmod go-w"} {
		want{Unknown, w}.check(t, probe(t, lvs.CheckScript, "good", at, wait, Options{Scripts: path}))
	}
	want{Unknown, "no folder of scripts"}.check(t, probe(t, lvs.CheckScript, "good", at, wait, Options{}))
	// What a script has left behind in its group is gone with it.
	if processes := running(t, left); processes > 0 {
		t.Errorf("%d processes of a script are left", processes)
	}
}

// running counts the processes whose command line names something.
func running(t *testing.T, name string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), name) {
			n++
		}
	}
	return n
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		before  Health
		results string // u up, d down, - unknown
		want    string
	}{
		"one good result is enough at first":  {0, "u", "u"},
		"a bad one is not":                    {0, "ddd", "--d"},
		"falls after three":                   {Up, "ddudddd", "uuuuudd"},
		"rises after two":                     {Down, "uduu", "dddu"},
		"cannot ask once":                     {Up, "-d-d", "uuuu"},
		"cannot ask any more":                 {Up, "---u", "uu-u"},
		"is not mixed up by what comes after": {Down, "u-u-uu", "dddddu"},
	} {
		t.Run(name, func(t *testing.T) {
			j := NewJudge(c.before)
			got := ""
			for _, r := range c.results {
				before := j.Health()
				changed := j.Take(map[rune]Health{'u': Up, 'd': Down, '-': Unknown}[r], 2, 3)
				if changed != (before != j.Health()) {
					t.Errorf("%s: %v after %v is reported as %t", name, j.Health(), before, changed)
				}
				got += map[Health]string{Up: "u", Down: "d", Unknown: "-"}[j.Health()]
			}
			if got != c.want {
				t.Errorf("%s becomes %s, want %s", c.results, got, c.want)
			}
		})
	}
}

func TestShort(t *testing.T) {
	for in, out := range map[string]string{
		"a\nb\tc\x00":            "a b c ",
		"\xff":                   " ",
		strings.Repeat("ä", 200): strings.Repeat("ä", 126) + "...",
	} {
		if got := short(in); got != out {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}

// TestFind has a text come in all pieces that it can come in.
func TestFind(t *testing.T) {
	for cut := range len("xxabcxx") + 1 {
		body := io.MultiReader(strings.NewReader("xxabcxx"[:cut]), strings.NewReader("xxabcxx"[cut:]))
		if found, octets, err := find(body, "abc"); !found || err != nil || octets > 7 {
			t.Errorf("in two from %d on: %v, %d octets, %v", cut, found, octets, err)
		}
	}
	if found, octets, err := find(strings.NewReader(strings.Repeat("x", bodyLimit-2)+"abc"), "abc"); found || octets != bodyLimit || err != nil {
		t.Errorf("one octet too late: %v, %d octets, %v", found, octets, err)
	}
	if found, _, err := find(strings.NewReader(strings.Repeat("x", bodyLimit-3)+"abc"), "abc"); !found || err != nil {
		t.Errorf("just in time: %v, %v", found, err)
	}
}
