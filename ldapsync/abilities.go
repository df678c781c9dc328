package ldapsync

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Abilities are what a server says that it can do.
type Abilities struct {
	Syncrepl     bool // RFC 4533
	Assertion    bool // RFC 4528
	Transactions bool // RFC 5805
}

// readAbilities reads the root DSE (RFC 4512 section 5.1).
func readAbilities(c *ldap.Conn) (Abilities, error) {
	found, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"supportedControl", "supportedExtension"}, nil))
	if err != nil || len(found.Entries) == 0 {
		return Abilities{}, err
	}
	controls := found.Entries[0].GetEqualFoldAttributeValues("supportedControl")
	extensions := found.Entries[0].GetEqualFoldAttributeValues("supportedExtension")
	return Abilities{
		Syncrepl:  slices.Contains(controls, oidSync),
		Assertion: slices.Contains(controls, oidAssertion),
		// OpenLDAP does not list the control that goes with them.
		Transactions: slices.Contains(extensions, oidStartTxn) && slices.Contains(extensions, oidEndTxn),
	}, nil
}

// readContextCSN returns the last change of each server ID that a server has.
func readContextCSN(c *ldap.Conn, base Base) ([]string, error) {
	found, err := c.Search(ldap.NewSearchRequest(base.String(), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"contextCSN"}, nil))
	if err != nil || len(found.Entries) == 0 {
		return nil, err
	}
	return found.Entries[0].GetEqualFoldAttributeValues("contextCSN"), nil
}

// lacking returns the first of the known CSNs that is newer than what a server
// has of the same server ID, "" if there is none.
func lacking(has, known []string) string {
	for _, k := range known {
		if !slices.ContainsFunc(has, func(h string) bool { return sidOf(h) == sidOf(k) && h >= k }) {
			return k
		}
	}
	return ""
}

// sidOf returns the server ID of a CSN, which is TIME#COUNT#SID#MOD.
func sidOf(csn string) string {
	parts := strings.Split(csn, "#")
	if len(parts) != 4 {
		return ""
	}
	return parts[2]
}

// newest merges lists of CSNs: of each server ID it keeps the newest.
func newest(lists ...[]string) []string {
	var merged []string
	for _, list := range lists {
		for _, csn := range list {
			i := slices.IndexFunc(merged, func(m string) bool { return sidOf(m) == sidOf(csn) })
			switch {
			case i < 0:
				merged = append(merged, csn)
			case csn > merged[i]:
				merged[i] = csn
			}
		}
	}
	return merged
}
