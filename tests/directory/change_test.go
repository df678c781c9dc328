package directory

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/tests/director"
)

// What the directory holds is what the director serves, and what is changed there
// is in MIB and kernel within a second.
func TestDirectoryReachesMIBAndKernel(t *testing.T) {
	s := start(t, ldaptest.Options{})
	s.must("lcmsDirectorServices.0", "5")
	s.must("lcmsDirectorServers.0", "13")
	s.must("lcmsServiceCluster."+web, "web")
	s.must("lcmsServerHost."+first, "web1")

	var took []time.Duration
	for _, weight := range []string{"300", "0", "65535", "7", "9"} {
		s.modify(firstDN, "lcmsWeight", weight)
		began := time.Now()
		s.wait("lcmsServerOperWeight."+first, weight) // what the kernel holds
		took = append(took, time.Since(began))
		s.must("lcmsServerWeight."+first, weight)
	}
	slices.Sort(took)
	t.Logf("from ldapmodify to kernel and MIB: %v", took)
	if s.Kernel() == director.Memory && took[0] > time.Second {
		t.Errorf("the quickest change took %s, more than a second", took[0])
	}

	// A new service with a server, and its end.
	add := `dn: lcmsKey=tcp:192.0.2.10:8080,ou=virtual_service,lcmsClusterId=web,ou=load_cluster,` + s.slapd.Base() + `
objectClass: lcmsVirtualService
lcmsKey: tcp:192.0.2.10:8080

dn: lcmsKey=10.0.0.11:8080,lcmsKey=tcp:192.0.2.10:8080,ou=virtual_service,lcmsClusterId=web,ou=load_cluster,` + s.slapd.Base() + `
objectClass: lcmsRealServer
lcmsKey: 10.0.0.11:8080
lcmsWeight: 5
`
	if err := s.slapd.As(ldaptest.Operator).Add(add); err != nil {
		t.Fatal(err)
	}
	s.wait(`lcmsServerOperWeight."tcp:192.0.2.10:8080"."10.0.0.11:8080"`, "5")
	s.must("lcmsDirectorServices.0", "6")
	if err := s.slapd.As(ldaptest.Operator).DeleteTree("lcmsKey=tcp:192.0.2.10:8080,ou=virtual_service,lcmsClusterId=web,ou=load_cluster," + s.slapd.Base()); err != nil {
		t.Fatal(err)
	}
	s.wait("lcmsDirectorServices.0", "5")
	if rules := s.Rules(); rules != nil && len(rules) != demoServices+demoServers {
		t.Errorf("the kernel holds %d rules, not %d: %s", len(rules), demoServices+demoServers, strings.Join(rules, "\n"))
	}
}

// When a SET is answered, the directory has it.
func TestSetIsInTheDirectoryBeforeItIsAnswered(t *testing.T) {
	s := start(t, ldaptest.Options{})
	for _, weight := range []string{"1", "255", "256", "300", "65535", "0"} {
		s.set("lcmsServerWeight." + first + " u " + weight)
		got := s.inDirectory(firstDN, "lcmsWeight")
		if got == "" {
			got = "1" // what is as usual is left out
		}
		if got != weight {
			t.Fatalf("after the SET of %s the directory has %s", weight, got)
		}
		s.must("lcmsServerOperWeight."+first, weight)
	}

	// A whole service is one transaction.
	const service = `"tcp:192.0.2.20:8080"`
	s.set(`lcmsServiceRowStatus.`+service+` i 4`, `lcmsServiceScheduler.`+service+` s rr`,
		`lcmsServerRowStatus.`+service+`."10.0.0.41:8080" i 4`, `lcmsServerWeight.`+service+`."10.0.0.41:8080" u 3`)
	dn := "lcmsKey=10.0.0.41:8080,lcmsKey=tcp:192.0.2.20:8080,ou=virtual_service," + s.slapd.Base()
	if got := s.inDirectory(dn, "lcmsWeight"); got != "3" {
		t.Fatalf("the directory has weight %q of the new server", got)
	}
	s.steady(func() error { return is(s.Director, `lcmsServerOperWeight.`+service+`."10.0.0.41:8080"`, "3") })
	s.set(`lcmsServiceRowStatus.` + service + ` i 6`)
	if e, err := s.slapd.Read(dn); err == nil {
		t.Fatalf("the directory still has %s", e.DN)
	}
	s.steady(func() error { return is(s.Director, `lcmsServiceRowStatus.`+service, director.NoSuchInstance) })
}

// What is volatile, and what the agent alone is concerned with, stays out of the
// directory.
func TestVolatileRowsStayOut(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	const service = `"tcp:192.0.2.30:80"`
	s.set(`lcmsServiceRowStatus.`+service+` i 4`, `lcmsServiceStorageType.`+service+` i 2`)
	s.set("lcmsAgentNotificationRate.0 u 77")
	found, err := s.slapd.Search("(lcmsKey=tcp:192.0.2.30:80)")
	if err != nil || len(found) > 0 {
		t.Errorf("in the directory: %v, %v", found, err)
	}
	// A change from the directory leaves them alone.
	s.modify(firstDN, "lcmsWeight", "42")
	s.wait("lcmsServerOperWeight."+first, "42")
	s.must("lcmsServiceRowStatus."+service, "1")
	s.must("lcmsAgentNotificationRate.0", "77")
}

// An entry that cannot be is left aside, named, and comes in when it is mended;
// everything else goes on.
func TestEntryThatCannotBeIsLeftAside(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	s.modify(firstDN, "lcmsUpperThreshold", "5")
	s.wait("lcmsServerUpperThreshold."+first, "5")
	s.modify(firstDN, "lcmsLowerThreshold", "9") // above the upper one
	err := director.Poll(s.Limit(), func() error {
		vbs, err := s.BulkWalk("lcmsDirectoryFaultTable")
		if err == nil && !slices.ContainsFunc(vbs, func(v director.Varbind) bool { return strings.Contains(v.Value, "above the upper threshold") }) {
			err = fmt.Errorf("lcmsDirectoryFaultTable is %v", vbs)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.modify(strings.Replace(firstDN, "10.0.0.11", "10.0.0.12", 1), "lcmsWeight", "55")
	s.wait("lcmsServerOperWeight."+web+`."10.0.0.12:80"`, "55")
	// The server stays as it was when its entry could be.
	s.must("lcmsServerRowStatus."+first, "1")
	s.must("lcmsServerUpperThreshold."+first, "5")
	s.must("lcmsServerLowerThreshold."+first, "0")
	s.modify(firstDN, "lcmsUpperThreshold", "20")
	s.wait("lcmsServerLowerThreshold."+first, "9")
	s.wait("lcmsDirectoryFaults.0", "0")
}
