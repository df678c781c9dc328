package check

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/lcms-project/lcms/internal/lvs"
)

var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "NS": dnsmessage.TypeNS, "SOA": dnsmessage.TypeSOA, "MX": dnsmessage.TypeMX,
	"TXT": dnsmessage.TypeTXT, "SRV": dnsmessage.TypeSRV, "PTR": dnsmessage.TypePTR, "CNAME": dnsmessage.TypeCNAME,
}

// dns asks a name server.
type dns struct {
	at       netip.AddrPort
	tcp      bool
	question dnsmessage.Question
	answer   string // that must be in it
}

func newDNS(at netip.AddrPort, tcp bool, target lvs.CheckTarget) (Probe, error) {
	text := target.Words[0]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	name, err := dnsmessage.NewName(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no domain name: %w", target.Words[0], err)
	}
	q := dnsmessage.Question{Name: name, Type: dnsTypes[target.Option("type", "A")], Class: dnsmessage.ClassINET}
	return dns{at, tcp, q, target.Option("answer", "")}, nil
}

// Run implements Probe.
func (p dns) Run(ctx context.Context) Result {
	start := time.Now()
	answer, err := p.ask(ctx, p.tcp)
	if err == nil && answer.Truncated && !p.tcp {
		answer, err = p.ask(ctx, true)
	}
	if err != nil {
		if errors.Is(err, errNoDNS) {
			return down("%v", err)
		}
		return failed(ctx, "", err)
	}
	if answer.RCode != dnsmessage.RCodeSuccess {
		return down("%s", strings.TrimPrefix(answer.RCode.String(), "RCode"))
	}
	var found []string
	for _, r := range answer.Answers {
		found = append(found, render(r.Body))
	}
	switch all := strings.Join(found, " "); {
	case len(found) == 0:
		return down("the server knows no %s of that name", strings.TrimPrefix(p.question.Type.String(), "Type"))
	case !strings.Contains(all, p.answer):
		return down("%q is not in the answer: %s", p.answer, all)
	default:
		return up("%s in %s", found[0], took(start))
	}
}

var errNoDNS = errors.New("the answer is no DNS")

func (p dns) ask(ctx context.Context, tcp bool) (dnsmessage.Message, error) {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{p.question},
	}
	out, err := m.Pack()
	if err != nil {
		return m, err
	}
	network := "udp"
	if tcp {
		network = "tcp"
		out = append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)
	}
	conn, err := dial(ctx, network, p.at)
	if err != nil {
		return m, err
	}
	defer conn.Close()
	if _, err := conn.Write(out); err != nil {
		return m, err
	}
	b := make([]byte, 65535)
	for {
		n := 0
		if tcp {
			if _, err = io.ReadFull(conn, b[:2]); err == nil {
				n, err = io.ReadFull(conn, b[:binary.BigEndian.Uint16(b)])
			}
		} else {
			n, err = conn.Read(b)
		}
		if err != nil {
			return m, err
		}
		var answer dnsmessage.Message
		if err := answer.Unpack(b[:n]); err != nil || !answer.Response {
			return m, errNoDNS
		}
		if answer.ID == m.ID {
			return answer, nil
		}
		// of a question that was asked before through this port
	}
}

// render writes a record as people do.
func render(body dnsmessage.ResourceBody) string {
	switch r := body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(r.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(r.AAAA).String()
	case *dnsmessage.NSResource:
		return r.NS.String()
	case *dnsmessage.SOAResource:
		return r.NS.String()
	case *dnsmessage.MXResource:
		return r.MX.String()
	case *dnsmessage.TXTResource:
		return strings.Join(r.TXT, "")
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%s:%d", r.Target, r.Port)
	case *dnsmessage.PTRResource:
		return r.PTR.String()
	case *dnsmessage.CNAMEResource:
		return r.CNAME.String()
	}
	return "?"
}
