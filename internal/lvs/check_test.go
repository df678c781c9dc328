package lvs

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCheckTarget(t *testing.T) {
	label := strings.Repeat("x", 63) // the longest
	for _, c := range []struct {
		kind    CheckType
		text    string
		words   []string
		options string // name=value, sorted
		refusal string
	}{
		{CheckNone, "", nil, "", ""},
		{CheckNone, "x", nil, "", "takes nothing"},
		{CheckTCP, "port=8080", nil, "port=8080", ""},
		{CheckTCP, "port=0", nil, "", `option port cannot be "0": use 1 to 65535`},
		{CheckTCP, "port=65536", nil, "", "use 1 to 65535"},
		{CheckTCP, "port=http", nil, "", "use 1 to 65535"},
		{CheckTCP, "path=/", nil, "", "no option path of tcp: use port"},
		{CheckHTTP, "", nil, "", ""},
		{CheckHTTP, "/a?b=c", []string{"/a?b=c"}, "", ""},
		{CheckHTTP, "HEAD /a", []string{"HEAD", "/a"}, "", ""},
		{CheckHTTP, "POST /a", nil, "", "GET or HEAD"},
		{CheckHTTP, "health", nil, "", "a path such as /health"},
		{CheckHTTP, `/ host=www.example.org status=200-299,304 body="all \"is\" well" header=Server:x`, []string{"/"}, `body=all "is" well header=Server:x host=www.example.org status=200-299,304`, ""},
		{CheckHTTP, `"/a b"`, nil, "", "in which a blank is %20"},
		{CheckHTTP, "/a%20b?c=%3d", []string{"/a%20b?c=%3d"}, "", ""},
		{CheckHTTP, "/100%", nil, "", "% itself is %25"},
		{CheckHTTP, "HEAD / body=ready", nil, "", "HEAD has no body: use GET"},
		{CheckHTTP, "/ body=", nil, "", `option body cannot be "": use a text`},
		{CheckHTTP, `/ host="a b"`, nil, "", "use a name, such as www.example.org"},
		{CheckHTTP, "/ host=http://a", nil, "", "use a name, such as www.example.org"},
		{CheckHTTP, "/ host=[2001:db8::1]:8080", []string{"/"}, "host=[2001:db8::1]:8080", ""},
		{CheckHTTP, "/ header=ready", nil, "", "use name:value, such as X-State:ready"},
		{CheckHTTP, `/ header="X State:ready"`, nil, "", "use name:value"},
		{CheckHTTP, "/ status=99", nil, "", `option status cannot be "99": use codes and ranges of 100 to 599, such as 200-299,304`},
		{CheckHTTP, "/ status=600", nil, "", "of 100 to 599"},
		{CheckHTTP, "/ status=300-200", nil, "", "option status"},
		{CheckHTTP, "/ expiry=3", nil, "", "no option expiry of http"},
		{CheckHTTP, `/ body="x`, nil, "", "quote is not closed"},
		{CheckHTTP, "/ host=a host=b", nil, "", "twice"},
		{CheckHTTPS, "/ expiry=14 verify=no", []string{"/"}, "expiry=14 verify=no", ""},
		{CheckDNS, "example.org type=AAAA", []string{"example.org"}, "type=AAAA", ""},
		{CheckDNS, "", nil, "", "the name to ask for"},
		{CheckHTTPS, "/ verify=maybe", nil, "", `option verify cannot be "maybe": use yes or no`},
		{CheckHTTPS, "/ expiry=-1", nil, "", "use 0 to 3650 days"},
		{CheckDNS, "a type=a", nil, "", `option type cannot be "a": use A, AAAA, NS, SOA, MX, TXT, SRV, PTR or CNAME`},
		{CheckDNS, "ex..org", nil, "", "nothing between two dots"},
		{CheckDNS, ".org", nil, "", "nothing between two dots, or before the first"},
		{CheckDNS, "..", nil, "", "nothing between two dots"},
		{CheckDNS, `""`, nil, "", "the name to ask for"},
		{CheckDNS, ". type=NS", []string{"."}, "type=NS", ""},
		{CheckDNS, "example.org.", []string{"example.org."}, "", ""},
		{CheckDNS, label + "x.org", nil, "", "has 64 octets: at most 63"},
		{CheckDNS, label + ".org", []string{label + ".org"}, "", ""},
		{CheckDNS, label + "." + label + "." + label + "." + label[:61] + ".", []string{label + "." + label + "." + label + "." + label[:61] + "."}, "", ""},
		{CheckDNS, label + "." + label + "." + label + "." + label[:62], nil, "", "the name has 254 octets: at most 253"},
		{CheckSMTP, "helo=lcms", nil, "helo=lcms", ""},
		{CheckSMTP, `helo="a b"`, nil, "", "use a name without blanks"},
		{CheckPing, "", nil, "", ""},
		{CheckUDP, `send="ping pong" expect=pong`, nil, "expect=pong send=ping pong", ""},
		{CheckSNMP, "1.3.6.1.4.1.2021.10.1.5.1 max=400", []string{"1.3.6.1.4.1.2021.10.1.5.1"}, "max=400", ""},
		{CheckSNMP, "sysUpTime.0", nil, "", "OID"},
		{CheckSNMP, "3.1", nil, "", "begins with 0, 1 or 2"},
		{CheckSNMP, "1.40", nil, "", "after 0 and 1 comes at most 39"},
		{CheckSNMP, "2.40.1", []string{"2.40.1"}, "", ""},
		{CheckSNMP, "1.3.4294967296", nil, "", "in numbers of 0 to 4294967295"},
		{CheckSNMP, "1.3.6.1 min=5 max=3", nil, "", "at least 5 and at most 3: min must not be above max"},
		{CheckSNMP, "1.3.6.1 min=3 max=3", []string{"1.3.6.1"}, "max=3 min=3", ""},
		{CheckSNMP, "1.3.6.1 max=low", nil, "", "use a whole number"},
		{CheckSNMP, "1.3.6.1 is=7 max=6", nil, "", "not within min and max"},
		{CheckSNMP, "1.3.6.1 is=up min=1", nil, "", "not within min and max"},
		{CheckSNMP, "1.3.6.1 is=6 max=6", []string{"1.3.6.1"}, "is=6 max=6", ""},
		{CheckScript, `check.sh --depth=3 "two words"`, []string{"check.sh", "--depth=3", "two words"}, "", ""},
		{CheckScript, "../../bin/sh", nil, "", "name of a script"},
		{CheckScript, ".hidden", nil, "", "name of a script"},
		{CheckScript, "", nil, "", "name of a script"},
		{CheckHTTP, "/" + strings.Repeat("x", 255), nil, "", "at most 255"},
	} {
		got, err := ParseCheckTarget(c.kind, c.text)
		if c.refusal != "" {
			if err == nil || !strings.Contains(err.Error(), c.refusal) {
				t.Errorf("%s %q: %v, want %q", c.kind, c.text, err, c.refusal)
			}
			continue
		}
		var options []string
		for name, v := range got.Options {
			options = append(options, name+"="+v)
		}
		slices.Sort(options)
		if err != nil || !slices.Equal(got.Words, c.words) || strings.Join(options, " ") != c.options {
			t.Errorf("%s %q: %q, %q, %v", c.kind, c.text, got.Words, options, err)
		}
	}
	target, _ := ParseCheckTarget(CheckHTTP, "HEAD /x status=200,300-302 port=81")
	if method, path := target.Method(); method != "HEAD" || path != "/x" || target.Number("port", 80) != 81 || !slices.Equal(target.Status(), [][2]int{{200, 200}, {300, 302}}) {
		t.Errorf("%+v", target)
	}
	if method, path := (CheckTarget{}).Method(); method != "GET" || path != "/" || !slices.Equal(CheckTarget{}.Status(), [][2]int{{200, 399}}) {
		t.Error("the defaults are others")
	}
}

func TestCheckTargetNeverPanics(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kind := CheckType(rapid.Uint8Range(0, 12).Draw(rt, "type"))
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z/="\\ ]{0,20}`)).Draw(rt, "text")
		if target, err := ParseCheckTarget(kind, text); err == nil {
			target.Method()
			target.Status()
		}
	})
}

// TestStoredServicesOfOldKeepTheirMeaning reads a row that was stored before
// there were checks.
func TestStoredServicesOfOldKeepTheirMeaning(t *testing.T) {
	const text = `{"Key":"tcp:10.0.0.1:80","Scheduler":"rr","SchedulerFlags":0,"OnePacket":false,"PersistenceTimeout":0,"PersistenceNetmask":32,"PersistenceEngine":"","Name":"","AdminStatus":"up","Status":"active","Storage":"nonVolatile"}`
	var got Service
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := serviceOf(t, "tcp:10.0.0.1:80", func(s *Service) { s.Scheduler = "rr" })
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if r := got.Check(); r != nil {
		t.Error(r)
	}
}
