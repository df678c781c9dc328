package ldapsync

import (
	"regexp"
	"slices"
	"strings"
)

// A cookie of OpenLDAP is rid=N,sid=N,csn=CSN;CSN with one CSN for each server ID
// that has ever written. What a server tells of a change has the CSN of that change
// alone. A cookie that holds the newest of each is understood by every server that
// has the same changes; one of them alone makes it tell everything again.

// csnSyntax is TIME#COUNT#SID#MOD.
var csnSyntax = regexp.MustCompile(`^[0-9]{14}(\.[0-9]{1,9})?Z#[0-9a-f]{6}#[0-9a-f]{3}#[0-9a-f]{6}$`)

// mergeCookies returns a cookie that knows of all that two know of. One that is
// not as OpenLDAP writes them tells nothing: the other is returned.
func mergeCookies(a, b []byte) []byte {
	csns := newest(cookieCSNs(a), cookieCSNs(b))
	if len(csns) == 0 {
		return nil
	}
	slices.SortFunc(csns, func(a, b string) int { return strings.Compare(sidOf(a), sidOf(b)) })
	return []byte("rid=000,csn=" + strings.Join(csns, ";"))
}

// cookieOf returns a cookie as it is kept, nil if nothing can be made of it.
func cookieOf(cookie []byte) []byte { return mergeCookies(cookie, nil) }

// cookieCSNs returns the CSNs of a cookie, none if it is not as OpenLDAP writes
// them.
func cookieCSNs(cookie []byte) []string {
	for part := range strings.SplitSeq(string(cookie), ",") {
		list, ok := strings.CutPrefix(part, "csn=")
		if !ok {
			continue
		}
		csns := strings.Split(list, ";")
		for _, csn := range csns {
			if !csnSyntax.MatchString(csn) {
				return nil
			}
		}
		return csns
	}
	return nil
}

// csns returns up to where servers have told the tree what they hold: of each
// server ID the newest change.
func (t *Tree) csns() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return cookieCSNs(t.cookie)
}
