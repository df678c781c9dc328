// Package mib turns a MIB module into Go declarations: one line for each
// column of a table and for each scalar.
//
// A Module answers GET and GETNEXT of all its objects from one immutable
// snapshot of the application, and turns the varbinds of a SET, in any order,
// into edits of whole rows. RowStatus, StorageType and TestAndIncr (RFC 2579)
// are implemented here, once.
//
// A column knows how to read its value from a row and, if it is writable, how
// to write it into a draft copy of the row; for most columns both come from one
// function that returns a pointer:
//
//	mib.Unsigned32(7, "lcmsServerWeight", func(r ServerRow) *uint32 { return &r.State.Weight }, mib.Creatable, mib.Range(0, 65535))
//
// A group of scalars is a table with one row whose index is 0.
package mib
