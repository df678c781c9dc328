package lvs

import (
	"cmp"
	"slices"
	"time"
)

// Forwarding is the method by which packets reach a real server, numbered as
// the kernel numbers it (IP_VS_CONN_F_* in include/uapi/linux/ip_vs.h).
type Forwarding uint8

// The forwarding methods. Bypass is what the kernel does by itself; it cannot
// be asked for.
const (
	Masquerade  Forwarding = 0
	Local       Forwarding = 1
	Tunnel      Forwarding = 2
	DirectRoute Forwarding = 3
	Bypass      Forwarding = 4
)

// TunnelType is the encapsulation of the forwarding method Tunnel
// (IP_VS_CONN_F_TUNNEL_TYPE_*).
type TunnelType uint8

// The tunnel types.
const (
	IPIP TunnelType = 0
	GUE  TunnelType = 1
	GRE  TunnelType = 2
)

// TunnelFlags are checksum options of GUE and GRE tunnels
// (IP_VS_TUNNEL_ENCAP_FLAG_*).
type TunnelFlags uint8

// The tunnel flags.
const (
	TunnelChecksum       TunnelFlags = 1
	TunnelRemoteChecksum TunnelFlags = 2
)

// SchedulerFlags are the three options that a scheduler may give a meaning
// (IP_VS_SVC_F_SCHED1 to 3, here as bits 0 to 2). For sh and mh flag 1 is the
// fallback and flag 2 the port.
type SchedulerFlags uint8

// The scheduler flags.
const (
	SchedulerFlag1 SchedulerFlags = 1
	SchedulerFlag2 SchedulerFlags = 2
	SchedulerFlag3 SchedulerFlags = 4
)

// ServiceSpec is a virtual service as the kernel holds it. It is comparable.
type ServiceSpec struct {
	Key                ServiceKey
	Scheduler          string // module name without ip_vs_, at most 15 octets
	SchedulerFlags     SchedulerFlags
	OnePacket          bool   // UDP: schedule each packet by itself
	PersistenceTimeout uint32 // seconds; 0 = not persistent
	PersistenceNetmask uint8  // prefix length of the clients taken as one, 1..32 or 1..128
	PersistenceEngine  string // module name without ip_vs_pe_, "" = none
}

// ServerSpec is a real server as the kernel holds it. It is comparable.
type ServerSpec struct {
	Key            ServerKey
	Forwarding     Forwarding
	Weight         uint32
	UpperThreshold uint32 // connections; 0 = none
	LowerThreshold uint32 // connections; 0 = none
	TunnelType     TunnelType
	TunnelPort     uint16
	TunnelFlags    TunnelFlags
}

// Timeouts are the kernel's connection timeouts in seconds.
type Timeouts struct {
	TCP    uint32
	TCPFin uint32
	UDP    uint32
}

// Or returns t with what is 0 in it from other.
func (t Timeouts) Or(other Timeouts) Timeouts {
	return Timeouts{TCP: cmp.Or(t.TCP, other.TCP), TCPFin: cmp.Or(t.TCPFin, other.TCPFin), UDP: cmp.Or(t.UDP, other.UDP)}
}

// Stats are the traffic counters of a service, a server or the whole director,
// and the rates that the kernel estimates every two seconds
// (IPVS_STATS_ATTR_*).
type Stats struct {
	Connections uint64
	InPackets   uint64
	OutPackets  uint64
	InBytes     uint64
	OutBytes    uint64

	ConnectionRate uint64 // per second
	InPacketRate   uint64 // per second
	OutPacketRate  uint64 // per second
	InByteRate     uint64 // octets per second
	OutByteRate    uint64 // octets per second
}

// Actual is one reading of the kernel. A service that is as it was in the reading
// before may be the same in both; none changes.
type Actual struct {
	At                  time.Time // when the reading ended
	Version             string    // of IPVS, "1.2.1"
	ConnectionTableSize uint32    // hash buckets
	Timeouts            Timeouts
	Services            []*ActualService
	Daemons             []Daemon
	Totals              Stats
}

// ActualService is a virtual service found in the kernel.
type ActualService struct {
	ServiceSpec
	Stats
	Servers []ActualServer
}

// Same reports whether a reading found the service as another one did.
func (a *ActualService) Same(b *ActualService) bool {
	return a.ServiceSpec == b.ServiceSpec && a.Stats == b.Stats && slices.Equal(a.Servers, b.Servers)
}

// Target returns what was found without its counters, in memory of its own; of
// nil that there is nothing.
func (a *ActualService) Target() Target {
	if a == nil {
		return Target{}
	}
	t := Target{Service: new(a.ServiceSpec), Servers: make([]ServerSpec, len(a.Servers))}
	for i := range a.Servers {
		t.Servers[i] = a.Servers[i].ServerSpec
	}
	return t
}

// ActualServer is a real server found in the kernel.
type ActualServer struct {
	ServerSpec
	Stats
	ActiveConnections     uint32
	InactiveConnections   uint32
	PersistentConnections uint32
}

// Operation is what is done to the kernel in one call.
type Operation uint8

// The operations. The kernel has no transactions: a change is a list of these,
// and undoing it is their inverses in reverse.
const (
	AddService Operation = iota + 1
	EditService
	DeleteService
	AddServer
	EditServer
	DeleteServer
	SetTimeouts
	StartDaemon
	StopDaemon
)

var operationTexts = []string{"", "add service", "edit service", "delete service", "add server", "edit server", "delete server",
	"set timeouts", "start sync daemon", "stop sync daemon"}

// String returns the name of the operation.
func (o Operation) String() string {
	return enumText(operationTexts, o)
}

// Op is one operation on the kernel with its object; of others it has nil.
// Service is always set for operations on services and servers (for the latter
// its Key is what counts). The Old fields hold what stood there before; they
// make an Op reversible. What an Op points to never changes.
type Op struct {
	Do          Operation
	Service     *ServiceSpec
	OldService  *ServiceSpec
	Server      *ServerSpec
	OldServer   *ServerSpec
	Timeouts    Timeouts
	OldTimeouts Timeouts
	Daemon      *Daemon
}

// ID names the service or the server that the operation is on. It is zero for
// other objects.
func (o *Op) ID() ServerID {
	var id ServerID
	if o.Service != nil {
		id.Service = o.Service.Key
	}
	if o.Server != nil {
		id.Server = o.Server.Key
	}
	return id
}

// Inverse returns the operation that takes o back. The inverse of a delete
// restores the object, but not its counters.
func (o Op) Inverse() Op {
	inv := o
	inv.OldServer, inv.Server = o.Server, o.OldServer
	inv.OldTimeouts, inv.Timeouts = o.Timeouts, o.OldTimeouts
	switch o.Do {
	case AddService, EditService, DeleteService:
		inv.OldService, inv.Service = o.Service, o.OldService
	}
	switch o.Do {
	case AddService:
		inv.Do, inv.Service = DeleteService, o.Service
	case DeleteService:
		inv.Do, inv.Service = AddService, o.Service
	case AddServer:
		inv.Do, inv.Server = DeleteServer, o.Server
	case DeleteServer:
		inv.Do, inv.Server = AddServer, o.Server
	case StartDaemon:
		inv.Do = StopDaemon
	case StopDaemon:
		inv.Do = StartDaemon
	}
	return inv
}

// String names the operation and its object, for logs.
func (o Op) String() string {
	switch o.Do {
	case AddService, EditService, DeleteService:
		return o.Do.String() + " " + o.Service.Key.String()
	case AddServer, EditServer, DeleteServer:
		return o.Do.String() + " " + o.Server.Key.String() + " of " + o.Service.Key.String()
	case StartDaemon, StopDaemon:
		return o.Do.String() + " " + o.Daemon.State.String()
	}
	return o.Do.String()
}
