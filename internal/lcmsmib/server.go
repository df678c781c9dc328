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
	serverEntry      = smi.OID{1, 5, 1, 1}
	serverStatsEntry = smi.OID{1, 5, 2, 1}
)

// serverRow is a server with its service.
type serverRow struct {
	service *control.ServiceRow
	control.ServerRow
	written *written // in a draft
}

// written is what a SET makes of a server.
type written struct {
	server lvs.Server
	told   // unsaid where nothing is
}

// told is what a monitor tells of a server.
type told struct {
	advised uint32
	health  lvs.Health
	detail  string
}

// healthAge returns how long ago its health was reported.
func (r serverRow) healthAge() uint64 {
	if r.Told == nil {
		return age(time.Time{})
	}
	return age(r.Told.HealthAt)
}

// unsaidText stands for a detail that is not written: it cannot be.
const unsaidText = "\x00"

// desired returns what is asked for, or what is written of it.
func (r serverRow) desired() *lvs.Server {
	if r.written != nil {
		return &r.written.server
	}
	return r.Server
}

// told returns what stands of the monitor's word, or what is written of it.
func (r serverRow) told() *told {
	if r.written != nil {
		return &r.written.told
	}
	now := told{health: lvs.HealthUnknown}
	if c := r.Told; c != nil {
		at, life := time.Now(), r.service.Service.ReportLife()
		now.health, now.detail = c.Told(at, life), c.Detail
		if at.Sub(c.AdvisedAt) < life {
			now.advised = c.Advised
		}
	}
	return &now
}

// reported adds to a change what was written of the monitor's word, and says
// whether there was any.
func (r serverRow) reported(c *lvs.Change) bool {
	w := r.written
	report := lvs.Report{ServerID: lvs.ServerID{Service: r.service.Service.Key, Server: r.Server.Key}}
	if w.advised != unsaid {
		report.Advised = &w.advised
	}
	if w.health != 0 {
		report.Health = &w.health
	}
	if w.detail != unsaidText {
		report.Detail = &w.detail
	}
	if report.Advised == nil && report.Health == nil && report.Detail == nil {
		return false
	}
	c.Reports = append(c.Reports, report)
	return true
}

func server() *mib.Table[*control.Snapshot, serverRow, *lvs.Change] {
	type row = serverRow
	t := serverRows("lcmsServerTable", serverEntry,
		mib.AddressTypeOf(2, "lcmsServerAddressType", func(r row) int32 { return mib.AddressType(r.Server.Key.Addr()) }),
		mib.AddressOf(3, "lcmsServerAddress", func(r row) netip.Addr { return r.Server.Key.Addr() }),
		mib.Gauge32(4, "lcmsServerPort", func(r row) uint64 { return uint64(r.Server.Key.Port()) }),
		mib.Text(5, "lcmsServerHost", func(r row) *string { return (*string)(&r.desired().Host) }, mib.Creatable, mib.Range(0, lvs.MaxHostName)),
		mib.Enum(6, "lcmsServerForwarding", func(r row) *lvs.Forwarding { return &r.desired().Forwarding }, []string{"masquerade", "local", "tunnel", "directRoute", "bypass"}, mib.Creatable, mib.From(1), mib.Settable(4)),
		mib.Unsigned32(7, "lcmsServerWeight", func(r row) *uint32 { return &r.desired().Weight }, mib.Creatable, mib.Range(0, lvs.MaxWeight)),
		mib.Unsigned32(8, "lcmsServerAdvisedWeight", func(r row) *uint32 { return &r.told().advised }, mib.Creatable, mib.Range(0, lvs.MaxWeight)),
		mib.Gauge32(9, "lcmsServerOperWeight", func(r row) uint64 { return uint64(r.Actual.Weight) }),
		mib.TextOf(10, "lcmsServerWeightReason", func(r row) string { return r.service.WeightReason(r.ServerState) }),
		mib.Unsigned32(11, "lcmsServerUpperThreshold", func(r row) *uint32 { return &r.desired().UpperThreshold }, mib.Creatable),
		mib.Unsigned32(12, "lcmsServerLowerThreshold", func(r row) *uint32 { return &r.desired().LowerThreshold }, mib.Creatable),
		mib.Enum(13, "lcmsServerTunnelType", func(r row) *lvs.TunnelType { return &r.desired().TunnelType }, []string{"ipip", "gue", "gre"}, mib.Creatable, mib.From(1)),
		mib.Unsigned32(14, "lcmsServerTunnelPort", func(r row) *uint16 { return &r.desired().TunnelPort }, mib.Creatable),
		mib.Bits(15, "lcmsServerTunnelFlags", func(r row) *lvs.TunnelFlags { return &r.desired().TunnelFlags }, []string{"checksum", "remoteChecksum"}, mib.Creatable),
		mib.Enum(16, "lcmsServerAdminStatus", func(r row) *lvs.AdminStatus { return &r.desired().AdminStatus }, adminLabels, mib.Creatable),
		mib.Unsigned32(17, "lcmsServerDrainTimeout", func(r row) *uint32 { return &r.desired().DrainTimeout }, mib.Creatable),
		mib.Enum(18, "lcmsServerHealth", func(r row) *lvs.Health { return &r.told().health }, []string{"unknown", "up", "down"}, mib.Creatable),
		mib.Gauge32(19, "lcmsServerHealthAge", func(r row) uint64 { return r.healthAge() }),
		mib.Text(20, "lcmsServerHealthDetail", func(r row) *string { return &r.told().detail }, mib.Creatable, mib.Range(0, lvs.MaxDetail)),
		mib.EnumOf(21, "lcmsServerOperStatus", func(r row) int32 { return int32(r.Oper.Status) }, operLabels),
		mib.TextOf(22, "lcmsServerOperReason", func(r row) string { return r.Reason }),
		mib.Time(23, "lcmsServerLastChange", func(r row) time.Time { return r.LastChange.Time() }),
		mib.Counter32(24, "lcmsServerTransitions", func(r row) uint32 { return r.Transitions }),
		mib.TextOf(25, "lcmsServerLastError", func(r row) string { return r.LastError }),
		mib.StorageType(26, "lcmsServerStorageType", func(r row) *lvs.Storage { return &r.desired().Storage }),
		mib.RowStatus(27, "lcmsServerRowStatus", func(r row) *lvs.Status { return &r.desired().Status }),
		mib.Enum(28, "lcmsServerDrainAction", func(r row) *lvs.DrainAction { return &r.desired().DrainAction }, []string{"keep", "down", "destroy"}, mib.Creatable),
	)
	t.Clone = func(r row) row {
		r.written = &written{*r.Server, told{advised: unsaid, detail: unsaidText}}
		return r
	}
	t.New = newServer
	t.Ready = func(r row) error {
		if refusal := r.desired().Check(&r.service.Service); refusal != nil {
			return refusal
		}
		return nil
	}
	t.Status = func(r row) *uint8 { return (*uint8)(&r.desired().Status) }
	t.Expect = func(c *lvs.Change, rows int) { c.PutServers = slices.Grow(c.PutServers, rows) }
	t.Put = putServer
	return t
}

// newServer makes the row of a server that is to be created. Its service may
// be created by the same request.
func newServer(s *control.Snapshot, index smi.OID) (serverRow, error) {
	service, rest, err := cutServiceKey(index)
	if err != nil {
		return serverRow{}, err
	}
	text, rest, ok := smi.CutIndexString(rest)
	if !ok || len(rest) > 0 {
		return serverRow{}, errors.New("the index holds no server key after the service key: its length and then its octets")
	}
	key, err := lvs.ParseServerKey(text)
	if err != nil {
		return serverRow{}, err
	}
	server := lvs.NewServer(key)
	row := serverRow{
		ServerRow: control.ServerRow{ServerState: &control.ServerState{Text: text, Server: &server}},
		written:   &written{server, told{advised: unsaid, detail: unsaidText}},
	}
	if i, found := s.Find(service.String()); found {
		row.service = s.Services[i]
	} else {
		row.service = &control.ServiceRow{Text: service.String(), Service: lvs.NewService(service)}
	}
	return row, nil
}

// putServer adds the edit of a server to the change. The services were put
// before.
func putServer(c *lvs.Change, e mib.Edit[serverRow]) error {
	row := e.New
	if e.Destroyed {
		row = e.Old
	}
	service := row.service.Service.Key
	if row.service.External && !slices.Contains(c.Adopt, service) {
		return refuse(smi.InconsistentValue, "service "+row.service.Text+": "+adoptFirst)
	}
	external := e.Existed && e.Old.External
	switch {
	case e.Destroyed:
		c.DeleteServers = append(c.DeleteServers, lvs.ServerID{Service: service, Server: e.Old.Server.Key})
		return nil
	case external && !e.Activated && !row.service.External:
		return refuse(smi.InconsistentValue, adoptFirst)
	}
	report := e.New.reported(c)
	put := *e.New.desired()
	if !external && e.Existed && put == *e.Old.Server && (report || e.Old.Note == "") {
		return nil // else the same again is meant for the directory, which has something else
	}
	if put.Storage == lvs.Other {
		put.Storage = lvs.NonVolatile
	}
	c.PutServers = append(c.PutServers, lvs.ServerAt{Service: service, Server: put})
	return nil
}

func serverStats() *mib.Table[*control.Snapshot, serverRow, *lvs.Change] {
	type row = serverRow
	return serverRows("lcmsServerStatsTable", serverStatsEntry,
		mib.Counter64(1, "lcmsServerStatsConnections", func(r row) uint64 { return r.Actual.Connections }),
		mib.Counter64(2, "lcmsServerStatsInPackets", func(r row) uint64 { return r.Actual.InPackets }),
		mib.Counter64(3, "lcmsServerStatsOutPackets", func(r row) uint64 { return r.Actual.OutPackets }),
		mib.Counter64(4, "lcmsServerStatsInBytes", func(r row) uint64 { return r.Actual.InBytes }),
		mib.Counter64(5, "lcmsServerStatsOutBytes", func(r row) uint64 { return r.Actual.OutBytes }),
		mib.Gauge32(6, "lcmsServerStatsConnectionRate", func(r row) uint64 { return r.Actual.ConnectionRate }),
		mib.Gauge32(7, "lcmsServerStatsInPacketRate", func(r row) uint64 { return r.Actual.InPacketRate }),
		mib.Gauge32(8, "lcmsServerStatsOutPacketRate", func(r row) uint64 { return r.Actual.OutPacketRate }),
		mib.Gauge32(9, "lcmsServerStatsInBitRate", func(r row) uint64 { return kilobits(r.Actual.InByteRate) }),
		mib.Gauge32(10, "lcmsServerStatsOutBitRate", func(r row) uint64 { return kilobits(r.Actual.OutByteRate) }),
		mib.Gauge32(11, "lcmsServerStatsActiveConnections", func(r row) uint64 { return uint64(r.Actual.ActiveConnections) }),
		mib.Gauge32(12, "lcmsServerStatsInactiveConnections", func(r row) uint64 { return uint64(r.Actual.InactiveConnections) }),
		mib.Gauge32(13, "lcmsServerStatsPersistentConnections", func(r row) uint64 { return uint64(r.Actual.PersistentConnections) }),
		mib.Gauge32(14, "lcmsServerStatsPeakActive", func(r row) uint64 { return uint64(r.PeakActive) }),
		mib.Time(15, "lcmsServerStatsDiscontinuityTime", func(r row) time.Time { return r.Discontinuity.Time() }),
	)
}

// serverRows declares a table whose rows are the servers of all services.
func serverRows(name string, oid smi.OID, columns ...mib.Column[serverRow]) *mib.Table[*control.Snapshot, serverRow, *lvs.Change] {
	return &mib.Table[*control.Snapshot, serverRow, *lvs.Change]{
		Name:    name,
		OID:     oid,
		Columns: columns,
		Get: func(s *control.Snapshot, index smi.OID) (serverRow, bool) {
			i, used := seekService(s, index)
			if used == 0 {
				return serverRow{}, false
			}
			service, rest := s.Services[i], index[used:]
			if j, exact := seekServer(service, rest); exact {
				return serverRow{service: service, ServerRow: service.Servers[j]}, true
			}
			return serverRow{}, false
		},
		Next: func(s *control.Snapshot, index smi.OID, include bool) (serverRow, bool) {
			i, used := seekService(s, index)
			j := 0
			if used != 0 {
				var exact bool
				if j, exact = seekServer(s.Services[i], index[used:]); exact && !include {
					j++
				}
			}
			for ; i < len(s.Services); i, j = i+1, 0 {
				if service := s.Services[i]; j < len(service.Servers) {
					return serverRow{service: service, ServerRow: service.Servers[j]}, true
				}
			}
			return serverRow{}, false
		},
		Index: func(dst smi.OID, r serverRow) smi.OID { return serverIndex(dst, r.service.Text, r.Text) },
	}
}

func serverIndex(dst smi.OID, service, server string) smi.OID {
	return smi.AppendIndexString(serviceIndex(dst, service), server)
}

// seekServer returns the position of the first server of a service that does
// not come before index, and whether index names this very server.
func seekServer(service *control.ServiceRow, index smi.OID) (j int, exact bool) {
	low, high := 0, len(service.Servers)
	for low < high {
		middle := int(uint(low+high) >> 1)
		order, used := smi.CompareIndexString(index, service.Servers[middle].Text)
		switch {
		case order == 0 && used == len(index):
			return middle, true
		case order < 0:
			high = middle
		default: // after it, or longer than it
			low = middle + 1
		}
	}
	return low, false
}
