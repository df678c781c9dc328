package mib

import (
	"fmt"
	"slices"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// Module serves the tables of one MIB module. It is an agentx.Handler and an
// agentx.Writer; it is safe for concurrent use.
type Module[S, C any] struct {
	root     smi.OID
	tables   []table[S, C]
	snapshot func() S
	begin    func(S) C
	prepare  func(C, *Set[S, C]) (agentx.Pending, error)
}

// table is what a Module needs of a Table of any row type.
type table[S, C any] interface {
	oid() smi.OID
	objects(root smi.OID) []Object
	get(s S, rest smi.OID) smi.Value
	next(s S, rest smi.OID, include bool, vb *smi.Varbind) bool
	format(column uint32, v smi.Value) string
	stage(s S, vbs []smi.Varbind, most int) stage[C]
}

// Options are what a Module needs of the application.
type Options[S, C any] struct {
	Root     smi.OID   // registered once with the master
	Snapshot func() S  // the present snapshot; it must never change
	Begin    func(S) C // an empty change to what is shown, to which the tables Put their edits
	// Prepare validates a change as a whole. When it refuses, it names the
	// varbind with Set.Locate.
	Prepare func(c C, set *Set[S, C]) (agentx.Pending, error)
}

// New returns the module. The objects of a table must ascend and those of two
// tables must not overlap. A group of scalars may stand below the same node as
// tables, if all its scalars come after them.
func New[S, C any](o Options[S, C], tables ...table[S, C]) (*Module[S, C], error) {
	for _, t := range tables {
		if len(t.objects(nil)) == 0 {
			return nil, fmt.Errorf("table %s has no columns", t.oid())
		}
	}
	slices.SortFunc(tables, func(a, b table[S, C]) int { return a.objects(nil)[0].OID.Compare(b.objects(nil)[0].OID) })
	m := &Module[S, C]{root: o.Root, tables: tables, snapshot: o.Snapshot, begin: o.Begin, prepare: o.Prepare}
	objects := m.Objects()
	for i := 1; i < len(objects); i++ {
		if a, b := objects[i-1], objects[i]; a.OID.Compare(b.OID) >= 0 || b.OID.HasPrefix(a.OID) {
			return nil, fmt.Errorf("%s and %s overlap or do not ascend", a.Name, b.Name)
		}
	}
	return m, nil
}

// Root returns the OID below which everything is served.
func (m *Module[S, C]) Root() smi.OID { return m.root }

// Objects describes every object of the module in OID order.
func (m *Module[S, C]) Objects() []Object {
	var out []Object
	for _, t := range m.tables {
		out = append(out, t.objects(m.root)...)
	}
	return out
}

// View implements agentx.Handler. There is one context, the default.
func (m *Module[S, C]) View(context string) (agentx.View, bool) {
	if context != "" {
		return nil, false
	}
	return view[S, C]{m, m.snapshot()}, true
}

// view answers the varbinds of one PDU from one snapshot.
type view[S, C any] struct {
	module   *Module[S, C]
	snapshot S
}

// find returns the position of the table that name lies in and what follows its
// OID; -1 when it lies in none. Of a table and scalars beside it the table comes
// first.
func (m *Module[S, C]) find(name smi.OID) (int, smi.OID) {
	if !name.HasPrefix(m.root) {
		return -1, nil
	}
	below := name[len(m.root):]
	for i, t := range m.tables {
		if below.HasPrefix(t.oid()) {
			return i, below[len(t.oid()):]
		}
	}
	return -1, nil
}

// Get implements agentx.View.
func (v view[S, C]) Get(name smi.OID) smi.Value {
	i, rest := v.module.find(name)
	if i < 0 {
		return smi.NoSuchObject()
	}
	return v.module.tables[i].get(v.snapshot, rest)
}

// Next implements agentx.View.
func (v view[S, C]) Next(vb *smi.Varbind, from smi.OID, include bool, end smi.OID) bool {
	root := v.module.root
	var below smi.OID // where to begin below the root; empty: at its start
	switch {
	case from.HasPrefix(root):
		below = from[len(root):]
	case from.Compare(root) > 0:
		return false
	}
	for _, t := range v.module.tables {
		var rest smi.OID
		switch {
		case below.HasPrefix(t.oid()):
			rest = below[len(t.oid()):]
		case below.Compare(t.oid()) > 0:
			continue
		}
		vb.Name = append(append(vb.Name[:0], root...), t.oid()...)
		if t.next(v.snapshot, rest, include, vb) {
			return len(end) == 0 || vb.Name.Compare(end) < 0
		}
	}
	return false
}

// Format renders the value of an object for people: enumerations with their
// names.
func (m *Module[S, C]) Format(name smi.OID, v smi.Value) string {
	i, rest := m.find(name)
	if i < 0 || len(rest) == 0 {
		return v.String()
	}
	return m.tables[i].format(rest[0], v)
}
