package mib

import (
	"fmt"

	"github.com/lcms-project/lcms/agentx/smi"
)

// Access is the MAX-ACCESS of an object (RFC 2578 section 7.3).
type Access uint8

// The kinds of access of a column that is served.
const (
	ReadOnly Access = iota
	ReadWrite
	ReadCreate
)

// String returns the access as a MIB module writes it.
func (a Access) String() string {
	return [...]string{"read-only", "read-write", "read-create"}[a]
}

// Column is one object type: a column of a table or a scalar. R is the row it
// belongs to, a small value that holds pointers.
type Column[R any] struct {
	Number uint32
	Name   string
	Syntax smi.Type
	Access Access
	Min    int64 // of a number, or of the length of a string
	Max    int64 // as Min; with Max < Min there is no bound
	Labels []string

	isRowStatus bool
	get         func(R) smi.Value
	check       func(smi.Value) error
	put         func(R, smi.Value) error // nil for ReadOnly
}

// Option refines a column.
type Option func(*spec)

type spec struct {
	access   Access
	min, max int64
	offset   int64
	settable int64
}

func newSpec(opts []Option) spec {
	s := spec{min: 0, max: -1}
	for _, o := range opts {
		o(&s)
	}
	return s
}

// Writable makes a column read-write.
func Writable(s *spec) { s.access = ReadWrite }

// Creatable makes a column read-create.
func Creatable(s *spec) { s.access = ReadCreate }

// Range bounds a number, or the length of a string, both ends included.
func Range(low, high int64) Option {
	return func(s *spec) { s.min, s.max = low, high }
}

// From says which number of the MIB the Go value 0 of an enumeration has. The
// default is 0: the numbers are the same.
func From(first int64) Option {
	return func(s *spec) { s.offset = first }
}

// Settable says that only the first n labels of an enumeration can be written;
// the others are only ever read.
func Settable(n int64) Option {
	return func(s *spec) { s.settable = n }
}

func (s spec) bounded() bool { return s.max >= s.min }

// column builds a Column. check looks at a value by itself, with its type known
// to be right; put writes it into a draft row.
func column[R any](n uint32, name string, syntax smi.Type, s spec, get func(R) smi.Value, check func(smi.Value) error, put func(R, smi.Value) error) Column[R] {
	c := Column[R]{Number: n, Name: name, Syntax: syntax, Access: s.access, Min: s.min, Max: s.max, get: get}
	if s.access == ReadOnly {
		return c
	}
	c.put = put
	c.check = func(v smi.Value) error {
		if v.Type != syntax {
			return refuse(smi.WrongType, "%s is of type %s, not %s", name, syntax, v.Type)
		}
		return check(v)
	}
	return c
}

// computed builds a read-only Column.
func computed[R any](n uint32, name string, syntax smi.Type, get func(R) smi.Value) Column[R] {
	return column(n, name, syntax, newSpec(nil), get, nil, nil)
}

func refuse(status smi.ErrorStatus, format string, args ...any) error {
	return &smi.SetError{Status: status, Reason: fmt.Sprintf(format, args...)}
}

func (s spec) checkNumber(name string, n int64) error {
	if s.bounded() && (n < s.min || n > s.max) {
		return refuse(smi.WrongValue, "%s %d is out of range: use %d to %d", name, n, s.min, s.max)
	}
	return nil
}

func (s spec) checkLength(name string, n int) error {
	if s.bounded() && (int64(n) < s.min || int64(n) > s.max) {
		return refuse(smi.WrongLength, "%s has %d octets: use %d to %d", name, n, s.min, s.max)
	}
	return nil
}
