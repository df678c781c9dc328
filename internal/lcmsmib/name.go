package lcmsmib

import (
	"errors"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// rowsOf declares how the rows of a table are found that a snapshot has in table
// order; names appends the texts that a row has as its index.
func rowsOf[P, R any](t mib.Table[*control.Snapshot, R, *lvs.Change], list func(*control.Snapshot) []P, names func(P) [2]string, row func(P) R) *mib.Table[*control.Snapshot, R, *lvs.Change] {
	t.Get = func(s *control.Snapshot, index smi.OID) (r R, ok bool) {
		rows := list(s)
		i, exact := seekNames(index, len(rows), func(i int) [2]string { return names(rows[i]) })
		if exact {
			r = row(rows[i])
		}
		return r, exact
	}
	t.Next = func(s *control.Snapshot, index smi.OID, include bool) (r R, ok bool) {
		rows := list(s)
		i, exact := seekNames(index, len(rows), func(i int) [2]string { return names(rows[i]) })
		if exact && !include {
			i++
		}
		if i == len(rows) {
			return r, false
		}
		return row(rows[i]), true
	}
	return &t
}

// seekNames returns the position of the first of n rows that does not come
// before index, and whether index names this very row. A row is named by one
// text, or by two.
func seekNames(index smi.OID, n int, names func(int) [2]string) (i int, exact bool) {
	low, high := 0, n
	for low < high {
		middle := int(uint(low+high) >> 1)
		name := names(middle)
		order, used := smi.CompareIndexString(index, name[0])
		if order == 0 && name[1] != "" {
			var more int
			order, more = smi.CompareIndexString(index[used:], name[1])
			used += more
		}
		switch {
		case order == 0 && used == len(index):
			return middle, true
		case order < 0:
			high = middle
		default: // after it, or longer than it
			low = middle + 1
		}
	}
	return low, false
}

// cutName reads a name from the front of an index.
func cutName[N ~string](index smi.OID, what string, parse func(string) (N, error)) (N, smi.OID, error) {
	text, rest, ok := smi.CutIndexString(index)
	if !ok {
		return "", nil, errors.New("the index holds no name of a " + what + ": its length and then its octets")
	}
	name, err := parse(text)
	return name, rest, err
}

// oneName reads an index that is one name.
func oneName[N ~string](index smi.OID, what string, parse func(string) (N, error)) (N, error) {
	name, rest, err := cutName(index, what, parse)
	if err == nil && len(rest) > 0 {
		err = errors.New("the index goes on after the name of the " + what)
	}
	return name, err
}
