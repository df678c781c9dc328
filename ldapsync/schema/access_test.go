package schema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// The results that a refused request has (RFC 4511 appendix A).
const (
	success             = 0
	constraintViolation = 19
	invalidSyntax       = 21
	noSuchObject        = 32
	invalidCredentials  = 49
	noAccess            = 50
	objectClassFault    = 65
	alreadyExists       = 68
)

const (
	hosts    = "ou=host," + schema.Base
	clusters = "ou=load_cluster," + schema.Base
	alone    = "ou=virtual_service," + schema.Base
	managers = "ou=manager," + schema.Base
	groups   = "ou=group," + schema.Base
	accounts = "ou=service," + schema.Base
)

const tree = `dn: cn=rs1,` + hosts + `
objectClass: device
objectClass: lcmsHost
cn: rs1

dn: lcmsClusterId=web,` + clusters + `
objectClass: lcmsCluster
lcmsClusterId: web

dn: ou=real_server,lcmsClusterId=web,` + clusters + `
objectClass: organizationalUnit
ou: real_server

dn: cn=rs1,ou=real_server,lcmsClusterId=web,` + clusters + `
objectClass: lcmsClusterMember
cn: rs1
lcmsHostRef: cn=rs1,` + hosts + `

dn: lcmsKey=fwm4:7,` + alone + `
objectClass: lcmsVirtualService
lcmsKey: fwm4:7

dn: uid=eve,` + managers + `
objectClass: inetOrgPerson
uid: eve
cn: Eve
sn: Eve
`

// code returns the result of a request.
func code(t *testing.T, err error) int {
	t.Helper()
	var r *ldaptest.Refusal
	switch {
	case err == nil:
		return success
	case errors.As(err, &r):
		return r.Code
	}
	t.Fatal(err)
	return -1
}

func replace(dn, attribute, value string) string {
	return "dn: " + dn + "\nchangetype: modify\nreplace: " + attribute + "\n" + attribute + ": " + value + "\n"
}

var everybody = []ldaptest.Identity{ldaptest.Anonymous, ldaptest.Director, ldaptest.Console, ldaptest.Administrator,
	ldaptest.Operator, ldaptest.Viewer, ldaptest.Stranger}

// among says who of everybody is named.
func among(i ldaptest.Identity, names []ldaptest.Identity) bool {
	for _, n := range names {
		if n == i {
			return true
		}
	}
	return false
}

type who = []ldaptest.Identity

func TestEachReadsWhatIsHis(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: tree})
	all := who{ldaptest.Director, ldaptest.Console, ldaptest.Administrator, ldaptest.Operator, ldaptest.Viewer}
	keepers := who{ldaptest.Console, ldaptest.Administrator}
	for _, c := range []struct {
		dn        string
		attribute string
		readers   who
	}{
		{schema.Base, "contextCSN", all},
		{hosts, "ou", all},
		{"cn=rs1," + hosts, "entryCSN", all},
		{"lcmsClusterId=web," + clusters, "lcmsClusterId", all},
		{"cn=rs1,ou=real_server,lcmsClusterId=web," + clusters, "lcmsHostRef", all},
		{"lcmsKey=fwm4:7," + alone, "entryUUID", all},
		{managers, "ou", keepers},
		{"uid=bob," + managers, "mail", append(keepers, ldaptest.Operator)},
		{"uid=dave," + managers, "mail", append(keepers, ldaptest.Stranger)},
		{"cn=lcms-admins," + groups, "member", keepers},
		{"uid=ldapsync," + accounts, "uid", keepers},
		{"uid=bob," + managers, "userPassword", nil},
		{"uid=ldapsync," + accounts, "userPassword", nil},
	} {
		for _, i := range everybody {
			e, err := s.As(i).Read(c.dn, c.attribute)
			got := err == nil && e.Value(c.attribute) != ""
			if want := among(i, c.readers); got != want {
				t.Errorf("%q reads %s of %s: %v, want %v (%v)", i, c.attribute, c.dn, got, want, err)
			}
			// Who sees nothing of an entry is not told that it exists.
			if c.readers != nil && !got && code(t, err) != noSuchObject {
				t.Errorf("%q is told of %s: %v", i, c.dn, err)
			}
		}
	}
	for _, i := range everybody {
		found, err := s.As(i).Search("(uid=*)", "*", "+")
		if err != nil && code(t, err) != noSuchObject {
			t.Error(err)
		}
		for _, e := range found {
			if e.Value("userPassword") != "" {
				t.Errorf("%q reads the password of %s", i, e.DN)
			}
			if i == ldaptest.Director {
				t.Errorf("a director reads %s", e.DN)
			}
		}
	}
	if found, err := s.As(ldaptest.Anonymous).Search("(objectClass=*)"); code(t, err) != noSuchObject || len(found) > 0 {
		t.Errorf("anonymous sees %v, %v", found, err)
	}
}

func TestEachWritesWhatIsHis(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: tree})
	balancers := who{ldaptest.Director, ldaptest.Administrator, ldaptest.Operator}
	admin := who{ldaptest.Administrator}
	for _, c := range []struct {
		name    string
		do      func(ldaptest.Client) error
		undo    func() error
		writers who
	}{
		{"drain a service", func(c ldaptest.Client) error {
			return c.Modify(replace("lcmsKey=fwm4:7,"+alone, "lcmsAdminStatus", "drain"))
		}, nil, balancers},
		{"change a host", func(c ldaptest.Client) error {
			return c.Modify(replace("cn=rs1,"+hosts, "lcmsMemorySize", "4096"))
		}, nil, balancers},
		{"create a host", func(c ldaptest.Client) error {
			return c.Add("dn: cn=new," + hosts + "\nobjectClass: device\nobjectClass: lcmsHost\ncn: new\n")
		}, func() error { return s.Delete("cn=new," + hosts) }, balancers},
		{"create a cluster", func(c ldaptest.Client) error {
			return c.Add("dn: lcmsClusterId=new," + clusters + "\nobjectClass: lcmsCluster\nlcmsClusterId: new\n")
		}, func() error { return s.Delete("lcmsClusterId=new," + clusters) }, balancers},
		{"delete a member", func(c ldaptest.Client) error {
			return c.Delete("cn=rs1,ou=real_server,lcmsClusterId=web," + clusters)
		}, func() error { return s.Add(strings.Split(tree, "\n\n")[3] + "\n") }, balancers},
		{"change a manager", func(c ldaptest.Client) error {
			return c.Modify(replace("uid=dave,"+managers, "mail", "dave@example.com"))
		}, nil, admin},
		{"make himself an administrator", func(c ldaptest.Client) error {
			return c.Modify("dn: cn=lcms-admins," + groups + "\nchangetype: modify\nadd: member\nmember: uid=new," + managers + "\n")
		}, func() error {
			return s.Modify("dn: cn=lcms-admins," + groups + "\nchangetype: modify\ndelete: member\nmember: uid=new," + managers + "\n")
		}, admin},
		{"create a manager", func(c ldaptest.Client) error {
			return c.Add("dn: uid=new," + managers + "\nobjectClass: inetOrgPerson\nuid: new\ncn: New\nsn: New\n")
		}, func() error { return s.Delete("uid=new," + managers) }, admin},
		{"create the account of the replicator", func(c ldaptest.Client) error {
			return c.Add("dn: uid=replicator," + accounts + "\nobjectClass: account\nuid: replicator\n")
		}, func() error { return s.Delete("uid=replicator," + accounts) }, admin},
		{"set the password of another", func(c ldaptest.Client) error {
			return c.Modify(replace("uid=eve,"+managers, "userPassword", "x"))
		}, nil, admin},
		{"create a place of his own", func(c ldaptest.Client) error {
			return c.Add("dn: ou=new," + schema.Base + "\nobjectClass: organizationalUnit\nou: new\n")
		}, func() error { return s.Delete("ou=new," + schema.Base) }, admin},
		{"delete a place", func(c ldaptest.Client) error {
			return c.DeleteTree(alone)
		}, func() error {
			return s.Add("dn: " + alone + "\nobjectClass: organizationalUnit\nou: virtual_service\n\n" + strings.Split(tree, "\n\n")[4])
		}, admin},
	} {
		for _, i := range everybody {
			err := c.do(s.As(i))
			want := among(i, c.writers)
			if got := code(t, err); (got == success) != want {
				t.Errorf("%q: %s: %v, want allowed = %v", i, c.name, err, want)
			}
			if err == nil && c.undo != nil {
				if err := c.undo(); err != nil {
					t.Fatalf("%s: undo: %v", c.name, err)
				}
			}
		}
		if t.Failed() {
			break
		}
	}
}

// A director that finds the places missing makes them.
func TestADirectorMakesTheMissingPlaces(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	for _, dn := range []string{hosts, clusters, alone} {
		if err := s.Delete(dn); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(dn, "ou="), ","+schema.Base)
		entry := "dn: " + dn + "\nobjectClass: organizationalUnit\nou: " + name + "\n"
		if err := s.As(ldaptest.Operator).Add(entry); code(t, err) != noAccess {
			t.Errorf("an operator adds %s: %v", dn, err)
		}
		if err := s.As(ldaptest.Director).Add(entry); err != nil {
			t.Errorf("a director adds %s: %v", dn, err)
		}
	}
}

func TestEachLogsIn(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	for _, i := range everybody {
		want := "anonymous"
		if i != ldaptest.Anonymous {
			want = "dn:" + s.DN(i)
			if _, err := s.As(i).With("wrong").WhoAmI(); code(t, err) != invalidCredentials {
				t.Errorf("%q with a wrong password: %v", i, err)
			}
		}
		if got, err := s.As(i).WhoAmI(); err != nil || got != want {
			t.Errorf("%q is %q, %v", i, got, err)
		}
	}
	if got, err := s.External().WhoAmI(); err != nil || got != "dn:"+s.DN(ldaptest.Director) {
		t.Errorf("the socket tells %q, %v", got, err)
	}
}

// A manager changes his own password; it is kept hashed however it came.
func TestPasswordsAreHashed(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	bob := s.DN(ldaptest.Operator)
	if err := s.As(ldaptest.Operator).Modify(replace(bob, "userPassword", "changed")); err != nil {
		t.Fatal(err)
	}
	e, err := s.Read(bob, "userPassword")
	if err != nil || !strings.HasPrefix(e.Value("userPassword"), "{ARGON2}") {
		t.Errorf("kept as %q, %v", e.Value("userPassword"), err)
	}
	if _, err := s.As(ldaptest.Operator).With("changed").WhoAmI(); err != nil {
		t.Error(err)
	}
}

// The default of slapd is 500 entries, after which a director would take the
// rest for deleted.
func TestLimitsAreLiftedForDirectors(t *testing.T) {
	var many strings.Builder
	for i := range 600 {
		many.WriteString(strings.NewReplacer("rs1", "rs"+strings.Repeat("x", i%50)+string(rune('a'+i/50))).Replace(strings.Split(tree, "\n\n")[0] + "\n\n"))
	}
	s := ldaptest.Start(t, ldaptest.Options{Tree: many.String()})
	for i, want := range map[ldaptest.Identity]int{ldaptest.Director: success, ldaptest.Viewer: 4} {
		found, err := s.As(i).Search("(objectClass=lcmsHost)", "1.1")
		if got := code(t, err); got != want || want == success && len(found) != 600 {
			t.Errorf("%q finds %d, %v", i, len(found), err)
		}
	}
	limited := ldaptest.Start(t, ldaptest.Options{Tree: many.String(), SizeLimit: 100})
	if _, err := limited.As(ldaptest.Director).Search("(objectClass=lcmsHost)", "1.1"); code(t, err) != 4 {
		t.Errorf("SizeLimit: %v", err)
	}
}

func TestWhoIsDeletedLeavesTheGroups(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	if err := s.As(ldaptest.Administrator).Delete(s.DN(ldaptest.Viewer)); err != nil {
		t.Fatal(err)
	}
	s.Wait(func() error {
		e, err := s.Read("cn=lcms-viewers,"+groups, "member")
		if err == nil && strings.Join(e.Attributes["member"], " ") != "cn=nobody,"+schema.Base {
			err = errors.New(strings.Join(e.Attributes["member"], " "))
		}
		return err
	})
}
