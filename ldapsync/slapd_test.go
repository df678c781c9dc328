package ldapsync

import (
	"maps"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// director returns a connection with the rights of a director.
func director(t *testing.T, s *ldaptest.Server) *ldap.Conn {
	t.Helper()
	conn, err := ldap.DialURL(s.LDAPI())
	if err == nil {
		t.Cleanup(func() { conn.Close() })
		err = conn.ExternalBind()
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// lookUp reads one entry as the source does.
func lookUp(t *rapid.T, conn *ldap.Conn, dn string) *ldap.Entry {
	r, err := conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"*", "entryCSN", "entryUUID"}, nil))
	if err != nil {
		t.Fatalf("%s: %v", dn, err)
	}
	return r.Entries[0]
}

// What lvs allows, the shipped schema, constraints and access rules allow, and
// it comes back as it was written.
func TestObjectsSurviveSlapd(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	b, conn := mustBase(t, s.Base()), director(t, s)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlace(t)
		var above []Object
		for up := p.Parent(); up.Kind != Root && up.Kind != Elsewhere; up = up.Parent() {
			above = append(above, drawObject(t, up))
		}
		before, after := drawObject(t, p), drawObject(t, p)
		if p.Kind == Root || above == nil {
			return // the skeleton has them
		}
		for i := len(above) - 1; i >= 0; i-- {
			if err := conn.Add(b.Add(above[i])); err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultEntryAlreadyExists) {
				t.Fatalf("%+v: %v", above[i], err)
			}
		}
		if err := conn.Add(b.Add(before)); err != nil {
			t.Fatalf("%+v: %v", before, err)
		}
		if got, err := b.Read(lookUp(t, conn, b.DN(p))); err != nil || got != before {
			t.Fatalf("read %+v, %v; written %+v", got, err, before)
		}
		if r := b.Modify(before, after); r != nil {
			if err := conn.Modify(r); err != nil {
				t.Fatalf("%+v to %+v: %v", before, after, err)
			}
		}
		if got, err := b.Read(lookUp(t, conn, b.DN(p))); err != nil || got != after {
			t.Fatalf("read %+v, %v; modified to %+v", got, err, after)
		}
		dns := []string{b.DN(p)}
		for _, o := range above {
			if o.Place.Parent().Kind != Root {
				dns = append(dns, b.DN(o.Place))
			}
		}
		for _, dn := range dns {
			if err := conn.Del(ldap.NewDelRequest(dn, nil)); err != nil {
				t.Fatalf("%s: %v", dn, err)
			}
		}
	})
}

// The demo tree is loaded as an operator does, and each of its entries is what
// it should be.
func TestDemoTreeIsRead(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	if err := s.As(ldaptest.Operator).Add(schema.Demo); err != nil {
		t.Fatal(err)
	}
	b, conn := mustBase(t, s.Base()), director(t, s)
	r, err := conn.Search(ldap.NewSearchRequest(s.Base(), ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"*"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[Kind]int)
	objects := make(map[Place]any)
	for _, e := range r.Entries {
		o, err := b.Read(e)
		if err != nil {
			t.Error(err)
		}
		count[o.Place.Kind]++
		objects[o.Place] = o.Value
	}
	want := map[Kind]int{Root: 1, Hosts: 1, Host: 10, Clusters: 1, Cluster: 2, Members: 6, Member: 10, Services: 3, Service: 5, Server: 13}
	if !maps.Equal(count, want) {
		t.Errorf("read %v, want %v", count, want)
	}
	for p, o := range objects {
		switch o := o.(type) {
		case lvs.Server:
			service := objects[p.Parent()].(lvs.Service)
			if r := o.Check(&service); r != nil {
				t.Error(b.Refused(Object{p, o}, r))
			}
			if objects[Place{Kind: Host, Host: o.Host}] == nil {
				t.Errorf("%s: there is no host %q", b.DN(p), o.Host)
			}
		case lvs.Member:
			if objects[Place{Kind: Host, Host: o.Host}] == nil {
				t.Errorf("%s: there is no host %q", b.DN(p), o.Host)
			}
		}
	}
}
