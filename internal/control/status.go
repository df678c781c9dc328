package control

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/lcms-project/lcms/internal/lvs"
)

// DirectoryRow is what is known of the directory as a whole, with what the
// control adds.
type DirectoryRow struct {
	lvs.DirectoryStatus
	PendingWrites uint32 // accepted changes that it does not have yet
	Conflicts     uint32 // changes that it did not take, because somebody else was faster
	Overrides     uint32 // rows that are for a time not as it has them
	SyncLock      int32  // see lvs.Change.SyncNow
}

// newDirectoryRow returns the row of a director that was told nothing of a
// directory yet.
func newDirectoryRow(d Directory) DirectoryRow {
	r := DirectoryRow{DirectoryStatus: lvs.DirectoryStatus{State: lvs.DirectoryStandalone}, SyncLock: rand.Int32()}
	if d != nil {
		r.State = lvs.DirectoryConnecting
	}
	return r
}

// SetDirectory notes how the directory is, tells what has become of it, and
// publishes.
func (c *Control) SetDirectory(s lvs.DirectoryStatus) {
	s.Faults = slices.Clone(s.Faults)
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.directoryRow.DirectoryStatus
	c.directoryRow.DirectoryStatus = s
	c.compareDirectory(&old, &s)
	c.publish()
}

// compareDirectory tells what changed between two states of the directory, and
// keeps the alarms. From its loss until all is in sync again it is lost: what
// lies between, such as connecting, is neither.
func (c *Control) compareDirectory(old, now *lvs.DirectoryStatus) {
	at := c.now()
	tell := func(kind EventKind, text string) {
		c.emit(Event{Kind: kind, Time: at, Directory: now, Text: text})
	}
	lost := alarmKey{kind: DirectoryLost}
	switch now.State {
	case lvs.DirectoryDisconnected, lvs.DirectoryFailed:
		text := orText(now.LastError, "the directory cannot be used")
		if c.alarms[lost] == nil || now.State != c.directoryLost {
			tell(DirectoryLost, text)
		}
		c.directoryLost = now.State
		c.raise(lost, Major, text, at)
	case lvs.DirectoryInSync, lvs.DirectoryHeld, lvs.DirectoryStandalone:
		if c.alarms[lost] != nil {
			tell(DirectoryRestored, "in sync with "+orText(now.Provider, "the directory"))
			c.clear(lost, at)
		}
	}
	held := alarmKey{kind: DirectoryHold}
	switch {
	case now.HoldID != 0:
		text := orText(now.HeldText, "changes of the directory wait for an operator")
		if now.HoldID != old.HoldID {
			tell(DirectoryHold, text)
		}
		c.raise(held, Major, text, at)
	case c.alarms[held] != nil:
		tell(DirectoryHoldReleased, "nothing is held any more")
		c.clear(held, at)
	}
}

// checkDirectory checks what a change asks of the directory.
func (c *Control) checkDirectory(change *lvs.Change) error {
	refuse := func(field, reason string) error {
		return &lvs.Refusal{Kind: lvs.ErrConflict, Field: field, Reason: reason}
	}
	row := &c.directoryRow
	switch release, sync := change.HoldRelease, change.SyncNow; {
	case release == nil && sync == nil:
	case c.directory == nil && release != nil:
		return refuse("HoldRelease", "no directory is configured: nothing is held")
	case c.directory == nil:
		return refuse("SyncNow", "no directory is configured: there is nothing to read anew")
	case release != nil && row.HoldID == 0:
		return refuse("HoldRelease", "nothing is held at the moment")
	case release != nil && *release != row.HoldID:
		return refuse("HoldRelease", fmt.Sprintf("what is held has the id %d, not %d: look at it again, and release that", row.HoldID, *release))
	case sync != nil && *sync != nextLock(row.SyncLock):
		return refuse("SyncNow", "somebody had it read anew since you read the lock: read it again")
	}
	return nil
}

// direct does what the change asks of the directory. It is called without the
// lock: the directory may have something to tell at once.
func (t *Transaction) direct() {
	c := t.c
	release, sync := t.change.HoldRelease, t.change.SyncNow
	if release == nil && sync == nil {
		return
	}
	c.mu.Lock()
	asked := t.accepted && !t.directed
	t.directed = true
	if asked && sync != nil {
		c.directoryRow.SyncLock = *sync
		c.publish()
	}
	c.mu.Unlock()
	if !asked {
		return
	}
	if release != nil {
		if err := c.directory.Release(*release); err != nil {
			c.log.Error("cannot release what is held of the directory", "id", *release, "error", err)
		}
	}
	if sync != nil {
		c.directory.Resync()
	}
}
