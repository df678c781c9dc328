package control

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// OperStatus is how a service or server really is.
type OperStatus uint8

// The operational states, numbered as LcmsOperStatus of LCMS-MIB.
const (
	OperUp         OperStatus = 1 // takes new connections
	OperDown       OperStatus = 2 // in the kernel, but nothing takes new connections
	OperDraining   OperStatus = 3 // weight 0, connections are left
	OperDrained    OperStatus = 4 // weight 0, no connection is left
	OperOverloaded OperStatus = 5 // above its upper connection threshold
	OperAbsent     OperStatus = 6 // not in the kernel, as wanted
	OperFailed     OperStatus = 7 // not in the kernel, though wanted
)

// Oper is the operational side of a row.
type Oper struct {
	Reason      string
	LastError   string // what the kernel last refused, "" if it took everything since
	Note        string // what is special about the row for a time, part of Reason; "" = nothing
	LastChange  Moment // of Status or of the configuration
	Transitions uint32 // changes of Status
	Status      OperStatus
}

// ServiceRow is a virtual service with all that is known of it.
type ServiceRow struct {
	Text     string // canonical text of the key
	Service  lvs.Service
	External bool // somebody else put it into the kernel
	Oper
	Servers []ServerRow // in table order

	// Stats are the kernel's counters of the service; the connections are the
	// sums over its servers.
	lvs.Stats
	ServersUp             uint32
	ActiveConnections     uint64
	InactiveConnections   uint64
	PersistentConnections uint64
	PeakActive            uint64
	Discontinuity         Moment // when the counters began at 0

	around   lvs.Circumstances
	inKernel *lvs.ServiceSpec // what the kernel holds, nil if it does not
	astray   bool             // it holds a server that was made last with the row otherwise than it should
	starting bool             // made before anything was known: it is no transition
}

// ServerRow is a real server with all that is known of it.
type ServerRow struct {
	*ServerState
	// Actual is what the kernel holds, with counters. It is never nil; a
	// server that is not in the kernel has a zero one.
	Actual *lvs.ActualServer
}

// ServerState is the part of a ServerRow that seldom changes. There is one for each
// row: its fields are ordered to leave no gaps.
type ServerState struct {
	Text   string      // canonical text of the key
	Server *lvs.Server // not to be changed: the configuration shares it
	Oper
	Told          *lvs.Condition // what a monitor has told of it, nil if nothing
	Discontinuity Moment         // when the counters began at 0
	DrainSince    Moment         // when the administrator's drain began; zero: none is going on
	PeakActive    uint32
	External      bool // somebody else put it into the kernel
}

// Moment is a time in a third of the memory: nanoseconds since 1970, 0 for
// never.
type Moment int64

// momentOf returns the Moment of a time.
func momentOf(t time.Time) Moment { return Moment(t.UnixNano()) }

// Time returns the time, the zero time for never.
func (m Moment) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m))
}

// InKernel reports whether the kernel holds the server.
func (r ServerRow) InKernel() bool { return r.Actual != absent }

// absent stands for a server that is not in the kernel.
var absent = new(lvs.ActualServer)

// KernelState says whether the kernel answers.
type KernelState uint8

// The states, numbered as lcmsDirectorKernelState of LCMS-MIB.
const (
	KernelStarting KernelState = 1
	KernelOK       KernelState = 2
	KernelStale    KernelState = 3 // the last reading is old
	KernelAbsent   KernelState = 4 // no IPVS in the kernel
	KernelDenied   KernelState = 5 // no permission to use it
	KernelFailed   KernelState = 6
)

// Director is what is known of the director as a whole.
type Director struct {
	Version             string // of IPVS
	ConnectionTableSize uint32
	Timeouts            lvs.Timeouts // as the kernel has them
	Generation          uint64       // grows with every accepted change
	ChangedAt           time.Time
	Lock                int32
	Settings            lvs.Settings
	Services            uint32
	Servers             uint32
	ServersUp           uint32
	Totals              lvs.Stats
	Kernel              KernelState
	KernelError         string
	ReadAt              time.Time
	AlarmsChangedAt     time.Time // when one was last raised, changed or cleared
	DriftRepairs        uint64
	readEvery           time.Duration
}

// KernelState returns the state at the time now, which may have become stale.
func (d *Director) KernelState(now time.Time) KernelState {
	if d.Kernel == KernelOK && now.Sub(d.ReadAt) > max(3*d.readEvery, 15*time.Second) {
		return KernelStale
	}
	return d.Kernel
}

// DaemonRow is a sync daemon that is wanted or runs.
type DaemonRow struct {
	lvs.SyncDaemon
	Running bool
}

// Snapshot is everything that is known at one moment. It never changes, but
// for its hint.
type Snapshot struct {
	Director Director
	Services []*ServiceRow // in table order
	Clusters []*ClusterRow // in table order, as the next two
	Members  []*MemberRow
	Hosts    []*HostRow
	Daemons  []DaemonRow
	Requests []*Request // oldest first
	Alarms   []*Alarm   // by index
	Drifts   []*Drift   // in table order

	Directory DirectoryRow

	Desired *lvs.Config // that all this is about

	hint atomic.Int32
}

// Hint is the position of the service that was last looked for; where there
// are services it is one of theirs.
func (s *Snapshot) Hint() int { return int(s.hint.Load()) }

// SetHint notes the position of the service that was just looked for.
func (s *Snapshot) SetHint(i int) {
	if s.Hint() != i {
		s.hint.Store(int32(i))
	}
}

// Find returns the position of the service whose key has this text, or where
// it would stand.
func (s *Snapshot) Find(text string) (int, bool) {
	return slices.BinarySearchFunc(s.Services, text, func(r *ServiceRow, text string) int { return lvs.CompareTexts(r.Text, text) })
}
