package lvs

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseServiceKey(t *testing.T) {
	for _, text := range []string{
		"tcp:192.0.2.1:80", "udp:[2001:db8::1]:53", "sctp:192.0.2.1:3868", "fwm4:7", "fwm6:4294967295", "tcp:10.0.0.1:0", "tcp:[::1]:65535",
	} {
		k, err := ParseServiceKey(text)
		if err != nil || k.String() != text || k.IsZero() {
			t.Errorf("%s: %v, %v", text, k, err)
		}
	}
	for text, want := range map[string]string{
		"":                       "no colon",
		"tcp":                    "no colon",
		"icmp:10.0.0.1:80":       `"icmp" is no kind of service`,
		"TCP:10.0.0.1:80":        `write "tcp:10.0.0.1:80"`,
		"tcp:10.0.0.01:80":       "no leading zeros: 10.0.0.1:80",
		"tcp:10.0.0.1:080":       "10.0.0.1:80",
		"tcp:10.0.0.1:65536":     "not ADDRESS:PORT",
		"tcp:10.0.0.1":           "not ADDRESS:PORT",
		"tcp:[2001:DB8::1]:80":   `write "tcp:[2001:db8::1]:80"`,
		"tcp:[2001:db8:0::1]:80": `write "tcp:[2001:db8::1]:80"`,
		"tcp:[fe80::1%eth0]:80":  "leave out %eth0",
		"tcp:[::ffff:1.2.3.4]:1": "write 1.2.3.4",
		"fwm4:0":                 "means no mark",
		"fwm4:07":                `write "fwm4:7"`,
		"fwm4:4294967296":        "not a firewall mark",
		"fwm4:10.0.0.1:80":       "not a firewall mark",
		"fwm5:1":                 "no kind of service",
		" tcp:10.0.0.1:80":       "no kind of service",
	} {
		k, err := ParseServiceKey(text)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", text, k, err, want)
		}
	}
}

func TestParseServerKey(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.11:80": "", "[2001:db8::11]:80": "", "10.0.0.11:0": "",
		"10.0.0.11":             "not ADDRESS:PORT",
		"2001:db8::11:80":       "not ADDRESS:PORT",
		"[2001:db8::0011]:80":   `write "[2001:db8::11]:80"`,
		"[::ffff:10.0.0.1]:80":  "write 10.0.0.1",
		"[fe80::1%lo]:80":       "zone",
		"host.example:80":       "not ADDRESS:PORT",
		"10.0.0.11:+80":         "not ADDRESS:PORT",
		"10.0.0.11:00000000080": "10.0.0.11:80",
	} {
		k, err := ParseServerKey(text)
		switch {
		case want == "" && (err != nil || k.String() != text):
			t.Errorf("%q: %v, %v", text, k, err)
		case want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, %v; want %s", text, k, err, want)
		}
	}
}

// TestOrder: the order of a table is by the length of the text, then by bytes.
func TestOrder(t *testing.T) {
	want := []string{"fwm4:7", "fwm6:7", "fwm4:10", "tcp:10.0.0.1:80", "tcp:10.0.0.2:80", "udp:10.0.0.1:53", "tcp:10.0.0.1:443", "tcp:[2001:db8::1]:80"}
	var keys []ServiceKey
	for _, text := range slices.Backward(want) {
		k, err := ParseServiceKey(text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, ServiceKey.Compare)
	for i, k := range keys {
		if k.String() != want[i] {
			t.Fatalf("%v, want %v", keys, want)
		}
	}
}

func FuzzParseServiceKey(f *testing.F) {
	for _, s := range []string{"tcp:192.0.2.1:80", "udp:[2001:db8::1]:53", "fwm4:7", "sctp:[::]:0", "fwm6:1", "tcp:[fe80::1%a]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseServiceKey(s)
		if err != nil {
			return
		}
		if k.String() != s || cmp.Compare(k.Compare(k), 0) != 0 {
			t.Errorf("%q became %q", s, k)
		}
	})
}

func TestCompareOrdersAsTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := func(name string) ServerKey {
			octet := rapid.SampledFrom([]byte{0, 1, 2, 9, 10, 11, 19, 20, 99, 100, 101, 110, 199, 200, 255})
			addr := netip.AddrFrom4([4]byte{octet.Draw(t, name), octet.Draw(t, name), octet.Draw(t, name), octet.Draw(t, name)})
			if rapid.IntRange(0, 9).Draw(t, name) == 0 {
				addr = netip.AddrFrom16([16]byte{0x20, 1, 15: octet.Draw(t, name)})
			}
			return ServerKey{netip.AddrPortFrom(addr, rapid.SampledFrom([]uint16{0, 8, 9, 80, 443, 999, 1000, 8080, 10000, 65535}).Draw(t, name))}
		}
		a, b := key("a"), key("b")
		if got, want := cmp.Compare(a.Compare(b), 0), textOrder(a.String(), b.String()); got != want {
			t.Fatalf("%s to %s: %d, want %d", a, b, got, want)
		}
	})
}

// textOrder orders texts as the index of a table does (RFC 2578 section 7.7).
func textOrder(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }
