// Package control is the single writer of a director. Everything that wants a
// change hands it an lvs.Change; everything that wants to know reads a
// Snapshot.
//
// A change goes through the phases of an SNMP SET:
//
//	tx, err := c.Prepare(change)  // check all of it, touch nothing
//	err = tx.Commit()             // directory, store, kernel; on failure all as before
//	tx.Done() or tx.Undo()        // do the deletes and publish, or take it back
//
// Beside that a loop reads the kernel, publishes counters, and brings the
// kernel back to what it should hold. It always compares whole states and
// applies the difference, never an event.
//
// With a Directory the desired state is shared with other directors. What of a
// change is kept is written there first, and Follow makes what the directory holds
// the desired state. Three things are told apart: what is kept (as the directory
// has it, and the store as its last known good copy), what is planned (with the
// changes that wait to be written there), and what is desired (with overrides, and
// with what is only here). See docs/decisions for what happens when the directory
// is away or does not answer.
package control
