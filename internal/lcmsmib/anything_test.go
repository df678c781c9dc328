package lcmsmib

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/mibs"
)

// numbers are sub-identifiers and values at the limits of what tables count in.
var numbers = []uint32{0, 1, 2, 3, 4, 5, 6, 7, 127, 128, 255, 256, 65535, 65536, 1<<31 - 1, 1 << 31, 1<<32 - 1}

// keys are indexes that name rows, may name some, or are nothing like it.
var keys = []string{web, "fwm4:7", "udp:[2001:db8::1]:53", "tcp:10.0.0.1:0", rs1, rs2, "[2001:db8::b]:80", "0.0.0.0:0", "TCP:10.0.0.1:80", "", "\x00", "a"}

// drawOID draws an OID in or near LCMS-MIB.
func drawOID(t *rapid.T, objects []mib.Object) smi.OID {
	oid := rapid.SampledFrom(objects).Draw(t, "object").OID.Clone()
	if rapid.IntRange(0, 9).Draw(t, "cut") == 0 {
		oid = oid[:rapid.IntRange(0, len(oid)).Draw(t, "length")]
	}
	for range rapid.IntRange(0, 2).Draw(t, "keys") {
		oid = smi.AppendIndexString(oid, rapid.SampledFrom(keys).Draw(t, "key"))
	}
	return append(oid, rapid.SliceOfN(rapid.SampledFrom(numbers), 0, 3).Draw(t, "rest")...)
}

// drawValue draws a value of any type.
func drawValue(t *rapid.T, objects []mib.Object) smi.Value {
	n := rapid.SampledFrom(numbers).Draw(t, "number")
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "rr", "sh", "wlc", "sip", "eth0", "\x80", "\xff\xff\xff\xff", "\x0a\x00\x00\x01"}), rapid.String()).Draw(t, "text")
	return rapid.SampledFrom([]smi.Value{
		smi.Integer(int32(n)), smi.Unsigned32(n), smi.Integer(int32(n)), smi.Unsigned32(n), smi.Text(text),
		smi.Counter32(n), smi.TimeTicks(n), smi.Counter64(uint64(n) << 16), smi.Null(), smi.OctetString([]byte(text)),
		{Type: smi.TypeIPAddress, Bytes: []byte(text)}, {Type: smi.TypeOpaque, Bytes: []byte(text)}, smi.ObjectIdentifier(drawOID(t, objects)),
	}).Draw(t, "value")
}

// drawWrite draws what comes close to a varbind that can be set: more often than not
// its object, index and type are right.
func drawWrite(t *rapid.T, objects, writable []mib.Object) smi.Varbind {
	often := func(what string) bool { return rapid.IntRange(0, 19).Draw(t, what) > 0 }
	if !often("near") {
		return smi.Varbind{Name: drawOID(t, objects), Value: drawValue(t, objects)}
	}
	o := rapid.SampledFrom(writable).Draw(t, "object")
	key := func(of []string) string { return rapid.SampledFrom(of).Draw(t, "key") }
	services, servers := keys[:3], keys[4:6]
	if !often("known") {
		services, servers = keys, keys
	}
	name := o.OID.Child(rapid.SampledFrom(numbers[:3]).Draw(t, "index"))
	switch below := o.OID[len(mibs.DefaultRoot()):]; {
	case below.HasPrefix(serverEntry):
		name = smi.AppendIndexString(smi.AppendIndexString(o.OID.Clone(), key(services)), key(servers))
	case below.HasPrefix(serviceEntry):
		name = smi.AppendIndexString(o.OID.Clone(), key(services))
	case len(below) == 3: // a scalar
		name = o.OID.Child(0)
	}
	if !often("typed") {
		return smi.Varbind{Name: name, Value: drawValue(t, objects)}
	}
	switch o.Syntax {
	case smi.TypeInteger:
		return smi.Varbind{Name: name, Value: smi.Integer(int32(rapid.SampledFrom(numbers[:8]).Draw(t, "enumerated")))}
	case smi.TypeGauge32:
		return smi.Varbind{Name: name, Value: smi.Unsigned32(rapid.SampledFrom(numbers).Draw(t, "number"))}
	}
	return smi.Varbind{Name: name, Value: smi.Text(rapid.SampledFrom([]string{"", "rr", "sh", "sip", "eth0", "\x80", "\x00"}).Draw(t, "text"))}
}

// TestAnything: whatever is asked and set, the MIB answers, in order, and a SET that
// is refused says which varbind is at fault and leaves everything as it was.
func TestAnything(t *testing.T) {
	r := newRig(t, nil)
	r.mustSet(t, r.create(t)...)
	objects := r.Objects()
	writable := slices.DeleteFunc(slices.Clone(objects), func(o mib.Object) bool { return o.Access == mib.ReadOnly })
	rapid.Check(t, func(t *rapid.T) {
		view, _ := r.View("")
		from := drawOID(t, objects)
		value := view.Get(from)
		var after, at smi.Varbind
		if view.Next(&after, from, false, nil) && after.Name.Compare(from) <= 0 {
			t.Fatalf("%s does not come after %s", after.Name, from)
		}
		if found := view.Next(&at, from, true, nil) && at.Name.Equal(from); found == value.IsException() {
			t.Fatalf("GET of %s gives %v, GETNEXT from it on gives %s", from, value, at.Name)
		}

		var vbs []smi.Varbind
		for range rapid.IntRange(1, 6).Draw(t, "varbinds") {
			vbs = append(vbs, drawWrite(t, objects, writable))
		}
		before := r.configuration()
		err := r.set(vbs...)
		if err == nil {
			return
		}
		var refusal *smi.SetError
		if errors.As(err, &refusal) && (refusal.Status == 0 || refusal.Status == smi.GenErr || refusal.Index < 1 || refusal.Index > len(vbs) || refusal.Reason == "") {
			t.Fatalf("%v is refused with %s of varbind %d: %q", vbs, refusal.Status, refusal.Index, refusal.Reason)
		}
		if after := r.configuration(); !slices.EqualFunc(before, after, func(a, b smi.Varbind) bool { return a.Name.Equal(b.Name) && a.Value.Equal(b.Value) }) {
			t.Fatalf("%v is refused (%v) and changes\n%v\nto\n%v", vbs, err, before, after)
		}
	})
}

// configuration returns all instances that can be written.
func (r *rig) configuration() []smi.Varbind {
	view, _ := r.View("")
	var all []smi.Varbind
	for _, o := range r.Objects() {
		if o.Access == mib.ReadOnly {
			continue
		}
		for at := o.OID; ; {
			var vb smi.Varbind
			if !view.Next(&vb, at, false, o.OID.Successor()) {
				break
			}
			all = append(all, vb)
			at = vb.Name
		}
	}
	if len(all) == 0 || !all[0].Name.HasPrefix(mibs.DefaultRoot()) {
		panic("there is no configuration to compare")
	}
	return all
}
