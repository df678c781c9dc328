package netsnmp

import (
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/tests/director"
)

// batch is how many objects are asked for in one request.
const batch = 100

// tree is what a walk has found, with numbers for names.
type tree struct {
	vbs  []director.Varbind
	oids []smi.OID
}

// walk reads all below an object and fails unless each name comes after the
// one before, which also means that none comes twice.
func walk(t *testing.T, d *director.Director, object string, options ...string) tree {
	t.Helper()
	vbs, err := d.BulkWalk(object, append([]string{"-On"}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newTree(vbs)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(w.oids); i++ {
		if w.oids[i-1].Compare(w.oids[i]) >= 0 {
			t.Fatalf("%s is followed by %s", w.vbs[i-1].Name, w.vbs[i].Name)
		}
	}
	return w
}

func newTree(vbs []director.Varbind) (tree, error) {
	w := tree{vbs, make([]smi.OID, len(vbs))}
	for i, v := range vbs {
		oid, err := smi.ParseOID(strings.TrimPrefix(v.Name, "."))
		if err != nil {
			return tree{}, err
		}
		w.oids[i] = oid
	}
	return w, nil
}

// next returns the position of the first object after an OID.
func (w tree) next(oid smi.OID) int {
	return sort.Search(len(w.oids), func(i int) bool { return w.oids[i].Compare(oid) > 0 })
}

// moves reports whether the value of an object may differ each time.
func moves(v director.Varbind) bool {
	return strings.HasPrefix(v.Name, root+".1.11.") || v.Name == root+".1.1.17.0" // lcmsAgent, lcmsDirectorKernelReadAge
}

const root = ".1.3.6.1.4.1.8072.9999.9999.5267"

// TestTree holds one tree against itself twice: GET of each object gives what
// the walk gave, and GETNEXT of each object, and of names beside it, gives
// exactly the next.
func TestTree(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, cluster...)
	mustSet(t, d, sixty(t)...)
	w := walk(t, d, root)
	if len(w.vbs) < 1000 {
		t.Errorf("the walk gives %d objects", len(w.vbs))
	}
	t.Run("GET", func(t *testing.T) {
		for group := range slices.Chunk(w.vbs, batch) {
			got, err := d.Tool("snmpget", append([]string{"-On"}, namesOf(group)...)...)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, parse(t, got), group)
		}
	})
	for name, from := range map[string]func(smi.OID) smi.OID{
		"GETNEXT of each object":       func(o smi.OID) smi.OID { return o },
		"GETNEXT of each one cut":      func(o smi.OID) smi.OID { return o[:len(o)-1] },
		"GETNEXT of each one extended": func(o smi.OID) smi.OID { return o.Child(0) },
		"GETNEXT just before each one": func(o smi.OID) smi.OID {
			before := slices.Clone(o)
			if before[len(before)-1] == 0 {
				return before[:len(before)-1]
			}
			before[len(before)-1]--
			return before
		},
		"GETNEXT of each one with a longer key": func(o smi.OID) smi.OID {
			longer := slices.Clone(o)
			if i := slices.IndexFunc(o[len(o)/2:], func(sub uint32) bool { return sub > 32 }); i >= 0 {
				longer[len(o)/2+i]++
			}
			return longer
		},
	} {
		t.Run(name, func(t *testing.T) {
			var start []string
			var want []director.Varbind
			for _, oid := range w.oids {
				at := from(oid)
				if i := w.next(at); i < len(w.vbs) {
					start, want = append(start, at.String()), append(want, w.vbs[i])
				}
			}
			if d.Kernel() == director.Real && len(start) > 4*batch { // the guest is slow
				start, want = start[:4*batch], want[:4*batch]
			}
			for i := 0; i < len(start); i += batch {
				end := min(i+batch, len(start))
				got, err := d.Tool("snmpgetnext", append([]string{"-On", "-Ir"}, start[i:end]...)...)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, parse(t, got), want[i:end])
			}
		})
	}
	// After the last one comes what is not ours.
	got, err := d.Tool("snmpgetnext", "-On", w.vbs[len(w.vbs)-1].Name)
	if err != nil || strings.HasPrefix(got, root+".") {
		t.Errorf("after the last object comes %s (%v)", got, err)
	}
}

func parse(t *testing.T, out string) []director.Varbind {
	t.Helper()
	vbs, err := director.Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	return vbs
}

func namesOf(vbs []director.Varbind) []string {
	out := make([]string, len(vbs))
	for i, v := range vbs {
		out[i] = v.Name
	}
	return out
}

// compare fails where two lists of varbinds differ.
func compare(t *testing.T, got, want []director.Varbind) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d varbinds, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Name != want[i].Name || !moves(want[i]) && got[i] != want[i] {
			t.Errorf("%s, want %s", got[i], want[i])
		}
	}
}
