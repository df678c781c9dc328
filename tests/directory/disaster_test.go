package directory

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
	"github.com/lcms-project/lcms/tests/director"
)

// Whatever happens to the directory, the director serves what it served, and
// follows again when the directory is well.
func TestDirectorKeepsItsServices(t *testing.T) {
	for name, c := range map[string]struct {
		options ldaptest.Options
		happen  func(*scene)
		state   string // what the director makes of it
		mend    func(*scene)
	}{
		"restarted": {
			happen: func(s *scene) { s.slapd.Restart() },
			state:  inSync,
		},
		"killed": {
			happen: func(s *scene) { s.slapd.Kill() },
			state:  disconnected,
			mend:   func(s *scene) { s.slapd.Start() },
		},
		"hung": {
			happen: func(s *scene) { s.slapd.Hang() },
			state:  disconnected,
			mend:   func(s *scene) { s.slapd.Continue() },
		},
		"wiped and loaded empty": {
			happen: func(s *scene) { s.slapd.Wipe() },
			state:  held,
			mend:   func(s *scene) { s.load(schema.Demo) },
		},
		"services deleted by mistake": {
			options: ldaptest.Options{Tree: schema.Demo + "\n" + manyServices("web", 12)},
			happen: func(s *scene) {
				// Of what takes long to delete the first few would be followed.
				resume := s.PauseSubagent()
				err := s.slapd.DeleteTree("ou=virtual_service,lcmsClusterId=web,ou=load_cluster," + s.slapd.Base())
				resume()
				if err != nil {
					s.Fatal(err)
				}
			},
			state: held,
			mend:  func(s *scene) { s.load(schema.Demo + "\n" + manyServices("web", 12)) },
		},
		"clusters renamed": {
			happen: func(s *scene) {
				if err := s.slapd.Modify("dn: ou=load_cluster," + s.slapd.Base() + "\nchangetype: modrdn\nnewrdn: ou=elsewhere\ndeleteoldrdn: 1\n"); err != nil {
					s.Fatal(err)
				}
			},
			state: held, // the director must not see what stands elsewhere
			mend: func(s *scene) {
				if err := s.slapd.Modify("dn: ou=elsewhere," + s.slapd.Base() + "\nchangetype: modrdn\nnewrdn: ou=load_cluster\ndeleteoldrdn: 1\n"); err != nil {
					s.Fatal(err)
				}
			},
		},
		"restored from an old backup": {
			happen: func(s *scene) {
				backup := s.backUp()
				s.slapd.Restore(backup)
				s.wait("lcmsServerOperWeight."+first, "3") // the directory is what counts
			},
			state: inSync,
		},
		"restored and written to before the director is back": {
			happen: func(s *scene) {
				backup := s.backUp()
				resume := s.PauseSubagent()
				s.slapd.Restore(backup)
				s.modify("cn=web3,ou=host,"+s.slapd.Base(), "lcmsCpuType", "mended")
				resume()
				s.wait("lcmsServerOperWeight."+first, "3")
			},
			state: inSync,
		},
		"restored without contextCSN": {
			happen: func(s *scene) {
				backup := s.backUp()
				s.slapd.RestoreBare(backup)
				s.wait("lcmsServerOperWeight."+first, "3")
			},
			state: inSync,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.options)
			before := s.allRows()
			c.happen(s)
			s.waitState(c.state)
			s.steady(func() error { s.keeps(before); return nil })
			if c.mend != nil {
				c.mend(s)
				s.waitState(inSync)
				s.keeps(before)
			}
			s.modify(firstDN, "lcmsWeight", "42")
			s.wait("lcmsServerOperWeight."+first, "42")
		})
	}
}

// manyServices returns LDIF with services of a cluster.
func manyServices(cluster string, n int) string {
	var b strings.Builder
	for i := range n {
		key := fmt.Sprintf("tcp:192.0.2.70:%d", 8000+i)
		fmt.Fprintf(&b, "dn: lcmsKey=%s,ou=virtual_service,lcmsClusterId=%s,ou=load_cluster,%s\nobjectClass: lcmsVirtualService\nlcmsKey: %[1]s\n\n", key, cluster, schema.Base)
	}
	return b.String()
}

// backUp returns a backup of the directory that is old: a weight has been changed since,
// and the director has followed.
func (s *scene) backUp() string {
	s.Helper()
	backup := s.slapd.Backup()
	s.modify(firstDN, "lcmsWeight", "77")
	s.wait("lcmsServerOperWeight."+first, "77")
	return backup
}

// load puts entries into the directory that may be there in part.
func (s *scene) load(ldif string) {
	s.Helper()
	for _, entry := range strings.Split(strings.TrimSpace(ldif), "\n\n") {
		err := s.slapd.Add(schema.Rebase(entry, s.slapd.Base()) + "\n")
		var r *ldaptest.Refusal
		if err != nil && !(errors.As(err, &r) && r.Code == 68) {
			s.Fatalf("%v\n%s", err, entry)
		}
	}
}

// An identity that gets only a part of the directory learns that, and nothing is
// taken for deleted.
func TestSizeLimitIsNamed(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo, SizeLimit: 20})
	s := &scene{T: t, slapd: slapd, Director: join(t, "lb1", []*ldaptest.Server{slapd})}
	err := director.Poll(s.Limit(), func() error {
		words, err := value(s.Director, "lcmsDirectoryLastError.0")
		if err == nil && !strings.Contains(words, "sizeLimitExceeded") {
			err = fmt.Errorf("lcmsDirectoryLastError is %q", words)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.must("lcmsDirectorServices.0", "0") // none that might be half of one
}

// A hold names what it holds, and an operator releases exactly that by SNMP.
func TestHoldIsReleasedBySNMP(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	s.slapd.Wipe()
	s.waitState(held)
	id, err := value(s.Director, "lcmsDirectoryHoldId.0")
	if err != nil || id == "0" {
		t.Fatalf("lcmsDirectoryHoldId is %s, %v", id, err)
	}
	if n, err := value(s.Director, "lcmsDirectoryHeld.0"); err != nil || n == "0" {
		t.Fatalf("lcmsDirectoryHeld is %s, %v", n, err)
	}
	if words := s.refused("inconsistentValue", "lcmsDirectoryHoldRelease.0 u 99999"); !strings.Contains(words, id) {
		t.Errorf("a wrong id is refused with %q, which does not name the right one", words)
	}
	s.must("lcmsDirectorServices.0", "5")
	s.set("lcmsDirectoryHoldRelease.0 u " + id)
	s.wait("lcmsDirectorServices.0", "0")
	s.waitState(inSync)
	s.must("lcmsDirectoryHoldId.0", "0")
	if rules := s.Rules(); len(rules) > 0 {
		t.Errorf("the kernel still holds %s", strings.Join(rules, "\n"))
	}
}

// A directory that hangs is noticed within seconds.
func TestHungServerIsNoticed(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	s.slapd.Hang()
	began := time.Now()
	s.waitState(disconnected)
	t.Logf("noticed after %s", time.Since(began).Round(time.Millisecond))
	words, err := value(s.Director, "lcmsDirectoryLastError.0")
	if err != nil || !strings.Contains(words, "no answer") {
		t.Errorf("lcmsDirectoryLastError is %q, %v", words, err)
	}
	s.slapd.Continue()
	s.waitState(inSync)
}
