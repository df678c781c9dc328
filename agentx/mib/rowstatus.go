package mib

import "github.com/lcms-project/lcms/agentx/smi"

// The values of RowStatus (RFC 2579). A row is in one of the first three
// states; the last three are only ever written.
const (
	Active        = 1
	NotInService  = 2
	NotReady      = 3
	CreateAndGo   = 4
	CreateAndWait = 5
	Destroy       = 6
)

// RowStatus declares the column that creates, destroys and activates rows. The
// Go value holds one of the three states.
func RowStatus[R any, E ~uint8](n uint32, name string, ptr func(R) *E) Column[R] {
	s := newSpec([]Option{Creatable, Range(Active, Destroy)})
	c := column(n, name, smi.TypeInteger, s,
		func(r R) smi.Value { return smi.Integer(int32(*ptr(r))) },
		func(v smi.Value) error {
			switch v.Int() {
			case Active, NotInService, CreateAndGo, CreateAndWait, Destroy:
				return nil
			case NotReady:
				return refuse(smi.WrongValue, "%s notReady(3) is what the agent says of a row, it cannot be set", name)
			}
			return refuse(smi.WrongValue, "%s %d: use active(1), notInService(2), createAndGo(4), createAndWait(5) or destroy(6)", name, v.Int())
		},
		func(r R, v smi.Value) error { *ptr(r) = E(v.Int()); return nil })
	c.isRowStatus = true
	c.Labels = []string{"active", "notInService", "notReady", "createAndGo", "createAndWait", "destroy"}
	return c
}

// storageLabels are the values of StorageType (RFC 2579), from 1.
var storageLabels = []string{"other", "volatile", "nonVolatile", "permanent", "readOnly"}

// StorageType declares the column that says where a row is kept. Only volatile
// and nonVolatile can be asked for.
func StorageType[R any, E ~uint8](n uint32, name string, ptr func(R) *E) Column[R] {
	c := Enum(n, name, ptr, storageLabels, Creatable)
	ofType := c.check
	c.check = func(v smi.Value) error {
		if v.Type != c.Syntax {
			return ofType(v)
		}
		switch i := v.Int(); i {
		case 2, 3:
			return nil
		case 1, 4, 5:
			return refuse(smi.WrongValue, "%s %s(%d) cannot be asked for: use volatile(2) or nonVolatile(3)", name, storageLabels[i-1], i)
		default:
			return refuse(smi.WrongValue, "%s %d: use volatile(2) or nonVolatile(3)", name, i)
		}
	}
	return c
}

// transition says what a SET of RowStatus makes of a row (RFC 2579, the table
// under RowStatus).
type transition struct {
	create, destroy bool
	status          int32 // the state wanted: Active, NotInService, or 0 to leave it
}

// next works out the transition. action is the value set, 0 if RowStatus is
// not in the SET; exists says whether there is a row.
func next(action int32, exists bool) (transition, error) {
	switch action {
	case 0:
		if !exists {
			return transition{}, refuse(smi.InconsistentName, "there is no such row: create it with RowStatus createAndGo(4) in the same request")
		}
		return transition{}, nil
	case CreateAndGo, CreateAndWait:
		if exists {
			return transition{}, refuse(smi.InconsistentValue, "the row exists already: write to it without creating it, or destroy(6) it first")
		}
		if action == CreateAndGo {
			return transition{create: true, status: Active}, nil
		}
		return transition{create: true, status: NotInService}, nil
	case Destroy:
		return transition{destroy: true}, nil
	default: // Active, NotInService
		if !exists {
			return transition{}, refuse(smi.InconsistentValue, "there is no such row: create it with createAndGo(4) or createAndWait(5)")
		}
		return transition{status: action}, nil
	}
}
