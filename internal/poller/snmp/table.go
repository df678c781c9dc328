package snmp

import (
	"context"
	"errors"
	"slices"
)

// Asker asks agents; *Client is one.
type Asker interface {
	Do(ctx context.Context, to Agent, r *Request) ([]Varbind, error)
}

// Row is one of a table: what follows the column in its names, and the columns
// that were asked for.
type Row struct {
	Index  OID
	Values []Value
}

// Number returns a column as a number, 0 if it is none or below 0.
func (r *Row) Number(i int) uint64 {
	if v := r.Values[i]; v.IsNumber() && v.Int() > 0 {
		return v.Num
	}
	return 0
}

// Text returns the octets of a column, "" if it has none.
func (r *Row) Text(i int) string { return string(r.Values[i].Bytes) }

const (
	// cells is how many objects are asked for in one GETBULK: even with the long
	// names of LCMS-MIB the answer has no more than about 12 kB.
	cells   = 160
	maxRows = 1 << 20
)

// Table reads columns of a table side by side, at most limit rows; 0: all that
// are there. The first column decides whether a row is there; the others may
// lack values.
func Table(ctx context.Context, via Asker, to Agent, limit int, columns ...OID) ([]Row, error) {
	if limit == 0 {
		limit = maxRows
	}
	repetitions := uint32(min(max(2, cells/len(columns)), limit))
	var found []Row
	from := slices.Clone(columns)
	for len(found) < limit {
		vbs, err := via.Do(ctx, to, Bulk(repetitions, from...))
		if err != nil {
			return nil, err
		}
		if len(vbs) < len(columns) {
			return nil, errors.New("the agent answers with less than a row: is its largest message very small?")
		}
		for ; len(vbs) >= len(columns); vbs = vbs[len(columns):] {
			index, ok := vbs[0].Name.Within(columns[0])
			if !ok || !vbs[0].Value.Exists() {
				return found[:min(len(found), limit)], nil
			}
			if n := len(found); n > 0 && slices.Compare(index, found[n-1].Index) <= 0 {
				return nil, errors.New("the agent goes round in circles: its table is not in order")
			}
			r := Row{Index: index, Values: make([]Value, len(columns))}
			for i, vb := range vbs[:len(columns)] {
				if rest, ok := vb.Name.Within(columns[i]); ok && slices.Equal(rest, index) {
					r.Values[i] = vb.Value
				}
				from[i] = columns[i].Child(index...)
			}
			found = append(found, r)
		}
	}
	return found[:limit], nil
}
