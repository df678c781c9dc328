package ldapsync

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Object is what one entry says. It is comparable.
type Object struct {
	Place Place
	// Value is, by the kind of the place, an lvs.Service, lvs.Server,
	// lvs.SyncDaemon, lvs.Cluster, lvs.Member or Machine; nil for containers and
	// for what is not ours.
	Value any
}

// Fault says why an entry is no object. It is left aside until somebody mends
// it; it is never fatal.
type Fault struct {
	DN        string
	Attribute string // "" if the entry as a whole is meant
	Value     string
	Reason    string // with the mend
}

func (f *Fault) Error() string {
	switch {
	case f.Attribute == "":
		return fmt.Sprintf("%s: %s", f.DN, f.Reason)
	case f.Value == "":
		return fmt.Sprintf("%s: %s: %s", f.DN, f.Attribute, f.Reason)
	}
	const most = 100 // octets of a value; somebody may have put a book there
	value := f.Value
	if len(value) > most {
		value = value[:most] + "..."
	}
	return fmt.Sprintf("%s: %s %q: %s", f.DN, f.Attribute, value, f.Reason)
}

// Unwrap returns lvs.ErrInvalid.
func (f *Fault) Unwrap() error { return lvs.ErrInvalid }

// Read says what an entry is. Elsewhere without an error is what does not
// concern us. An error is a *Fault: the entry is of one of our classes, and
// stands where it cannot, contradicts itself or holds a value that cannot be.
// Only the entry itself is looked at: whether a server suits its service, and
// whether a host is there, is for whoever knows all of them.
func (b Base) Read(e *ldap.Entry) (Object, error) {
	place, err := b.Place(e.DN)
	return b.readAt(place, err, ourClass(e), e)
}

// readAt says what an entry of a class is at a place, or, with an error, at none.
func (b Base) readAt(place Place, err error, class class, e *ldap.Entry) (Object, error) {
	if class == nil {
		// A container, or somebody else's.
		if _, ours := classes[place.Kind]; ours {
			place = Place{}
		}
		return Object{Place: place}, nil
	}
	if err != nil {
		return Object{}, err
	}
	if classes[place.Kind] != class {
		return Object{}, &Fault{DN: e.DN, Attribute: "objectClass", Value: class.objectClass(),
			Reason: "it does not stand here: move the entry " + class.where()}
	}
	return class.read(b, place, e)
}

// ourClass returns the class of ours that an entry has, nil if it has none.
func ourClass(e *ldap.Entry) class {
	for _, a := range e.Attributes {
		if !strings.EqualFold(a.Name, "objectClass") {
			continue
		}
		for _, v := range a.Values {
			c, ok := classNames[v]
			if !ok {
				c, ok = classNames[strings.ToLower(v)]
			}
			if ok {
				return c
			}
		}
	}
	return nil
}

// asFault returns an error of Read as what it is.
func asFault(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Reason: err.Error()}
}

// entryFor returns an entry that says what value does, without a DN.
func entryFor(b Base, value any) *ldap.Entry {
	e := &ldap.Entry{}
	for _, a := range b.Add(Object{ownPlace(value), value}).Attributes {
		e.Attributes = append(e.Attributes, &ldap.EntryAttribute{Name: a.Type, Values: a.Vals})
	}
	return e
}

// ownPlace returns a place at which an entry may say value: with its own key.
func ownPlace(value any) Place {
	switch v := value.(type) {
	case Machine:
		return Place{Kind: Host, Host: v.Name}
	case lvs.SyncDaemon:
		return Place{Kind: SyncDaemon, Daemon: v.State}
	case lvs.Cluster:
		return Place{Kind: Cluster, Cluster: v.ID}
	case lvs.Member:
		return Place{Kind: Member, Cluster: v.Cluster, Role: v.Role, Host: v.Host}
	case lvs.Service:
		return Place{Kind: Service, Cluster: v.Cluster, Service: v.Key}
	case lvs.Server:
		return Place{Kind: Server, Server: v.Key}
	}
	return Place{}
}

// moveTo returns what an entry that says value says at another place of its kind,
// to which it has moved with an entry above it.
func moveTo(value any, p Place) (any, bool) {
	switch v := value.(type) {
	case nil:
		return nil, false
	case lvs.Member:
		v.Cluster, v.Role = p.Cluster, p.Role
		return v, true
	case lvs.Service:
		v.Cluster = p.Cluster
		return v, true
	}
	return value, true
}

// Refused says of the object what is wrong with it in the words of a refusal,
// with the attribute in place of the field.
func (b Base) Refused(o Object, r *lvs.Refusal) *Fault {
	f := &Fault{DN: b.DN(o.Place), Reason: r.Reason}
	if c := classes[o.Place.Kind]; c != nil {
		f.Attribute = c.attributeOf(r.Field)
	}
	return f
}

// Add returns the request that adds the entry of an object.
func (b Base) Add(o Object) *ldap.AddRequest {
	r := ldap.NewAddRequest(b.DN(o.Place), nil)
	attribute, value := o.Place.name()
	c := classes[o.Place.Kind]
	if c == nil { // a container
		r.Attribute("objectClass", []string{"organizationalUnit"})
		r.Attribute(attribute, []string{value})
		return r
	}
	r.Attribute("objectClass", c.objectClasses(o.Value))
	r.Attribute(attribute, []string{value})
	for _, a := range c.encode(b, o) {
		r.Attribute(a.Type, a.Vals)
	}
	return r
}

// Modify returns the request that makes the entry of before that of after,
// which stands at the same place; nil if there is nothing to do. What somebody
// else keeps in the entry stays.
func (b Base) Modify(before, after Object) *ldap.ModifyRequest {
	c := classes[after.Place.Kind]
	if c == nil || before == after {
		return nil
	}
	r := ldap.NewModifyRequest(b.DN(after.Place), nil)
	had, has := c.objectClasses(before.Value), c.objectClasses(after.Value)
	if added := without(has, had); len(added) > 0 {
		r.Add("objectClass", added)
	}
	old, now := c.encode(b, before), c.encode(b, after)
	for _, a := range old {
		if !slices.ContainsFunc(now, func(n ldap.Attribute) bool { return n.Type == a.Type }) {
			r.Replace(a.Type, nil)
		}
	}
	for _, a := range now {
		i := slices.IndexFunc(old, func(o ldap.Attribute) bool { return o.Type == a.Type })
		if i < 0 || !slices.Equal(old[i].Vals, a.Vals) {
			r.Replace(a.Type, a.Vals)
		}
	}
	if dropped := without(had, has); len(dropped) > 0 {
		r.Delete("objectClass", dropped)
	}
	if len(r.Changes) == 0 {
		return nil
	}
	return r
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
