package director

import (
	"net/netip"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// View is what a director is configured to balance. It is not changed once it is
// made.
type View struct {
	Generation uint64
	Services   map[lvs.ServiceKey]*Service
	Hosts      map[string]*Host // by name
}

// Service is a virtual service that is to be watched.
type Service struct {
	Key       lvs.ServiceKey
	Check     lvs.HealthCheck
	Policy    lvs.WeightPolicy
	SlowStart time.Duration
	Servers   []*Server
}

// Server is one of its servers.
type Server struct {
	ID     lvs.ServerID
	Host   string // its name, "" = not known
	Weight uint32 // as configured

	// As last reported, by whoever did.
	Health  uint8
	Advised uint32
}

// Host is a machine that the director knows.
type Host struct {
	Name          string
	Address       netip.Addr // invalid: not known
	SnmpURI       string
	CPUType       string
	InterfaceType string
	MemorySize    uint32
}

// Traffic is what a director tells of a server that changes all the time.
type Traffic struct {
	Connections uint64 // counter
	OperWeight  uint32
	OperStatus  uint8
	Reason      string // of the weight
}
