package lvs

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCheckTarget(t *testing.T) {
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
		{CheckTCP, "port=0", nil, "", `option port cannot be "0"`},
		{CheckTCP, "path=/", nil, "", "no option path of tcp: use port"},
		{CheckHTTP, "", nil, "", ""},
		{CheckHTTP, "/a?b=c", []string{"/a?b=c"}, "", ""},
		{CheckHTTP, "HEAD /a", []string{"HEAD", "/a"}, "", ""},
		{CheckHTTP, "POST /a", nil, "", "GET or HEAD"},
		{CheckHTTP, "health", nil, "", "a path such as /health"},
		{CheckHTTP, `/ host=www.example.org status=200-299,304 body="all \"is\" well" header=Server:x`, []string{"/"}, `body=all "is" well header=Server:x host=www.example.org status=200-299,304`, ""},
		{CheckHTTP, "/ status=99", nil, "", "option status"},
		{CheckHTTP, "/ status=300-200", nil, "", "option status"},
		{CheckHTTP, "/ expiry=3", nil, "", "no option expiry of http"},
		{CheckHTTP, `/ body="x`, nil, "", "quote is not closed"},
		{CheckHTTP, "/ host=a host=b", nil, "", "twice"},
		{CheckHTTPS, "/ expiry=14 verify=no", []string{"/"}, "expiry=14 verify=no", ""},
		{CheckDNS, "example.org type=AAAA", []string{"example.org"}, "type=AAAA", ""},
		{CheckDNS, "", nil, "", "the name to ask for"},
		{CheckDNS, "a type=ANY", nil, "", "option type"},
		{CheckSMTP, "helo=lcms", nil, "helo=lcms", ""},
		{CheckPing, "", nil, "", ""},
		{CheckUDP, `send="ping pong" expect=pong`, nil, "expect=pong send=ping pong", ""},
		{CheckSNMP, "1.3.6.1.4.1.2021.10.1.5.1 max=400", []string{"1.3.6.1.4.1.2021.10.1.5.1"}, "max=400", ""},
		{CheckSNMP, "sysUpTime.0", nil, "", "OID"},
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
