package ldapsync

import (
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// A write begins and ends at the entry of the director's own host. It begins
// with lcmsDeleteCount and lcmsLastWriter, and asserts that the write before it is
// the last one that anybody knows of. It ends with lcmsRequestId, which is
// another one for each write. So
//   - whether a write was made can be read there afterwards, also if it only deleted;
//   - one that was not can be prevented from still being made, by another one;
//   - whoever has seen the new lcmsRequestId has seen all of the write;
//   - another director learns that so many deletions were asked for.
const (
	requestID   = "lcmsRequestId"
	deleteCount = "lcmsDeleteCount"
	lastWriter  = "lcmsLastWriter"

	maxRequestID  = 64  // octets, by the schema
	maxLastWriter = 255 // octets
	directorClass = "lcmsDirector"
)

// mark is what the entry of the own host says.
type mark struct {
	there    bool   // the entry is
	director bool   // it has the class that may have a mark
	id       string // of the last write, "" if there was none
}

// newRequestID returns an id that was never used. It begins with what people
// know the request by.
func newRequestID(name string) string {
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, name)
	unique := rand.Text()
	return name[:min(len(name), maxRequestID-len(unique)-1)] + "." + unique
}

// readMark reads the entry of the own host.
func (w *Writer) readMark(c *ldap.Conn) (mark, error) {
	found, err := c.Search(ldap.NewSearchRequest(w.base.DN(w.own), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"objectClass", requestID}, nil))
	switch code, _ := answer(err); {
	case code == ldap.LDAPResultNoSuchObject:
		return mark{}, nil
	case err != nil:
		return mark{}, err
	case len(found.Entries) != 1:
		return mark{}, nil
	}
	e := found.Entries[0]
	m := mark{there: true, id: e.GetEqualFoldAttributeValue(requestID)}
	for _, class := range e.GetEqualFoldAttributeValues("objectClass") {
		m.director = m.director || strings.EqualFold(class, directorClass)
	}
	return m, nil
}

// begin returns the operation with which a write begins when the mark is m. If the
// own host is not there, it becomes machine, or if that is nil a mark and no more.
func (w *Writer) begin(m mark, machine *Machine, deletes int, who string) operation {
	count, by := []string{strconv.Itoa(deletes)}, writers(who)
	if !m.there {
		host := Machine{Host: lvs.NewHost(w.own.Host)}
		if machine != nil {
			host = *machine
		}
		host.IsDirector = true
		r := w.base.Add(Object{w.own, host})
		r.Attribute(deleteCount, count)
		if by != nil {
			r.Attribute(lastWriter, by)
		}
		return operation{place: w.own, request: r}
	}
	r := ldap.NewModifyRequest(w.base.DN(w.own), nil)
	if !m.director {
		r.Add("objectClass", []string{directorClass})
	}
	r.Replace(deleteCount, count)
	r.Replace(lastWriter, by)
	return operation{place: w.own, request: r, assert: assertion{requestID, m.id}}
}

// end returns the operation with which a write ends.
func (w *Writer) end(id string) operation {
	r := ldap.NewModifyRequest(w.base.DN(w.own), nil)
	r.Replace(requestID, []string{id})
	return operation{place: w.own, request: r}
}

// fence returns an operation that prevents whatever began at mark m from still
// being made.
func (w *Writer) fence(m mark, id string) operation {
	op := w.begin(m, nil, 0, "")
	switch r := op.request.(type) {
	case *ldap.AddRequest:
		r.Attribute(requestID, []string{id})
	case *ldap.ModifyRequest:
		r.Replace(requestID, []string{id})
	}
	return op
}

// writers returns the values of lcmsLastWriter.
func writers(who string) []string {
	who = strings.TrimSpace(strings.ToValidUTF8(who, ""))
	for len(who) > maxLastWriter || !utf8.ValidString(who) {
		who = who[:min(len(who)-1, maxLastWriter)]
	}
	if who == "" {
		return nil
	}
	return []string{who}
}

// addsClass reports whether a request gives an entry an object class.
func addsClass(request any, class string) bool {
	r, ok := request.(*ldap.ModifyRequest)
	return ok && slices.ContainsFunc(r.Changes, func(c ldap.Change) bool {
		return c.Operation == ldap.AddAttribute && strings.EqualFold(c.Modification.Type, "objectClass") && slices.Contains(c.Modification.Vals, class)
	})
}
