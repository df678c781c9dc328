package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
	"github.com/lcms-project/lcms/tests/director"
)

// agree waits until directors have the same rows, and returns how long that took.
func agree(t *testing.T, directors ...*director.Director) time.Duration {
	t.Helper()
	began := time.Now()
	err := director.Poll(directors[0].Limit(), func() error {
		want, err := rows(directors[0])
		if err != nil {
			return err
		}
		for i, d := range directors[1:] {
			has, err := rows(d)
			if err != nil {
				return err
			}
			if !slices.Equal(has, want) {
				return fmt.Errorf("director %d has\n%s\nand the first\n%s", i+2, strings.Join(has, "\n"), strings.Join(want, "\n"))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// Two directors on one directory follow each other's changes.
func TestTwoDirectorsAgree(t *testing.T) {
	slapd := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo})
	a := &scene{T: t, slapd: slapd, Director: join(t, "lb1", []*ldaptest.Server{slapd})}
	b := &scene{T: t, slapd: slapd, Director: join(t, "lb2", []*ldaptest.Server{slapd})}
	a.waitState(inSync)
	b.waitState(inSync)
	agree(t, a.Director, b.Director)
	var took []time.Duration
	for i := range 5 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		weight := fmt.Sprint(100 + i)
		from.set(`lcmsServerWeight.` + first + ` u ` + weight)
		began := time.Now()
		to.wait("lcmsServerOperWeight."+first, weight)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("from the answer at one director to the kernel of the other: %v", took)
	if a.Kernel() == director.Memory && took[0] > time.Second {
		t.Errorf("the quickest change took %s, more than a second", took[0])
	}

	// Many services created at one director and destroyed again: a SET is no
	// accident, the other one follows.
	var create, destroy []string
	for i := range 12 {
		service := fmt.Sprintf(`"tcp:192.0.2.50:%d"`, 8000+i)
		create = append(create, "lcmsServiceRowStatus."+service+" i 4")
		destroy = append(destroy, "lcmsServiceRowStatus."+service+" i 6")
	}
	a.set(create...)
	b.wait("lcmsDirectorServices.0", fmt.Sprint(demoServices+12))
	a.set(destroy...)
	b.wait("lcmsDirectorServices.0", fmt.Sprint(demoServices))
	agree(t, a.Director, b.Director)
}

// Eight writers at two directors and in the directory itself, 50 changes each, of
// the same few servers: each is made or refused, and in the end all agree.
func TestRacingWriters(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo})
	a := &scene{T: t, slapd: slapd, Director: join(t, "lb1", []*ldaptest.Server{slapd})}
	b := &scene{T: t, slapd: slapd, Director: join(t, "lb2", []*ldaptest.Server{slapd})}
	a.waitState(inSync)
	b.waitState(inSync)
	const writers, changes = 8, 50
	accepted, refused := make([]int, writers), make([]int, writers)
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			for i := range changes {
				server := fmt.Sprintf("10.0.0.%d:80", 11+(w+i)%3)
				weight := fmt.Sprint(1 + w*changes + i)
				var err error
				switch w % 4 {
				case 0, 1:
					d := []*scene{a, b}[w%2]
					_, err = d.Set(fmt.Sprintf(`lcmsServerWeight.%s."%s" u %s`, web, server, weight))
				default:
					err = slapd.As(ldaptest.Operator).Modify(replace(strings.Replace(firstDN, "10.0.0.11:80", server, 1), "lcmsWeight", weight))
				}
				var snmp *director.Refusal
				switch {
				case err == nil:
					accepted[w]++
				case errors.As(err, &snmp) && (snmp.Status == "commitFailed" || snmp.Status == "resourceUnavailable" || snmp.Status == "genError"):
					refused[w]++
				default:
					return fmt.Errorf("writer %d: %w", w, err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("accepted %v, refused %v", accepted, refused)
	for w := range writers {
		if accepted[w]+refused[w] != changes {
			t.Errorf("writer %d: %d accepted and %d refused of %d", w, accepted[w], refused[w], changes)
		}
		if w%4 > 1 && refused[w] > 0 {
			t.Errorf("writer %d was refused by the directory", w)
		}
	}
	agree(t, a.Director, b.Director)
	for i := range 3 {
		server := fmt.Sprintf("10.0.0.%d:80", 11+i)
		want := a.inDirectory(strings.Replace(firstDN, "10.0.0.11:80", server, 1), "lcmsWeight")
		for _, s := range []*scene{a, b} {
			s.wait(fmt.Sprintf(`lcmsServerOperWeight.%s."%s"`, web, server), want)
		}
	}
}

// One of two servers is killed while changes go on: the other one takes over
// without a reload, and the first one is used again when it is back.
func TestFailover(t *testing.T) {
	t.Parallel()
	one, two := ldaptest.StartPair(t, ldaptest.Options{Tree: schema.Demo})
	s := &scene{T: t, slapd: one, Director: join(t, "lb1", []*ldaptest.Server{one, two})}
	s.waitState(inSync)
	s.must("lcmsDirectoryProvider.0", one.LDAPI())

	stop := make(chan struct{})
	type outcome struct{ accepted, refused int }
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		for i := 0; ; i++ {
			select {
			case <-stop:
				ended <- o
				return
			default:
			}
			if _, err := s.Set(fmt.Sprintf(`lcmsServerWeight.%s u %d`, first, 100+i%50)); err == nil {
				o.accepted++
			} else {
				o.refused++
			}
		}
	}()
	s.wait("lcmsServerWeight."+first, "120")
	one.Kill()
	s.wait("lcmsDirectoryProvider.0", two.LDAPI())
	s.waitState(inSync)
	err := director.Poll(s.Limit(), func() error { _, err := s.Set(`lcmsServerDrainTimeout.` + first + ` u 33`); return err })
	close(stop)
	o := <-ended
	t.Logf("%d accepted, %d refused meanwhile", o.accepted, o.refused)
	if err != nil {
		t.Fatalf("no SET is taken after the first server has died: %v: %s", err, s.reason())
	}
	s.must("lcmsDirectorServices.0", "5")

	one.Start()
	s.wait("lcmsDirectoryProvider.0", one.LDAPI())
	s.waitState(inSync)
	s.must("lcmsDirectorServices.0", "5")
	weight, err := value(s.Director, "lcmsServerWeight."+first)
	if err != nil {
		t.Fatal(err)
	}
	s.slapd.Wait(func() error {
		if got := s.inDirectory(firstDN, "lcmsWeight"); got != weight {
			return fmt.Errorf("the first server has weight %s, the director %s", got, weight)
		}
		return nil
	})
}

// Two directors that were away for so long that the server does not know any more
// what has changed learn it all the same, also what was deleted.
func TestLongAbsence(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo + "\n" + manyServices("web", 30), SessionLog: 10})
	a := &scene{T: t, slapd: slapd, Director: join(t, "lb1", []*ldaptest.Server{slapd})}
	b := &scene{T: t, slapd: slapd, Director: join(t, "lb2", []*ldaptest.Server{slapd})}
	both := []*scene{a, b}
	for _, s := range both {
		s.waitState(inSync)
		s.KillSubagent()
	}
	operator := slapd.As(ldaptest.Operator)
	var changes strings.Builder
	for i := range 30 {
		dn := fmt.Sprintf("lcmsKey=tcp:192.0.2.70:%d,ou=virtual_service,lcmsClusterId=web,ou=load_cluster,%s", 8000+i, slapd.Base())
		if i < 3 { // so few that nothing is held
			fmt.Fprintf(&changes, "dn: %s\nchangetype: delete\n\n", dn)
			continue
		}
		fmt.Fprintf(&changes, "%s\ndn: lcmsKey=10.0.0.11:80,%s\nchangetype: add\nobjectClass: lcmsRealServer\nlcmsKey: 10.0.0.11:80\nlcmsWeight: %d\n\n",
			replace(dn, "lcmsScheduler", "rr"), dn, i)
	}
	if err := operator.Modify(changes.String()); err != nil {
		t.Fatal(err)
	}
	for _, s := range both {
		s.StartSubagent()
		s.WaitReady()
	}
	for _, s := range both {
		s.waitState(inSync)
		s.must("lcmsDirectorServices.0", fmt.Sprint(demoServices+27))
		s.must("lcmsDirectorServers.0", fmt.Sprint(demoServers+27))
		s.must(`lcmsServiceScheduler."tcp:192.0.2.70:8029"`, "rr")
		s.must(`lcmsServerOperWeight."tcp:192.0.2.70:8029"."10.0.0.11:80"`, "29")
		s.must(`lcmsServiceRowStatus."tcp:192.0.2.70:8000"`, director.NoSuchInstance)
	}
	agree(t, a.Director, b.Director)
}

// In a large tree a SET keeps within what the shipped snmpd.conf gives it.
func TestLargeTree(t *testing.T) {
	t.Parallel()
	const services, servers = 500, 10
	var tree strings.Builder
	for i := range services {
		dn := fmt.Sprintf("lcmsKey=tcp:192.0.2.70:%d,ou=virtual_service,%s", 8000+i, schema.Base)
		fmt.Fprintf(&tree, "dn: %s\nobjectClass: lcmsVirtualService\nlcmsKey: tcp:192.0.2.70:%d\n\n", dn, 8000+i)
		for n := range servers {
			fmt.Fprintf(&tree, "dn: lcmsKey=10.0.0.%d:80,%s\nobjectClass: lcmsRealServer\nlcmsKey: 10.0.0.%[1]d:80\n\n", 1+n, dn)
		}
	}
	slapd := ldaptest.Start(t, ldaptest.Options{Tree: tree.String()})
	s := &scene{T: t, slapd: slapd, Director: director.Start(t, director.Options{AgentXTimeout: 3 * time.Second, Config: configured("lb1", []*ldaptest.Server{slapd}, "write-timeout: 700ms")})}
	s.waitState(inSync)
	s.must("lcmsDirectorServers.0", fmt.Sprint(services*servers))
	var took []time.Duration
	for i := range 5 {
		weight := fmt.Sprint(100 + i)
		const row = `"tcp:192.0.2.70:8250"."10.0.0.5:80"`
		began := time.Now()
		// A busy machine may have no time for slapd just then.
		err := director.Poll(s.Limit(), func() error {
			began = time.Now()
			_, err := s.Set("lcmsServerWeight." + row + " u " + weight)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began).Round(time.Millisecond))
		s.must("lcmsServerOperWeight."+row, weight)
		if got := s.inDirectory("lcmsKey=10.0.0.5:80,lcmsKey=tcp:192.0.2.70:8250,ou=virtual_service,"+slapd.Base(), "lcmsWeight"); got != weight {
			t.Errorf("the directory has weight %s", got)
		}
	}
	t.Logf("SETs took %v", took)
	s.modify("lcmsKey=10.0.0.9:80,lcmsKey=tcp:192.0.2.70:8499,ou=virtual_service,"+slapd.Base(), "lcmsWeight", "77")
	s.wait(`lcmsServerOperWeight."tcp:192.0.2.70:8499"."10.0.0.9:80"`, "77")
}
