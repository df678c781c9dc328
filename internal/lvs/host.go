package lvs

import (
	"fmt"
	"net/netip"
	"net/url"
)

// MaxURI is the longest URI, in octets.
const MaxURI = 255

// Host is a machine as an administrator describes it. It is comparable.
type Host struct {
	Name          HostName
	Address       netip.Addr // invalid: not known
	CpuType       string     // for people; at most 64 octets
	InterfaceType string     // for people; at most 64 octets
	SnmpURI       string     // where its SNMP agent answers (RFC 4088); "" = not known
	MemorySize    uint32     // MiB; 0 = not known
	RolePotential Roles      // what it can be
	Status        Status
	Storage       Storage
}

// NewHost returns the host that a bare create makes: active, kept in the store,
// and nothing known of it.
func NewHost(name HostName) Host {
	return Host{Name: name, Status: Active, Storage: NonVolatile}
}

func (h *Host) compare(other *Host) int { return h.Name.Compare(other.Name) }

// Check says why the host cannot be as it is, nil if it can. The refusal names
// the field at fault.
func (h Host) Check() *Refusal {
	refuse := func(field, format string, args ...any) *Refusal {
		return &Refusal{Kind: ErrInvalid, Host: h.Name, Field: field, Value: true, Reason: fmt.Sprintf(format, args...)}
	}
	if h.Address.IsValid() {
		if err := checkAddress(h.Address); err != nil {
			return refuse("Address", "%v", err)
		}
	}
	switch {
	case len(h.CpuType) > MaxType:
		return refuse("CpuType", "processor type has %d octets: at most %d", len(h.CpuType), MaxType)
	case len(h.InterfaceType) > MaxType:
		return refuse("InterfaceType", "interface type has %d octets: at most %d", len(h.InterfaceType), MaxType)
	case h.RolePotential&^AllRoles != 0:
		return refuse("RolePotential", "roles %#x: only loadBalancer, backup and realServer exist", uint8(h.RolePotential))
	case !isSnmpURI(h.SnmpURI):
		return refuse("SnmpURI", "%q is no SNMP URI of at most %d octets: write it like snmp://public@192.0.2.11:161 (RFC 4088)", h.SnmpURI, MaxURI)
	}
	return nil
}

func isSnmpURI(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && len(s) <= MaxURI && u.Scheme == "snmp" && u.Host != ""
}
