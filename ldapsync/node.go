package ldapsync

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// entryUUID names an entry for as long as it exists, whatever its DN is (RFC
// 4530). The zero one names none.
type entryUUID [16]byte

// node is an entry of the tree. Of one that is not ours only its name is kept,
// because what stands below it may be ours.
type node struct {
	id     entryUUID // zero: nothing is known of it but that something stands below it
	parent *node     // nil: the base, or not in its place at the moment
	below  *family   // nil: nothing stands below it
	name   string    // its relative DN, as nameOf writes it
	value  any       // as of Object; nil if it is not ours or has a fault
	fault  *fault    // nil: it has none
	csn    string    // of the last change, as the server told it
	was    *row      // of a service or server that is left aside: what it made last
	// created is when the entry was, in seconds since 1970.
	created int64
	seen    uint32 // the last refresh in which the server had it
	class   Kind   // of our class that the entry is of, Elsewhere if it is of none
}

// fault is why an entry is no object, and the entry, which may be one elsewhere.
type fault struct {
	attribute, value, reason string
	entry                    *ldap.Entry
}

// few is up to how many entries stand below another in a list: 8 octets each.
const few = 16

// family is what stands below a node.
type family struct {
	list  []*node
	named map[string]*node // in place of the list if there are many
}

// child returns what has a name below n, nil if nothing has.
func (n *node) child(name string) *node {
	switch {
	case n.below == nil:
		return nil
	case n.below.named != nil:
		return n.below.named[name]
	}
	for _, c := range n.below.list {
		if c.name == name {
			return c
		}
	}
	return nil
}

// put puts c below n, where nothing has its name.
func (n *node) put(c *node) {
	c.parent = n
	if n.below == nil {
		n.below = &family{}
	}
	f := n.below
	if f.named == nil && len(f.list) < few {
		f.list = append(f.list, c)
		return
	}
	if f.named == nil {
		f.named = make(map[string]*node)
		for _, c := range f.list {
			f.named[c.name] = c
		}
		f.list = nil
	}
	f.named[c.name] = c
}

// take takes n away from where it stands. What stands below it goes with it.
func (n *node) take() {
	f := n.parent.below
	if f.named != nil {
		delete(f.named, n.name)
	} else {
		for i, c := range f.list {
			if c == n {
				last := len(f.list) - 1
				f.list[i], f.list[last] = f.list[last], nil
				f.list = f.list[:last]
				break
			}
		}
	}
	if len(f.named)+len(f.list) == 0 {
		n.parent.below = nil
	}
	n.parent = nil
}

// children calls yield for each entry below n, in no particular order. They must
// stay there meanwhile.
func (n *node) children(yield func(*node) bool) {
	if n.below == nil {
		return
	}
	for _, c := range n.below.list {
		if !yield(c) {
			return
		}
	}
	for _, c := range n.below.named {
		if !yield(c) {
			return
		}
	}
}

// compare orders entries of which only one can be: the first is.
func (n *node) compare(other *node) int {
	return cmp.Or(cmp.Compare(n.created, other.created), bytes.Compare(n.id[:], other.id[:]))
}

// service returns the service that n is a server of.
func (n *node) service() (s lvs.Service, ok bool) {
	if n.parent == nil {
		return s, false
	}
	s, ok = n.parent.value.(lvs.Service)
	return s, ok
}

// isService reports whether n is a service without a fault.
func (n *node) isService() bool {
	if n == nil {
		return false
	}
	_, ok := n.value.(lvs.Service)
	return ok
}

// keyText returns the key that the name of a service ends with.
func keyText(name string) string {
	_, value, _ := strings.Cut(name, "=")
	return value
}

// namingTypes are the attribute types that name what is ours, by lower case.
var namingTypes = func() map[string]string {
	types := make(map[string]string)
	for k := Hosts; k <= Server; k++ {
		name, _ := Place{Kind: k}.name()
		types[strings.ToLower(name)] = name
	}
	return types
}()

// nameOf returns a relative DN as all its spellings are written here: types and
// values in one letter case, values escaped, parts in one order.
func nameOf(rdn string) string {
	if !strings.ContainsAny(rdn, "\\+ \"#;<>") {
		if kind, value, ok := strings.Cut(rdn, "="); ok {
			named, lower := namingType(kind), strings.ToLower(value)
			if named == kind && lower == value {
				return rdn
			}
			return named + "=" + lower
		}
	}
	parsed, err := ldap.ParseDN(rdn)
	if err != nil || len(parsed.RDNs) != 1 {
		return rdn
	}
	var parts []string
	for _, a := range parsed.RDNs[0].Attributes {
		parts = append(parts, namingType(a.Type)+"="+ldap.EscapeDN(strings.ToLower(oneSpace(a.Value))))
	}
	if len(parts) > 1 {
		slices.Sort(parts)
	}
	return strings.Join(parts, "+")
}

func namingType(s string) string {
	lower := strings.ToLower(s)
	if name, ok := namingTypes[lower]; ok {
		return name
	}
	return lower
}

// splitDN returns the first component of a DN and the DN of what is above.
func splitDN(dn string) (rdn, above string) {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',', ';':
			return dn[:i], strings.TrimLeft(dn[i+1:], " ")
		}
	}
	return dn, ""
}

// depth counts the components of a DN.
func depth(dn string) int {
	n := 1
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',', ';':
			n++
		}
	}
	return n
}
