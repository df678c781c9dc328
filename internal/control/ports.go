package control

import (
	"context"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Kernel is the IPVS table of the director.
type Kernel interface {
	// Read returns everything the kernel holds, with counters.
	Read(ctx context.Context) (*lvs.Actual, error)
	// Apply does one operation. Its error wraps one of the five kinds of lvs.
	Apply(ctx context.Context, op lvs.Op) error
	// Supports says why a scheduler or persistence engine cannot be had, nil
	// if it can or if that cannot be known beforehand.
	Supports(scheduler, engine string) error
}

// Store keeps the desired state.
type Store interface {
	// Load returns all that is kept.
	Load() (lvs.Stored, error)
	// Save keeps a change with its journal, all or nothing.
	Save(lvs.Record) error
	// Settle forgets the journal and keeps the generation: what was
	// saved last is final and done.
	Settle(generation uint64, changedAt time.Time) error
}

// Directory keeps the desired state where several directors share it.
type Directory interface {
	// Writable says why nothing can be written at the moment, nil if it can. It
	// does not wait.
	Writable() error
	// Write makes a change of what before is, whole or not at all. Its error
	// wraps lvs.ErrConflict when the directory is no longer as before has it,
	// lvs.ErrInvalid when it does not allow such values, lvs.ErrUnavailable when
	// it takes no writes or has not answered; ErrOutcomeUnknown goes with the
	// latter when nobody can tell whether it was made. It takes so long at most that
	// a Commit stays within the time that a master agent waits.
	Write(ctx context.Context, change *lvs.Change, before *lvs.Config, by lvs.Requester) error
	// Release lets what is held under an id be applied.
	Release(holdID uint32) error
	// Resync has all of the directory read anew.
	Resync()
}
