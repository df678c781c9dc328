package lvs

import (
	"bytes"
	"encoding/json"
)

// Service is a virtual service as an administrator asks for it. It is
// comparable.
type Service struct {
	ServiceSpec
	Name        string    // for people; free text of at most 64 octets
	Cluster     ClusterID `json:",omitempty"` // "" = of no cluster: every director serves it
	AdminStatus AdminStatus

	Quorum       uint32       // servers that have to take connections for the service to be all right; 1 to MaxQuorum
	SorryServer  string       // key of the server that serves when no other can, "" = none
	WeightPolicy WeightPolicy // what the weights follow
	SlowStart    uint32       // seconds in which a server that has recovered comes to its weight; 0 = at once
	HealthCheck

	Status  Status
	Storage Storage
}

// NewService returns the service that a bare create makes: wlc, no
// persistence, not checked, active, kept in the store.
func NewService(key ServiceKey) Service {
	return Service{
		ServiceSpec:  ServiceSpec{Key: key, Scheduler: "wlc", PersistenceNetmask: uint8(key.Family().Bits())},
		AdminStatus:  AdminUp,
		Quorum:       1,
		WeightPolicy: WeightStatic,
		HealthCheck:  NewHealthCheck(),
		Status:       Active,
		Storage:      NonVolatile,
	}
}

// UnmarshalJSON reads a service from the store. What was not kept, because it
// was stored by an older version, is as NewService has it.
func (s *Service) UnmarshalJSON(text []byte) error {
	type plain Service
	read := plain(NewService(ServiceKey{}))
	read.PersistenceNetmask = 0
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		return err
	}
	*s = Service(read)
	return nil
}

// Server is a real server as an administrator asks for it. It is comparable.
type Server struct {
	ServerSpec
	Host         HostName    `json:",omitempty"` // the machine it runs on, "" = not told
	DrainTimeout uint32      // seconds a drain may take; 0 = until the last connection ends
	DrainAction  DrainAction // what follows a drain
	AdminStatus  AdminStatus
	Status       Status
	Storage      Storage
}

// NewServer returns the server that a bare create makes: masquerade, weight 1,
// active, kept in the store.
func NewServer(key ServerKey) Server {
	return Server{
		ServerSpec:  ServerSpec{Key: key, Forwarding: Masquerade, Weight: 1},
		AdminStatus: AdminUp,
		DrainAction: DrainKeep,
		Status:      Active,
		Storage:     NonVolatile,
	}
}

func (s *Server) compare(other *Server) int {
	if s.Key == other.Key {
		return 0
	}
	return s.Key.Compare(other.Key)
}

// SyncDaemon is a connection synchronisation daemon as an administrator asks
// for it. It is comparable.
type SyncDaemon struct {
	Daemon
	Status  Status
	Storage Storage
}

// NewSyncDaemon returns a daemon with the kernel's defaults. It has no
// interface yet, without which it cannot run.
func NewSyncDaemon(state DaemonState) SyncDaemon {
	return SyncDaemon{Daemon: Daemon{State: state}, Status: Active, Storage: NonVolatile}
}
