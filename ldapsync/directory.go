package ldapsync

import (
	"context"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Directory is a directory as its director uses it: a Writer, with the Follower
// that was made with it.
type Directory struct {
	writer   *Writer
	follower *Follower
}

// NewDirectory returns the directory that a follower follows and its writer
// writes to.
func NewDirectory(f *Follower) *Directory { return &Directory{f.Writer, f} }

// Writable says why nothing can be written at the moment, nil if it can. It
// does not wait.
func (d *Directory) Writable() error { return d.follower.Writable() }

// Write makes a change of what before is, whole or not at all (see
// Writer.Write).
func (d *Directory) Write(ctx context.Context, change *lvs.Change, before *lvs.Config, by lvs.Requester) error {
	return d.writer.Write(ctx, change, before, by)
}

// Release lets what is held under an id be applied (see Follower.Release).
func (d *Directory) Release(holdID uint32) error { return d.follower.Release(holdID) }

// Resync has all of the directory read anew. It does not wait for that.
func (d *Directory) Resync() { d.follower.Resync() }
