package ldapsync

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Numbers without a bound of their own have that of Unsigned32.
const (
	max8  = 1<<8 - 1
	max16 = 1<<16 - 1
	max32 = 1<<32 - 1
)

// classes are ours, by the kind of the places where their entries stand.
var classes = map[Kind]class{
	Host:       hostTable,
	SyncDaemon: syncDaemonTable,
	Cluster:    clusterTable,
	Member:     memberTable,
	Service:    serviceTable,
	Server:     serverTable,
}

// classKinds are the same the other way round.
var classKinds = func() map[class]Kind {
	byClass := make(map[class]Kind)
	for k, c := range classes {
		byClass[c] = k
	}
	return byClass
}()

// classNames are the same by the name of the object class, as lcms.schema has it
// and in lower case.
var classNames = func() map[string]class {
	byName := make(map[string]class)
	for _, c := range classes {
		byName[c.objectClass()] = c
		byName[strings.ToLower(c.objectClass())] = c
	}
	return byName
}()

var serviceTable = newTable(table[lvs.Service]{
	name:  "lcmsVirtualService",
	place: "below ou=virtual_service, of a cluster or of the base",
	blank: func(p Place) lvs.Service {
		s := lvs.NewService(p.Service)
		s.Cluster = p.Cluster
		return s
	},
	check: activeOnly(lvs.Service.Check, func(s *lvs.Service) lvs.Status { return s.Status }),
	attributes: []attribute[lvs.Service]{
		fromKey("lcmsProtocol", ia5Syntax, func(s *lvs.Service) string {
			if s.Key.IsFwmark() {
				return "fwmark"
			}
			return s.Key.Protocol().String()
		}),
		fromKey("lcmsAddressType", ia5Syntax, func(s *lvs.Service) string { return addressType(s.Key.Family()) }),
		fromKey("lcmsAddress", ia5Syntax, func(s *lvs.Service) string { return addressText(s.Key.Addr()) }),
		fromKey("lcmsPort", integerSyntax, func(s *lvs.Service) string {
			if s.Key.IsFwmark() {
				return ""
			}
			return strconv.Itoa(int(s.Key.Port()))
		}),
		fromKey("lcmsFwmark", integerSyntax, func(s *lvs.Service) string {
			if !s.Key.IsFwmark() {
				return ""
			}
			return strconv.FormatUint(uint64(s.Key.Fwmark()), 10)
		}),
		text("lcmsName", "Name", directorySyntax, func(s *lvs.Service) *string { return &s.Name }, lvs.MaxName),
		text("lcmsScheduler", "Scheduler", ia5Syntax, func(s *lvs.Service) *string { return &s.Scheduler }, lvs.MaxModuleName),
		flags("lcmsSchedulerFlag", "SchedulerFlags", func(s *lvs.Service) *lvs.SchedulerFlags { return &s.SchedulerFlags }, "flag1", "flag2", "flag3"),
		truth("lcmsOnePacket", "OnePacket", func(s *lvs.Service) *bool { return &s.OnePacket }),
		number("lcmsPersistenceTimeout", "PersistenceTimeout", func(s *lvs.Service) *uint32 { return &s.PersistenceTimeout }, 0, lvs.MaxTimeout),
		number("lcmsPersistenceNetmask", "PersistenceNetmask", func(s *lvs.Service) *uint8 { return &s.PersistenceNetmask }, 1, 128),
		text("lcmsPersistenceEngine", "PersistenceEngine", ia5Syntax, func(s *lvs.Service) *string { return &s.PersistenceEngine }, lvs.MaxModuleName),
		keyword("lcmsAdminStatus", "AdminStatus", func(s *lvs.Service) *lvs.AdminStatus { return &s.AdminStatus }, adminStates...),
		number("lcmsQuorum", "Quorum", func(s *lvs.Service) *uint32 { return &s.Quorum }, 1, lvs.MaxQuorum),
		text("lcmsSorryServer", "SorryServer", ia5Syntax, func(s *lvs.Service) *string { return &s.SorryServer }, lvs.MaxServerKey),
		keyword("lcmsWeightPolicy", "WeightPolicy", func(s *lvs.Service) *lvs.WeightPolicy { return &s.WeightPolicy }, lvs.WeightStatic, lvs.WeightCapacity, lvs.WeightFeedback),
		number("lcmsSlowStart", "SlowStart", func(s *lvs.Service) *uint32 { return &s.SlowStart }, 0, lvs.MaxSlowStart),
		keyword("lcmsCheckType", "CheckType", func(s *lvs.Service) *lvs.CheckType { return &s.CheckType }, checkTypes...),
		text("lcmsCheckTarget", "CheckTarget", directorySyntax, func(s *lvs.Service) *string { return &s.CheckTarget }, lvs.MaxCheckTarget),
		number("lcmsCheckInterval", "CheckInterval", func(s *lvs.Service) *uint32 { return &s.CheckInterval }, lvs.MinCheckInterval, lvs.MaxCheckInterval),
		number("lcmsCheckTimeout", "CheckTimeout", func(s *lvs.Service) *uint32 { return &s.CheckTimeout }, lvs.MinCheckTimeout, lvs.MaxCheckTimeout),
		number("lcmsCheckRise", "CheckRise", func(s *lvs.Service) *uint32 { return &s.CheckRise }, 1, lvs.MaxCheckRuns),
		number("lcmsCheckFall", "CheckFall", func(s *lvs.Service) *uint32 { return &s.CheckFall }, 1, lvs.MaxCheckRuns),
		keyword("lcmsRowStatus", "Status", func(s *lvs.Service) *lvs.Status { return &s.Status }, rowStates...),
	},
})

var serverTable = newTable(table[lvs.Server]{
	name:  "lcmsRealServer",
	place: "below its lcmsVirtualService",
	blank: func(p Place) lvs.Server { return lvs.NewServer(p.Server) },
	attributes: []attribute[lvs.Server]{
		fromKey("lcmsAddressType", ia5Syntax, func(s *lvs.Server) string { return addressType(s.Key.Family()) }),
		fromKey("lcmsAddress", ia5Syntax, func(s *lvs.Server) string { return addressText(s.Key.Addr()) }),
		fromKey("lcmsPort", integerSyntax, func(s *lvs.Server) string { return strconv.Itoa(int(s.Key.Port())) }),
		hostRef("Host", func(s *lvs.Server) *lvs.HostName { return &s.Host }),
		keyword("lcmsForwarding", "Forwarding", func(s *lvs.Server) *lvs.Forwarding { return &s.Forwarding }, lvs.Masquerade, lvs.Local, lvs.Tunnel, lvs.DirectRoute),
		number("lcmsWeight", "Weight", func(s *lvs.Server) *uint32 { return &s.Weight }, 0, lvs.MaxWeight),
		number("lcmsUpperThreshold", "UpperThreshold", func(s *lvs.Server) *uint32 { return &s.UpperThreshold }, 0, max32),
		number("lcmsLowerThreshold", "LowerThreshold", func(s *lvs.Server) *uint32 { return &s.LowerThreshold }, 0, max32),
		keyword("lcmsTunnelType", "TunnelType", func(s *lvs.Server) *lvs.TunnelType { return &s.TunnelType }, lvs.IPIP, lvs.GUE, lvs.GRE),
		number("lcmsTunnelPort", "TunnelPort", func(s *lvs.Server) *uint16 { return &s.TunnelPort }, 0, max16),
		flags("lcmsTunnelFlag", "TunnelFlags", func(s *lvs.Server) *lvs.TunnelFlags { return &s.TunnelFlags }, "checksum", "remoteChecksum"),
		keyword("lcmsAdminStatus", "AdminStatus", func(s *lvs.Server) *lvs.AdminStatus { return &s.AdminStatus }, adminStates...),
		number("lcmsDrainTimeout", "DrainTimeout", func(s *lvs.Server) *uint32 { return &s.DrainTimeout }, 0, max32),
		keyword("lcmsDrainAction", "DrainAction", func(s *lvs.Server) *lvs.DrainAction { return &s.DrainAction }, lvs.DrainKeep, lvs.DrainDown, lvs.DrainDestroy),
		keyword("lcmsRowStatus", "Status", func(s *lvs.Server) *lvs.Status { return &s.Status }, rowStates...),
	},
})

var syncDaemonTable = newTable(table[lvs.SyncDaemon]{
	name:  "lcmsSyncDaemon",
	place: "below the host of its director",
	blank: func(p Place) lvs.SyncDaemon { return lvs.NewSyncDaemon(p.Daemon) },
	check: activeOnly(lvs.SyncDaemon.Check, func(d *lvs.SyncDaemon) lvs.Status { return d.Status }),
	attributes: []attribute[lvs.SyncDaemon]{
		text("lcmsSyncInterface", "Interface", directorySyntax, func(d *lvs.SyncDaemon) *string { return &d.Interface }, lvs.MaxInterface),
		number("lcmsSyncId", "SyncID", func(d *lvs.SyncDaemon) *uint8 { return &d.SyncID }, 0, max8),
		number("lcmsSyncMaxLength", "MaxLength", func(d *lvs.SyncDaemon) *uint16 { return &d.MaxLength }, 0, lvs.MaxSyncLength),
		address("lcmsSyncGroup", "Group", func(d *lvs.SyncDaemon) *netip.Addr { return &d.Group }),
		number("lcmsSyncPort", "Port", func(d *lvs.SyncDaemon) *uint16 { return &d.Port }, 0, max16),
		number("lcmsSyncTtl", "TTL", func(d *lvs.SyncDaemon) *uint8 { return &d.TTL }, 0, max8),
		keyword("lcmsRowStatus", "Status", func(d *lvs.SyncDaemon) *lvs.Status { return &d.Status }, rowStates...),
	},
})

var clusterTable = newTable(table[lvs.Cluster]{
	name:  "lcmsCluster",
	place: "below ou=load_cluster",
	blank: func(p Place) lvs.Cluster { return lvs.NewCluster(p.Cluster) },
	check: activeOnly(lvs.Cluster.Check, func(c *lvs.Cluster) lvs.Status { return c.Status }),
	attributes: []attribute[lvs.Cluster]{
		text("description", "Description", directorySyntax, func(c *lvs.Cluster) *string { return &c.Description }, lvs.MaxDescription),
		text("lcmsServiceType", "ServiceType", directorySyntax, func(c *lvs.Cluster) *string { return &c.ServiceType }, lvs.MaxType),
		addresses("lcmsVirtualAddress", "VirtualAddresses", func(c *lvs.Cluster) *string { return &c.VirtualAddresses }),
		keyword("lcmsAdminStatus", "AdminStatus", func(c *lvs.Cluster) *lvs.AdminStatus { return &c.AdminStatus }, adminStates...),
		keyword("lcmsDriftPolicy", "DriftPolicy", func(c *lvs.Cluster) *lvs.DriftPolicy { return &c.DriftPolicy }, lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt),
		number("lcmsExpectedServices", "ExpectedServices", func(c *lvs.Cluster) *uint32 { return &c.ExpectedServices }, 0, max32),
		truth("lcmsAutoReconfigure", "AutoReconfigure", func(c *lvs.Cluster) *bool { return &c.AutoReconfigure }),
		keyword("lcmsRowStatus", "Status", func(c *lvs.Cluster) *lvs.Status { return &c.Status }, rowStates...),
	},
})

var memberTable = newTable(table[lvs.Member]{
	name:  "lcmsClusterMember",
	place: "below ou=load_balancer, ou=backup_server or ou=real_server of its cluster",
	blank: func(p Place) lvs.Member {
		m := lvs.NewMember(lvs.MemberID{Cluster: p.Cluster, Host: p.Host})
		m.Role = p.Role
		return m
	},
	check: activeOnly(lvs.Member.Check, func(m *lvs.Member) lvs.Status { return m.Status }),
	attributes: []attribute[lvs.Member]{
		hostRef("", func(m *lvs.Member) *lvs.HostName { return &m.Host }),
		number("lcmsPriority", "Priority", func(m *lvs.Member) *uint32 { return &m.Priority }, 0, lvs.MaxPriority),
		keyword("lcmsRowStatus", "Status", func(m *lvs.Member) *lvs.Status { return &m.Status }, rowStates...),
	},
})

// Machine is what the entry of a host says. It is comparable.
type Machine struct {
	lvs.Host
	IsDirector bool // it balances: the entry is an lcmsDirector, and has what follows
	Director
}

// Director is what a director keeps in the entry of its own host. It is
// comparable.
type Director struct {
	Timeouts    lvs.Timeouts // 0 in a field: the kernel's stays
	RoleStatus  lvs.Roles    // the roles it has at the moment
	RequestID   string       // of its last write
	DeleteCount uint32       // entries that this write deleted
	LastWriter  string       // who asked for it
}

var hostTable = newTable(table[Machine]{
	name:  "lcmsHost",
	place: "below ou=host",
	classes: func(m *Machine) []string {
		names := []string{"device", "lcmsHost"}
		if m.Address.IsValid() {
			names = append(names, "ipHost")
		}
		if m.IsDirector {
			names = append(names, "lcmsDirector")
		}
		return names
	},
	blank: func(p Place) Machine { return Machine{Host: lvs.NewHost(p.Host)} },
	check: activeOnly(func(m Machine) *lvs.Refusal { return m.Host.Check() }, func(m *Machine) lvs.Status { return m.Status }),
	attributes: []attribute[Machine]{
		{
			name: "objectClass", field: "IsDirector", many: true,
			encode: func(Base, *Machine) []string { return nil }, // with the other classes
			decode: func(_ Base, m *Machine, values []string) error {
				m.IsDirector = slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, "lcmsDirector") })
				return nil
			},
		},
		address("ipHostNumber", "Address", func(m *Machine) *netip.Addr { return &m.Address }),
		text("lcmsCpuType", "CpuType", directorySyntax, func(m *Machine) *string { return &m.CpuType }, lvs.MaxType),
		text("lcmsInterfaceType", "InterfaceType", directorySyntax, func(m *Machine) *string { return &m.InterfaceType }, lvs.MaxType),
		number("lcmsMemorySize", "MemorySize", func(m *Machine) *uint32 { return &m.MemorySize }, 0, max32),
		text("lcmsSnmpUri", "SnmpURI", directorySyntax, func(m *Machine) *string { return &m.SnmpURI }, lvs.MaxURI),
		flags("lcmsRolePotential", "RolePotential", func(m *Machine) *lvs.Roles { return &m.RolePotential }, roles...),
		keyword("lcmsRowStatus", "Status", func(m *Machine) *lvs.Status { return &m.Status }, rowStates...),
		number("lcmsTcpTimeout", "TCP", func(m *Machine) *uint32 { return &m.Timeouts.TCP }, 0, lvs.MaxTimeout),
		number("lcmsTcpFinTimeout", "TCPFin", func(m *Machine) *uint32 { return &m.Timeouts.TCPFin }, 0, lvs.MaxTimeout),
		number("lcmsUdpTimeout", "UDP", func(m *Machine) *uint32 { return &m.Timeouts.UDP }, 0, lvs.MaxTimeout),
		flags("lcmsRoleStatus", "RoleStatus", func(m *Machine) *lvs.Roles { return &m.RoleStatus }, roles...),
		text("lcmsRequestId", "RequestID", ia5Syntax, func(m *Machine) *string { return &m.RequestID }, 64),
		number("lcmsDeleteCount", "DeleteCount", func(m *Machine) *uint32 { return &m.DeleteCount }, 0, max32),
		text("lcmsLastWriter", "LastWriter", directorySyntax, func(m *Machine) *string { return &m.LastWriter }, 255),
	},
})

// roles are the names of lvs.Roles, by bit.
var roles = []string{lvs.LoadBalancer.String(), lvs.Backup.String(), lvs.RealServer.String()}

var (
	adminStates = []lvs.AdminStatus{lvs.AdminUp, lvs.AdminDrain, lvs.AdminDown}
	checkTypes  = []lvs.CheckType{lvs.CheckNone, lvs.CheckTCP, lvs.CheckHTTP, lvs.CheckHTTPS, lvs.CheckDNS, lvs.CheckSMTP, lvs.CheckPing, lvs.CheckUDP, lvs.CheckSNMP, lvs.CheckScript}
	rowStates   = []lvs.Status{lvs.Active, lvs.NotInService, lvs.NotReady}
)

// activeOnly checks objects whose row is active, as lvs does.
func activeOnly[T any](check func(T) *lvs.Refusal, status func(*T) lvs.Status) func(*T) *lvs.Refusal {
	return func(o *T) *lvs.Refusal {
		if status(o) != lvs.Active {
			return nil
		}
		return check(*o)
	}
}

func addressType(f lvs.Family) string { return "ipv" + strconv.Itoa(int(f)) }

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
