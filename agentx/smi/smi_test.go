package smi_test

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/agentx/smi"
)

func TestParseOID(t *testing.T) {
	for in, want := range map[string]string{
		"1.3.6.1":      ".1.3.6.1",
		".1.3.6.1":     ".1.3.6.1",
		"0":            ".0",
		"4294967295.0": ".4294967295.0",
		"":             "",
		".":            "",
		"1..2":         "",
		"1.x":          "",
		"1.-2":         "",
		"4294967296":   "",
		strings.Repeat("1.", smi.MaxOIDLen) + "1": "",
	} {
		oid, err := smi.ParseOID(in)
		if oid.String() != want || (err == nil) != (want != "") {
			t.Errorf("ParseOID(%q) = %s, %v, want %q", in, oid, err, want)
		}
	}
}

func TestSuccessor(t *testing.T) {
	for in, want := range map[string]string{"1.3": ".1.4", "1.4294967295": ".2", "4294967295": ""} {
		if got := smi.MustParseOID(in).Successor().String(); got != want {
			t.Errorf("successor of %s is %q, want %q", in, got, want)
		}
	}
}

var subtree = rapid.SliceOfN(rapid.Uint32(), 1, 5)

// TestSuccessorBounds: the successor is above the whole subtree, and nothing
// that is not in the subtree lies between.
func TestSuccessorBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		oid, other := smi.OID(subtree.Draw(t, "oid")), smi.OID(subtree.Draw(t, "other"))
		if rapid.Bool().Draw(t, "below") {
			other = oid.Child(other...)
		}
		next := oid.Successor()
		between := other.Compare(oid) >= 0 && (next == nil || other.Compare(next) < 0)
		if other.HasPrefix(oid) != between {
			t.Fatalf("%s in %s: %t; between it and %s: %t", other, oid, !between, next, between)
		}
	})
}

func TestChildSharesNothing(t *testing.T) {
	oid := append(make(smi.OID, 0, 10), 1, 2)
	a, b := oid.Child(3), oid.Child(4)
	if a.Equal(b) || oid.String() != ".1.2" || a.String() != ".1.2.3" {
		t.Errorf("%s, %s and %s", oid, a, b)
	}
}

var index = rapid.StringOfN(rapid.RuneFrom([]rune("ab:1\x00\u00ff")), 0, 4, -1)

// TestIndexString: an index is cut as it was put together, and is ordered as
// the strings are.
func TestIndexString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := index.Draw(t, "a"), index.Draw(t, "b")
		oid := smi.AppendIndexString(nil, a)
		if s, rest, ok := smi.CutIndexString(append(oid.Clone(), 7)); !ok || s != a || !rest.Equal(smi.OID{7}) {
			t.Fatalf("%q is cut as %q, %s, %t", a, s, rest, ok)
		}
		want := oid.Compare(smi.AppendIndexString(nil, b))
		if got, used := smi.CompareIndexString(oid, b); got != want || got == 0 && used != len(oid) {
			t.Fatalf("%q, %q: order %d of %d, want %d", a, b, got, used, want)
		}
	})
}

// TestCompareIndexStringCut: what a manager asks for need not be a string.
func TestCompareIndexStringCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked := smi.OID(rapid.SliceOfN(rapid.Uint32Range(0, 300), 0, 5).Draw(t, "index"))
		s := index.Draw(t, "s")
		key := smi.AppendIndexString(nil, s)
		want := asked.Compare(key)
		if asked.HasPrefix(key) {
			want = 0
		}
		if got, _ := smi.CompareIndexString(asked, s); got != want {
			t.Fatalf("%s and %q: order %d, want %d", asked, s, got, want)
		}
	})
	for _, bad := range []smi.OID{nil, {1}, {2, 65}, {1, 256}, {math.MaxUint32, 1}} {
		if s, _, ok := smi.CutIndexString(bad); ok {
			t.Errorf("%s is cut as %q", bad, s)
		}
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		value      smi.Value
		typ, print string
	}{
		{smi.Integer(math.MinInt32), "INTEGER", "-2147483648"},
		{smi.Text("up\n"), "OCTET STRING", "up\n"},
		{smi.OctetString([]byte{0, 0xff}), "OCTET STRING", "00 ff"},
		{smi.Null(), "NULL", "NULL"},
		{smi.ObjectIdentifier(smi.OID{1, 3}), "OBJECT IDENTIFIER", ".1.3"},
		{smi.IPAddress(netip.MustParseAddr("192.0.2.1")), "IpAddress", "192.0.2.1"},
		{smi.Value{Type: smi.TypeIPAddress, Bytes: []byte{1}}, "IpAddress", "01"},
		{smi.Counter32(math.MaxUint32), "Counter32", "4294967295"},
		{smi.Unsigned32(7), "Unsigned32", "7"},
		{smi.TimeTicks(7), "TimeTicks", "7"},
		{smi.Value{Type: smi.TypeOpaque, Bytes: []byte{1, 2}}, "Opaque", "01 02"},
		{smi.Counter64(math.MaxUint64), "Counter64", "18446744073709551615"},
		{smi.NoSuchObject(), "noSuchObject", "noSuchObject"},
		{smi.Value{}, "type 0", "type 0"},
	} {
		if c.value.Type.String() != c.typ || c.value.String() != c.print {
			t.Errorf("%s: %q, want %s: %q", c.value.Type, c.value, c.typ, c.print)
		}
		if !c.value.Equal(c.value) || c.value.Equal(smi.Integer(1)) {
			t.Errorf("%s: Equal is wrong", c.value)
		}
		exception := slices.Contains([]string{"noSuchObject", "noSuchInstance", "endOfMibView"}, c.typ)
		if c.value.IsException() != exception {
			t.Errorf("%s: IsException is %t", c.value, !exception)
		}
	}
	if got := smi.Integer(-1).Int(); got != -1 {
		t.Errorf("Integer32 -1 is read as %d", got)
	}
}

func TestBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 32).Draw(t, "size")
		mask := rapid.Uint32().Draw(t, "mask") & (1<<size - 1)
		b := smi.Bits(mask, size)
		if got, err := smi.ParseBits(b, size); err != nil || got != mask || len(b) != (size+7)/8 {
			t.Fatalf("%#x of %d bits is % x, read as %#x, %v", mask, size, b, got, err)
		}
	})
	if got := smi.Bits(1, 3); got[0] != 0x80 {
		t.Errorf("bit 0 is % x", got)
	}
	if _, err := smi.ParseBits([]byte{0x10}, 3); err == nil {
		t.Error("bit 3 of 3 is accepted")
	}
	if _, err := smi.ParseBits([]byte{0, 0, 0, 0, 1}, 32); err == nil {
		t.Error("bit 39 is accepted")
	}
	if mask, err := smi.ParseBits(nil, 3); mask != 0 || err != nil {
		t.Errorf("no octets: %#x, %v", mask, err)
	}
}

func TestSetError(t *testing.T) {
	err := &smi.SetError{Status: smi.WrongValue, Reason: "weight is 65536"}
	if got := err.Error(); got != "wrongValue (varbind 1): weight is 65536" {
		t.Errorf("%q", got)
	}
	if got := smi.ErrorStatus(300).String(); got != "error status 300" {
		t.Errorf("%q", got)
	}
}
