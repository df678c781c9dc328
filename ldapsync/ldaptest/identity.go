package ldaptest

import "strings"

// Identity is somebody who can log in: a DN without the base.
type Identity string

// The identities. Anonymous logs in as nobody.
const (
	Anonymous     Identity = ""
	Director      Identity = "uid=ldapsync,ou=service"
	Console       Identity = "uid=lcmsweb,ou=service"
	Administrator Identity = "uid=alice,ou=manager"
	Operator      Identity = "uid=bob,ou=manager"
	Viewer        Identity = "uid=carol,ou=manager"
	Stranger      Identity = "uid=dave,ou=manager" // in no group
)

type manager struct {
	identity    Identity
	name, group string
}

var managers = []manager{
	{Administrator, "Alice Kim", "lcms-admins"},
	{Operator, "Bob Lee", "lcms-operators"},
	{Viewer, "Carol Park", "lcms-viewers"},
	{Stranger, "Dave Choi", ""},
}

func (m manager) uid() string {
	name, _, _ := strings.Cut(string(m.identity), ",")
	return strings.TrimPrefix(name, "uid=")
}

// dn returns the DN of an identity, "" for Anonymous.
func (s *Server) dn(i Identity) string {
	if i == Anonymous {
		return ""
	}
	return string(i) + "," + s.opts.Base
}

// DN returns the DN of an identity, "" for Anonymous.
func (s *Server) DN(i Identity) string { return s.dn(i) }

// As returns the server as an identity sees it.
func (s *Server) As(i Identity) Client {
	c := s.Client
	c.dn = s.dn(i)
	return c
}

// With returns c as it is with another password.
func (c Client) With(password string) Client {
	c.password = password
	return c
}

// External returns the server as the Unix socket tells it who runs the test:
// Director.
func (s *Server) External() Client {
	c := s.Client
	c.external = true
	return c
}
