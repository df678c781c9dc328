package ipvs

import (
	"log/slog"
	"net/netip"
	"os"

	"github.com/cloudflare/ipvs"

	"github.com/lcms-project/lcms/internal/lvs"
)

// destination is a server as the library has it.
func destination(s lvs.ServerSpec) ipvs.Destination {
	return ipvs.Destination{
		Address:        s.Key.Addr(),
		Port:           s.Key.Port(),
		Family:         ipvs.AddressFamily(addressFamily(s.Key.Family())),
		FwdMethod:      ipvs.ForwardType(s.Forwarding),
		Weight:         s.Weight,
		UpperThreshold: s.UpperThreshold,
		LowerThreshold: s.LowerThreshold,
		TunnelType:     ipvs.TunnelType(s.TunnelType),
		TunnelPort:     s.TunnelPort,
		TunnelFlags:    ipvs.TunnelFlags(s.TunnelFlags),
	}
}

// servers dumps the servers of a service. The error is ESRCH if there is no
// such service.
func (c *conn) servers(key lvs.ServiceKey, log *slog.Logger) ([]lvs.ActualServer, error) {
	found, err := c.client.Destinations(identity(key))
	// The library says so of a service without servers; the kernel's own
	// ENOENT is another error that only looks alike to errors.Is.
	if err == os.ErrNotExist {
		// The kernel also gives no servers for a service that is not there.
		_, err := c.client.Service(identity(key))
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	servers := make([]lvs.ActualServer, 0, len(found))
	seen := make(map[lvs.ServerKey]struct{}, len(found))
	for i := range found {
		d := &found[i]
		k, err := lvs.NewServerKey(netip.AddrPortFrom(d.Address, d.Port))
		if err != nil {
			log.Debug("server of the kernel passed over", "service", key.String(), "error", err)
			continue
		}
		if _, twice := seen[k]; twice {
			continue
		}
		seen[k] = struct{}{}
		servers = append(servers, lvs.ActualServer{
			ServerSpec: lvs.ServerSpec{
				Key:            k,
				Forwarding:     lvs.Forwarding(d.FwdMethod),
				Weight:         d.Weight,
				UpperThreshold: d.UpperThreshold,
				LowerThreshold: d.LowerThreshold,
				TunnelType:     lvs.TunnelType(d.TunnelType),
				TunnelPort:     d.TunnelPort,
				TunnelFlags:    lvs.TunnelFlags(d.TunnelFlags),
			},
			Stats:                 stats(&d.Stats64),
			ActiveConnections:     d.ActiveConnections,
			InactiveConnections:   d.InactiveConnections,
			PersistentConnections: d.PersistentConnections,
		})
	}
	return servers, nil
}

func stats(s *ipvs.Stats) lvs.Stats {
	return lvs.Stats{
		Connections:    s.Connections,
		InPackets:      s.IncomingPackets,
		OutPackets:     s.OutgoingPackets,
		InBytes:        s.IncomingBytes,
		OutBytes:       s.OutgoingBytes,
		ConnectionRate: s.ConnectionRate,
		InPacketRate:   s.IncomingPacketRate,
		OutPacketRate:  s.OutgoingPacketRate,
		InByteRate:     s.IncomingByteRate,
		OutByteRate:    s.OutgoingByteRate,
	}
}
