package ldapsync

import (
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Kind says what stands at a place of the tree.
type Kind uint8

// The kinds of entries. Elsewhere is a place that is not ours; those with a
// plural are containers.
const (
	Elsewhere Kind = iota
	Root
	Hosts
	Host
	SyncDaemon
	Clusters
	Cluster
	Members // of one role in one cluster
	Member
	Services // of one cluster, or of none
	Service
	Server
)

// Place is what a DN tells: the kind of an entry and the keys on the way to it.
// It is comparable; keys that do not belong to the kind are zero.
type Place struct {
	Kind    Kind
	Cluster lvs.ClusterID   // of Cluster and below; "" for Services of no cluster and below
	Role    lvs.Role        // of Members and Member
	Host    lvs.HostName    // of Host, SyncDaemon and Member
	Daemon  lvs.DaemonState // of SyncDaemon
	Service lvs.ServiceKey  // of Service and Server
	Server  lvs.ServerKey   // of Server
}

// Parent returns the place above. That of Root and of Elsewhere is Elsewhere.
func (p Place) Parent() Place {
	switch p.Kind {
	case Hosts, Clusters:
		return Place{Kind: Root}
	case Host:
		return Place{Kind: Hosts}
	case SyncDaemon:
		return Place{Kind: Host, Host: p.Host}
	case Cluster:
		return Place{Kind: Clusters}
	case Members:
		return Place{Kind: Cluster, Cluster: p.Cluster}
	case Member:
		return Place{Kind: Members, Cluster: p.Cluster, Role: p.Role}
	case Services:
		if p.Cluster == "" {
			return Place{Kind: Root}
		}
		return Place{Kind: Cluster, Cluster: p.Cluster}
	case Service:
		return Place{Kind: Services, Cluster: p.Cluster}
	case Server:
		return Place{Kind: Service, Cluster: p.Cluster, Service: p.Service}
	}
	return Place{}
}

// The names of the containers.
const (
	hostsName    = "host"
	clustersName = "load_cluster"
	servicesName = "virtual_service"
)

var membersNames = map[lvs.Role]string{
	lvs.LoadBalancer: "load_balancer",
	lvs.Backup:       "backup_server",
	lvs.RealServer:   "real_server",
}

// name returns the attribute and the value of the relative DN.
func (p Place) name() (attribute, value string) {
	switch p.Kind {
	case Hosts:
		return "ou", hostsName
	case Clusters:
		return "ou", clustersName
	case Services:
		return "ou", servicesName
	case Members:
		return "ou", membersNames[p.Role]
	case Host, Member:
		return "cn", string(p.Host)
	case Cluster:
		return "lcmsClusterId", string(p.Cluster)
	case SyncDaemon:
		return "lcmsSyncState", p.Daemon.String()
	case Service:
		return "lcmsKey", p.Service.String()
	case Server:
		return "lcmsKey", p.Server.String()
	}
	return "", ""
}

// child returns the place of an entry below p, by the attribute and the value
// of its relative DN. Elsewhere without an error is a place that is not ours;
// an error tells why the value is no key. Letter case makes no difference, as
// in the directory itself.
func (p Place) child(attribute, value string) (Place, error) {
	c := p
	var err error
	fold := strings.ToLower(value)
	switch named := strings.ToLower(attribute); {
	case p.Kind == Root && named == "ou" && fold == hostsName:
		c.Kind = Hosts
	case p.Kind == Root && named == "ou" && fold == clustersName:
		c.Kind = Clusters
	case (p.Kind == Root || p.Kind == Cluster) && named == "ou" && fold == servicesName:
		c.Kind = Services
	case p.Kind == Cluster && named == "ou":
		for role, name := range membersNames {
			if name == fold {
				c.Kind, c.Role = Members, role
				return c, nil
			}
		}
		return Place{}, nil
	case p.Kind == Hosts && named == "cn":
		c.Kind = Host
		c.Host, err = lvs.ParseHostName(fold)
	case p.Kind == Members && named == "cn":
		c.Kind = Member
		c.Host, err = lvs.ParseHostName(fold)
	case p.Kind == Host && named == "lcmssyncstate":
		c.Kind = SyncDaemon
		err = c.Daemon.UnmarshalText([]byte(fold))
	case p.Kind == Clusters && named == "lcmsclusterid":
		c.Kind = Cluster
		c.Cluster, err = lvs.ParseClusterID(fold)
	case p.Kind == Services && named == "lcmskey":
		c.Kind = Service
		c.Service, err = lvs.ParseServiceKey(fold)
	case p.Kind == Service && named == "lcmskey":
		c.Kind = Server
		c.Server, err = lvs.ParseServerKey(fold)
	default:
		return Place{}, nil
	}
	if err != nil {
		return Place{}, err
	}
	return c, nil
}

// Base is the DN at which the tree begins.
type Base struct {
	text string
	rdns []*ldap.RelativeDN
}

// ParseBase reads the DN of a base (RFC 4514).
func ParseBase(dn string) (Base, error) {
	parsed, err := ldap.ParseDN(dn)
	switch {
	case err != nil:
		return Base{}, fmt.Errorf("base %q: %w: write it like dc=lcms,dc=example,dc=org", dn, err)
	case len(parsed.RDNs) == 0:
		return Base{}, fmt.Errorf("the base is empty: write it like dc=lcms,dc=example,dc=org")
	}
	return Base{dn, parsed.RDNs}, nil
}

// String returns the base as it was given.
func (b Base) String() string { return b.text }

// DN returns where p stands, "" for Elsewhere.
func (b Base) DN(p Place) string {
	switch p.Kind {
	case Elsewhere:
		return ""
	case Root:
		return b.text
	}
	attribute, value := p.name()
	return attribute + "=" + ldap.EscapeDN(value) + "," + b.DN(p.Parent())
}

// Place tells what a DN names. Elsewhere without an error is what does not
// concern us; an error, a *Fault, tells which component of a place of ours
// names nothing.
func (b Base) Place(dn string) (Place, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return Place{}, &Fault{DN: dn, Reason: fmt.Sprintf("its name cannot be read: %v", err)}
	}
	above := len(parsed.RDNs) - len(b.rdns)
	if above < 0 || !sameNames(parsed.RDNs[above:], b.rdns) {
		return Place{}, nil
	}
	p := Place{Kind: Root}
	for i := above - 1; i >= 0 && p.Kind != Elsewhere; i-- {
		named := parsed.RDNs[i].Attributes
		if len(named) != 1 {
			return Place{}, nil
		}
		p, err = p.child(named[0].Type, named[0].Value)
		if err != nil {
			return Place{}, &Fault{DN: dn, Attribute: named[0].Type, Value: named[0].Value, Reason: err.Error()}
		}
	}
	return p, nil
}

// sameNames compares as caseIgnoreMatch does, which is the rule of the
// attributes that a base is made of.
func sameNames(a, b []*ldap.RelativeDN) bool {
	for i := range a {
		if len(a[i].Attributes) != len(b[i].Attributes) {
			return false
		}
		for j := range a[i].Attributes {
			x, y := a[i].Attributes[j], b[i].Attributes[j]
			if !strings.EqualFold(x.Type, y.Type) || !strings.EqualFold(oneSpace(x.Value), oneSpace(y.Value)) {
				return false
			}
		}
	}
	return true
}

// oneSpace leaves one space of several, as the matching rule does (RFC 4518
// section 2.6).
func oneSpace(s string) string { return strings.Join(strings.Fields(s), " ") }

// is reports whether a DN is that of the base.
func (b Base) is(dn string) bool {
	if dn == b.text {
		return true
	}
	if depth(dn) != len(b.rdns) {
		return false
	}
	parsed, err := ldap.ParseDN(dn)
	return err == nil && len(parsed.RDNs) == len(b.rdns) && sameNames(parsed.RDNs, b.rdns)
}

// named returns the place of an entry below p by its relative DN, as child does;
// an error is a *Fault.
func (p Place) named(rdn string) (Place, error) {
	attribute, value, ok := strings.Cut(rdn, "=")
	if !ok || strings.ContainsAny(rdn, `\+`) {
		parsed, err := ldap.ParseDN(rdn)
		switch {
		case err != nil:
			return Place{}, &Fault{DN: rdn, Reason: fmt.Sprintf("its name cannot be read: %v", err)}
		case len(parsed.RDNs) != 1 || len(parsed.RDNs[0].Attributes) != 1:
			return Place{}, nil
		}
		attribute, value = parsed.RDNs[0].Attributes[0].Type, parsed.RDNs[0].Attributes[0].Value
	}
	c, err := p.child(attribute, value)
	if err != nil {
		return Place{}, &Fault{DN: rdn, Attribute: attribute, Value: value, Reason: err.Error()}
	}
	return c, nil
}
