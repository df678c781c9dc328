package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

const (
	bodyLimit   = 64 << 10
	headerLimit = 64 << 10
	day         = 24 * time.Hour
)

// web is a check by HTTP or HTTPS.
type web struct {
	request   http.Request
	transport http.Transport
	status    [][2]int
	header    string // name:value that must come
	body      string // that must be in it
	tls       bool
	expiry    time.Duration // for which the certificate must hold
}

func newWeb(at netip.AddrPort, secure bool, target lvs.CheckTarget) (*web, error) {
	method, path := target.Method()
	p := &web{
		status: target.Status(), header: target.Option("header", ""), body: target.Option("body", ""),
		tls: secure, expiry: time.Duration(target.Number("expiry", 0)) * day,
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	to, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, err
	}
	to.Scheme, to.Host = scheme, at.String()
	host := target.Option("host", "")
	p.request = http.Request{
		Method: method, Host: host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: to, Header: http.Header{"User-Agent": {"lcms-poller"}},
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if name == "" {
		name = at.Addr().String()
	}
	p.transport = http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: headerLimit,
		// Many servers of one service have a certificate for the name of the
		// service, or one that they signed themselves.
		TLSClientConfig: &tls.Config{ServerName: name, InsecureSkipVerify: target.Option("verify", "no") != "yes"},
	}
	return p, nil
}

// Run implements Probe.
func (p *web) Run(ctx context.Context) Result {
	start := time.Now()
	answer, err := p.transport.RoundTrip(p.request.WithContext(ctx))
	if err != nil {
		return p.failed(ctx, err)
	}
	defer answer.Body.Close()
	good := false
	for _, r := range p.status {
		good = good || answer.StatusCode >= r[0] && answer.StatusCode <= r[1]
	}
	if !good {
		return down("status %s", answer.Status)
	}
	if name, want, _ := strings.Cut(p.header, ":"); name != "" {
		values := answer.Header.Values(name)
		if len(values) == 0 {
			return down("status %d, but there is no header %s", answer.StatusCode, name)
		}
		if want = strings.TrimSpace(want); want != "" && !contains(values, want) {
			return down("status %d, but header %s is %q", answer.StatusCode, name, values[0])
		}
	}
	if p.body != "" {
		switch found, octets, err := find(answer.Body, p.body); {
		case err != nil:
			return failed(ctx, fmt.Sprintf("status %d, but the body", answer.StatusCode), err)
		case !found:
			return down("status %d, but %q is not in the first %d octets", answer.StatusCode, p.body, octets)
		}
	}
	if p.tls {
		if left := time.Until(expires(answer.TLS)); left <= p.expiry {
			if left <= 0 {
				return down("the certificate expired on %s", expires(answer.TLS).UTC().Format(time.DateOnly))
			}
			return down("the certificate expires in %d days", int(left/day))
		}
	}
	return up("status %d in %s", answer.StatusCode, took(start))
}

// find reports whether the beginning of a body has a text, and how many octets it has
// read. It returns when the text has come: the body may go on for ever.
func find(body io.Reader, text string) (found bool, octets int, err error) {
	body = io.LimitReader(body, bodyLimit)
	var b []byte
	for err == nil {
		b = slices.Grow(b, 4<<10)
		var n int
		n, err = body.Read(b[len(b):cap(b)])
		seen := max(0, len(b)-len(text)+1) // the text may have begun in what came before
		b = b[:len(b)+n]
		if bytes.Contains(b[seen:], []byte(text)) {
			return true, len(b), nil
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return false, len(b), err
}

func contains(values []string, want string) bool {
	for _, v := range values {
		if strings.Contains(v, want) {
			return true
		}
	}
	return false
}

// expires returns when the first certificate of a chain does that ends.
func expires(state *tls.ConnectionState) time.Time {
	var first time.Time
	for _, c := range state.PeerCertificates {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// failed tells the errors of TLS and HTTP from those of the network.
func (p *web) failed(ctx context.Context, err error) Result {
	var chain *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return down("the certificate expired on %s", invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(err, &chain):
		return down("the certificate is not accepted: %v", chain.Err)
	case errors.As(err, &record):
		return down("no TLS: %v", record)
	case errors.As(err, &alert):
		return down("TLS: %v", alert)
	}
	doing := "HTTP"
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || ctx.Err() != nil {
		doing = "" // it did not get as far as that
	}
	r := failed(ctx, doing, err)
	return r
}
