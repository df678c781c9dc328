package lvs

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// MaxURI is the longest URI, in octets.
const MaxURI = 255

// Host is a machine as an administrator describes it. It is comparable.
type Host struct {
	Name          HostName
	Address       netip.Addr // invalid: not known
	CpuType       string     // for people; at most 64 octets
	InterfaceType string     // for people; at most 64 octets
	SnmpURI       string     // where its SNMP agent answers (RFC 4088), without a password; "" = not known
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
	}
	if err := checkSnmpURI(h.SnmpURI); err != nil {
		return refuse("SnmpURI", "%v", err)
	}
	return nil
}

// checkSnmpURI says what is wrong with a URI of RFC 4088. It does not repeat what may
// be a secret: refusals are kept for people to read.
func checkSnmpURI(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err == nil {
		if _, secret := u.User.Password(); secret {
			return errors.New("the SNMP URI has a password, which all who may read it would see: leave it out, as in snmp://192.0.2.11:161")
		}
	}
	shown := s[strings.LastIndex(s, "@")+1:]
	if err != nil || len(s) > MaxURI || u.Scheme != "snmp" || u.Hostname() == "" {
		return fmt.Errorf("%q is no SNMP URI of at most %d octets: write it like snmp://192.0.2.11:161 (RFC 4088)", shown, MaxURI)
	}
	if port := u.Port(); port != "" && !numberIn(port, 1, 65535) {
		return fmt.Errorf("%q has the port %s: use 1 to 65535, as in snmp://192.0.2.11:161, or leave it out", shown, port)
	}
	return nil
}
