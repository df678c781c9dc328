package mib

import (
	"fmt"

	"github.com/lcms-project/lcms/agentx/smi"
)

// Table declares a conceptual table, or a group of scalars as the only row of
// a table whose index is 0.
//
// S is the snapshot of the application from which one PDU is answered, R the
// row, C the change that a SET amounts to. R is a small value that holds
// pointers into the snapshot.
type Table[S, R, C any] struct {
	Name    string
	OID     smi.OID     // of the entry or of the group, below the root of the module
	Columns []Column[R] // in ascending order

	// Get returns the row with this index.
	Get func(s S, index smi.OID) (R, bool)
	// Next returns the first row whose index comes after index, or with
	// include the one that has it. The index may be cut short, too long or no
	// valid index at all; an empty one comes before every row.
	Next func(s S, index smi.OID, include bool) (R, bool)
	// Index appends the index of a row.
	Index func(dst smi.OID, r R) smi.OID

	// The rest is for writing; a table without writable columns has none.

	// Clone returns a copy of a row that can be written without changing the
	// snapshot.
	Clone func(r R) R
	// New returns a row with the defaults. It fails when the index can name no
	// row; the error says why. A table without New can have no rows created.
	New func(s S, index smi.OID) (R, error)
	// Ready says what a row that is not active lacks to become so.
	Ready func(r R) error
	// Status points to the state of the row, for tables with a RowStatus.
	Status func(r R) *uint8
	// Expect, if set, is told how many edits of rows may follow, so that the
	// change can make room for them.
	Expect func(c C, rows int)
	// Put adds an edit to the change. An error refuses the SET; a
	// *smi.SetError without an index is about the row.
	Put func(c C, e Edit[R]) error
}

// Edit is what a SET makes of one row.
type Edit[R any] struct {
	Old, New  R
	Existed   bool // Old is set
	Destroyed bool // New is not set
	Activated bool // RowStatus active or createAndGo was in the SET
}

// Scalars fills in what a group of scalars needs to be a table: its only row,
// which get returns.
func Scalars[S, R, C any](name string, oid smi.OID, get func(S) R, columns ...Column[R]) *Table[S, R, C] {
	return &Table[S, R, C]{
		Name:    name,
		OID:     oid,
		Columns: columns,
		Get: func(s S, index smi.OID) (R, bool) {
			if len(index) == 1 && index[0] == 0 {
				return get(s), true
			}
			var none R
			return none, false
		},
		Next: func(s S, index smi.OID, include bool) (R, bool) {
			if len(index) == 0 || include && len(index) == 1 && index[0] == 0 {
				return get(s), true
			}
			var none R
			return none, false
		},
		Index: func(dst smi.OID, _ R) smi.OID { return append(dst, 0) },
	}
}

// Object describes one object type of a module, for tests and documentation.
type Object struct {
	Name   string
	OID    smi.OID
	Syntax smi.Type
	Access Access
	Min    int64
	Max    int64
	Labels []string
}

func (t *Table[S, R, C]) oid() smi.OID { return t.OID }

func (t *Table[S, R, C]) objects(root smi.OID) []Object {
	out := make([]Object, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = Object{c.Name, root.Child(t.OID...).Child(c.Number), c.Syntax, c.Access, c.Min, c.Max, c.Labels}
	}
	return out
}

// column returns the position of a column, or of the first after it.
func (t *Table[S, R, C]) column(n uint32) (int, bool) {
	low, high := 0, len(t.Columns)
	for low < high {
		switch middle := int(uint(low+high) >> 1); {
		case t.Columns[middle].Number == n:
			return middle, true
		case t.Columns[middle].Number < n:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, false
}

// get answers a GET; rest is the name below the entry: column and index.
func (t *Table[S, R, C]) get(s S, rest smi.OID) smi.Value {
	if len(rest) == 0 {
		return smi.NoSuchObject()
	}
	i, ok := t.column(rest[0])
	if !ok {
		return smi.NoSuchObject()
	}
	r, ok := t.Get(s, rest[1:])
	if !ok {
		return smi.NoSuchInstance()
	}
	return t.Columns[i].get(r)
}

// next answers a GETNEXT within the table; rest is where to begin, relative to
// the entry, nil for the first instance. On success it appends the name below
// the entry to vb.Name.
func (t *Table[S, R, C]) next(s S, rest smi.OID, include bool, vb *smi.Varbind) bool {
	var first int
	var index smi.OID
	if len(rest) > 0 {
		i, exact := t.column(rest[0])
		first = i
		if exact {
			index = rest[1:]
		}
	}
	for i := first; i < len(t.Columns); i++ {
		c := &t.Columns[i]
		if r, ok := t.Next(s, index, include && len(index) > 0); ok {
			vb.Name = t.Index(append(vb.Name, c.Number), r)
			vb.Value = c.get(r)
			return true
		}
		index = nil
	}
	return false
}

// format renders the value of a column for people.
func (t *Table[S, R, C]) format(n uint32, v smi.Value) string {
	if i, ok := t.column(n); ok {
		return format(t.Columns[i].Labels, v)
	}
	return v.String()
}

// format renders a value for people: one of an enumeration with its label.
func format(labels []string, v smi.Value) string {
	if at := int(v.Int()); v.Type == smi.TypeInteger && at >= 1 && at <= len(labels) {
		return fmt.Sprintf("%s(%d)", labels[at-1], at)
	}
	return v.String()
}
