package mib

import (
	"errors"
	"slices"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// Set is one SET in the making: the drafts of all rows that it touches.
type Set[S, C any] struct {
	module   *Module[S, C]
	varbinds []smi.Varbind
	stages   []touched[C] // in the order of the module
}

// touched is a table with the position that it has in the module.
type touched[C any] struct {
	table int
	stage[C]
}

// stage holds the drafts of the rows of one table.
type stage[C any] interface {
	// add takes one varbind; number counts from 1.
	add(number int, rest smi.OID) error
	// finish turns the drafts into edits.
	finish(c C) error
	// locate finds the varbind of a column of a row, 0 if the row is not here.
	locate(index smi.OID, column string) int
	// each is Each for the varbinds of the table.
	each(yield func(*Write))
}

// Prepare implements agentx.Writer. The varbinds may come in any order; RFC
// 3416 section 4.2.5 says which error each fault has.
func (m *Module[S, C]) Prepare(context string, vbs []smi.Varbind) (agentx.Pending, error) {
	if context != "" {
		return nil, &smi.SetError{Status: smi.NoAccess, Index: 1, Reason: "there is no context " + context}
	}
	s := m.snapshot()
	set := &Set[S, C]{module: m, varbinds: vbs}
	for i := range vbs {
		if err := set.add(s, i+1); err != nil {
			return nil, at(i+1, err)
		}
	}
	c := m.begin(s)
	for _, st := range set.stages {
		if err := st.finish(c); err != nil {
			return nil, at(1, err)
		}
	}
	return m.prepare(c, set)
}

func (set *Set[S, C]) add(s S, number int) error {
	name := set.varbinds[number-1].Name
	table, rest := set.module.find(name)
	if table < 0 {
		return refuse(smi.NotWritable, "there is no object %s here", name)
	}
	i, ok := slices.BinarySearchFunc(set.stages, table, func(st touched[C], table int) int { return st.table - table })
	if !ok {
		begun := set.module.tables[table].stage(s, set.varbinds, len(set.varbinds)-number+1)
		set.stages = slices.Insert(set.stages, i, touched[C]{table, begun})
	}
	return set.stages[i].add(number, rest)
}

// Len returns how many varbinds there are.
func (set *Set[S, C]) Len() int { return len(set.varbinds) }

// Write is one varbind of a SET.
type Write struct {
	*smi.Varbind
	Number int       // in the SET, from 1
	Old    smi.Value // of the object before the SET; noSuchInstance where it is not there
	labels []string
}

// Format is Format of the module for a value of the object.
func (w *Write) Format(v smi.Value) string { return format(w.labels, v) }

// Each calls yield for every varbind, those of one table after the other. It may
// not keep the Write.
func (set *Set[S, C]) Each(yield func(*Write)) {
	for _, st := range set.stages {
		st.each(yield)
	}
}

// Locate returns the number of the varbind that writes a column of a row, from
// 1. When the column is not in the SET, it is the one of the row's RowStatus,
// else the first one of the row, else 1.
func (set *Set[S, C]) Locate(table smi.OID, index smi.OID, column string) int {
	for _, st := range set.stages {
		if set.module.tables[st.table].oid().Equal(table) {
			return max(1, st.locate(index, column))
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
	varbinds []smi.Varbind
	drafts   []draft[R]
	cells    []cell[R] // of all drafts, in the order of the varbinds
}

// draft is one row that a SET touches.
type draft[R any] struct {
	index    smi.OID
	hash     uint64 // of index
	old, row R
	existed  bool
	first    int   // number of the first varbind
	action   int32 // of the RowStatus
	actionAt int
	turn     transition
}

// cell is what one varbind writes to: a column of the draft with a position.
type cell[R any] struct {
	column *Column[R]
	draft  int
	number int
}

// stage begins the drafts that at most so many of the varbinds make.
func (t *Table[S, R, C]) stage(s S, vbs []smi.Varbind, most int) stage[C] {
	return &tableStage[S, R, C]{table: t, snapshot: s, varbinds: vbs, drafts: make([]draft[R], 0, most), cells: make([]cell[R], 0, most)}
}

func (st *tableStage[S, R, C]) value(x cell[R]) smi.Value { return st.varbinds[x.number-1].Value }

func (st *tableStage[S, R, C]) add(number int, rest smi.OID) error {
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
	x := cell[R]{column: c, number: number}
	if err := c.check(st.value(x)); err != nil {
		return err
	}
	var err error
	if x.draft, err = st.draft(rest[1:], number); err != nil {
		return err
	}
	d := &st.drafts[x.draft]
	if d.first != number {
		if k := slices.IndexFunc(st.cells, func(other cell[R]) bool { return other.column == c && other.draft == x.draft }); k >= 0 {
			return refuse(smi.InconsistentValue, "%s is in the request twice (varbinds %d and %d)", c.Name, st.cells[k].number, number)
		}
	}
	if c.isRowStatus {
		d.action, d.actionAt = st.value(x).Int(), number
	}
	st.cells = append(st.cells, x)
	return nil
}

// draft returns the position of the draft of a row, and begins one at its first
// varbind.
func (st *tableStage[S, R, C]) draft(index smi.OID, number int) (int, error) {
	hash := hashOf(index)
	for i := len(st.drafts) - 1; i >= 0; i-- {
		if d := &st.drafts[i]; d.hash == hash && d.index.Equal(index) {
			return i, nil
		}
	}
	d := draft[R]{index: index, hash: hash, first: number}
	if d.old, d.existed = st.table.Get(st.snapshot, index); d.existed {
		d.row = st.table.Clone(d.old)
	} else {
		if st.table.New == nil {
			return 0, refuse(smi.NoCreation, "%s has no such instance, and none can be created", st.table.Name)
		}
		row, err := st.table.New(st.snapshot, index)
		if err != nil {
			return 0, refuse(smi.NoCreation, "%v", err)
		}
		d.row = row
	}
	st.drafts = append(st.drafts, d)
	return len(st.drafts) - 1, nil
}

// hashOf tells most indexes apart at once (FNV-1a over sub-identifiers).
func hashOf(index smi.OID) uint64 {
	h := uint64(14695981039346656037)
	for _, sub := range index {
		h = (h ^ uint64(sub)) * 1099511628211
	}
	return h
}

// finish works out what becomes of each row. Where there is none, it may be
// destroyed all the same.
func (st *tableStage[S, R, C]) finish(c C) error {
	for i := range st.drafts {
		d := &st.drafts[i]
		var err error
		if d.turn, err = next(d.action, d.existed); err != nil {
			return at(max(d.actionAt, d.first), err)
		}
	}
	for _, x := range st.cells {
		d := &st.drafts[x.draft]
		switch {
		case x.column.isRowStatus:
		case d.turn.destroy:
			return at(x.number, refuse(smi.InconsistentValue, "the same request destroys the row and writes to it: do one of both"))
		default:
			if err := x.column.put(d.row, st.value(x)); err != nil {
				return at(x.number, err)
			}
		}
	}
	if st.table.Expect != nil {
		st.table.Expect(c, len(st.drafts))
	}
	for i := range st.drafts {
		if err := st.edit(&st.drafts[i], c); err != nil {
			return at(max(st.drafts[i].actionAt, st.drafts[i].first), err)
		}
	}
	return nil
}

// edit adds what becomes of a row to the change.
func (st *tableStage[S, R, C]) edit(d *draft[R], c C) error {
	e := Edit[R]{Old: d.old, Existed: d.existed, Destroyed: d.turn.destroy}
	if e.Destroyed {
		if !e.Existed {
			return nil
		}
		return st.table.Put(c, e)
	}
	if st.table.Status != nil {
		if err := st.settle(d); err != nil {
			return err
		}
	}
	e.New, e.Activated = d.row, d.turn.status == Active
	return st.table.Put(c, e)
}

// settle gives the row its state: a row that is not active is notReady as long
// as it lacks something. Whether an active row may be active is for the
// application to say, which knows the other rows too.
func (st *tableStage[S, R, C]) settle(d *draft[R]) error {
	status, wanted := st.table.Status(d.row), d.turn.status
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
	for i := range st.drafts {
		d := &st.drafts[i]
		if !d.index.Equal(index) {
			continue
		}
		for _, x := range st.cells {
			if x.draft == i && x.column.Name == column {
				return x.number
			}
		}
		return max(d.actionAt, d.first)
	}
	return 0
}

func (st *tableStage[S, R, C]) each(yield func(*Write)) {
	var out Write
	for _, x := range st.cells {
		out = Write{Varbind: &st.varbinds[x.number-1], Number: x.number, Old: smi.NoSuchInstance(), labels: x.column.Labels}
		if d := &st.drafts[x.draft]; d.existed {
			out.Old = x.column.get(d.old)
		}
		yield(&out)
	}
}
