package ldapsync

import (
	"context"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Source tells what a directory holds, and then what changes. There is one for
// servers that know syncrepl, and one that polls.
type Source interface {
	// Follow keeps tree as the server has it, over a connection that is used for
	// nothing else, until ctx ends or it cannot go on, and returns why. It calls
	// tell after each step. Whatever it returns, the tree holds nothing that the
	// server never held, and lacks nothing that was not deleted.
	Follow(ctx context.Context, c *Conn, tree *Tree, tell func(Progress)) error
}

// Progress is a step of a Source.
type Progress uint8

// The steps.
const (
	Refreshing Progress = iota // it reads all, or all that has changed while it was away
	Refreshed                  // the tree is what the server holds
	Changed                    // something was put into the tree, or taken out of it
	Differed                   // the server holds something else than was told: all is read anew
	Appeared                   // an entry has come from where we must not read: what stands below it may lack
)

// sourceFor returns the Source that suits a server.
func sourceFor(can Abilities) Source {
	if can.Syncrepl {
		return syncrepl{patience: lag, otherwise: usualPoll}
	}
	return usualPoll
}

// Target is the director that follows the directory. Its methods may be called at any time
// and do not wait for the network.
type Target interface {
	// Kept returns what the director has of the directory.
	Kept() *lvs.Config
	// Follow makes next what the director has of the directory, and the kernel
	// follows. It fails with lvs.ErrUnavailable while another change is being
	// made, or when kept, from which next was worked out, is no longer what Kept
	// returns: then it is to be worked out again.
	Follow(kept, next *lvs.Config) error
	// SetDirectory tells how the directory is.
	SetDirectory(lvs.DirectoryStatus)
}
