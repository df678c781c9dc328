package agentx

import "github.com/lcms-project/lcms/agentx/smi"

// Handler answers requests. Its methods and those of its Views are called from
// the one goroutine that reads from the master: they must answer from memory,
// and must not call methods of the Session that wait for the master.
type Handler interface {
	// View returns what all varbinds of one PDU are answered from, so that
	// they fit together; false if there is no such context. It is not used
	// after the next call of View.
	View(context string) (View, bool)
}

// View is a consistent reading of a MIB.
type View interface {
	// Get returns the value of an instance, or smi.NoSuchObject or
	// smi.NoSuchInstance.
	Get(name smi.OID) smi.Value

	// Next fills vb with the first instance after from (or at from, if
	// include) and before end; it returns false if there is none. An empty
	// end sets no bound. The name goes into the memory of the old one
	// (vb.Name = append(vb.Name[:0], ...)), which never overlaps from.
	Next(vb *smi.Varbind, from smi.OID, include bool, end smi.OID) bool
}

// Writer is a Handler that accepts SET.
type Writer interface {
	// Prepare checks whether all of vbs can be set, and reserves what that
	// needs (TestSet). A *smi.SetError is answered as it is, any other error
	// as genErr. vbs belong to the Writer from now on.
	//
	// A master may have several transactions open; a Writer that can have
	// only one answers smi.ResourceUnavailable.
	Prepare(context string, vbs []smi.Varbind) (Pending, error)
}

// Pending is a prepared SET. Its methods are called one at a time, but Undo
// and Done also from another goroutine than Prepare when the master has
// forgotten the transaction (Options.TransactionTimeout).
type Pending interface {
	// Commit makes the change (CommitSet). It is called at most once, however
	// often the master repeats itself. Any error is answered as commitFailed,
	// with the Index of a *smi.SetError.
	Commit() error
	// Undo takes the change back, after a Commit that failed or succeeded
	// (UndoSet). It ends the transaction. An error is answered as undoFailed.
	Undo() error
	// Done ends the transaction (CleanupSet), after a Commit that succeeded
	// or without any. It is also called when the connection is lost in
	// between: what the Writer has stored is then the truth.
	Done()
}
