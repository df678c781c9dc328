package ldapsync

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// reading asks the server that is written to. What the tree of the sync session
// holds may be older, or come from another server.
type reading struct {
	conn *ldap.Conn
	base Base
}

// standing is an entry as it is now.
type standing struct {
	dn, csn string
	object  Object
	fault   *Fault // why it is no object; then object has its place at most
}

// at returns what stands at a place; ok is false if nothing does.
func (r reading) at(p Place) (s standing, ok bool, err error) {
	list, err := r.search(r.base.DN(p), ldap.ScopeBaseObject)
	if code, _ := answer(err); code == ldap.LDAPResultNoSuchObject {
		return standing{}, false, nil
	}
	if err != nil || len(list) == 0 {
		return standing{}, false, err
	}
	return list[0], true, nil
}

// below returns all that stands below an entry, what is above first.
func (r reading) below(s standing) ([]standing, error) {
	list, err := r.search(s.dn, ldap.ScopeWholeSubtree)
	list = slices.DeleteFunc(list, func(e standing) bool { return strings.EqualFold(e.dn, s.dn) })
	slices.SortStableFunc(list, func(a, b standing) int { return names(a.dn) - names(b.dn) })
	return list, err
}

func (r reading) search(dn string, scope int) ([]standing, error) {
	found, err := r.conn.Search(ldap.NewSearchRequest(dn, scope, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"*", "entryCSN"}, nil))
	if err != nil {
		return nil, err
	}
	var list []standing
	for _, e := range found.Entries {
		s := standing{dn: e.DN, csn: e.GetEqualFoldAttributeValue("entryCSN")}
		if s.object, err = r.base.Read(e); err != nil && !errors.As(err, &s.fault) {
			s.fault = &Fault{DN: e.DN, Reason: err.Error()}
		}
		list = append(list, s)
	}
	return list, nil
}

// names counts the components of a DN.
func names(dn string) int {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return 0
	}
	return len(parsed.RDNs)
}
