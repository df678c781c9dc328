package ldapsync

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

// exported is a change with something of everything that LDIF has to spell.
func exported() lvs.Change {
	service := lvs.NewService(web)
	service.Name = "Straßen, größer"
	odd := lvs.NewService(mail)
	odd.Name = " begins with a blank"
	drained := server(2)
	drained.AdminStatus = lvs.AdminDrain
	daemon := lvs.NewSyncDaemon(lvs.DaemonMaster)
	daemon.Interface = "eth0"
	return lvs.Change{
		PutServices: []lvs.Service{service, odd},
		PutServers:  []lvs.ServerAt{{Service: web, Server: server(1)}, {Service: web, Server: drained}},
		PutDaemons:  []lvs.SyncDaemon{daemon},
	}
}

// What is written, ldapadd takes, and it is read back as it was.
func TestLDIFIsTakenByLdapadd(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	change := exported()
	want, err := new(lvs.Config).Apply(&change)
	if err != nil {
		t.Fatal(err)
	}
	skeleton := func(p Place) bool {
		return p.Kind == Hosts || p.Kind == Clusters || p.Kind == Services && p.Cluster == ""
	}
	var ldif strings.Builder
	if err := WriteLDIF(&ldif, s.base, "lb1", &change, skeleton); err != nil {
		t.Fatal(err)
	}
	if err := s.As(ldaptest.Operator).Add(ldif.String()); err != nil {
		t.Fatalf("%v\n%s", err, ldif.String())
	}
	s.holds(want)
}

func TestLDIFNamesWhatIsMissing(t *testing.T) {
	base := mustBase(t, "dc=x")
	service := lvs.NewService(web)
	service.Cluster = "shop"
	change := lvs.Change{Dangling: true, PutServices: []lvs.Service{service}}
	nothing := func(Place) bool { return false }
	err := WriteLDIF(new(strings.Builder), base, "lb1", &change, nothing)
	if want := "there is no lcmsClusterId=shop,ou=load_cluster,dc=x: create it first"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	change.PutServices[0].Cluster = ""
	var ldif strings.Builder
	if err := WriteLDIF(&ldif, base, "lb1", &change, nothing); err != nil {
		t.Fatal(err)
	}
	want := `dn: ou=virtual_service,dc=x
objectClass: organizationalUnit
ou: virtual_service

dn: lcmsKey=tcp:192.0.2.1:80,ou=virtual_service,dc=x
objectClass: lcmsVirtualService
lcmsKey: tcp:192.0.2.1:80
lcmsProtocol: tcp
lcmsAddressType: ipv4
lcmsAddress: 192.0.2.1
lcmsPort: 80
`
	if d := cmp.Diff(want, ldif.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestLDIFValuesAreSafe(t *testing.T) {
	for value, want := range map[string]string{
		"":       "a: \n",
		"plain":  "a: plain\n",
		"größer": "a: größer\n",
		"a:b":    "a: a:b\n",
		" x":     "a:: IHg=\n",
		"x ":     "a:: eCA=\n",
		":x":     "a:: Ong=\n",
		"<x":     "a:: PHg=\n",
		"x\ny":   "a:: eAp5\n",
		"x\x00":  "a:: eAA=\n",
		"x\xff":  "a:: eP8=\n",
		"x\ry":   "a:: eA15\n",
	} {
		var b strings.Builder
		if writeLine(&b, "a", value); b.String() != want {
			t.Errorf("%q: %q, want %q", value, b.String(), want)
		}
	}
}
