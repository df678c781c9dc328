package lvs

import "time"

// Stored is the content of a store.
type Stored struct {
	Rows       Change // every kept row, as writes
	Generation uint64
	ChangedAt  time.Time
	Journal    *Journal // of a change that was not settled, nil if all were
	Overlay    Overlay
}

// Journal is what is needed to finish or to take back a change after a crash.
type Journal struct {
	Inverse  Change       // takes the kept rows back
	Doomed   []ServerID   // to be deleted from the kernel; without Server, the service
	Added    []ServiceKey `json:",omitempty"` // services that the change adds to the kernel
	Daemons  []Daemon     `json:",omitempty"` // that ran before, if the change concerns any
	Timeouts Timeouts     `json:",omitzero"`  // of the kernel before, if the change concerns them
	Undone   bool         `json:",omitempty"` // Inverse has been applied; the kernel may lag behind
	Filling  bool         `json:",omitempty"` // the kernel was empty, and is being filled
	Behind   *Behind      `json:",omitempty"` // what the kernel may lag behind with, nil if nothing
}

// Behind names what the kernel has still to be brought to, whatever the drift
// policy, because it is final.
type Behind struct {
	Services []ServiceKey  `json:",omitempty"`
	Daemons  []DaemonState `json:",omitempty"`
	Timeouts bool          `json:",omitempty"`
}

// Record is one change on its way into the store.
type Record struct {
	Change     Change // rows that are kept, and deletions of such
	Overlay    OverlayChange
	Journal    Journal
	Generation uint64
	ChangedAt  time.Time
}
