package ldaptest

import (
	"errors"
	"slices"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/schema"
)

const cluster = "dn: lcmsClusterId=web,ou=load_cluster," + schema.Base + "\nobjectClass: lcmsCluster\nlcmsClusterId: web\n"

func names(t *testing.T, c Client, filter string) []string {
	t.Helper()
	found, err := c.Search(filter, "1.1")
	if err != nil {
		t.Fatal(err)
	}
	var dns []string
	for _, e := range found {
		dns = append(dns, e.DN)
	}
	return dns
}

func TestServerTakesWritesAndKeepsThem(t *testing.T) {
	s := Start(t, Options{})
	if err := s.Add(cluster); err != nil {
		t.Fatal(err)
	}
	dn := "lcmsClusterId=web,ou=load_cluster," + s.Base()
	for _, end := range []func(){s.Restart, func() { s.Kill(); s.Start() }} {
		end()
		e, err := s.Read(dn, "*", "entryCSN")
		if err != nil || e.Value("lcmsClusterId") != "web" || e.Value("entryCSN") == "" {
			t.Errorf("read %v, %v", e, err)
		}
	}
	if err := s.Modify("dn: " + dn + "\nchangetype: modify\nreplace: description\ndescription:: IMOpdMOp\n"); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Read(dn); err != nil || e.Value("description") != " été" {
		t.Errorf("read %v, %v", e, err)
	}
	var r *Refusal
	if err := s.Add(cluster); !errors.As(err, &r) || r.Code != 68 {
		t.Errorf("second add: %v", err)
	}
	if err := s.Delete(dn); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s.Client, "(objectClass=lcmsCluster)"); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestServerIsWipedAndRestored(t *testing.T) {
	s := Start(t, Options{Base: "dc=example,dc=org", Tree: cluster, ServerID: 7})
	backup := s.Backup()
	before := names(t, s.Client, "(objectClass=*)")
	if !slices.Contains(before, "lcmsClusterId=web,ou=load_cluster,dc=example,dc=org") {
		t.Fatalf("the tree is not there: %v", before)
	}
	s.Wipe()
	if got := names(t, s.Client, "(objectClass=lcmsCluster)"); len(got) != 0 {
		t.Errorf("not wiped: %v", got)
	}
	s.Restore(backup)
	if got := names(t, s.Client, "(objectClass=*)"); !slices.Equal(got, before) {
		t.Errorf("restored %v, were %v", got, before)
	}
	if got := s.Backup(); got != backup {
		t.Errorf("restored\n%s\nwas\n%s", got, backup)
	}
}

func TestPairConverges(t *testing.T) {
	a, b := StartPair(t, Options{})
	if err := a.Add(cluster); err != nil {
		t.Fatal(err)
	}
	a.WaitInSync()
	if got := names(t, b.Client, "(objectClass=lcmsCluster)"); len(got) != 1 {
		t.Fatalf("second provider has %v", got)
	}
	a.Kill()
	if err := b.Delete("lcmsClusterId=web,ou=load_cluster," + b.Base()); err != nil {
		t.Fatal(err)
	}
	a.Start()
	a.WaitInSync()
	if got := names(t, a.Client, "(objectClass=lcmsCluster)"); len(got) != 0 {
		t.Errorf("first provider has %v", got)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s := Start(b, Options{})
		s.Stop()
	}
}
