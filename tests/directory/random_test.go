package directory

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/tests/director"
)

// randomTime is how long the random test goes on in make test; LCMS_SOAK makes
// it longer.
const randomTime = 45 * time.Second

// model is what directory, MIB and kernel should agree on: the weight of each
// server, by the two keys.
type model map[string]string

// TestRandomChanges drives a director from all sides at once, lets the directory
// fall and come back, and compares at the end what the model, the directory, the
// MIB and the kernel say.
func TestRandomChanges(t *testing.T) {
	t.Parallel()
	long := randomTime
	if text := os.Getenv("LCMS_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		long = d
	}
	seed := rand.Uint64()
	if text := os.Getenv("LCMS_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LCMS_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := start(t, ldaptest.Options{Tree: "\n"})
	want := make(model)
	doubts := make(map[string]string) // DNs of what was refused last, by key
	made, refused := 0, 0
	operator := s.slapd.As(ldaptest.Operator)
	for end := time.Now().Add(long); time.Now().Before(end); {
		service := fmt.Sprintf("tcp:192.0.2.60:%d", 80+random.IntN(4))
		server := fmt.Sprintf("10.0.1.%d:80", 1+random.IntN(4))
		key, weight := service+" "+server, fmt.Sprint(random.IntN(1000))
		serviceDN := "lcmsKey=" + service + ",ou=virtual_service," + s.slapd.Base()
		dn := "lcmsKey=" + server + "," + serviceDN
		_, there := want[key]
		hasService := slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(k string) bool { return strings.HasPrefix(k, service+" ") })
		var err error
		switch action := random.IntN(20); {
		case action < 6: // by SNMP
			object := fmt.Sprintf(`"%s"."%s"`, service, server)
			vbs := []string{"lcmsServerWeight." + object + " u " + weight}
			if !there {
				vbs = append(vbs, "lcmsServerRowStatus."+object+" i 4")
			}
			if !hasService {
				vbs = append(vbs, `lcmsServiceRowStatus."`+service+`" i 4`)
			}
			if _, err = s.Set(vbs...); err == nil {
				want[key] = weight
				s.promote(object, dn, weight)
			}
		case action < 9 && there && s.knows(service, server): // by SNMP: the server goes, the service with its last one
			object := fmt.Sprintf(`lcmsServerRowStatus."%s"."%s" i 6`, service, server)
			if last := len(want) == 1 || countOf(want, service) == 1; last {
				object = `lcmsServiceRowStatus."` + service + `" i 6`
			}
			if _, err = s.Set(object); err == nil {
				delete(want, key)
			}
		case action < 15: // in the directory
			var ldif string
			if !hasService {
				ldif += "dn: " + serviceDN + "\nchangetype: add\nobjectClass: lcmsVirtualService\nlcmsKey: " + service + "\n\n"
			}
			if there {
				ldif += replace(dn, "lcmsWeight", weight)
			} else {
				ldif += "dn: " + dn + "\nchangetype: add\nobjectClass: lcmsRealServer\nlcmsKey: " + server + "\nlcmsWeight: " + weight + "\n"
			}
			if err = operator.Modify(ldif); err == nil {
				want[key] = weight
			}
		case action < 17 && there && countOf(want, service) > 1 && len(want) > 8: // so few that nothing is held
			if err = operator.Delete(dn); err == nil {
				delete(want, key)
			}
		case action == 17:
			s.slapd.Restart()
		case action == 18:
			s.KillSubagent()
			s.StartSubagent()
			s.WaitReady()
		case action == 19:
			s.KillSnmpd()
			s.StartSnmpd()
			s.WaitReady()
		default:
			continue
		}
		if err != nil {
			// Of a write without an answer only the directory knows, and it may
			// not know yet.
			s.learn(want, key, dn)
			doubts[key] = dn
			refused++
			continue
		}
		delete(doubts, key)
		made++
	}
	t.Logf("%d made, %d refused", made, refused)
	if made == 0 {
		t.Fatal("nothing was made")
	}
	s.releases()
	// The next write settles what the one before it left in doubt.
	last := "tcp:192.0.2.60:80 10.0.1.1:80"
	object := `"tcp:192.0.2.60:80"."10.0.1.1:80"`
	err := director.Poll(s.Limit(), func() error {
		vbs := []string{"lcmsServerWeight." + object + " u 7"}
		if _, there := want[last]; !there {
			vbs = append(vbs, "lcmsServerRowStatus."+object+" i 4")
		}
		if countOf(want, "tcp:192.0.2.60:80") == 0 {
			vbs = append(vbs, `lcmsServiceRowStatus."tcp:192.0.2.60:80" i 4`)
		}
		_, err := s.Set(vbs...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want[last] = "7"
	s.promote(object, "lcmsKey=10.0.1.1:80,lcmsKey=tcp:192.0.2.60:80,ou=virtual_service,"+s.slapd.Base(), "7")
	delete(doubts, last)
	for key, dn := range doubts {
		s.learn(want, key, dn)
	}
	s.agrees(want)
}

// knows reports whether the director shows a server. What was added in the
// directory a moment ago may be on its way, and to destroy a row that is not there
// succeeds, and changes nothing (RFC 2579, RowStatus).
func (s *scene) knows(service, server string) bool {
	s.Helper()
	return is(s.Director, fmt.Sprintf(`lcmsServerRowStatus."%s"."%s"`, service, server), "1") == nil
}

// releases waits until the director is in sync.
func (s *scene) releases() {
	s.Helper()
	if err := director.Poll(s.Limit(), s.release); err != nil {
		s.Fatal(err)
	}
}

// release reports whether the director is in sync, and confirms what it holds: that
// many servers were deleted in the directory within a moment was meant.
func (s *scene) release() error {
	err := is(s.Director, "lcmsDirectoryState.0", inSync)
	if err == nil || is(s.Director, "lcmsDirectoryState.0", held) != nil {
		return err
	}
	id, wrong := value(s.Director, "lcmsDirectoryHoldId.0")
	if wrong == nil {
		_, wrong = s.Set("lcmsDirectoryHoldRelease.0 u " + id)
	}
	return errors.Join(err, wrong)
}

// promote sees to it that a weight that was set is in the directory. One that was
// set while no server took writes is an override, which gives way to what the
// directory turns out to have, and is written when it is set again. Anything else
// that was answered has to be there at once.
func (s *scene) promote(object, dn, weight string) {
	s.Helper()
	err := director.Poll(s.Limit(), func() error {
		e, err := s.slapd.Read(dn, "lcmsWeight")
		var r *ldaptest.Refusal
		switch {
		case err == nil && weightOf(e) == weight:
			return nil
		case err != nil && !errors.As(err, &r):
			return err
		}
		if lost := s.lost(object, weight); lost != "" {
			return director.Final{Err: fmt.Errorf("a SET of %s to %s was answered, and then: %s", object, weight, lost)}
		}
		if _, err := s.Set("lcmsServerWeight." + object + " u " + weight); err != nil {
			return err
		}
		return errors.New("it was an override")
	})
	if err != nil {
		s.Fatal(err)
	}
}

// lost returns the line of lcmsRequestTable that says how the directory came to
// have something else than it had taken from the last SET of a weight.
func (s *scene) lost(object, weight string) string {
	s.Helper()
	column := func(name string) (values []string) {
		vbs, err := s.BulkWalk("lcmsRequest" + name)
		if err != nil {
			s.Fatal(err)
		}
		for _, v := range vbs {
			values = append(values, v.Value)
		}
		return values
	}
	objects, sources, olds, news := column("Object"), column("Source"), column("OldValue"), column("NewValue")
	had := regexp.MustCompile(`\bweight ` + weight + `\b`)
	found := ""
	for i := range min(len(objects), len(sources), len(olds), len(news)) {
		switch line := fmt.Sprintf("%s %s: %s to %s", sources[i], objects[i], olds[i], news[i]); {
		case sources[i] == "1" && strings.Contains(objects[i], "lcmsServerWeight."+object):
			found = ""
		case sources[i] == "2" && strings.Contains(objects[i], "lcmsServerRowStatus."+object) && had.MatchString(olds[i]):
			found = line
		}
	}
	return found
}

// learn takes into the model what the directory says of a server.
func (s *scene) learn(want model, key, dn string) {
	s.Helper()
	e, err := s.slapd.Read(dn, "lcmsWeight")
	var r *ldaptest.Refusal
	switch {
	case err == nil:
		want[key] = weightOf(e)
	case errors.As(err, &r) && r.Code == 32:
		delete(want, key)
	default:
		s.Fatal(err)
	}
}

// weightOf returns the weight of an entry. One that lacks it has the default.
func weightOf(e ldaptest.Entry) string { return cmp.Or(e.Value("lcmsWeight"), "1") }

func countOf(m model, service string) (n int) {
	for k := range m {
		if strings.HasPrefix(k, service+" ") {
			n++
		}
	}
	return n
}

// agrees waits until directory, MIB and kernel say what the model says. The last of
// many deletions may only just have come to the director, and be held.
func (s *scene) agrees(want model) {
	s.Helper()
	err := director.Poll(s.Limit(), func() error {
		if err := s.release(); err != nil {
			return err
		}
		has, err := s.weights()
		if err != nil {
			return err
		}
		if !maps.Equal(has, want) {
			return fmt.Errorf("the directory has %v, the model %v", has, want)
		}
		return s.shows(want)
	})
	if err != nil {
		s.Fatal(err)
	}
}
