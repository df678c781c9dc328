package snmp

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/gosnmp/gosnmp"
	"pgregory.net/rapid"
)

// FuzzAnswer feeds what may come from the network: nothing panics, and what is
// read is no longer than what came.
func FuzzAnswer(f *testing.F) {
	get := Get(MustOID("1.3.6.1.2.1.1.3.0"))
	bulk := Bulk(10, MustOID("1.3.6.1.2.1.1"))
	response := appendMessage(nil, "public", get, 77)
	response[bytes.IndexByte(response, byte(opGet))] = byte(opResponse)
	f.Add(response)
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, a, err := parseMessage(b)
		if err != nil {
			return
		}
		for _, r := range []*Request{get, bulk} {
			if vbs, err := a.read(r); err == nil && len(vbs) > len(b) {
				t.Errorf("%d varbinds of %d octets", len(vbs), len(b))
			}
		}
	})
}

// TestCodecAgreesWithGosnmp encodes requests here and reads them there, and the
// other way round.
func TestCodecAgreesWithGosnmp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sub := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 300))
		oid := rapid.Custom(func(t *rapid.T) OID {
			return OID{1, 3}.Child(rapid.SliceOfN(sub, 1, 30).Draw(t, "oid")...)
		})
		vbs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Varbind {
			v := rapid.SampledFrom([]Value{
				Integer(rapid.Int32().Draw(t, "integer")), Unsigned(rapid.Uint32().Draw(t, "unsigned")),
				Text(rapid.StringN(0, 300, 300).Draw(t, "text")),
				{Type: TypeCounter64, Num: rapid.Uint64().Draw(t, "counter")},
			}).Draw(t, "value")
			return Varbind{oid.Draw(t, "name"), v}
		}), 1, 20).Draw(t, "varbinds")
		id := rapid.Uint32Range(0, math.MaxInt32).Draw(t, "id")
		request := Set(vbs...)
		community := rapid.StringN(0, 200, 200).Draw(t, "community")
		message := appendMessage(nil, community, request, id)

		decoder := gosnmp.GoSNMP{Version: gosnmp.Version2c}
		p, err := decoder.SnmpDecodePacket(message)
		if err != nil || p.Community != community || p.RequestID != id || len(p.Variables) != len(vbs) {
			t.Fatalf("gosnmp reads %+v, %v", p, err)
		}
		p.PDUType = gosnmp.GetResponse
		back, err := p.MarshalMsg()
		if err != nil {
			t.Fatal(err)
		}
		who, a, err := parseMessage(back)
		if err != nil || string(who) != community || a.id != id {
			t.Fatalf("%q, %+v, %v", who, a, err)
		}
		got, err := a.read(request)
		if err != nil {
			t.Fatal(err)
		}
		for i, vb := range got {
			want := vbs[i]
			if !slices.Equal(vb.Name, want.Name) || vb.Value.Type != want.Value.Type || vb.Value.Num != want.Value.Num || !bytes.Equal(vb.Value.Bytes, want.Value.Bytes) {
				t.Fatalf("varbind %d is %v, want %v", i, vb, want)
			}
		}
	})
}

func TestOID(t *testing.T) {
	for _, bad := range []string{"", ".", "1", "1.x", "3.1", "1.40", "1.3.-1", "1.3.4294967296"} {
		if oid, err := ParseOID(bad); err == nil {
			t.Errorf("%q is read as %v", bad, oid)
		}
	}
	oid := MustOID(".2.999.4294967295")
	if back, ok := parseOID(appendOID(nil, oid)); !ok || !slices.Equal(back, oid) {
		t.Errorf("%v came back as %v", oid, back)
	}
	if _, ok := MustOID("1.3.6").Within(MustOID("1.3.7")); ok {
		t.Error("1.3.6 is within 1.3.7")
	}
}
