package lvs

import "time"

// DirectoryState says how the director stands to its directory, numbered as
// lcmsDirectoryState of LCMS-MIB.
type DirectoryState uint8

// The states of the directory.
const (
	DirectoryStandalone   DirectoryState = 1 // none is configured
	DirectoryConnecting   DirectoryState = 2 // not reached yet
	DirectoryRefreshing   DirectoryState = 3 // all of it is being read
	DirectoryInSync       DirectoryState = 4 // what it holds is what the director follows
	DirectoryStale        DirectoryState = 5 // connected, but it has changes that have not come
	DirectoryDisconnected DirectoryState = 6 // no server answers; the director runs on what it knows
	DirectoryHeld         DirectoryState = 7 // in sync but for changes that are held
	DirectoryFailed       DirectoryState = 8 // of no use until somebody mends it
)

// DirectoryStatus is what is known of the directory as a whole.
type DirectoryStatus struct {
	State     DirectoryState
	Provider  string    // URI of the server that is followed, "" = none
	LastSync  time.Time // when all that it held was last known to have come; zero: never
	LastError string    // why it cannot be used, or last could not be; "" = all is well
	Entries   uint32    // that say something to LCMS
	Faults    []string  // entries that are left aside, each with the reason and the mend
	Held      uint32    // changes that wait for an operator
	HoldID    uint32    // names what is held, to release exactly that; 0 = nothing is
	HeldText  string    // what is held, and why
}

// Requester is who asked for a change, as the directory keeps it.
type Requester struct {
	ID  string // by which people know the request
	Who string
}
