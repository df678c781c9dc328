package lvs

import (
	"fmt"
	"time"
)

// Target is what the kernel should hold of one service, or holds: nil Service
// means that it is not there.
type Target struct {
	Service *ServiceSpec
	Servers []ServerSpec
}

// Circumstances are what, besides its rows, decides what the kernel should hold
// of a service at one moment. The zero value says that nothing is known.
type Circumstances struct {
	Cluster    AdminStatus              // of the cluster of the service; 0: it is of none that is active
	Now        time.Time                // the moment
	Conditions map[ServerKey]*Condition // what a monitor has told of the servers; it never changes

	// What follows is as Weigh has it. QuorumLost is the memory of it.

	Usable     uint32    // servers that would take connections by their own row and health
	Eligible   uint32    // and with those that would if they were healthy
	Stale      uint32    // servers of which the last report has grown old
	QuorumLost bool      // fewer are usable than the service needs
	Sorry      bool      // the sorry server serves
	LastResort bool      // no server is usable: those are used of which nothing is known any more
	Next       time.Time // when time alone changes something next; zero: never
}

// Circumstances returns what the desired state itself tells of those of a
// service.
func (c *Config) Circumstances(service *Service) Circumstances {
	if service.Cluster == "" {
		return Circumstances{}
	}
	return Circumstances{Cluster: c.statusOf(service.Cluster)}
}

// Weigh works out what of the circumstances follows from all servers together.
// Weighing again changes nothing.
func (a *Circumstances) Weigh(service *Service, servers []*Server) {
	life, window := service.ReportLife(), service.slowStart()
	var usable, eligible, stale, forgotten uint32
	sorry := false
	a.Next = time.Time{}
	for _, s := range servers {
		var c *Condition
		if len(a.Conditions) > 0 {
			c = a.Conditions[s.Key]
		}
		health, old := HealthUnknown, false
		if c != nil {
			health, old = c.Health, c.stale(a.Now, life)
			if next := c.next(a.Now, life, window); !next.IsZero() && (a.Next.IsZero() || next.Before(a.Next)) {
				a.Next = next
			}
		}
		if s.Status != Active || s.AdminStatus != AdminUp {
			continue
		}
		if old {
			stale++
		}
		switch {
		case service.IsSorry(s):
			sorry = health != HealthDown
		case s.Weight == 0:
		case health != HealthDown:
			usable++
			eligible++
		default:
			eligible++
			if old {
				forgotten++
			}
		}
	}
	a.Usable, a.Eligible, a.Stale = usable, eligible, stale
	need := service.Quorum
	if a.QuorumLost {
		need = max(need, min(need+need/4, eligible))
	}
	a.QuorumLost = Wanted(service, a) && usable < need
	a.Sorry = a.QuorumLost && sorry && service.AdminStatus == AdminUp && a.Cluster != AdminDrain
	a.LastResort = usable == 0 && forgotten > 0 && !a.Sorry
}

// Same reports whether both decide the same of a server that nothing was told
// of: they may differ in single servers and in time.
func (a *Circumstances) Same(b *Circumstances) bool {
	return a.Cluster == b.Cluster && a.QuorumLost == b.QuorumLost && a.Sorry == b.Sorry && a.LastResort == b.LastResort
}

// Condition returns what is known of a server, nil if nothing was told.
func (a *Circumstances) Condition(k ServerKey) *Condition {
	if len(a.Conditions) == 0 {
		return nil
	}
	return a.Conditions[k]
}

// IsSorry reports whether the server is the sorry server of the service.
func (s *Service) IsSorry(server *Server) bool {
	if s.SorryServer == "" {
		return false
	}
	var buf [64]byte
	return string(server.Key.AppendTo(buf[:0])) == s.SorryServer
}

func (s *Service) slowStart() time.Duration { return time.Duration(s.SlowStart) * time.Second }

// Effective computes what the kernel should hold of a service. It is a pure
// function of the desired state and the circumstances, which have been weighed.
func Effective(service *Service, servers []*Server, around *Circumstances) Target {
	if !Wanted(service, around) {
		return Target{}
	}
	t := Target{Service: &service.ServiceSpec, Servers: make([]ServerSpec, 0, len(servers))}
	for _, s := range servers {
		if spec, ok := EffectiveServer(service, s, around); ok {
			t.Servers = append(t.Servers, spec)
		}
	}
	return t
}

// Wanted reports whether the kernel should hold a service.
func Wanted(service *Service, around *Circumstances) bool {
	return service.Status == Active && service.AdminStatus != AdminDown && around.Cluster != AdminDown
}

// EffectiveServer computes how the kernel should hold a server; ok is false
// when it should not hold it.
func EffectiveServer(service *Service, s *Server, around *Circumstances) (spec ServerSpec, ok bool) {
	v := Judge(service, s, around)
	if !v.Held {
		return ServerSpec{}, false
	}
	spec = s.ServerSpec
	spec.Weight = v.Weight
	// Tunnel attributes reach the kernel only where they mean something, so that
	// a server may be switched between methods without losing them.
	if spec.Forwarding != Tunnel {
		spec.TunnelType = IPIP
	}
	if spec.TunnelType != GUE {
		spec.TunnelPort = 0
	}
	if spec.TunnelType == IPIP {
		spec.TunnelFlags = 0
	}
	return spec, true
}

// cause is what decides the weight of a server. The last ones are of servers
// that take connections.
type cause uint8

const (
	serviceNotActive cause = iota
	clusterDown
	serviceDown
	serverNotActive
	serverDown
	sorryNotNeeded
	clusterDrained
	serviceDrained
	serverDrained
	sorryServesInstead
	healthDown
	healthDownStale
	configured
	sorryServes
	advised
	adviceDecays
	adviceUnused
	slowStarts
	lastResort
)

// Verdict is what is decided of a server.
type Verdict struct {
	Held   bool   // by the kernel
	Weight uint32 // there

	why     cause
	share   uint32 // percent, of a slow start
	full    uint32 // weight after the slow start
	around  *Circumstances
	service *Service
	told    *Condition
}

// Judge decides how the kernel should hold a server, and why. It is the one
// place where that is decided.
func Judge(service *Service, s *Server, around *Circumstances) Verdict {
	v := Verdict{around: around, service: service, told: around.Condition(s.Key)}
	sorry := service.IsSorry(s)
	switch {
	case service.Status != Active:
		v.why = serviceNotActive
		return v
	case around.Cluster == AdminDown:
		v.why = clusterDown
		return v
	case service.AdminStatus == AdminDown:
		v.why = serviceDown
		return v
	case s.Status != Active:
		v.why = serverNotActive
		return v
	case s.AdminStatus == AdminDown:
		v.why = serverDown
		return v
	case sorry && !around.Sorry && !around.QuorumLost:
		v.why = sorryNotNeeded
		return v
	}
	v.Held = !sorry || around.Sorry
	life := service.ReportLife()
	stale := v.told != nil && v.told.stale(around.Now, life)
	down := v.told != nil && v.told.Health == HealthDown
	switch {
	case around.Cluster == AdminDrain:
		v.why = clusterDrained
	case service.AdminStatus == AdminDrain:
		v.why = serviceDrained
	case s.AdminStatus == AdminDrain:
		v.why = serverDrained
	case sorry && around.Sorry:
		v.why, v.Weight = sorryServes, 1
	case s.Weight == 0 && !sorry:
		v.why = configured
	case down && !stale:
		v.why = healthDown
	case down && (sorry || !around.LastResort):
		v.why = healthDownStale
	case around.Sorry:
		v.why = sorryServesInstead
	default:
		v.weigh(s.Weight, life)
		if down {
			v.why = lastResort
		}
	}
	return v
}

// weigh gives the verdict the weight of a server that takes connections.
func (v *Verdict) weigh(admin uint32, life time.Duration) {
	v.why, v.Weight = configured, admin
	if v.told == nil {
		return
	}
	if w, decays := v.told.advice(admin, v.around.Now, life); w > 0 {
		switch {
		case v.service.WeightPolicy == WeightStatic:
			v.why = adviceUnused
		case decays:
			v.why, v.Weight = adviceDecays, w
		default:
			v.why, v.Weight = advised, w
		}
	}
	if v.share = v.told.ramp(v.around.Now, v.service.slowStart()); v.share < 100 {
		v.why, v.full = slowStarts, v.Weight
		v.Weight = max(1, uint32(uint64(v.Weight)*uint64(v.share)/100))
	}
}

// Reason says the verdict in words.
func (v Verdict) Reason() string {
	told := func() string {
		if v.told.Detail == "" {
			return ""
		}
		return ": " + v.told.Detail
	}
	switch v.why {
	case serviceNotActive:
		return "service is not in service"
	case clusterDown:
		return "cluster is down by its administrator"
	case serviceDown:
		return "service is down by its administrator"
	case serverNotActive:
		return "server is not in service"
	case serverDown:
		return "down by the administrator"
	case sorryNotNeeded:
		return "sorry server: not needed, the service has its quorum"
	case clusterDrained:
		return "cluster drained by its administrator"
	case serviceDrained:
		return "service drained by its administrator"
	case serverDrained:
		return "drained by the administrator"
	case sorryServesInstead:
		return "the sorry server serves: " + v.around.QuorumText(v.service)
	case healthDown:
		return "health down" + told()
	case healthDownStale:
		return fmt.Sprintf("health down when last reported, %s%s; it stays out until it is reported again", v.told.HealthAt.UTC().Format(time.RFC3339), told())
	case sorryServes:
		return "sorry server: " + v.around.QuorumText(v.service)
	case advised:
		return fmt.Sprintf("advised %d by the monitor (%s)%s", v.told.Advised, v.service.WeightPolicy, told())
	case adviceDecays:
		return fmt.Sprintf("the monitor is silent: from the advised %d back to the configured weight", v.told.Advised)
	case adviceUnused:
		return fmt.Sprintf("as configured: weight policy static, the advised %d is not used", v.told.Advised)
	case slowStarts:
		return fmt.Sprintf("slow start: %d %% of %d", v.share, v.full)
	case lastResort:
		return fmt.Sprintf("used because no other server is: health down when last reported, %s%s", v.told.HealthAt.UTC().Format(time.RFC3339), told())
	}
	if v.told != nil && v.told.Health == HealthUnknown && v.told.Detail != "" {
		return "as configured; the monitor does not know its health" + told()
	}
	return "as configured"
}

// IsDown reports whether the server takes no connections because of its health.
func (v Verdict) IsDown() bool { return v.why == healthDown || v.why == healthDownStale }

// QuorumText says how the quorum of the service is lost.
func (a *Circumstances) QuorumText(service *Service) string {
	return fmt.Sprintf("the quorum is lost, %d of at least %d servers are usable", a.Usable, service.Quorum)
}

// WeightReason says in words where the operational weight of a server comes
// from.
func WeightReason(service *Service, s *Server, around *Circumstances) string {
	return Judge(service, s, around).Reason()
}
