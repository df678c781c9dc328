package lvs

import (
	"fmt"
	"net/netip"
	"strings"
)

// Limits of single values. The texts are the kernel's array sizes less the
// closing zero (IP_VS_SCHEDNAME_MAXLEN, IP_VS_PENAME_MAXLEN, IFNAMSIZ).
const (
	MaxWeight     = 65535
	MaxModuleName = 15
	MaxInterface  = 15
	MaxName       = 64
	MaxDetail     = 255     // octets of what a monitor tells of a server
	MaxServerKey  = 47      // octets of the text of a server key
	MaxQuorum     = 65535   // servers
	MaxSlowStart  = 3600    // seconds
	MinSyncLength = 1024    // octets; a backup takes no less (net/netfilter/ipvs/ip_vs_sync.c)
	MaxSyncLength = 65487   // octets; what a UDP datagram over IPv6 carries
	MaxTimeout    = 2147483 // seconds; the kernel keeps jiffies in an int: INT_MAX / HZ
)

// Check says why the service cannot be in the kernel as it is, nil if it can.
// The refusal names the field at fault.
func (s Service) Check() *Refusal {
	refuse := func(field, format string, args ...any) *Refusal {
		return &Refusal{Kind: ErrInvalid, Service: s.Key, Field: field, Reason: fmt.Sprintf(format, args...)}
	}
	value := func(field, format string, args ...any) *Refusal {
		r := refuse(field, format, args...)
		r.Value = true
		return r
	}
	switch {
	case !moduleName(s.Scheduler):
		return value("Scheduler", "scheduler %q is no module name: use 1 to %d letters, digits, - or _", s.Scheduler, MaxModuleName)
	case s.PersistenceEngine != "" && !moduleName(s.PersistenceEngine):
		return value("PersistenceEngine", "persistence engine %q is no module name: use 1 to %d letters, digits, - or _", s.PersistenceEngine, MaxModuleName)
	case s.PersistenceEngine != "" && s.PersistenceTimeout == 0:
		return refuse("PersistenceEngine", "persistence engine %q needs a persistence timeout: set it to more than 0 seconds", s.PersistenceEngine)
	case s.PersistenceTimeout > MaxTimeout:
		return value("PersistenceTimeout", "persistence timeout %d s is too long: at most %d s", s.PersistenceTimeout, MaxTimeout)
	case !s.Key.IsFwmark() && s.Key.Port() == 0 && s.PersistenceTimeout == 0:
		return refuse("PersistenceTimeout", "port 0 means every port, which the kernel takes only with persistence: set a persistence timeout or name a port")
	case s.PersistenceNetmask == 0 || int(s.PersistenceNetmask) > s.Key.Family().Bits():
		return value("PersistenceNetmask", "persistence netmask /%d: use 1 to %d for IPv%d", s.PersistenceNetmask, s.Key.Family().Bits(), s.Key.Family())
	case s.OnePacket && s.Key.Protocol() != UDP && !s.Key.IsFwmark():
		return refuse("OnePacket", "one-packet scheduling is for udp services and firewall marks, not for %s", s.Key.Protocol())
	case len(s.Name) > MaxName:
		return value("Name", "name has %d octets: at most %d", len(s.Name), MaxName)
	}
	switch {
	case s.Quorum < 1 || s.Quorum > MaxQuorum:
		return value("Quorum", "quorum %d: use 1 to %d servers", s.Quorum, MaxQuorum)
	case s.WeightPolicy < WeightStatic || s.WeightPolicy > WeightFeedback:
		return value("WeightPolicy", "weight policy %s: use static, capacity or feedback", s.WeightPolicy)
	case s.SlowStart > MaxSlowStart:
		return value("SlowStart", "slow start of %d s is too long: at most %d s", s.SlowStart, MaxSlowStart)
	}
	if s.SorryServer != "" {
		if _, err := ParseServerKey(s.SorryServer); err != nil {
			return value("SorryServer", "sorry server: %v", err)
		}
	}
	if field, reason, wrong := s.HealthCheck.check(); field != "" {
		r := refuse(field, "%s", reason)
		r.Value = wrong
		return r
	}
	if s.Cluster != "" {
		if _, err := ParseClusterID(string(s.Cluster)); err != nil {
			return value("Cluster", "%v", err)
		}
	}
	return nil
}

// Check says why the server cannot be in the kernel under service as it is,
// nil if it can. The refusal names the field at fault.
func (s Server) Check(service *Service) *Refusal {
	refuse := func(field, format string, args ...any) *Refusal {
		return &Refusal{Kind: ErrInvalid, Service: service.Key, Server: s.Key, Field: field, Reason: fmt.Sprintf(format, args...)}
	}
	if reason := notOneHost(s.Key.Addr()); reason != "" {
		return refuse("Key", "%s", reason)
	}
	switch {
	case s.Forwarding > DirectRoute:
		return refuse("Forwarding", "forwarding %s cannot be asked for: use masquerade, local, tunnel or directRoute", s.Forwarding)
	case s.Key.Family() != service.Key.Family() && s.Forwarding != Tunnel:
		return refuse("Forwarding", "an IPv%d server of an IPv%d service is reached by forwarding tunnel only, not by %s", s.Key.Family(), service.Key.Family(), s.Forwarding)
	case s.keepsPort() && !service.Key.IsFwmark() && s.Key.Port() != service.Key.Port():
		return refuse("Forwarding", "forwarding %s leaves the port as it is: the server's port must be the service's, %d, not %d (or use masquerade)", s.Forwarding, service.Key.Port(), s.Key.Port())
	case s.Weight > MaxWeight:
		return refuse("Weight", "weight %d: use 0 to %d", s.Weight, MaxWeight)
	case s.LowerThreshold > s.UpperThreshold:
		return refuse("LowerThreshold", "lower threshold %d is above the upper threshold %d", s.LowerThreshold, s.UpperThreshold)
	case s.TunnelType > GRE:
		return refuse("TunnelType", "tunnel type %s: use ipip, gue or gre", s.TunnelType)
	case s.TunnelType == GUE && s.TunnelPort == 0:
		return refuse("TunnelPort", "a gue tunnel needs a UDP port: set the tunnel port")
	case s.TunnelFlags&^(TunnelChecksum|TunnelRemoteChecksum) != 0:
		return refuse("TunnelFlags", "tunnel flags %#x: only checksum and remoteChecksum exist", uint8(s.TunnelFlags))
	}
	if s.Host != "" {
		if _, err := ParseHostName(string(s.Host)); err != nil {
			r := refuse("Host", "%v", err)
			r.Value = true
			return r
		}
	}
	return nil
}

// notOneHost says why an address is not that of a single host which can be reached, ""
// if it is.
func notOneHost(a netip.Addr) string {
	kind := ""
	switch {
	case a.IsUnspecified():
		kind = "stands for any address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		kind = "is the broadcast address of all hosts"
	case a.IsMulticast():
		kind = "is a multicast address, of a group of hosts"
	case a.Is6() && a.IsLinkLocalUnicast():
		return fmt.Sprintf("%s is a link-local address, which says nothing without the link: write a global or unique local address of the server", a)
	default:
		return ""
	}
	return fmt.Sprintf("%s %s: write the address of the server itself", a, kind)
}

// keepsPort reports whether the forwarding method sends packets on without
// rewriting the port.
func (s Server) keepsPort() bool { return s.Forwarding == DirectRoute || s.Forwarding == Tunnel }

// Check says why the daemon cannot run as it is, nil if it can. The refusal
// names the field at fault.
func (d SyncDaemon) Check() *Refusal {
	refuse := func(field, format string, args ...any) *Refusal {
		return &Refusal{Kind: ErrInvalid, Daemon: d.State, Field: field, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case d.Interface == "":
		return refuse("Interface", "the network interface of the multicast is missing: set it")
	case len(d.Interface) > MaxInterface || strings.ContainsAny(d.Interface, " /\x00"):
		return refuse("Interface", "%q is no name of a network interface", d.Interface)
	case d.MaxLength != 0 && (d.MaxLength < MinSyncLength || d.MaxLength > MaxSyncLength):
		return refuse("MaxLength", "message length %d: use %d to %d, or 0 for what the interface carries", d.MaxLength, MinSyncLength, MaxSyncLength)
	case !d.Group.IsValid():
		return nil
	case !d.Group.IsMulticast():
		return refuse("Group", "%s is no multicast group", d.Group)
	}
	if err := checkAddress(d.Group); err != nil {
		return refuse("Group", "%v", err)
	}
	return nil
}

// Check says why the kernel would not take the timeouts, nil if it would.
func (t Timeouts) Check() *Refusal {
	for _, f := range []struct {
		field string
		value uint32
	}{{"TCP", t.TCP}, {"TCPFin", t.TCPFin}, {"UDP", t.UDP}} {
		if f.value > MaxTimeout {
			return &Refusal{Kind: ErrInvalid, Field: f.field, Reason: fmt.Sprintf("timeout %d s is too long: at most %d s", f.value, MaxTimeout)}
		}
	}
	return nil
}

func moduleName(s string) bool {
	if s == "" || len(s) > MaxModuleName {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}
