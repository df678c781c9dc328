package directory

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
	"github.com/lcms-project/lcms/tests/director"
)

// A change goes to and fro between two states: a weight, a server that is deleted,
// and a service with a server that is made. No part of it is without the rest.
const (
	otherServer = web + `."10.0.0.12:80"`
	newService  = `"tcp:192.0.2.10:8080"`
	newServer   = newService + `."10.0.0.11:8080"`
	newDN       = "lcmsKey=tcp:192.0.2.10:8080,ou=virtual_service,lcmsClusterId=web,ou=load_cluster," + schema.Base
)

func forth() []string {
	return []string{
		`lcmsServerWeight.` + first + ` u 9`, `lcmsServerRowStatus.` + otherServer + ` i 6`,
		`lcmsServiceRowStatus.` + newService + ` i 4`, `lcmsServiceCluster.` + newService + ` s web`,
		`lcmsServerRowStatus.` + newServer + ` i 4`, `lcmsServerWeight.` + newServer + ` u 5`,
	}
}

func back() []string {
	return []string{
		`lcmsServerWeight.` + first + ` u 3`, `lcmsServerRowStatus.` + otherServer + ` i 4`, `lcmsServerWeight.` + otherServer + ` u 2`,
		`lcmsServiceRowStatus.` + newService + ` i 6`,
	}
}

// whole reads from the directory which of the two states holds, and checks that
// it is whole, and that MIB and kernel say what the directory says.
func (s *scene) whole() (isForth bool) {
	s.Helper()
	err := director.Poll(s.Limit(), func() error {
		has, err := s.weights()
		if err != nil {
			return err
		}
		isForth = has["tcp:192.0.2.10:80 10.0.0.11:80"] == "9"
		if _, there := has["tcp:192.0.2.10:80 10.0.0.12:80"]; there == isForth {
			return director.Final{Err: fmt.Errorf("the directory has a part of a change: %v", has)}
		}
		if _, there := has["tcp:192.0.2.10:8080 10.0.0.11:8080"]; there != isForth {
			return director.Final{Err: fmt.Errorf("the directory has a part of a change: %v", has)}
		}
		return s.shows(has)
	})
	if err != nil {
		s.Fatal(err)
	}
	return isForth
}

// weights returns the weight of each server in the directory.
func (s *scene) weights() (model, error) {
	found, err := s.slapd.Search("(objectClass=lcmsRealServer)")
	if err != nil {
		return nil, director.Final{Err: err}
	}
	has := make(model)
	for _, e := range found {
		_, service, _ := strings.Cut(e.DN, ",lcmsKey=")
		service, _, _ = strings.Cut(service, ",")
		has[service+" "+e.Value("lcmsKey")] = weightOf(e)
	}
	return has, nil
}

// shows returns an error unless MIB and kernel have just these weights.
func (s *scene) shows(want model) error {
	for _, column := range []string{"lcmsServerWeight", "lcmsServerOperWeight"} {
		vbs, err := s.BulkWalk(column)
		if err != nil {
			return err
		}
		has := make(model)
		for _, v := range vbs {
			if parts := strings.Split(v.Name, `"`); len(parts) >= 4 {
				has[parts[1]+" "+parts[3]] = v.Value
			}
		}
		if !maps.Equal(has, want) {
			return fmt.Errorf("%s is %v, not %v", column, has, want)
		}
	}
	return nil
}

// storeAgrees checks that the store has what the directory has: what a director
// shows that cannot reach it.
func (s *scene) storeAgrees() {
	s.Helper()
	want, err := s.weights()
	if err != nil {
		s.Fatal(err)
	}
	s.KillSubagent()
	s.slapd.Stop()
	s.StartSubagent()
	s.WaitReady()
	if err := s.shows(want); err != nil {
		s.Errorf("the store: %v", err)
	}
	s.slapd.Start()
	s.waitState(inSync)
}

// ended waits for the end of the subagent.
func (s *scene) ended() {
	s.Helper()
	err := director.Poll(s.Limit(), func() error {
		if _, ok := s.Running(); ok {
			return errors.New("lcms-subagent still runs")
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

// again starts a subagent that is to fail somewhere.
func (s *scene) again(failpoint string) {
	s.Helper()
	s.KillSubagent()
	s.StartSubagent("LCMS_FAILPOINT=" + failpoint)
	s.WaitReady()
	s.waitState(inSync)
}

// Whenever the subagent is killed while a change goes to the directory or comes
// from it, afterwards directory, store, MIB and kernel say the same: all of the
// change, or nothing of it; all, once a manager has been told so.
func TestKilledAtEachStep(t *testing.T) {
	binary := director.Fallible(t)
	begin := func(t *testing.T, config ...string) *scene {
		t.Parallel()
		slapd := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo})
		d := director.Start(t, director.Options{Binary: binary, Config: configured("lb1", []*ldaptest.Server{slapd}, config...)})
		s := &scene{T: t, slapd: slapd, Director: d}
		s.waitState(inSync)
		return s
	}
	for _, points := range [][]string{
		{"prepare.end", "commit.begin", "commit.write", "commit.written", "commit.stored"},
		{"commit.operation", "commit.operation#2", "commit.end", "done.begin", "done.delete", "done.end"},
	} {
		t.Run("SET "+points[0], func(t *testing.T) {
			s := begin(t)
			is := false
			for _, point := range points {
				s.again(point + "=kill")
				change := forth()
				if is {
					change = back()
				}
				_, err := s.Set(change...)
				s.ended()
				s.StartSubagent()
				s.WaitReady()
				s.waitState(inSync)
				was := is
				is = s.whole()
				t.Logf("%s: made %t, told so %t", point, was != is, err == nil)
				if err == nil && was == is {
					t.Errorf("killed at %s: a change that was accepted is lost", point)
				}
			}
			s.storeAgrees()
		})
	}
	t.Run("change in the directory", func(t *testing.T) {
		s := begin(t)
		for n, point := range []string{"follow.begin", "follow.stored", "follow.end"} {
			s.KillSubagent()
			s.modify(firstDN, "lcmsWeight", fmt.Sprint(100+n))
			s.StartSubagent("LCMS_FAILPOINT=" + point + "=kill")
			s.ended()
			s.StartSubagent()
			s.WaitReady()
			s.wait("lcmsServerOperWeight."+first, fmt.Sprint(100+n))
			s.waitState(inSync)
		}
		s.storeAgrees()
	})
	t.Run("queue", func(t *testing.T) {
		s := begin(t, "queue: true")
		for n, point := range []string{"replay.write", "replay.written"} {
			s.again(point + "=kill")
			s.slapd.Stop()
			s.waitState(disconnected)
			threshold := fmt.Sprint(1000 + n)
			s.set(`lcmsServerUpperThreshold.` + first + ` u ` + threshold)
			s.slapd.Start()
			s.ended()
			s.StartSubagent()
			s.WaitReady()
			s.waitState(inSync)
			s.wait("lcmsDirectoryPendingWrites.0", "0")
			s.wait("lcmsServerUpperThreshold."+first, threshold)
			if got := s.inDirectory(firstDN, "lcmsUpperThreshold"); got != threshold {
				t.Errorf("killed at %s: the directory has upper threshold %s, not %s", point, got, threshold)
			}
			s.must("lcmsDirectoryConflicts.0", "0")
		}
	})
	t.Run("slapd", func(t *testing.T) {
		s := begin(t)
		is := false
		for _, point := range []string{"commit.write", "commit.written"} {
			s.again(fmt.Sprintf("%s=kill:%d", point, s.slapd.PID()))
			change := forth()
			if is {
				change = back()
			}
			_, err := s.Set(change...)
			s.slapd.Kill() // so that its end is known
			s.slapd.Start()
			s.waitState(inSync)
			was := is
			is = s.whole()
			t.Logf("%s: made %t, told so %t", point, was != is, err == nil)
			if err == nil && was == is {
				t.Errorf("slapd killed at %s: a change that was accepted is lost", point)
			}
		}
		s.storeAgrees()
	})
}
