package ldapsync

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// class is one of our object classes.
type class interface {
	objectClass() string
	where() string
	read(Base, Place, *ldap.Entry) (Object, error)
	encode(Base, Object) []ldap.Attribute
	objectClasses(value any) []string
	attributeOf(field string) string
	attributeNames() []string
}

// table is a class whose objects are of type T.
type table[T any] struct {
	name       string                // of the object class
	place      string                // where its entries stand, in words
	classes    func(*T) []string     // of an entry; nil: name alone
	blank      func(Place) T         // the object with nothing but its place
	check      func(*T) *lvs.Refusal // nil: there is nothing to check in the object alone
	attributes []attribute[T]
	index      map[string]int // in attributes, by name as lcms.schema has it and in lower case
}

func newTable[T any](t table[T]) *table[T] {
	t.index = make(map[string]int)
	for i, a := range t.attributes {
		t.index[strings.ToLower(a.name)] = i
		t.index[a.name] = i
	}
	return &t
}

func (t *table[T]) objectClass() string { return t.name }
func (t *table[T]) where() string       { return t.place }

func (t *table[T]) objectClasses(value any) []string {
	o := value.(T)
	if t.classes == nil {
		return []string{t.name}
	}
	return t.classes(&o)
}

func (t *table[T]) attributeOf(field string) string {
	for _, a := range t.attributes {
		if field != "" && a.field == field {
			return a.name
		}
	}
	return ""
}

func (t *table[T]) attributeNames() []string {
	var names []string
	for _, a := range t.attributes {
		names = append(names, a.name)
	}
	return names
}

func (t *table[T]) read(b Base, place Place, e *ldap.Entry) (Object, error) {
	o := t.blank(place)
	for _, given := range e.Attributes {
		i, ok := t.index[given.Name]
		if !ok {
			i, ok = t.index[strings.ToLower(given.Name)]
		}
		if !ok || len(given.Values) == 0 {
			continue // the key, or what somebody else keeps here
		}
		a := &t.attributes[i]
		if err := a.decode(b, &o, given.Values); err != nil {
			return Object{}, &Fault{DN: e.DN, Attribute: a.name, Value: strings.Join(given.Values, ", "), Reason: err.Error()}
		}
	}
	if t.check != nil {
		if r := t.check(&o); r != nil {
			return Object{}, &Fault{DN: e.DN, Attribute: t.attributeOf(r.Field), Reason: r.Reason}
		}
	}
	return Object{place, o}, nil
}

// encode returns the attributes of an entry but for its name and its classes.
func (t *table[T]) encode(b Base, object Object) []ldap.Attribute {
	blank, o := t.blank(object.Place), object.Value.(T)
	var list []ldap.Attribute
	for _, a := range t.attributes {
		values := a.encode(b, &o)
		if len(values) == 0 || a.field != "" && slices.Equal(values, a.encode(b, &blank)) {
			continue
		}
		list = append(list, ldap.Attribute{Type: a.name, Vals: values})
	}
	return list
}
