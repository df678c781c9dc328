package mib

import (
	"encoding/binary"
	"errors"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// Set is one SET in the making: the drafts of all rows that it touches.
type Set[S, C any] struct {
	module *Module[S, C]
	stages []stage[C] // by table; nil where nothing is touched
}

// stage holds the drafts of the rows of one table.
type stage[C any] interface {
	// add takes one varbind; number counts from 1.
	add(number int, rest smi.OID, v smi.Value) error
	// finish turns the drafts into edits.
	finish(c C) error
	// locate finds the varbind of a column of a row, 0 if the row is not here.
	locate(index smi.OID, column string) int
}

// Prepare implements agentx.Writer. The varbinds may come in any order; RFC
// 3416 section 4.2.5 says which error each fault has.
func (m *Module[S, C]) Prepare(context string, vbs []smi.Varbind) (agentx.Pending, error) {
	if context != "" {
		return nil, &smi.SetError{Status: smi.NoAccess, Index: 1, Reason: "there is no context " + context}
	}
	s := m.snapshot()
	set := &Set[S, C]{module: m, stages: make([]stage[C], len(m.tables))}
	for i, vb := range vbs {
		if err := set.add(s, i+1, vb); err != nil {
			return nil, at(i+1, err)
		}
	}
	c := m.begin()
	for _, st := range set.stages {
		if st == nil {
			continue
		}
		if err := st.finish(c); err != nil {
			return nil, at(1, err)
		}
	}
	return m.prepare(c, set)
}

func (set *Set[S, C]) add(s S, number int, vb smi.Varbind) error {
	for i, t := range set.module.tables {
		full := len(set.module.root) + len(t.oid())
		if len(vb.Name) < full || !vb.Name[len(set.module.root):].HasPrefix(t.oid()) {
			continue
		}
		if set.stages[i] == nil {
			set.stages[i] = t.stage(s)
		}
		return set.stages[i].add(number, vb.Name[full:], vb.Value)
	}
	return refuse(smi.NotWritable, "there is no object %s here", vb.Name)
}

// Locate returns the number of the varbind that writes a column of a row, from
// 1. When the column is not in the SET, it is the one of the row's RowStatus,
// else the first one of the row, else 1.
func (set *Set[S, C]) Locate(table smi.OID, index smi.OID, column string) int {
	for i, t := range set.module.tables {
		if set.stages[i] != nil && t.oid().Equal(table) {
			return max(1, set.stages[i].locate(index, column))
		}
	}
	return 1
}

// at gives an error the number of its varbind unless it has one.
func at(number int, err error) error {
	var refused *smi.SetError
	if !errors.As(err, &refused) {
		return &smi.SetError{Status: smi.GenErr, Index: number, Reason: err.Error()}
	}
	if refused.Index == 0 {
		refused.Index = number
	}
	return refused
}

// tableStage implements stage for a table.
type tableStage[S, R, C any] struct {
	table    *Table[S, R, C]
	snapshot S
	drafts   []*draft[R]
	byIndex  map[string]*draft[R]
}

// draft is one row that a SET touches.
type draft[R any] struct {
	index    smi.OID
	old, row R
	existed  bool
	first    int // number of the first varbind
	action   int32
	actionAt int
	writes   []write[R]
}

type write[R any] struct {
	column *Column[R]
	value  smi.Value
	number int
}

func (t *Table[S, R, C]) stage(s S) stage[C] {
	return &tableStage[S, R, C]{table: t, snapshot: s, byIndex: make(map[string]*draft[R])}
}

func (st *tableStage[S, R, C]) add(number int, rest smi.OID, v smi.Value) error {
	if len(rest) == 0 {
		return refuse(smi.NotWritable, "the name ends before the column")
	}
	i, ok := st.table.column(rest[0])
	if !ok {
		return refuse(smi.NotWritable, "%s has no column %d", st.table.Name, rest[0])
	}
	c := &st.table.Columns[i]
	if c.put == nil {
		return refuse(smi.NotWritable, "%s is read-only", c.Name)
	}
	if err := c.check(v); err != nil {
		return err
	}
	d, err := st.draft(rest[1:], number)
	if err != nil {
		return err
	}
	if c.isRowStatus {
		if d.action != 0 {
			return refuse(smi.InconsistentValue, "%s is in the request twice (varbinds %d and %d)", c.Name, d.actionAt, number)
		}
		d.action, d.actionAt = v.Int(), number
		return nil
	}
	for _, w := range d.writes {
		if w.column == c {
			return refuse(smi.InconsistentValue, "%s is in the request twice (varbinds %d and %d)", c.Name, w.number, number)
		}
	}
	d.writes = append(d.writes, write[R]{c, v, number})
	return nil
}

// draft returns the draft of a row, and begins one at its first varbind.
func (st *tableStage[S, R, C]) draft(index smi.OID, number int) (*draft[R], error) {
	key := make([]byte, 0, 64)
	for _, sub := range index {
		key = binary.AppendUvarint(key, uint64(sub))
	}
	if d := st.byIndex[string(key)]; d != nil {
		return d, nil
	}
	d := &draft[R]{index: index, first: number}
	if d.old, d.existed = st.table.Get(st.snapshot, index); d.existed {
		d.row = st.table.Clone(d.old)
	} else {
		if st.table.New == nil {
			return nil, refuse(smi.NoCreation, "%s has no such instance, and none can be created", st.table.Name)
		}
		row, err := st.table.New(st.snapshot, index)
		if err != nil {
			return nil, refuse(smi.NoCreation, "%v", err)
		}
		d.row = row
	}
	st.drafts = append(st.drafts, d)
	st.byIndex[string(key)] = d
	return d, nil
}

func (st *tableStage[S, R, C]) finish(c C) error {
	for _, d := range st.drafts {
		e, err := st.edit(d)
		if err != nil {
			return at(max(d.actionAt, d.first), err)
		}
		if !e.Existed && e.Destroyed {
			continue
		}
		if err := st.table.Put(c, e); err != nil {
			return at(max(d.actionAt, d.first), err)
		}
	}
	return nil
}

// edit works out what becomes of a row. Where there is none, it may be destroyed
// all the same.
func (st *tableStage[S, R, C]) edit(d *draft[R]) (Edit[R], error) {
	e := Edit[R]{Old: d.old, Existed: d.existed}
	move, err := next(d.action, d.existed)
	if err != nil {
		return e, err
	}
	if move.destroy {
		if len(d.writes) > 0 {
			return e, at(d.writes[0].number, refuse(smi.InconsistentValue, "the same request destroys the row and writes to it: do one of both"))
		}
		e.Destroyed = true
		return e, nil
	}
	for _, w := range d.writes {
		if err := w.column.put(d.row, w.value); err != nil {
			return e, at(w.number, err)
		}
	}
	if st.table.Status != nil {
		if err := st.settle(d, move.status); err != nil {
			return e, err
		}
	}
	e.New, e.Activated = d.row, move.status == Active
	return e, nil
}

// settle gives the row its state: a row that is not active is notReady as long
// as it lacks something. Whether an active row may be active is for the
// application to say, which knows the other rows too.
func (st *tableStage[S, R, C]) settle(d *draft[R], wanted int32) error {
	status := st.table.Status(d.row)
	if wanted == 0 {
		wanted = int32(*status)
	}
	if wanted == Active {
		*status = Active
		return nil
	}
	*status = NotInService
	if err := st.table.Ready(d.row); err != nil {
		if d.action == NotInService && d.existed {
			return refuse(smi.InconsistentValue, "the row is not ready: %v", err)
		}
		*status = NotReady
	}
	return nil
}

func (st *tableStage[S, R, C]) locate(index smi.OID, column string) int {
	for _, d := range st.drafts {
		if !d.index.Equal(index) {
			continue
		}
		for _, w := range d.writes {
			if w.column.Name == column {
				return w.number
			}
		}
		return max(d.actionAt, d.first)
	}
	return 0
}
