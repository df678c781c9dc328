package ldapsync

import (
	"net/netip"

	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
)

// What is drawn here is all that lvs allows.

func drawPlace(t *rapid.T) Place {
	p := Place{Kind: rapid.SampledFrom([]Kind{Root, Hosts, Host, SyncDaemon, Clusters, Cluster, Members, Member, Services, Service, Server}).Draw(t, "kind")}
	switch p.Kind {
	case Cluster, Members, Member:
		p.Cluster = lvs.ClusterID(rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,31}`).Draw(t, "cluster"))
	case Services, Service, Server:
		p.Cluster = lvs.ClusterID(rapid.StringMatching(`([a-z0-9][a-z0-9._-]{0,31})?`).Draw(t, "cluster"))
	}
	switch p.Kind {
	case Host, SyncDaemon, Member:
		p.Host = drawHostName(t)
	}
	switch p.Kind {
	case Members, Member:
		p.Role = lvs.Role(rapid.IntRange(1, 3).Draw(t, "role"))
	case SyncDaemon:
		p.Daemon = lvs.DaemonState(rapid.IntRange(1, 2).Draw(t, "state"))
	case Service:
		p.Service = drawServiceKey(t)
	case Server:
		p.Service = drawServiceKey(t)
		p.Server = drawServerKey(t, drawFamily(t))
	}
	return p
}

func drawFamily(t *rapid.T) lvs.Family {
	return rapid.SampledFrom([]lvs.Family{lvs.IPv4, lvs.IPv6}).Draw(t, "family")
}

func drawAddr(t *rapid.T, f lvs.Family) netip.Addr {
	b := rapid.SliceOfN(rapid.Byte(), f.Bits()/8, f.Bits()/8).Draw(t, "address")
	a, _ := netip.AddrFromSlice(b)
	if a.Is4In6() {
		return netip.IPv6Loopback()
	}
	return a
}

func drawServiceKey(t *rapid.T) lvs.ServiceKey {
	f := drawFamily(t)
	if rapid.Bool().Draw(t, "fwmark") {
		k, err := lvs.FwmarkKey(f, rapid.Uint32Min(1).Draw(t, "mark"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	proto := rapid.SampledFrom([]lvs.Protocol{lvs.TCP, lvs.UDP, lvs.SCTP}).Draw(t, "protocol")
	k, err := lvs.AddressKey(proto, netip.AddrPortFrom(drawAddr(t, f), rapid.Uint16().Draw(t, "port")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func drawServerKey(t *rapid.T, f lvs.Family) lvs.ServerKey {
	k, err := lvs.NewServerKey(netip.AddrPortFrom(drawAddr(t, f), rapid.Uint16().Draw(t, "port")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func drawStatus(t *rapid.T) lvs.Status { return rapid.SampledFrom(rowStates).Draw(t, "status") }

func drawName(t *rapid.T, most int) string {
	return rapid.StringN(0, -1, most).Filter(noZero).Draw(t, "name")
}

// noZero: no octet 0, which no directory keeps.
func noZero(s string) bool {
	for _, r := range s {
		if r == 0 {
			return false
		}
	}
	return true
}

func drawModule(t *rapid.T) string {
	return rapid.StringMatching(`[a-zA-Z0-9_-]{1,15}`).Draw(t, "module")
}

// drawService draws a service with the key.
func drawService(t *rapid.T, k lvs.ServiceKey) lvs.Service {
	s := lvs.NewService(k)
	s.Name = drawName(t, lvs.MaxName)
	s.Scheduler = drawModule(t)
	s.SchedulerFlags = lvs.SchedulerFlags(rapid.IntRange(0, 7).Draw(t, "flags"))
	s.OnePacket = (k.IsFwmark() || k.Protocol() == lvs.UDP) && rapid.Bool().Draw(t, "one packet")
	s.PersistenceTimeout = rapid.Uint32Max(lvs.MaxTimeout).Draw(t, "timeout")
	if !k.IsFwmark() && k.Port() == 0 {
		s.PersistenceTimeout = max(s.PersistenceTimeout, 1)
	}
	s.PersistenceNetmask = uint8(rapid.IntRange(1, k.Family().Bits()).Draw(t, "netmask"))
	if s.PersistenceTimeout > 0 && rapid.Bool().Draw(t, "engine") {
		s.PersistenceEngine = drawModule(t)
	}
	s.AdminStatus = rapid.SampledFrom(adminStates).Draw(t, "admin status")
	s.Quorum = rapid.Uint32Range(1, lvs.MaxQuorum).Draw(t, "quorum")
	s.SorryServer = rapid.SampledFrom([]string{"", "10.0.0.9:80", "[2001:db8::9]:80"}).Draw(t, "sorry server")
	s.WeightPolicy = lvs.WeightPolicy(rapid.IntRange(1, 3).Draw(t, "weight policy"))
	s.SlowStart = rapid.Uint32Max(lvs.MaxSlowStart).Draw(t, "slow start")
	s.CheckType = rapid.SampledFrom([]lvs.CheckType{lvs.CheckHTTP, lvs.CheckHTTPS}).Draw(t, "check type")
	s.CheckTarget = rapid.SampledFrom([]string{"", "/", "HEAD /x host=a", `/ body="all is \"well\""`}).Draw(t, "check target")
	s.CheckInterval = rapid.Uint32Range(lvs.MaxCheckTimeout, lvs.MaxCheckInterval).Draw(t, "interval")
	s.CheckTimeout = rapid.Uint32Range(lvs.MinCheckTimeout, lvs.MaxCheckTimeout).Draw(t, "check timeout")
	s.CheckRise = rapid.Uint32Range(1, lvs.MaxCheckRuns).Draw(t, "rise")
	s.CheckFall = rapid.Uint32Range(1, lvs.MaxCheckRuns).Draw(t, "fall")
	s.Status = drawStatus(t)
	return s
}

// drawServer draws a server with the key.
func drawServer(t *rapid.T, k lvs.ServerKey) lvs.Server {
	s := lvs.NewServer(k)
	s.Forwarding = lvs.Forwarding(rapid.IntRange(0, int(lvs.DirectRoute)).Draw(t, "forwarding"))
	s.Weight = rapid.Uint32Max(lvs.MaxWeight).Draw(t, "weight")
	s.UpperThreshold = rapid.Uint32().Draw(t, "upper")
	s.LowerThreshold = rapid.Uint32Max(s.UpperThreshold).Draw(t, "lower")
	s.TunnelType = lvs.TunnelType(rapid.IntRange(0, int(lvs.GRE)).Draw(t, "tunnel type"))
	s.TunnelPort = rapid.Uint16Min(1).Draw(t, "tunnel port")
	s.TunnelFlags = lvs.TunnelFlags(rapid.IntRange(0, 3).Draw(t, "tunnel flags"))
	if rapid.Bool().Draw(t, "host known") {
		s.Host = drawHostName(t)
	}
	s.AdminStatus = rapid.SampledFrom(adminStates).Draw(t, "admin status")
	s.DrainTimeout = rapid.Uint32().Draw(t, "drain timeout")
	s.DrainAction = lvs.DrainAction(rapid.IntRange(1, 3).Draw(t, "drain action"))
	s.Status = drawStatus(t)
	return s
}

func drawDaemon(t *rapid.T, state lvs.DaemonState) lvs.SyncDaemon {
	d := lvs.NewSyncDaemon(state)
	d.Interface = rapid.StringMatching(`[a-zA-Z0-9.@-]{1,15}`).Draw(t, "interface")
	d.SyncID = rapid.Uint8().Draw(t, "sync id")
	if rapid.Bool().Draw(t, "length") {
		d.MaxLength = uint16(rapid.IntRange(lvs.MinSyncLength, lvs.MaxSyncLength).Draw(t, "max length"))
	}
	if rapid.Bool().Draw(t, "group") {
		d.Group = rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("224.0.0.99"), netip.MustParseAddr("ff02::81")}).Draw(t, "group address")
	}
	d.Port = rapid.Uint16().Draw(t, "port")
	d.TTL = rapid.Uint8().Draw(t, "ttl")
	d.Status = drawStatus(t)
	return d
}

func drawHostName(t *rapid.T) lvs.HostName {
	return lvs.HostName(rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,63}`).Draw(t, "host"))
}

func drawCluster(t *rapid.T, id lvs.ClusterID) lvs.Cluster {
	c := lvs.NewCluster(id)
	c.Description = drawName(t, lvs.MaxDescription)
	c.ServiceType = drawName(t, lvs.MaxType)
	var list []netip.Addr
	for range rapid.IntRange(0, 20).Draw(t, "addresses") {
		list = append(list, drawAddr(t, drawFamily(t)))
	}
	c.VirtualAddresses = lvs.FormatAddresses(list)
	c.AdminStatus = rapid.SampledFrom(adminStates).Draw(t, "admin status")
	c.DriftPolicy = lvs.DriftPolicy(rapid.IntRange(0, 3).Draw(t, "drift policy"))
	c.ExpectedServices = rapid.Uint32().Draw(t, "expected services")
	c.AutoReconfigure = rapid.Bool().Draw(t, "auto reconfigure")
	c.Status = drawStatus(t)
	return c
}

func drawMember(t *rapid.T, p Place) lvs.Member {
	m := lvs.NewMember(lvs.MemberID{Cluster: p.Cluster, Host: p.Host})
	m.Role = p.Role
	m.Priority = rapid.Uint32Max(lvs.MaxPriority).Draw(t, "priority")
	m.Status = drawStatus(t)
	return m
}

func drawMachine(t *rapid.T, name lvs.HostName) Machine {
	m := Machine{Host: lvs.NewHost(name)}
	if rapid.Bool().Draw(t, "address known") {
		m.Address = drawAddr(t, drawFamily(t))
	}
	m.CpuType, m.InterfaceType = drawName(t, lvs.MaxType), drawName(t, lvs.MaxType)
	m.SnmpURI = rapid.StringMatching(`(snmp://[a-z]{1,8}@10[.]0[.]0[.][1-9](:161)?)?`).Draw(t, "uri")
	m.MemorySize = rapid.Uint32().Draw(t, "memory")
	m.RolePotential = lvs.Roles(rapid.IntRange(0, int(lvs.AllRoles)).Draw(t, "potential"))
	m.Status = drawStatus(t)
	if m.IsDirector = rapid.Bool().Draw(t, "director"); m.IsDirector {
		timeout := rapid.Uint32Max(lvs.MaxTimeout)
		m.Director = Director{
			Timeouts:    lvs.Timeouts{TCP: timeout.Draw(t, "tcp"), TCPFin: timeout.Draw(t, "fin"), UDP: timeout.Draw(t, "udp")},
			RoleStatus:  lvs.Roles(rapid.IntRange(0, int(lvs.AllRoles)).Draw(t, "status")),
			RequestID:   rapid.StringMatching(`[!-~]{0,64}`).Draw(t, "request id"),
			DeleteCount: rapid.Uint32().Draw(t, "deleted"),
			LastWriter:  drawName(t, 255),
		}
	}
	return m
}

// drawObject draws what may stand at a place.
func drawObject(t *rapid.T, p Place) Object {
	switch p.Kind {
	case Service:
		s := drawService(t, p.Service)
		s.Cluster = p.Cluster
		return Object{p, s}
	case Server:
		return Object{p, drawServer(t, p.Server)}
	case SyncDaemon:
		return Object{p, drawDaemon(t, p.Daemon)}
	case Cluster:
		return Object{p, drawCluster(t, p.Cluster)}
	case Member:
		return Object{p, drawMember(t, p)}
	case Host:
		return Object{p, drawMachine(t, p.Host)}
	}
	return Object{Place: p}
}
