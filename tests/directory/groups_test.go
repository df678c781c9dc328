package directory

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/tests/director"
)

// gone waits until the directory has not got an entry.
func (s *scene) gone(dn string) {
	s.Helper()
	s.slapd.Wait(func() error {
		e, err := s.slapd.Read(dn, "1.1")
		var r *ldaptest.Refusal
		if errors.As(err, &r) && r.Code == 32 {
			return nil
		}
		return fmt.Errorf("the directory has %s, %v", e.DN, err)
	})
}

// Clusters, members and hosts that are made, changed and deleted by SNMP are so in
// the directory when the SET is answered.
func TestGroupsGoToTheDirectory(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	host, cluster := "cn=app1,ou=host,"+s.slapd.Base(), "lcmsClusterId=app,ou=load_cluster,"+s.slapd.Base()
	member := "cn=app1,ou=real_server," + cluster
	s.set(`lcmsHostRowStatus."app1" i 4`, `lcmsClusterRowStatus."app" i 4`, `lcmsClusterDescription."app" s Application`, `lcmsMemberRowStatus."app"."app1" i 4`)
	if got := s.inDirectory(cluster, "description"); got != "Application" {
		t.Errorf("the cluster is called %q in the directory", got)
	}
	if got := s.inDirectory(member, "lcmsHostRef"); !strings.EqualFold(got, host) {
		t.Errorf("the member refers to %q in the directory", got)
	}
	s.inDirectory(host, "cn")
	s.set(`lcmsClusterDescription."app" s Applications`, `lcmsClusterAdminStatus."app" i 3`)
	if name, admin := s.inDirectory(cluster, "description"), s.inDirectory(cluster, "lcmsAdminStatus"); name != "Applications" || admin != "down" {
		t.Errorf("the cluster is called %q and %s in the directory", name, admin)
	}
	s.steady(func() error { return is(s.Director, `lcmsClusterDescription."app"`, "Applications") })
	s.set(`lcmsMemberRowStatus."app"."app1" i 6`)
	s.gone(member)
	s.set(`lcmsClusterRowStatus."app" i 6`, `lcmsHostRowStatus."app1" i 6`)
	s.gone(cluster)
	s.gone(host)
	s.steady(func() error { return is(s.Director, `lcmsClusterRowStatus."app"`, director.NoSuchInstance) })
}

// Those that are made, changed and deleted in the directory are so in the MIB.
func TestGroupsComeFromTheDirectory(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	operator := s.slapd.As(ldaptest.Operator)
	host, cluster := "cn=app1,ou=host,"+s.slapd.Base(), "lcmsClusterId=app,ou=load_cluster,"+s.slapd.Base()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(operator.Add(`dn: ` + host + `
objectClass: device
objectClass: lcmsHost
cn: app1

dn: ` + cluster + `
objectClass: lcmsCluster
lcmsClusterId: app
description: Application

dn: ou=real_server,` + cluster + `
objectClass: organizationalUnit
ou: real_server

dn: cn=app1,ou=real_server,` + cluster + `
objectClass: lcmsClusterMember
cn: app1
lcmsHostRef: ` + host + `
`))
	s.wait(`lcmsHostRowStatus."app1"`, "1")
	s.wait(`lcmsClusterDescription."app"`, "Application")
	s.wait(`lcmsMemberRowStatus."app"."app1"`, "1")
	s.modify(cluster, "description", "Applications")
	s.wait(`lcmsClusterDescription."app"`, "Applications")
	must(operator.Delete("cn=app1,ou=real_server," + cluster))
	s.wait(`lcmsMemberRowStatus."app"."app1"`, director.NoSuchInstance)
	must(operator.DeleteTree(cluster))
	must(operator.Delete(host))
	s.wait(`lcmsClusterRowStatus."app"`, director.NoSuchInstance)
	s.wait(`lcmsHostRowStatus."app1"`, director.NoSuchInstance)
}

// An entry that is renamed is another row, with all that stands below it.
func TestRenamedInTheDirectory(t *testing.T) {
	t.Parallel()
	s := start(t, ldaptest.Options{})
	rename := func(dn, to string) {
		t.Helper()
		if err := s.slapd.As(ldaptest.Operator).Modify("dn: " + dn + "\nchangetype: modrdn\nnewrdn: " + to + "\ndeleteoldrdn: 1\n"); err != nil {
			t.Fatal(err)
		}
	}
	rename(webDN, "lcmsKey=tcp:192.0.2.10:81")
	s.wait(`lcmsServerOperWeight."tcp:192.0.2.10:81"."10.0.0.11:80"`, "3")
	s.wait("lcmsServiceRowStatus."+web, director.NoSuchInstance)
	s.must("lcmsDirectorServices.0", "5")
	s.must("lcmsDirectorServers.0", "13")

	before := s.allRows()
	rename("lcmsClusterId=web,ou=load_cluster,"+s.slapd.Base(), "lcmsClusterId=shop")
	s.wait(`lcmsServiceCluster."tcp:192.0.2.10:81"`, "shop")
	s.wait(`lcmsClusterRowStatus."web"`, director.NoSuchInstance)
	s.must(`lcmsClusterRowStatus."shop"`, "1")
	s.keeps(before)
	s.waitState(inSync)
	// What was renamed takes writes where it stands now.
	s.set(`lcmsServerWeight."tcp:192.0.2.10:81"."10.0.0.11:80" u 8`)
	if got := s.inDirectory("lcmsKey=10.0.0.11:80,lcmsKey=tcp:192.0.2.10:81,ou=virtual_service,lcmsClusterId=shop,ou=load_cluster,"+s.slapd.Base(), "lcmsWeight"); got != "8" {
		t.Errorf("the directory has weight %s", got)
	}
}
