package agentx_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// varbinds has one of each type, with the limits of each.
var varbinds = []smi.Varbind{
	{Name: smi.OID{1, 3, 6, 1, 2, 1, 1}, Value: smi.Integer(-1 << 31)},
	{Name: smi.OID{1, 3, 6, 1, 255, 1}, Value: smi.Integer(1<<31 - 1)},
	{Name: smi.OID{1, 3, 6, 1, 256, 1}, Value: smi.Text("a")},
	{Name: smi.OID{1, 3, 6, 1, 0, 1}, Value: smi.Text("abc")},
	{Name: smi.OID{1, 3, 6, 1, 4}, Value: smi.Text("abcd")},
	{Name: smi.OID{1, 3, 6, 1}, Value: smi.OctetString([]byte{})},
	{Name: smi.OID{0}, Value: smi.Null()},
	{Name: nil, Value: smi.ObjectIdentifier(nil)},
	{Name: smi.OID{2, 4294967295}, Value: smi.ObjectIdentifier(smi.OID{0, 0})},
	{Name: make(smi.OID, smi.MaxOIDLen), Value: smi.ObjectIdentifier(smi.OID{1, 3, 6, 1, 4, 1})},
	{Name: root, Value: smi.Value{Type: smi.TypeIPAddress, Bytes: []byte{192, 0, 2, 1}}},
	{Name: root, Value: smi.Counter32(1<<32 - 1)},
	{Name: root, Value: smi.Gauge32(1<<32 - 1)},
	{Name: root, Value: smi.TimeTicks(1<<32 - 1)},
	{Name: root, Value: smi.Value{Type: smi.TypeOpaque, Bytes: []byte{1, 2}}},
	{Name: root, Value: smi.Counter64(1<<64 - 1)},
	{Name: root, Value: smi.NoSuchObject()},
	{Name: root, Value: smi.NoSuchInstance()},
	{Name: root, Value: smi.EndOfMibView()},
}

// pdus has each PDU type at least once, with every field set.
func pdus() []agentx.PDU {
	ranges := []agentx.SearchRange{{Start: root, Include: true, End: root.Successor()}, {Start: root}, {}}
	return []agentx.PDU{
		&agentx.OpenPDU{Timeout: 255, ID: root, Description: "d"},
		&agentx.OpenPDU{},
		&agentx.ClosePDU{Reason: agentx.ReasonShutdown},
		&agentx.RegisterPDU{Context: "ctx", Timeout: 1, Priority: 2, RangeSubid: 3, Subtree: root, UpperBound: 4, Instance: true},
		&agentx.RegisterPDU{Subtree: root},
		&agentx.UnregisterPDU{Context: "ctx", Priority: 2, RangeSubid: 3, Subtree: root, UpperBound: 4},
		&agentx.UnregisterPDU{Subtree: root},
		&agentx.GetPDU{Context: "ctx", Ranges: ranges},
		&agentx.GetNextPDU{Ranges: ranges},
		&agentx.GetBulkPDU{Context: "c", NonRepeaters: 1, MaxRepetitions: 65535, Ranges: ranges},
		&agentx.TestSetPDU{Context: "ctx", Varbinds: varbinds},
		&agentx.CommitSetPDU{},
		&agentx.UndoSetPDU{},
		&agentx.CleanupSetPDU{},
		&agentx.NotifyPDU{Context: "ctx", Varbinds: varbinds},
		&agentx.PingPDU{Context: "ctx"},
		&agentx.PingPDU{},
		&agentx.IndexAllocatePDU{Context: "ctx", New: true, Varbinds: varbinds},
		&agentx.IndexAllocatePDU{Any: true},
		&agentx.IndexDeallocatePDU{Context: "ctx", Varbinds: varbinds},
		&agentx.AddAgentCapsPDU{Context: "ctx", ID: root, Description: "d"},
		&agentx.RemoveAgentCapsPDU{Context: "ctx", ID: root},
		&agentx.ResponsePDU{SysUpTime: 1, Error: agentx.ProcessingError, Index: 3, Varbinds: varbinds},
	}
}

var same = cmp.Exporter(func(reflect.Type) bool { return true })

func TestRoundTrip(t *testing.T) {
	types := make(map[agentx.Type]bool)
	for _, order := range []agentx.Flags{0, agentx.FlagNetworkByteOrder} {
		for _, p := range pdus() {
			types[p.Type()] = true
			h := agentx.Header{Flags: order, SessionID: 1, TransactionID: 1 << 31, PacketID: 0x01020304}
			b, err := agentx.Append([]byte("before"), h, p)
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.TrimPrefix(b, []byte("before"))
			got, q, err := agentx.Parse(b)
			if err != nil {
				t.Fatalf("%s: %v", p.Type(), err)
			}
			if d := cmp.Diff(p, q, same); d != "" {
				t.Errorf("%s (-want +got):\n%s", p.Type(), d)
			}
			h.Type, h.Length, h.Flags = p.Type(), uint32(len(b)-agentx.HeaderLen), got.Flags
			if got != h || got.Flags&agentx.FlagNetworkByteOrder != order {
				t.Errorf("header %+v, want %+v", got, h)
			}
		}
	}
	if len(types) != 18 {
		t.Errorf("%d PDU types were tried, there are 18", len(types))
	}
}

func TestCompression(t *testing.T) {
	for _, c := range []struct {
		oid  smi.OID
		want int // octets
	}{
		{smi.OID{1, 3, 6, 1, 4, 1}, 8}, {smi.OID{1, 3, 6, 1, 4}, 4}, {smi.OID{1, 3, 6, 1, 255}, 4},
		{smi.OID{1, 3, 6, 1, 256}, 24}, {smi.OID{1, 3, 6, 1, 0}, 24}, {smi.OID{1, 3, 6, 1}, 20}, {nil, 4},
	} {
		b, err := agentx.Append(nil, agentx.Header{}, &agentx.RemoveAgentCapsPDU{ID: c.oid})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(b) - agentx.HeaderLen; got != c.want {
			t.Errorf("%s takes %d octets, want %d", c.oid, got, c.want)
		}
	}
}

func TestParseCutShort(t *testing.T) {
	for _, p := range pdus() {
		whole, err := agentx.Append(nil, agentx.Header{}, p)
		if err != nil {
			t.Fatal(err)
		}
		for n := agentx.HeaderLen; n < len(whole); n += 4 {
			b := bytes.Clone(whole[:n])
			b[16], b[17] = byte(n-agentx.HeaderLen), byte((n-agentx.HeaderLen)>>8)
			h, q, err := agentx.Parse(b)
			if err != nil {
				if !errors.Is(err, agentx.ErrMalformed) {
					t.Fatalf("%s: error %v is not ErrMalformed", p.Type(), err)
				}
				continue
			}
			// Where a list is cut between its elements, what is left is a whole PDU.
			again, err := agentx.Append(nil, h, q)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s of %d octets is taken for another: %v", p.Type(), n, err)
			}
		}
	}
}

func TestParseMalformed(t *testing.T) {
	good, err := agentx.Append(nil, agentx.Header{}, &agentx.TestSetPDU{Varbinds: []smi.Varbind{{Name: root, Value: smi.Text("abc")}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		change     func(b []byte) []byte
	}{
		{"no header", "header of 3 octets", func(b []byte) []byte { return b[:3] }},
		{"version", "version 2", func(b []byte) []byte { b[0] = 2; return b }},
		{"type", "unknown PDU type 19", func(b []byte) []byte { b[1] = 19; return b }},
		{"odd length", "no multiple of 4", func(b []byte) []byte { b[16]++; return b }},
		{"too long", "are there", func(b []byte) []byte { b[16] += 4; return b }},
		{"octets left over", "missing", func(b []byte) []byte { b[16] += 4; return append(b, 0, 0, 0, 0) }},
		{"huge string", "octet string of 4294967295", func(b []byte) []byte { copy(b[len(b)-8:], "\xff\xff\xff\xff"); return b }},
		{"value type", "unknown type 3", func(b []byte) []byte { b[agentx.HeaderLen] = 3; return b }},
		{"long OID", "missing", func(b []byte) []byte { b[agentx.HeaderLen+4] = 255; return b }},
	} {
		_, _, err := agentx.Parse(c.change(bytes.Clone(good)))
		if !errors.Is(err, agentx.ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.name, err, c.want)
		}
	}
	long := make(smi.OID, smi.MaxOIDLen+1)
	if _, err := agentx.Append(nil, agentx.Header{}, &agentx.RemoveAgentCapsPDU{ID: long}); err == nil {
		t.Error("an OID of 129 sub-identifiers is encoded")
	}
	if _, err := agentx.Append(nil, agentx.Header{}, &agentx.NotifyPDU{Varbinds: []smi.Varbind{{Name: root}}}); err == nil {
		t.Error("a varbind without a type is encoded")
	}
}

// FuzzDecode: no octets make Parse panic, and what it takes for a PDU survives
// being encoded and parsed again.
func FuzzDecode(f *testing.F) {
	for _, order := range []agentx.Flags{0, agentx.FlagNetworkByteOrder} {
		for _, p := range pdus() {
			b, err := agentx.Append(nil, agentx.Header{Flags: order, SessionID: 1}, p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden PDUs: %v", err)
	}
	for _, file := range files {
		f.Add(readHex(f, strings.TrimSuffix(filepath.Base(file), ".hex")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, p, err := agentx.Parse(b)
		if err != nil {
			if !errors.Is(err, agentx.ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		once, err := agentx.Append(nil, h, p)
		if err != nil {
			t.Fatalf("what was parsed cannot be encoded: %v", err)
		}
		_, q, err := agentx.Parse(once)
		if err != nil {
			t.Fatalf("what was encoded cannot be parsed: %v", err)
		}
		if !reflect.DeepEqual(p, q) {
			t.Fatalf("%#v comes back as %#v", p, q)
		}
		twice, err := agentx.Append(nil, h, q)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("encodes differently the second time: %v", err)
		}
	})
}
