package directory

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
	"github.com/lcms-project/lcms/tests/director"
)

func TestMain(m *testing.M) { os.Exit(director.Main(m)) }

// The states of lcmsDirectoryState.
const (
	connecting   = "2"
	inSync       = "4"
	disconnected = "6"
	held         = "7"
	failed       = "8"
)

// web is a service of the demo tree, and its first server.
const (
	web     = `"tcp:192.0.2.10:80"`
	webDN   = "lcmsKey=tcp:192.0.2.10:80,ou=virtual_service,lcmsClusterId=web,ou=load_cluster," + schema.Base
	first   = web + `."10.0.0.11:80"`
	firstDN = "lcmsKey=10.0.0.11:80," + webDN
)

// demoServices and demoServers are how many the demo tree has.
const demoServices, demoServers = 5, 13

// scene is a director with a directory.
type scene struct {
	*director.Director
	*testing.T
	slapd *ldaptest.Server
}

// start returns a director that is in sync with a directory, which holds the demo
// tree unless the options say otherwise.
func start(t *testing.T, o ldaptest.Options, config ...string) *scene {
	t.Helper()
	if o.Tree == "" {
		o.Tree = schema.Demo
	}
	slapd := ldaptest.Start(t, o)
	s := &scene{T: t, slapd: slapd, Director: join(t, "lb1", []*ldaptest.Server{slapd}, config...)}
	s.waitState(inSync)
	return s
}

// join starts a director on a host with these servers. It need not be in sync
// yet when it is ready.
func join(t *testing.T, host string, servers []*ldaptest.Server, config ...string) *director.Director {
	t.Helper()
	return director.Start(t, director.Options{Config: configured(host, servers, config...)})
}

// configured returns the lines that make a director use these servers, with as much
// time for a write as slapd may need on a busy machine. Further keys of the directory
// come as "key: value".
func configured(host string, servers []*ldaptest.Server, keys ...string) []string {
	if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "write-timeout:") }) {
		keys = append(slices.Clip(keys), "write-timeout: 4s")
	}
	var uris []string
	for _, s := range servers {
		uris = append(uris, fmt.Sprintf("%q", s.LDAPI()))
	}
	lines := []string{"host: " + host, "directory:", "  uris: [" + strings.Join(uris, ", ") + "]", "  base: " + servers[0].Base()}
	for _, k := range keys {
		lines = append(lines, "  "+k)
	}
	return lines
}

// value returns the value of one object, as printed.
func value(d *director.Director, object string) (string, error) {
	vbs, err := d.Get(object)
	if err != nil {
		return "", err
	}
	if vbs[0].Type == director.NoSuchInstance || vbs[0].Type == director.NoSuchObject {
		return vbs[0].Type, nil
	}
	return vbs[0].Value, nil
}

// is returns an error unless an object has a value.
func is(d *director.Director, object, want string) error {
	got, err := value(d, object)
	if err == nil && got != want {
		err = fmt.Errorf("%s is %s, not %s", object, got, want)
	}
	return err
}

// wait polls until an object has a value.
func (s *scene) wait(object, want string) {
	s.Helper()
	if err := director.Poll(s.Limit(), func() error { return is(s.Director, object, want) }); err != nil {
		s.Fatal(err)
	}
}

// must ends the test unless an object has a value now.
func (s *scene) must(object, want string) {
	s.Helper()
	if err := is(s.Director, object, want); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) waitState(want string) {
	s.Helper()
	err := director.Poll(s.Limit(), func() error {
		err := is(s.Director, "lcmsDirectoryState.0", want)
		if err != nil {
			words, _ := value(s.Director, "lcmsDirectoryLastError.0")
			err = fmt.Errorf("%w (%s)", err, words)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
}

// set makes a SET that has to succeed.
func (s *scene) set(varbinds ...string) {
	s.Helper()
	if _, err := s.Set(varbinds...); err != nil {
		s.Fatalf("%v: %s", err, s.reason())
	}
}

// refused makes a SET that has to fail with a status, and returns the reason in
// words.
func (s *scene) refused(status string, varbinds ...string) string {
	s.Helper()
	_, err := s.Set(varbinds...)
	var r *director.Refusal
	if !errors.As(err, &r) || r.Status != status {
		s.Fatalf("SET %s: %v, want %s", varbinds, err, status)
	}
	return s.reason()
}

// reason returns the last reason in lcmsRequestTable.
func (s *scene) reason() string {
	s.Helper()
	vbs, err := s.BulkWalk("lcmsRequestReason")
	if err != nil {
		s.Fatal(err)
	}
	if len(vbs) == 0 {
		return ""
	}
	return vbs[len(vbs)-1].Value
}

// modify changes an attribute in the directory, as an operator does.
func (s *scene) modify(dn, attribute, value string) {
	s.Helper()
	if err := s.slapd.As(ldaptest.Operator).Modify(replace(dn, attribute, value)); err != nil {
		s.Fatal(err)
	}
}

func replace(dn, attribute, value string) string {
	return fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: %s\n%[2]s: %s\n", dn, attribute, value)
}

// inDirectory returns the value of an attribute, "" if there is none.
func (s *scene) inDirectory(dn, attribute string) string {
	s.Helper()
	e, err := s.slapd.Read(dn, attribute)
	if err != nil {
		s.Fatal(err)
	}
	return e.Value(attribute)
}

// rows returns what the director has of services and servers: the name, state
// and weight of each, in order.
func rows(d *director.Director) (list []string, err error) {
	for _, column := range []string{"lcmsServiceScheduler", "lcmsServiceRowStatus", "lcmsServiceAdminStatus", "lcmsServerWeight", "lcmsServerOperWeight", "lcmsServerAdminStatus"} {
		vbs, err := d.BulkWalk(column)
		if err != nil {
			return nil, err
		}
		for _, v := range vbs {
			if v.Type != director.NoSuchInstance && v.Type != director.NoSuchObject {
				list = append(list, v.String())
			}
		}
	}
	return list, nil
}

// allRows is rows, which must not fail.
func (s *scene) allRows() []string {
	s.Helper()
	list, err := rows(s.Director)
	if err != nil {
		s.Fatal(err)
	}
	return list
}

// keeps checks that the director has just the rows that it had.
func (s *scene) keeps(before []string) {
	s.Helper()
	if now := s.allRows(); !slices.Equal(now, before) {
		s.Fatalf("the director has\n%s\nand had\n%s", strings.Join(now, "\n"), strings.Join(before, "\n"))
	}
}

// steady checks that something holds now and for a while: nothing that happens
// late undoes it.
func (s *scene) steady(check func() error) {
	s.Helper()
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if err := check(); err != nil {
			s.Fatal(err)
		}
	}
}
