package agentx_test

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

var root = smi.MustParseOID("1.3.6.1.4.1.8072.9999.9999.7001")

// table is a MIB for tests: sorted instances that can be set.
type table struct {
	mu   sync.Mutex
	rows []smi.Varbind
	log  []string // calls of the Writer in order

	context string
	faults  // tests change them by let
}

// faults are how the Writer fails.
type faults struct {
	refuse      error // of Prepare
	commitErr   error
	undoErr     error
	commitDelay time.Duration
}

// newTable makes n instances: root.1.column.row with ten columns.
func newTable(n int) *table {
	t := &table{}
	for i := range n {
		vb := smi.Varbind{Name: root.Child(1, uint32(i%10+1), uint32(i/10+1)), Value: smi.Integer(int32(i))}
		if i%3 == 1 {
			vb.Value = smi.Counter64(uint64(i) << 32)
		} else if i%3 == 2 {
			vb.Value = smi.Text("row")
		}
		t.rows = append(t.rows, vb)
	}
	slices.SortFunc(t.rows, func(a, b smi.Varbind) int { return a.Name.Compare(b.Name) })
	return t
}

func (t *table) View(context string) (agentx.View, bool) { return t, context == t.context }

func (t *table) find(name smi.OID) (int, bool) {
	return slices.BinarySearchFunc(t.rows, name, func(vb smi.Varbind, name smi.OID) int { return vb.Name.Compare(name) })
}

func (t *table) Get(name smi.OID) smi.Value {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.find(name)
	if !ok {
		return smi.NoSuchInstance()
	}
	return t.rows[i].Value
}

func (t *table) Next(vb *smi.Varbind, from smi.OID, include bool, end smi.OID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.find(from)
	if ok && !include {
		i++
	}
	if i == len(t.rows) || len(end) > 0 && t.rows[i].Name.Compare(end) >= 0 {
		return false
	}
	vb.Name = append(vb.Name[:0], t.rows[i].Name...)
	vb.Value = t.rows[i].Value
	return true
}

// change is a SET in progress.
type change struct {
	t        *table
	new, old []smi.Varbind
}

// let changes how t behaves from now on.
func (t *table) let(change func(t *table)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t)
}

// note logs a call and returns how it shall end.
func (t *table) note(call string) faults {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = append(t.log, call)
	return t.faults
}

// calls returns the calls of the Writer since the last time.
func (t *table) calls() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	log := t.log
	t.log = nil
	return log
}

func (t *table) Prepare(context string, vbs []smi.Varbind) (agentx.Pending, error) {
	if err := t.note("prepare").refuse; err != nil {
		return nil, err
	}
	c := &change{t: t, new: vbs}
	for i, vb := range vbs {
		old := t.Get(vb.Name)
		if old.IsException() {
			return nil, &smi.SetError{Status: smi.NoCreation, Index: i + 1, Reason: "no such row"}
		}
		if old.Type != vb.Value.Type {
			return nil, &smi.SetError{Status: smi.WrongType, Index: i + 1, Reason: "type differs"}
		}
		c.old = append(c.old, smi.Varbind{Name: vb.Name, Value: old})
	}
	return c, nil
}

func (c *change) put(vbs []smi.Varbind) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for _, vb := range vbs {
		if i, ok := c.t.find(vb.Name); ok {
			c.t.rows[i].Value = vb.Value
		}
	}
}

func (c *change) Commit() error {
	f := c.t.note("commit")
	time.Sleep(f.commitDelay)
	if f.commitErr != nil {
		return f.commitErr
	}
	c.put(c.new)
	return nil
}

func (c *change) Undo() error {
	f := c.t.note("undo")
	c.put(c.old)
	return f.undoErr
}

func (c *change) Done() { c.t.note("done") }

var errBroken = errors.New("broken")
