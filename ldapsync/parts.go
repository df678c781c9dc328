package ldapsync

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// oneByOne makes updates on a server that knows no transactions. If one fails,
// those before it are taken back. It returns nil if all were made.
func oneByOne(c *ldap.Conn, operations []operation) *progress {
	for i := range operations {
		op := &operations[i]
		err := op.remember(c)
		if err == nil {
			err = op.send(c)
		}
		if err == nil {
			continue
		}
		p := &progress{at: i, err: err}
		if code, _ := answer(err); code == 0 {
			p.unknown = true
		} else if err := takeBack(c, operations[:i]); err != nil {
			p.unknown = true
		}
		return p
	}
	return nil
}

// remember keeps what the operation changes.
func (op *operation) remember(c *ldap.Conn) error {
	if _, add := op.request.(*ldap.AddRequest); add {
		return nil
	}
	var err error
	op.image, err = readEntry(c, op.dn())
	return err
}

// readEntry returns the user attributes of an entry, and its CSN.
func readEntry(c *ldap.Conn, dn string) (*ldap.Entry, error) {
	found, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"*", "entryCSN"}, nil))
	if err != nil {
		return nil, err
	}
	if len(found.Entries) != 1 {
		return nil, stale(ldap.LDAPResultNoSuchObject)
	}
	return found.Entries[0], nil
}

// takeBack takes back operations of which the last may or may not have been
// made, and those that were not even tried certainly were not. What somebody
// else has changed since stays.
func takeBack(c *ldap.Conn, operations []operation) error {
	for _, op := range slices.Backward(operations) {
		err := op.takeBack(c)
		if code, _ := answer(err); err != nil && code == 0 && !isStale(err) {
			return err // no answer
		}
	}
	return nil
}

func isStale(err error) bool {
	var s stale
	return errors.As(err, &s)
}

func (op operation) takeBack(c *ldap.Conn) error {
	switch r := op.request.(type) {
	case *ldap.AddRequest:
		return c.Del(ldap.NewDelRequest(r.DN, nil))
	case *ldap.DelRequest:
		if op.image == nil {
			return nil
		}
		add := ldap.NewAddRequest(op.image.DN, nil)
		for _, a := range op.image.Attributes {
			if !strings.EqualFold(a.Name, "entryCSN") {
				add.Attribute(a.Name, a.Values)
			}
		}
		err := c.Add(add)
		if code, _ := answer(err); code == ldap.LDAPResultEntryAlreadyExists {
			return touch(c, r.DN) // so that it cannot be deleted any more
		}
		return err
	case *ldap.ModifyDNRequest:
		if op.image == nil {
			return nil
		}
		above := strings.TrimPrefix(op.image.DN, r.NewRDN+",")
		return c.ModifyDN(ldap.NewModifyDNRequest(r.NewRDN+","+r.NewSuperior, r.NewRDN, false, above))
	case *ldap.ModifyRequest:
		if op.image == nil {
			return nil
		}
		now, err := readEntry(c, r.DN)
		if err != nil {
			return err
		}
		back := ldap.NewModifyRequest(r.DN, nil)
		for _, change := range r.Changes {
			name := change.Modification.Type
			had := op.image.GetEqualFoldAttributeValues(name)
			ours := change.Operation != ldap.ReplaceAttribute || sameValues(now.GetEqualFoldAttributeValues(name), change.Modification.Vals)
			if ours || sameValues(now.GetEqualFoldAttributeValues(name), had) {
				back.Replace(name, had)
			}
		}
		if len(back.Changes) == 0 {
			return nil
		}
		// First what is optional, then the class that allows it.
		slices.SortStableFunc(back.Changes, func(a, b ldap.Change) int {
			return classLast(a) - classLast(b)
		})
		return operation{request: back, assert: assertion{"entryCSN", now.GetEqualFoldAttributeValue("entryCSN")}}.send(c)
	}
	return nil
}

func classLast(c ldap.Change) int {
	if strings.EqualFold(c.Modification.Type, "objectClass") {
		return 1
	}
	return 0
}

func sameValues(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// touch gives an entry a new CSN and changes nothing else in it.
func touch(c *ldap.Conn, dn string) error {
	now, err := readEntry(c, dn)
	if err != nil {
		return err
	}
	r := ldap.NewModifyRequest(dn, nil)
	r.Replace("objectClass", now.GetEqualFoldAttributeValues("objectClass"))
	return operation{request: r, assert: assertion{"entryCSN", now.GetEqualFoldAttributeValue("entryCSN")}}.send(c)
}
