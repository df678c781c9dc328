package mib

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// farm is an application: animals by number, some of them asleep.
type farm struct {
	name    string
	lock    int32
	animals []*animal
}

type animal struct {
	number  uint32
	legs    uint8
	sound   string
	tame    bool
	traits  uint8
	home    netip.Addr
	storage uint8
	status  uint8
}

// plan is the change that a SET amounts to.
type plan struct {
	put       []animal
	destroyed []uint32
	activated []uint32
	lock      int32
}

var farmRoot = smi.OID{1, 3, 6, 1, 4, 1, 99999}

type farmRow struct {
	name string
	lock int32
}

func scalars() *Table[*farm, *farmRow, *plan] {
	t := Scalars[*farm, *farmRow, *plan]("farm", smi.OID{1}, func(f *farm) *farmRow { return &farmRow{f.name, f.lock} },
		TextOf(1, "farmName", func(r *farmRow) string { return r.name }),
		TestAndIncr(2, "farmLock", func(r *farmRow) *int32 { return &r.lock }),
		Time(3, "farmBuilt", func(*farmRow) time.Time { return time.Date(1999, 12, 31, 23, 59, 58, 7e8, time.FixedZone("", 3600)) }),
		OID(4, "farmKind", func(*farmRow) smi.OID { return nil }),
		Gauge32(5, "farmSize", func(*farmRow) uint64 { return 1 << 40 }),
	)
	t.Clone = func(r *farmRow) *farmRow { c := *r; return &c }
	t.Put = func(p *plan, e Edit[*farmRow]) error { p.lock = e.New.lock; return nil }
	return t
}

func animals() *Table[*farm, *animal, *plan] {
	find := func(f *farm, index smi.OID, next, include bool) (*animal, bool) {
		for _, a := range f.animals {
			switch order := index.Compare(smi.OID{a.number}); {
			case order == 0 && (!next || include), next && order < 0:
				return a, true
			}
		}
		return nil, false
	}
	return &Table[*farm, *animal, *plan]{
		Name: "animalTable",
		OID:  smi.OID{2, 1},
		Columns: []Column[*animal]{
			Unsigned32(2, "animalLegs", func(a *animal) *uint8 { return &a.legs }, Creatable, Range(0, 100)),
			Text(3, "animalSound", func(a *animal) *string { return &a.sound }, Creatable, Range(0, 5)),
			Truth(4, "animalTame", func(a *animal) *bool { return &a.tame }, Creatable),
			Bits(5, "animalTraits", func(a *animal) *uint8 { return &a.traits }, []string{"wool", "milk"}, Creatable),
			Address(6, "animalHome", func(a *animal) *netip.Addr { return &a.home }, Creatable),
			StorageType(7, "animalStorage", func(a *animal) *uint8 { return &a.storage }),
			RowStatus(8, "animalStatus", func(a *animal) *uint8 { return &a.status }),
		},
		Get:   func(f *farm, index smi.OID) (*animal, bool) { return find(f, index, false, false) },
		Next:  func(f *farm, index smi.OID, include bool) (*animal, bool) { return find(f, index, true, include) },
		Index: func(dst smi.OID, a *animal) smi.OID { return append(dst, a.number) },
		Clone: func(a *animal) *animal { c := *a; return &c },
		New: func(_ *farm, index smi.OID) (*animal, error) {
			if len(index) != 1 || index[0] == 13 {
				return nil, errors.New("no animal has this number")
			}
			return &animal{number: index[0], legs: 4, storage: 3}, nil
		},
		Ready: func(a *animal) error {
			if a.sound == "" {
				return errors.New("it makes no sound")
			}
			return nil
		},
		Status: func(a *animal) *uint8 { return &a.status },
		Put: func(p *plan, e Edit[*animal]) error {
			if e.Destroyed {
				p.destroyed = append(p.destroyed, e.Old.number)
				return nil
			}
			if e.Activated {
				p.activated = append(p.activated, e.New.number)
			}
			p.put = append(p.put, *e.New)
			return nil
		},
	}
}

type pending struct{}

func (pending) Commit() error { return nil }
func (pending) Undo() error   { return nil }
func (pending) Done()         {}

// newFarm returns a module over f; last is the change of the last SET.
func newFarm(t *testing.T, f *farm) (m *Module[*farm, *plan], last func() *plan) {
	t.Helper()
	var made *plan
	m, err := New(Options[*farm, *plan]{
		Root:     farmRoot,
		Snapshot: func() *farm { return f },
		Begin:    func(*farm) *plan { return new(plan) },
		Prepare: func(p *plan, set *Set[*farm, *plan]) (agentx.Pending, error) {
			for _, n := range p.activated {
				if i := slices.IndexFunc(p.put, func(a animal) bool { return a.number == n }); p.put[i].sound == "" {
					return nil, &smi.SetError{Status: smi.InconsistentValue, Index: set.Locate(smi.OID{2, 1}, smi.OID{n}, "animalSound"), Reason: "silent"}
				}
			}
			made = p
			return pending{}, nil
		},
	}, animals(), scalars())
	if err != nil {
		t.Fatal(err)
	}
	return m, func() *plan { return made }
}

func name(column, number uint32) smi.OID { return farmRoot.Child(2, 1, column, number) }

func TestScalarsAndSyntaxes(t *testing.T) {
	f := &farm{name: "green", lock: 7, animals: []*animal{{number: 4, legs: 4, tame: true, traits: 2, home: netip.MustParseAddr("10.0.0.1"), storage: 3, status: Active}}}
	m, _ := newFarm(t, f)
	view, ok := m.View("")
	if !ok {
		t.Fatal("no view")
	}
	for oid, want := range map[string]smi.Value{
		".1.3.6.1.4.1.99999.1.1.0":   smi.Text("green"),
		".1.3.6.1.4.1.99999.1.2.0":   smi.Integer(7),
		".1.3.6.1.4.1.99999.1.3.0":   smi.OctetString([]byte{7, 0xcf, 12, 31, 22, 59, 58, 7, '+', 0, 0}),
		".1.3.6.1.4.1.99999.1.4.0":   smi.ObjectIdentifier(smi.OID{0, 0}),
		".1.3.6.1.4.1.99999.1.5.0":   smi.Gauge32(1<<32 - 1),
		".1.3.6.1.4.1.99999.1.1":     smi.NoSuchInstance(),
		".1.3.6.1.4.1.99999.1.1.1":   smi.NoSuchInstance(),
		".1.3.6.1.4.1.99999.1.1.0.0": smi.NoSuchInstance(),
		".1.3.6.1.4.1.99999.1.9.0":   smi.NoSuchObject(),
		".1.3.6.1.4.1.99999.1":       smi.NoSuchObject(),
		".1.3.6.1.4.1.99999.3.1.0":   smi.NoSuchObject(),
		".1.3.6.1.4.1.99998":         smi.NoSuchObject(),
		".1.3.6.1.4.1.99999.2.1.4.4": smi.Integer(1),
		".1.3.6.1.4.1.99999.2.1.5.4": smi.OctetString([]byte{0x40}),
		".1.3.6.1.4.1.99999.2.1.6.4": smi.OctetString([]byte{10, 0, 0, 1}),
		".1.3.6.1.4.1.99999.2.1.2.5": smi.NoSuchInstance(),
		".1.3.6.1.4.1.99999.2.1.1.4": smi.NoSuchObject(),
	} {
		if got := view.Get(smi.MustParseOID(oid)); !got.Equal(want) {
			t.Errorf("GET %s = %v %v, want %v", oid, got.Type, got, want)
		}
	}
	if _, ok := m.View("other"); ok {
		t.Error("there is a view of a context that does not exist")
	}
}

func TestNextVisitsEachOnce(t *testing.T) {
	f := &farm{animals: []*animal{{number: 4, status: Active}, {number: 9, status: Active}}}
	m, _ := newFarm(t, f)
	view, _ := m.View("")
	var got []string
	for at := (smi.OID{1, 3}); ; {
		var vb smi.Varbind
		if !view.Next(&vb, at, false, nil) {
			break
		}
		got = append(got, strings.TrimPrefix(vb.Name.String(), farmRoot.String()))
		at = vb.Name
	}
	want := []string{".1.1.0", ".1.2.0", ".1.3.0", ".1.4.0", ".1.5.0"}
	for column := 2; column <= 8; column++ {
		for _, n := range []string{"4", "9"} {
			want = append(want, ".2.1."+string(rune('0'+column))+"."+n)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	var vb smi.Varbind
	for from, want := range map[string]string{
		".1.3.6.1.4.1.99999.2.1.1.77":    ".2.1.2.4", // a column that does not exist
		".1.3.6.1.4.1.99999.2.1.2.4.0":   ".2.1.2.9", // longer than an index
		".1.3.6.1.4.1.99999.2.1.2.10":    ".2.1.3.4", // after the last row
		".1.3.6.1.4.1.99999.1.5":         ".1.5.0",
		".1.3.6.1.4.1.99999.1.5.0":       ".2.1.2.4",
		".1.3.6.1.4.1.99999.2.0.9":       ".2.1.2.4",
		".1.3.6.1.4.1.99999.1.5.0.0.0.1": ".2.1.2.4",
	} {
		if !view.Next(&vb, smi.MustParseOID(from), false, nil) || vb.Name.String() != farmRoot.String()+want {
			t.Errorf("after %s comes %s, want %s", from, vb.Name, want)
		}
	}
	if view.Next(&vb, smi.OID{1, 3, 6, 1, 4, 2}, false, nil) {
		t.Errorf("after the module comes %s", vb.Name)
	}
}

// TestRowStatus is the table of RFC 2579 under RowStatus: what each value does
// in each state.
func TestRowStatus(t *testing.T) {
	const silent, sound = "", "moo"
	for _, c := range []struct {
		state  uint8 // 0: there is no row
		sound  string
		action int32
		want   uint8 // state after it; 0: destroyed or nothing
		status smi.ErrorStatus
	}{
		{0, sound, CreateAndGo, Active, 0},
		{0, silent, CreateAndGo, 0, smi.InconsistentValue},
		{0, sound, CreateAndWait, NotInService, 0},
		{0, silent, CreateAndWait, NotReady, 0},
		{0, sound, Active, 0, smi.InconsistentValue},
		{0, sound, NotInService, 0, smi.InconsistentValue},
		{0, sound, NotReady, 0, smi.WrongValue},
		{NotReady, silent, CreateAndGo, 0, smi.InconsistentValue},
		{NotReady, silent, CreateAndWait, 0, smi.InconsistentValue},
		{NotReady, silent, Active, 0, smi.InconsistentValue},
		{NotReady, silent, NotInService, 0, smi.InconsistentValue},
		{NotReady, silent, NotReady, 0, smi.WrongValue},
		{NotInService, sound, CreateAndGo, 0, smi.InconsistentValue},
		{NotInService, sound, Active, Active, 0},
		{NotInService, sound, NotInService, NotInService, 0},
		{Active, sound, CreateAndGo, 0, smi.InconsistentValue},
		{Active, sound, CreateAndWait, 0, smi.InconsistentValue},
		{Active, sound, Active, Active, 0},
		{Active, sound, NotInService, NotInService, 0},
		{Active, sound, NotReady, 0, smi.WrongValue},
		{Active, sound, 7, 0, smi.WrongValue},
	} {
		f := &farm{}
		vbs := []smi.Varbind{{Name: name(8, 1), Value: smi.Integer(c.action)}}
		if c.state != 0 {
			f.animals = []*animal{{number: 1, sound: c.sound, status: c.state, storage: 3}}
		} else if c.sound != "" && (c.action == CreateAndGo || c.action == CreateAndWait) {
			vbs = append(vbs, smi.Varbind{Name: name(3, 1), Value: smi.Text(c.sound)})
		}
		m, last := newFarm(t, f)
		_, err := m.Prepare("", vbs)
		var refused *smi.SetError
		switch {
		case c.status != 0:
			if !errors.As(err, &refused) || refused.Status != c.status || refused.Index != 1 {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil:
			t.Errorf("%+v: %v", c, err)
		case len(last().put) != 1 || last().put[0].status != c.want:
			t.Errorf("%+v: %+v", c, last())
		}
	}
}

func TestDestroyAndLateReadiness(t *testing.T) {
	f := &farm{animals: []*animal{{number: 1, status: NotReady}}}
	m, last := newFarm(t, f)
	set := func(vbs ...smi.Varbind) *plan {
		t.Helper()
		if _, err := m.Prepare("", vbs); err != nil {
			t.Fatal(err)
		}
		return last()
	}
	if p := set(smi.Varbind{Name: name(3, 1), Value: smi.Text("baa")}); p.put[0].status != NotInService {
		t.Errorf("with what it lacked it is %d", p.put[0].status)
	}
	if p := set(smi.Varbind{Name: name(8, 1), Value: smi.Integer(Active)}, smi.Varbind{Name: name(3, 1), Value: smi.Text("baa")}); p.put[0].status != Active {
		t.Errorf("activated with what it lacked it is %d", p.put[0].status)
	}
	if p := set(smi.Varbind{Name: name(8, 1), Value: smi.Integer(Destroy)}, smi.Varbind{Name: name(8, 2), Value: smi.Integer(Destroy)}); !slices.Equal(p.destroyed, []uint32{1}) {
		t.Errorf("destroyed %v", p.destroyed)
	}
	if p := set(smi.Varbind{Name: farmRoot.Child(1, 2, 0), Value: smi.Integer(0)}); p.lock != 1 {
		t.Errorf("lock %d", p.lock)
	}
	f.lock = 1<<31 - 1
	if p := set(smi.Varbind{Name: farmRoot.Child(1, 2, 0), Value: smi.Integer(1<<31 - 1)}); p.lock != 0 {
		t.Errorf("the lock went to %d, not round to 0", p.lock)
	}
}

func TestRefusalsOfColumns(t *testing.T) {
	f := &farm{animals: []*animal{{number: 1, sound: "moo", status: Active}}}
	m, _ := newFarm(t, f)
	for _, c := range []struct {
		name   smi.OID
		value  smi.Value
		status smi.ErrorStatus
		reason string
	}{
		{name(2, 1), smi.Integer(4), smi.WrongType, "animalLegs is of type Unsigned32, not INTEGER"},
		{name(2, 1), smi.Unsigned32(101), smi.WrongValue, "use 0 to 100"},
		{name(3, 1), smi.Text("longer"), smi.WrongLength, "use 0 to 5"},
		{name(3, 1), smi.OctetString([]byte{0xff}), smi.WrongValue, "UTF-8"},
		{name(4, 1), smi.Integer(3), smi.WrongValue, "neither true(1) nor false(2)"},
		{name(5, 1), smi.OctetString([]byte{0x20}), smi.WrongValue, "bit 2 is not defined"},
		{name(6, 1), smi.OctetString([]byte{1, 2, 3}), smi.WrongLength, "an address has 4"},
		{name(7, 1), smi.Integer(4), smi.WrongValue, "permanent(4) cannot be asked for"},
		{name(7, 1), smi.Integer(0), smi.WrongValue, "0: use volatile(2) or nonVolatile(3)"},
		{name(7, 1), smi.Integer(6), smi.WrongValue, "6: use volatile(2) or nonVolatile(3)"},
		{name(2, 2), smi.Unsigned32(1), smi.InconsistentName, "no such row"},
		{name(2, 13), smi.Unsigned32(1), smi.NoCreation, "no animal has this number"},
		{name(9, 1), smi.Unsigned32(1), smi.NotWritable, "no column 9"},
		{farmRoot.Child(2, 1), smi.Unsigned32(1), smi.NotWritable, "before the column"},
		{farmRoot.Child(1, 1, 0), smi.Text("x"), smi.NotWritable, "read-only"},
		{farmRoot.Child(1, 2, 1), smi.Integer(1), smi.NoCreation, "none can be created"},
		{farmRoot.Child(1, 2, 0), smi.Integer(-1), smi.WrongValue, "out of range"},
		{farmRoot.Child(1, 2, 0), smi.Integer(5), smi.InconsistentValue, "read again"},
		{smi.OID{1, 3}, smi.Integer(1), smi.NotWritable, "no object"},
	} {
		good := smi.Varbind{Name: name(4, 1), Value: smi.Integer(1)}
		if c.name.Equal(good.Name) {
			good.Name = name(3, 1)
			good.Value = smi.Text("x")
		}
		_, err := m.Prepare("", []smi.Varbind{good, {Name: c.name, Value: c.value}})
		var refused *smi.SetError
		if !errors.As(err, &refused) || refused.Status != c.status || refused.Index != 2 || !strings.Contains(refused.Reason, c.reason) {
			t.Errorf("%s = %v: %v, want %s with %q", c.name, c.value, err, c.status, c.reason)
		}
	}
	if _, err := m.Prepare("other", nil); err == nil {
		t.Error("a SET in a context that does not exist")
	}
}

func TestDeclarationsAreChecked(t *testing.T) {
	o := Options[*farm, *plan]{Root: farmRoot}
	twice := animals()
	twice.OID = smi.OID{2, 1, 3}
	if _, err := New(o, animals(), twice); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("%v", err)
	}
	down := animals()
	slices.Reverse(down.Columns)
	if _, err := New(o, down); err == nil || !strings.Contains(err.Error(), "ascend") {
		t.Errorf("%v", err)
	}
}

func TestObjectsAndFormat(t *testing.T) {
	m, _ := newFarm(t, &farm{})
	objects := m.Objects()
	if len(objects) != 12 || objects[5].Name != "animalLegs" || objects[5].Access.String() != "read-create" || objects[5].Max != 100 {
		t.Errorf("%+v", objects)
	}
	for _, c := range []struct {
		name  smi.OID
		value smi.Value
		want  string
	}{
		{name(8, 1), smi.Integer(4), "createAndGo(4)"},
		{name(8, 1), smi.Integer(77), "77"},
		{name(3, 1), smi.Text("moo"), "moo"},
		{smi.OID{1}, smi.Integer(1), "1"},
	} {
		if got := m.Format(c.name, c.value); got != c.want {
			t.Errorf("%v: %q, want %q", c.value, got, c.want)
		}
	}
}

// TestScalarsBesideATable has scalars and a table below the same node.
func TestScalarsBesideATable(t *testing.T) {
	o := Options[*farm, *plan]{Root: farmRoot, Snapshot: func() *farm { return &farm{animals: []*animal{{number: 4, sound: "moo"}}} }}
	count := Scalars[*farm, *farm, *plan]("animals", smi.OID{2}, func(f *farm) *farm { return f },
		Gauge32(2, "animalCount", func(f *farm) uint64 { return uint64(len(f.animals)) }),
		Gauge32(3, "animalLimit", func(*farm) uint64 { return 9 }))
	m, err := New(o, count, animals())
	if err != nil {
		t.Fatal(err)
	}
	view, _ := m.View("")
	var names []string
	at := farmRoot
	for {
		var vb smi.Varbind
		if !view.Next(&vb, at, false, nil) {
			break
		}
		if got := view.Get(vb.Name); !got.Equal(vb.Value) {
			t.Errorf("GET %s = %v, GETNEXT gave %v", vb.Name, got, vb.Value)
		}
		names = append(names, strings.TrimPrefix(vb.Name.String(), farmRoot.String()))
		at = vb.Name
	}
	want := []string{".2.1.2.4", ".2.1.3.4", ".2.1.4.4", ".2.1.5.4", ".2.1.6.4", ".2.1.7.4", ".2.1.8.4", ".2.2.0", ".2.3.0"}
	if !slices.Equal(names, want) {
		t.Errorf("walked %v, want %v", names, want)
	}
	before := Scalars[*farm, *farm, *plan]("animals", smi.OID{2}, func(f *farm) *farm { return f },
		Gauge32(1, "animalFirst", func(*farm) uint64 { return 1 }))
	if _, err := New(o, before, animals()); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("a scalar in the place of the table: %v", err)
	}
	if _, err := New(o, Scalars[*farm, *farm, *plan]("none", smi.OID{3}, nil)); err == nil || !strings.Contains(err.Error(), "no columns") {
		t.Errorf("a table without columns: %v", err)
	}
}

// TestAdminString: what is told of is a text that a message can carry, whatever it
// was made of.
func TestAdminString(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		strings.Repeat("x", 255):            strings.Repeat("x", 255),
		strings.Repeat("x", 256):            strings.Repeat("x", 252) + "...",
		strings.Repeat("\u00e4", 1<<16):     strings.Repeat("\u00e4", 126) + "...",
		"x" + strings.Repeat("\u00e4", 127): "x" + strings.Repeat("\u00e4", 127),
		"x" + strings.Repeat("\u00e4", 128): "x" + strings.Repeat("\u00e4", 125) + "...",
		"a\xff\xfeb":                        "a\ufffdb",
	} {
		m, _ := newFarm(t, &farm{name: text})
		v, _ := m.View("")
		if got := string(v.Get(farmRoot.Child(1, 1, 0)).Bytes); got != want {
			t.Errorf("a text of %d octets is served as %q", len(text), got)
		}
	}
}
