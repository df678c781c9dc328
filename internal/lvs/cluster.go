package lvs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Limits of texts, in octets.
const (
	MaxDescription = 255
	MaxType        = 64   // of what something is, for people
	MaxAddresses   = 1024 // of a list of addresses
)

// Cluster is a load cluster as an administrator asks for it: virtual services
// that belong together, and the hosts that serve them. It is comparable.
type Cluster struct {
	ID               ClusterID
	Description      string // for people; at most 255 octets
	ServiceType      string // what it serves, for people, such as web; at most 64 octets
	VirtualAddresses string // where it serves, for people: as FormatAddresses writes them
	AdminStatus      AdminStatus
	DriftPolicy      DriftPolicy `json:",omitzero"` // 0: as the director is configured
	ExpectedServices uint32      // with fewer than this, deletions in the directory are held; 0: no bound
	AutoReconfigure  bool        // changes that come from the directory are made at once, not held
	Status           Status
	Storage          Storage
}

// NewCluster returns the cluster that a bare create makes: up, reconfigured as
// the directory changes, active, kept in the store.
func NewCluster(id ClusterID) Cluster {
	return Cluster{ID: id, AdminStatus: AdminUp, AutoReconfigure: true, Status: Active, Storage: NonVolatile}
}

func (c *Cluster) compare(other *Cluster) int { return c.ID.Compare(other.ID) }

// Check says why the cluster cannot be as it is, nil if it can. The refusal
// names the field at fault.
func (c Cluster) Check() *Refusal {
	refuse := func(field, format string, args ...any) *Refusal {
		return &Refusal{Kind: ErrInvalid, Cluster: c.ID, Field: field, Value: true, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(c.Description) > MaxDescription:
		return refuse("Description", "description has %d octets: at most %d", len(c.Description), MaxDescription)
	case len(c.ServiceType) > MaxType:
		return refuse("ServiceType", "service type has %d octets: at most %d", len(c.ServiceType), MaxType)
	case c.AdminStatus < AdminUp || c.AdminStatus > AdminDown:
		return refuse("AdminStatus", "administrative status %s: use up, drain or down", c.AdminStatus)
	case c.DriftPolicy > DriftAdopt:
		return refuse("DriftPolicy", "drift policy %s: use enforce, alert or adopt", c.DriftPolicy)
	}
	if _, err := ParseAddresses(c.VirtualAddresses); err != nil {
		return refuse("VirtualAddresses", "virtual addresses: %v", err)
	}
	return nil
}

// ParseAddresses reads a list of addresses in its canonical form, which
// FormatAddresses writes. Any other spelling is refused with the canonical one
// named.
func ParseAddresses(s string) ([]netip.Addr, error) {
	if len(s) > MaxAddresses {
		return nil, invalid("they have %d octets: at most %d", len(s), MaxAddresses)
	}
	var list []netip.Addr
	for text := range strings.FieldsSeq(s) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, invalid("%q is no IP address: write them like 192.0.2.1 2001:db8::1", text)
		}
		if err := checkAddress(a); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	if canonical := FormatAddresses(list); canonical != s {
		return nil, invalid("%q is not canonical: write %q", s, canonical)
	}
	return list, nil
}

// FormatAddresses writes a list of addresses in its canonical form: each once,
// in ascending order, separated by blanks.
func FormatAddresses(list []netip.Addr) string {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.Addr.Compare)
	texts := make([]string, 0, len(list))
	for _, a := range slices.Compact(list) {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, " ")
}
