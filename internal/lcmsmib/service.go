package lcmsmib

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var (
	serviceEntry      = smi.OID{1, 4, 1, 1}
	serviceStatsEntry = smi.OID{1, 4, 2, 1}
)

type serviceRow = *control.ServiceRow

func service() *mib.Table[*control.Snapshot, serviceRow, *lvs.Change] {
	type row = serviceRow
	t := serviceRows("lcmsServiceTable", serviceEntry,
		mib.Text(2, "lcmsServiceName", func(r row) *string { return &r.Service.Name }, mib.Creatable, mib.Range(0, lvs.MaxName)),
		mib.Text(3, "lcmsServiceCluster", func(r row) *string { return (*string)(&r.Service.Cluster) }, mib.Creatable, mib.Range(0, lvs.MaxClusterID)),
		mib.EnumOf(4, "lcmsServiceProtocol", func(r row) int32 { return protocolNumber(r.Service.Key.Protocol()) }, []string{"fwmark", "tcp", "udp", "sctp"}),
		mib.AddressTypeOf(5, "lcmsServiceAddressType", func(r row) int32 { return familyType(r.Service.Key.Family()) }),
		mib.AddressOf(6, "lcmsServiceAddress", func(r row) netip.Addr { return r.Service.Key.Addr() }),
		mib.Gauge32(7, "lcmsServicePort", func(r row) uint64 { return uint64(r.Service.Key.Port()) }),
		mib.Gauge32(8, "lcmsServiceFwmark", func(r row) uint64 { return uint64(r.Service.Key.Fwmark()) }),
		mib.Text(9, "lcmsServiceScheduler", func(r row) *string { return &r.Service.Scheduler }, mib.Creatable, mib.Range(1, lvs.MaxModuleName)),
		mib.Bits(10, "lcmsServiceSchedulerFlags", func(r row) *lvs.SchedulerFlags { return &r.Service.SchedulerFlags }, []string{"flag1", "flag2", "flag3"}, mib.Creatable),
		mib.Truth(11, "lcmsServiceOnePacket", func(r row) *bool { return &r.Service.OnePacket }, mib.Creatable),
		mib.Unsigned32(12, "lcmsServicePersistenceTimeout", func(r row) *uint32 { return &r.Service.PersistenceTimeout }, mib.Creatable, mib.Range(0, lvs.MaxTimeout)),
		mib.Unsigned32(13, "lcmsServicePersistenceNetmask", func(r row) *uint8 { return &r.Service.PersistenceNetmask }, mib.Creatable, mib.Range(0, 128)),
		mib.Text(14, "lcmsServicePersistenceEngine", func(r row) *string { return &r.Service.PersistenceEngine }, mib.Creatable, mib.Range(0, lvs.MaxModuleName)),
		mib.Enum(15, "lcmsServiceAdminStatus", func(r row) *lvs.AdminStatus { return &r.Service.AdminStatus }, adminLabels, mib.Creatable),
		mib.EnumOf(16, "lcmsServiceOperStatus", func(r row) int32 { return int32(r.Oper.Status) }, operLabels),
		mib.TextOf(17, "lcmsServiceOperReason", func(r row) string { return r.Reason }),
		mib.Unsigned32(18, "lcmsServiceQuorum", func(r row) *uint32 { return &r.Service.Quorum }, mib.Creatable, mib.Range(1, lvs.MaxQuorum)),
		mib.EnumOf(19, "lcmsServiceQuorumState", func(r row) int32 { return quorumState(r.QuorumLost()) }, []string{"met", "lost"}),
		mib.Text(20, "lcmsServiceSorryServer", func(r row) *string { return &r.Service.SorryServer }, mib.Creatable, mib.Range(0, lvs.MaxServerKey)),
		mib.Enum(21, "lcmsServiceWeightPolicy", func(r row) *lvs.WeightPolicy { return &r.Service.WeightPolicy }, []string{"static", "capacity", "feedback"}, mib.Creatable),
		mib.Unsigned32(22, "lcmsServiceSlowStart", func(r row) *uint32 { return &r.Service.SlowStart }, mib.Creatable, mib.Range(0, lvs.MaxSlowStart)),
		mib.Enum(23, "lcmsServiceCheckType", func(r row) *lvs.CheckType { return &r.Service.CheckType }, checkLabels, mib.Creatable),
		mib.Text(24, "lcmsServiceCheckTarget", func(r row) *string { return &r.Service.CheckTarget }, mib.Creatable, mib.Range(0, lvs.MaxCheckTarget)),
		mib.Unsigned32(25, "lcmsServiceCheckInterval", func(r row) *uint32 { return &r.Service.CheckInterval }, mib.Creatable, mib.Range(lvs.MinCheckInterval, lvs.MaxCheckInterval)),
		mib.Unsigned32(26, "lcmsServiceCheckTimeout", func(r row) *uint32 { return &r.Service.CheckTimeout }, mib.Creatable, mib.Range(lvs.MinCheckTimeout, lvs.MaxCheckTimeout)),
		mib.Unsigned32(27, "lcmsServiceCheckRise", func(r row) *uint32 { return &r.Service.CheckRise }, mib.Creatable, mib.Range(1, lvs.MaxCheckRuns)),
		mib.Unsigned32(28, "lcmsServiceCheckFall", func(r row) *uint32 { return &r.Service.CheckFall }, mib.Creatable, mib.Range(1, lvs.MaxCheckRuns)),
		mib.EnumOf(29, "lcmsServiceOwner", func(r row) int32 { return owner(r.External) }, []string{"lcms", "external"}),
		mib.Gauge32(30, "lcmsServiceServers", func(r row) uint64 { return uint64(len(r.Servers)) }),
		mib.Gauge32(31, "lcmsServiceServersUp", func(r row) uint64 { return uint64(r.ServersUp) }),
		mib.Time(32, "lcmsServiceLastChange", func(r row) time.Time { return r.LastChange.Time() }),
		mib.Counter32(33, "lcmsServiceTransitions", func(r row) uint32 { return r.Transitions }),
		mib.TextOf(34, "lcmsServiceLastError", func(r row) string { return r.LastError }),
		mib.StorageType(35, "lcmsServiceStorageType", func(r row) *lvs.Storage { return &r.Service.Storage }),
		mib.RowStatus(36, "lcmsServiceRowStatus", func(r row) *lvs.Status { return &r.Service.Status }),
	)
	t.Clone = func(r row) row { clone := *r; return &clone }
	t.New = func(_ *control.Snapshot, index smi.OID) (row, error) {
		key, rest, err := cutServiceKey(index)
		if err == nil && len(rest) > 0 {
			err = errors.New("the index goes on after the service key")
		}
		if err != nil {
			return nil, err
		}
		return &control.ServiceRow{Text: key.String(), Service: lvs.NewService(key)}, nil
	}
	t.Ready = func(r row) error {
		s := r.Service
		normalise(&s)
		if refusal := s.Check(); refusal != nil {
			return refusal
		}
		return nil
	}
	t.Status = func(r row) *uint8 { return (*uint8)(&r.Service.Status) }
	t.Put = putService
	return t
}

var checkLabels = []string{"none", "tcp", "http", "https", "dns", "smtp", "ping", "udp", "snmp", "script"}

func quorumState(lost bool) int32 {
	if lost {
		return 2
	}
	return 1
}

// putService adds the edit of a service to the change.
func putService(c *lvs.Change, e mib.Edit[serviceRow]) error {
	external := e.Existed && e.Old.External
	switch {
	case external && !e.Activated:
		return refuse(smi.InconsistentValue, adoptFirst)
	case e.Destroyed:
		c.DeleteServices = append(c.DeleteServices, e.Old.Service.Key)
		return nil
	case external:
		c.Adopt = append(c.Adopt, e.Old.Service.Key)
		if e.New.Service.Storage == lvs.Other {
			e.New.Service.Storage = lvs.NonVolatile
		}
	case e.Existed && e.New.Service == e.Old.Service && e.Old.Note == "": // as with a server
		return nil
	}
	normalise(&e.New.Service)
	c.PutServices = append(c.PutServices, e.New.Service)
	return nil
}

// normalise gives the netmask 0, which stands for a whole address, its length.
func normalise(s *lvs.Service) {
	if s.PersistenceNetmask == 0 {
		s.PersistenceNetmask = uint8(s.Key.Family().Bits())
	}
}

func serviceStats() *mib.Table[*control.Snapshot, serviceRow, *lvs.Change] {
	type row = serviceRow
	return serviceRows("lcmsServiceStatsTable", serviceStatsEntry,
		mib.Counter64(1, "lcmsServiceStatsConnections", func(r row) uint64 { return r.Connections }),
		mib.Counter64(2, "lcmsServiceStatsInPackets", func(r row) uint64 { return r.InPackets }),
		mib.Counter64(3, "lcmsServiceStatsOutPackets", func(r row) uint64 { return r.OutPackets }),
		mib.Counter64(4, "lcmsServiceStatsInBytes", func(r row) uint64 { return r.InBytes }),
		mib.Counter64(5, "lcmsServiceStatsOutBytes", func(r row) uint64 { return r.OutBytes }),
		mib.Gauge32(6, "lcmsServiceStatsConnectionRate", func(r row) uint64 { return r.ConnectionRate }),
		mib.Gauge32(7, "lcmsServiceStatsInPacketRate", func(r row) uint64 { return r.InPacketRate }),
		mib.Gauge32(8, "lcmsServiceStatsOutPacketRate", func(r row) uint64 { return r.OutPacketRate }),
		mib.Gauge32(9, "lcmsServiceStatsInBitRate", func(r row) uint64 { return kilobits(r.InByteRate) }),
		mib.Gauge32(10, "lcmsServiceStatsOutBitRate", func(r row) uint64 { return kilobits(r.OutByteRate) }),
		mib.Gauge32(11, "lcmsServiceStatsActiveConnections", func(r row) uint64 { return r.ActiveConnections }),
		mib.Gauge32(12, "lcmsServiceStatsInactiveConnections", func(r row) uint64 { return r.InactiveConnections }),
		mib.Gauge32(13, "lcmsServiceStatsPersistentConnections", func(r row) uint64 { return r.PersistentConnections }),
		mib.Gauge32(14, "lcmsServiceStatsPeakActive", func(r row) uint64 { return r.PeakActive }),
		mib.Time(15, "lcmsServiceStatsDiscontinuityTime", func(r row) time.Time { return r.Discontinuity.Time() }),
	)
}

// serviceRows declares a table whose rows are the services.
func serviceRows(name string, oid smi.OID, columns ...mib.Column[serviceRow]) *mib.Table[*control.Snapshot, serviceRow, *lvs.Change] {
	return &mib.Table[*control.Snapshot, serviceRow, *lvs.Change]{
		Name:    name,
		OID:     oid,
		Columns: columns,
		Get: func(s *control.Snapshot, index smi.OID) (serviceRow, bool) {
			i, used := seekService(s, index)
			if used == 0 || used != len(index) {
				return nil, false
			}
			return s.Services[i], true
		},
		Next: func(s *control.Snapshot, index smi.OID, include bool) (serviceRow, bool) {
			i, used := seekService(s, index)
			if used != 0 && !(include && used == len(index)) {
				i++
			}
			if i == len(s.Services) {
				return nil, false
			}
			return s.Services[i], true
		},
		Index: func(dst smi.OID, r serviceRow) smi.OID { return serviceIndex(dst, r.Text) },
	}
}

func serviceIndex(dst smi.OID, service string) smi.OID { return smi.AppendIndexString(dst, service) }

// seekService returns the position of the first service whose key does not
// come before the front of index; used is how much of index names this very
// service, 0 if it is another one. It looks first where the last request was:
// a walk goes on there.
func seekService(s *control.Snapshot, index smi.OID) (i, used int) {
	low, high := 0, len(s.Services)
	for try := s.Hint(); low < high; try = int(uint(low+high) >> 1) {
		order, used := smi.CompareIndexString(index, s.Services[try].Text)
		switch {
		case order == 0:
			s.SetHint(try)
			return try, used
		case order < 0:
			high = try
		default:
			low = try + 1
		}
	}
	return low, 0
}

// cutServiceKey reads a service key from the front of an index.
func cutServiceKey(index smi.OID) (lvs.ServiceKey, smi.OID, error) {
	text, rest, ok := smi.CutIndexString(index)
	if !ok {
		return lvs.ServiceKey{}, nil, errors.New("the index holds no service key: its length and then its octets")
	}
	key, err := lvs.ParseServiceKey(text)
	return key, rest, err
}

func protocolNumber(p lvs.Protocol) int32 {
	return int32(1 + slices.Index([]lvs.Protocol{0, lvs.TCP, lvs.UDP, lvs.SCTP}, p))
}

func familyType(f lvs.Family) int32 {
	if f == lvs.IPv6 {
		return mib.AddressTypeIPv6
	}
	return mib.AddressTypeIPv4
}

func owner(external bool) int32 {
	if external {
		return 2
	}
	return 1
}
