package ldapsync

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Options say how the directory is reached and who we are there.
type Options struct {
	// URIs are the servers, in the order in which they are tried:
	// ldap://HOST[:PORT], ldaps://HOST[:PORT] or ldapi://PATH, in which each /
	// of the path is written %2F (empty: /var/run/slapd/ldapi).
	URIs []string
	// BindDN is who we are. If it is empty, the server tells by the user of the
	// process (SASL EXTERNAL), which it can over ldapi only.
	BindDN       string
	PasswordFile string // of BindDN; read anew for each connection
	StartTLS     bool   // over ldap; the others need none
	CAFile       string // PEM; "" = the authorities that the machine trusts
	// WriteTimeout is how long a write may take; 0 = DefaultWriteTimeout.
	WriteTimeout time.Duration
}

// DefaultWriteTimeout leaves a SET, for which snmpd waits a second unless it is told
// otherwise (agentXTimeout), time for the kernel.
const DefaultWriteTimeout = 700 * time.Millisecond

func (o Options) writeTimeout() time.Duration { return cmp.Or(o.WriteTimeout, DefaultWriteTimeout) }

// Purpose is what a connection is for. Each has one of its own, because a
// reader that is slow, or a request that is late, holds up all of a connection.
type Purpose uint8

// The purposes.
const (
	ForSync      Purpose = iota // to follow the changes: it may wait for hours
	ForWrite                    // a request takes the WriteTimeout at most
	ForHeartbeat                // a request takes 3 s at most
)

// The limits of a request on a connection, and of making one for syncing.
const (
	heartbeatLimit = 3 * time.Second
	dialLimit      = 10 * time.Second
)

// A peer that has vanished, as behind a firewall that forgets, is noticed after
// this time: if it does not acknowledge what was sent to it, or a keepalive.
const (
	aliveIdle     = 5 * time.Second
	aliveInterval = 5 * time.Second
	aliveLimit    = 15 * time.Second
)

// within returns a context that ends after a limit with a cause that says so.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
}

// Conn is a connection to one server on which the bind has succeeded.
type Conn struct {
	*ldap.Conn
	uri      string
	identity string   // "" = the server tells
	raw      net.Conn // below TLS
	tap      *tap     // above TLS
}

// URI returns the server that it leads to.
func (c *Conn) URI() string { return c.uri }

// Close closes the connection. A search that goes on must have been cancelled
// before.
func (c *Conn) Close() error {
	c.cut()
	return c.Conn.Close()
}

// TLSConnectionState returns how the connection is secured; ok is false if it is
// not.
func (c *Conn) TLSConnectionState() (state tls.ConnectionState, ok bool) {
	secured, ok := c.tap.Conn.(*tls.Conn)
	if !ok {
		return state, false
	}
	return secured.ConnectionState(), true
}

// cut closes what is below LDAP, so that every request on it ends, also one
// that is being sent to a server that does not read.
func (c *Conn) cut() { _ = c.raw.Close() }

// Do runs f, which makes requests, and cuts the connection if ctx ends before f
// does. Then the error tells why ctx ended.
func (c *Conn) Do(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, c.cut)
	err := f()
	if !stop() && err != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}

// Identity returns who the server takes us for, as an LDAP DN.
func (c *Conn) Identity() string {
	if c.identity == "" {
		if who, err := c.WhoAmI(nil); err == nil {
			c.identity = strings.TrimPrefix(who.AuthzID, "dn:")
		} else {
			c.identity = fmt.Sprintf("user %d", os.Getuid())
		}
	}
	return c.identity
}

// Check says why the options cannot be, nil if they can.
func (o Options) Check() error {
	if len(o.URIs) == 0 {
		return unusable("no directory is named: set directory.uris")
	}
	for _, uri := range o.URIs {
		e, err := parseURI(uri)
		switch {
		case err != nil:
			return err
		case o.BindDN == "" && e.scheme != "ldapi":
			return unusable("%s: there is no name to log in with: set directory.bind-dn, or use ldapi", uri)
		}
	}
	switch {
	case o.BindDN == "" && o.PasswordFile != "":
		return unusable("directory.password-file is set, and no name that it belongs to: set directory.bind-dn")
	case o.BindDN != "" && o.PasswordFile == "":
		return unusable("there is no password for %s: set directory.password-file", o.BindDN)
	}
	if _, err := ldap.ParseDN(o.BindDN); err != nil {
		return unusable("directory.bind-dn %q cannot be read: %v: write it like uid=ldapsync,ou=service,dc=example,dc=org", o.BindDN, err)
	}
	return nil
}

// Dial connects to one of the URIs and logs in. It takes no longer than ctx
// lasts and a request of the purpose may. Errors are lvs.ErrUnavailable and
// name the mend; one that no waiting mends is lvs.ErrInvalid too.
func (o Options) Dial(ctx context.Context, uri string, p Purpose) (*Conn, error) {
	limit := o.limit(p)
	if limit == 0 {
		limit = dialLimit
	}
	ctx, cancel := within(ctx, limit)
	defer cancel()
	e, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	raw, err := e.connect(ctx)
	if err != nil {
		return nil, unreachable(ctx, uri, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	c, err := o.login(ctx, e, raw)
	if err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			return nil, unreachable(ctx, uri, err)
		}
		return nil, err
	}
	if !stop() {
		_ = c.Close()
		return nil, unreachable(ctx, uri, ctx.Err())
	}
	c.SetTimeout(o.limit(p))
	return c, nil
}

func (o Options) limit(p Purpose) time.Duration {
	switch p {
	case ForWrite:
		return o.writeTimeout()
	case ForHeartbeat:
		return heartbeatLimit
	}
	return 0
}

// CheckFiles says why the files that are named cannot be used at the moment, nil if
// they can.
func (o Options) CheckFiles() error {
	if o.BindDN != "" {
		if _, err := readPassword(o.PasswordFile); err != nil {
			return err
		}
	}
	_, err := o.tlsConfig("")
	return err
}

// login does what is to be done before the first request.
func (o Options) login(ctx context.Context, e endpoint, raw net.Conn) (*Conn, error) {
	conn, secret := raw, e.local(raw)
	if e.scheme == "ldap" && o.StartTLS {
		if err := startTLS(raw); err != nil {
			return nil, err.at(e.uri)
		}
	}
	if e.scheme == "ldaps" || e.scheme == "ldap" && o.StartTLS {
		config, err := o.tlsConfig(e.host)
		if err != nil {
			return nil, err
		}
		secured := tls.Client(raw, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, o.untrusted(e, err)
		}
		conn, secret = secured, true
	}
	tap := &tap{Conn: conn}
	c := &Conn{Conn: ldap.NewConn(tap, conn != raw), uri: e.uri, identity: o.BindDN, raw: raw, tap: tap}
	c.Start()
	if err := o.bind(c, e, secret); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// bind logs in. secret says that nobody can listen.
func (o Options) bind(c *Conn, e endpoint, secret bool) error {
	var err error
	switch {
	case o.BindDN == "" && e.scheme != "ldapi":
		return unusable("%s: there is no name to log in with: set directory.bind-dn, or use ldapi", e.uri)
	case o.BindDN == "":
		err = c.ExternalBind()
	case !secret:
		return unusable("%s: the password would cross the network in clear: set directory.start-tls, or use ldaps", e.uri)
	default:
		password, fault := readPassword(o.PasswordFile)
		if fault != nil {
			return fault
		}
		err = c.Bind(o.BindDN, password)
	}
	return o.refusedBind(e.uri, err)
}

// refusedBind puts into words why a bind failed.
func (o Options) refusedBind(uri string, err error) error {
	code, words := answer(err)
	switch {
	case err == nil:
		return nil
	case code == ldap.LDAPResultInvalidCredentials && o.BindDN != "":
		return rejected(err, "%s: %s cannot log in (invalidCredentials 49): correct directory.bind-dn, or the password in %s", uri, o.BindDN, o.PasswordFile)
	case code == ldap.LDAPResultConfidentialityRequired:
		return rejected(err, "%s: the server wants TLS before a password (%s): set directory.start-tls, or use ldaps", uri, words)
	case o.BindDN == "":
		return rejected(err, "%s: SASL EXTERNAL for user %d failed (%s): give that user an authz-regexp in slapd, or set directory.bind-dn", uri, os.Getuid(), words)
	}
	return rejected(err, "%s: bind as %s failed: %s", uri, o.BindDN, words)
}

// endpoint is a URI that was understood.
type endpoint struct {
	uri, scheme      string
	network, address string // for net.Dial
	host             string // as the certificate has to name it
}

// maxSocket is the most octets of the path of a Unix socket (unix(7)).
const maxSocket = 107

func parseURI(uri string) (endpoint, error) {
	e := endpoint{uri: uri}
	scheme, rest, ok := strings.Cut(uri, "://")
	e.scheme = strings.ToLower(scheme)
	if e.scheme == "ldapi" && ok {
		// The path stands where the host does, which net/url does not take.
		path, dn, _ := strings.Cut(rest, "/")
		path, err := url.PathUnescape(path)
		if err != nil || dn != "" {
			return e, unusable("%q is no ldapi URI: write the path with %%2F for each /, like ldapi://%%2Fvar%%2Frun%%2Fslapd%%2Fldapi", uri)
		}
		if path == "" {
			path = "/var/run/slapd/ldapi"
		}
		if len(path) > maxSocket {
			return e, unusable("%q: the path of a socket has at most %d octets, this one has %d: use a shorter path", uri, maxSocket, len(path))
		}
		e.network, e.address = "unix", path
		return e, nil
	}
	u, err := url.Parse(uri)
	var port string
	switch e.scheme {
	case "ldap":
		port = ldap.DefaultLdapPort
	case "ldaps":
		port = ldap.DefaultLdapsPort
	default:
		ok = false
	}
	if !ok || err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return e, unusable("%q is no URI of a directory: write ldap://HOST:PORT, ldaps://HOST:PORT or ldapi://PATH", uri)
	}
	if p := u.Port(); p != "" {
		port = p
	}
	e.host = u.Hostname()
	e.network, e.address = "tcp", net.JoinHostPort(e.host, port)
	return e, nil
}

// connect opens the transport connection.
func (e endpoint) connect(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: aliveIdle, Interval: aliveInterval, Count: int((aliveLimit - aliveIdle) / aliveInterval),
	}}
	if e.network == "tcp" {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			const tcpUserTimeout = 18 // TCP_USER_TIMEOUT of linux/tcp.h, in ms
			var err error
			if e := c.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(aliveLimit.Milliseconds()))
			}); e != nil {
				return e
			}
			return err
		}
	}
	return d.DialContext(ctx, e.network, e.address)
}

// local reports whether the connection stays on this machine.
func (e endpoint) local(c net.Conn) bool {
	if e.network == "unix" {
		return true
	}
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// startTLS asks the server for TLS (RFC 4511 section 4.14). The answer is read
// without a buffer, so that nothing that somebody put behind it gets into the
// session that is then secured.
func startTLS(raw net.Conn) *startTLSRefusal {
	const oid = "1.3.6.1.4.1.1466.20037"
	request := ber.NewSequence("LDAPMessage")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, "messageID"))
	extended := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "extendedReq")
	extended.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oid, "requestName"))
	request.AppendChild(extended)
	if _, err := raw.Write(request.Bytes()); err != nil {
		return &startTLSRefusal{err}
	}
	// Nobody has proved yet who the peer is: it gets little memory.
	response, err := ber.ReadPacket(io.LimitReader(raw, 1<<16))
	if err != nil {
		return &startTLSRefusal{err}
	}
	if err := ldap.GetLDAPError(response); err != nil {
		return &startTLSRefusal{err}
	}
	return nil
}

type startTLSRefusal struct{ cause error }

func (r *startTLSRefusal) at(uri string) error {
	_, words := answer(r.cause)
	return rejected(r.cause, "%s: the server does not start TLS (%s): give it a certificate, or use a URI that needs no StartTLS", uri, words)
}

// tlsConfig reads the authorities anew, so that new ones need no restart.
func (o Options) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if o.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, unusable("directory.ca-file: %v", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, unusable("directory.ca-file %s has no certificate: it must be PEM, with BEGIN CERTIFICATE", o.CAFile)
	}
	return config, nil
}

// untrusted puts into words why there is no TLS.
func (o Options) untrusted(e endpoint, err error) error {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		noTLS     tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		file := o.CAFile
		if file == "" {
			file = "the authorities of this machine (or set directory.ca-file)"
		}
		return rejected(err, "%s: nobody we trust signed the server's certificate: add its authority to %s", e.uri, file)
	case errors.As(err, &name):
		names := name.Certificate.DNSNames
		for _, ip := range name.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		if len(names) == 0 {
			return rejected(err, "%s: the server's certificate has no subjectAltName: give it one for %s", e.uri, e.host)
		}
		return rejected(err, "%s: the server's certificate is not for %s but for %s: correct the name in directory.uris, or the certificate", e.uri, e.host, strings.Join(names, ", "))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return rejected(err, "%s: the server's certificate is valid from %s to %s only: renew it, or set the clock", e.uri,
			invalid.Cert.NotBefore.Format(time.DateOnly), invalid.Cert.NotAfter.Format(time.DateOnly))
	case errors.As(err, &noTLS):
		return rejected(err, "%s: the server does not speak TLS there: correct the port, or use ldap with directory.start-tls", e.uri)
	}
	return rejected(err, "%s: no TLS: %v", e.uri, err)
}

// unreachable says that a server could not be reached.
func unreachable(ctx context.Context, uri string, err error) error {
	cause := context.Cause(ctx)
	if cause == nil {
		cause = err
	}
	return &lvs.Refusal{
		Kind: lvs.ErrUnavailable, Cause: err,
		Reason: fmt.Sprintf("directory %s cannot be reached: %v: start it, or correct directory.uris", uri, cause),
	}
}

// unusable is a fault in what was configured: the directory cannot be used until
// somebody has mended it.
func unusable(format string, args ...any) error {
	return &lvs.Refusal{Kind: lvs.ErrUnavailable, Cause: lvs.ErrInvalid, Reason: fmt.Sprintf(format, args...)}
}

// rejected is a server that does not let us in.
func rejected(cause error, format string, args ...any) error {
	return &lvs.Refusal{Kind: lvs.ErrUnavailable, Cause: cause, Reason: fmt.Sprintf("directory "+format, args...)}
}
