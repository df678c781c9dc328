// Package status is how the monitor shows people what it does: a snapshot that
// the running monitor hands out on a socket, and the table that is made of it.
package status

import (
	"time"

	"github.com/lcms-project/lcms/internal/poller/director"
)

// Status is everything at one moment.
type Status struct {
	At        time.Time
	Since     time.Time // when the monitor started
	Version   string
	Directors []director.Status
	Servers   []Server
	Hosts     []Host
	Checks    Tasks
	Loads     Tasks
	// Isolated says why the monitor does not trust what it finds; "" = it does.
	Isolated string
}

// Server is one server of a service.
type Server struct {
	Service string
	Server  string
	Host    string // its name, or its address
	Check   string // the type of check
	Health  string
	Since   time.Time // of Health; zero: since the monitor has started
	Checked time.Time // zero: not yet
	Detail  string
	Policy  string
	Weight  uint32 // as configured
	Advised uint32 // 0: none
	Oper    uint32 // as the first director that serves it balances
	Held    bool   // Oper is known
	Reason  string // of the weight
	Rate    float64
	Busy    float64 // 0 to 1; below 0: not known
}

// Host is one machine that is asked for its load.
type Host struct {
	Address         string
	Name            string
	Source          string    // the MIB; "" = nothing yet
	At              time.Time // of the load; zero: never
	CPU             float64   // 0 to 1; below 0: not known
	MemoryAvailable uint64    // KiB
	MemoryTotal     uint64
	LoadAverage     float64 // below 0: not known
	Error           string  // "" = it answers
}

// Tasks are what a schedule does.
type Tasks struct {
	Planned int
	Running int
	Runs    uint64
	Late    uint64
}
