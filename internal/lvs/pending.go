package lvs

import "time"

// Override is what is wanted of a row instead of what the directory has, for a
// time: somebody asked for it while the directory was away.
type Override struct {
	ServerID                // without Server: of the service
	AdminStatus AdminStatus `json:",omitempty"` // 0: as the directory has it
	Weight      *uint32     `json:",omitempty"` // of a server; nil: as the directory has it
	Until       time.Time
}

// Pending is a change that was accepted while the directory was away, and that
// it has still to get.
type Pending struct {
	ID       uint64 // counts in the order in which they were accepted
	At       time.Time
	Change   Change
	Before   Change // the rows that it was made of, as writes
	Conflict string `json:",omitempty"` // why the directory does not take it: it waits no more
}

// Overlay is what lies over what the directory has.
type Overlay struct {
	Overrides []Override
	Pending   []Pending // by ID
}

// OverlayChange is how one Overlay becomes another.
type OverlayChange struct {
	PutOverrides  []Override
	DropOverrides []ServerID
	PutPending    []Pending
	DropPending   []uint64
}

// IsEmpty reports whether it changes nothing.
func (c *OverlayChange) IsEmpty() bool {
	return len(c.PutOverrides)+len(c.DropOverrides)+len(c.PutPending)+len(c.DropPending) == 0
}

// Rows returns the rows of c that a change writes or deletes, and what they stand
// below, as writes.
func (c *Config) Rows(change *Change) Change {
	rows := change.Inverse(c)
	rows.DeleteServices, rows.DeleteServers, rows.DeleteDaemons = nil, nil, nil
	rows.DeleteClusters, rows.DeleteMembers, rows.DeleteHosts = nil, nil, nil
	named := make(map[ServiceKey]bool)
	for i := range rows.PutServices {
		named[rows.PutServices[i].Key] = true
	}
	above := func(k ServiceKey) {
		if s, ok := c.Service(k); ok && !named[k] {
			named[k] = true
			rows.PutServices = append(rows.PutServices, s)
		}
	}
	for i := range change.PutServers {
		above(change.PutServers[i].Service)
	}
	for _, id := range change.DeleteServers {
		above(id.Service)
	}
	return rows
}
