package ldapsync

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
)

const testBase = "dc=lcms,dc=dpnm,dc=postech,dc=edu"

func mustBase(t testing.TB, dn string) Base {
	t.Helper()
	b, err := ParseBase(dn)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPlaceIsWhatTheDNSays(t *testing.T) {
	b := mustBase(t, testBase)
	tcp, _ := lvs.ParseServiceKey("tcp:192.0.2.1:80")
	tcp6, _ := lvs.ParseServiceKey("tcp:[2001:db8::1]:443")
	server6, _ := lvs.ParseServerKey("[2001:db8::11]:443")
	for dn, want := range map[string]Place{
		"":                                    {Kind: Root},
		"ou=host":                             {Kind: Hosts},
		"cn=lb1,ou=host":                      {Kind: Host, Host: "lb1"},
		"CN=LB1 , Ou = Host":                  {Kind: Host, Host: "lb1"},
		"lcmsSyncState=master,cn=lb1,ou=host": {Kind: SyncDaemon, Host: "lb1", Daemon: lvs.DaemonMaster},
		"ou=load_cluster":                     {Kind: Clusters},
		"lcmsClusterId=web,ou=load_cluster":   {Kind: Cluster, Cluster: "web"},
		"ou=backup_server,lcmsClusterId=web,ou=load_cluster":        {Kind: Members, Cluster: "web", Role: lvs.Backup},
		"cn=rs1,ou=real_server,lcmsClusterId=web,ou=load_cluster":   {Kind: Member, Cluster: "web", Role: lvs.RealServer, Host: "rs1"},
		"cn=lb1,ou=load_balancer,lcmsClusterId=web,ou=load_cluster": {Kind: Member, Cluster: "web", Role: lvs.LoadBalancer, Host: "lb1"},
		"ou=virtual_service":                                   {Kind: Services},
		"lcmsKey=tcp:192.0.2.1:80,ou=virtual_service":          {Kind: Service, Service: tcp},
		`lcmskey=TCP\3A192.0.2.1\3a80,ou=virtual_service`:      {Kind: Service, Service: tcp},
		"ou=virtual_service,lcmsClusterId=web,ou=load_cluster": {Kind: Services, Cluster: "web"},
		"lcmsKey=[2001:DB8::11]:443,lcmsKey=tcp:[2001:db8::1]:443,ou=virtual_service,lcmsClusterId=web,ou=load_cluster": {
			Kind: Server, Cluster: "web", Service: tcp6, Server: server6},

		"ou=manager":                                 {},
		"uid=alice,ou=manager":                       {},
		"cn=x,cn=lb1,ou=host":                        {},
		"cn=lb1+serialNumber=5,ou=host":              {},
		"ou=spare,lcmsClusterId=web,ou=load_cluster": {},
		"cn=rs1,lcmsClusterId=web,ou=load_cluster":   {},
		"lcmsKey=10.0.0.11:80,cn=lb1,ou=host":        {},
	} {
		full := strings.TrimPrefix(dn+","+testBase, ",")
		if got, err := b.Place(full); err != nil || got != want {
			t.Errorf("Place(%q) = %+v, %v; want %+v", full, got, err, want)
		}
		upper := strings.TrimPrefix(dn+", DC=LCMS,DC=dpnm, dc=Postech,dc=edu", ", ")
		if got, err := b.Place(upper); err != nil || got != want {
			t.Errorf("Place(%q) = %+v, %v; want %+v", upper, got, err, want)
		}
	}
	for _, dn := range []string{"", "dc=edu", "cn=lb1,ou=host,dc=example,dc=org", "cn=lb1,ou=host,dc=x,dc=dpnm,dc=postech,dc=edu"} {
		if got, err := b.Place(dn); err != nil || got != (Place{}) {
			t.Errorf("Place(%q) = %+v, %v; want Elsewhere", dn, got, err)
		}
	}
}

func TestPlaceNamesWhatCannotBe(t *testing.T) {
	b := mustBase(t, testBase)
	for dn, words := range map[string][]string{
		"lcmsKey=tcp:192.0.2.001:80,ou=virtual_service":                 {"lcmsKey", "tcp:192.0.2.001:80", "leading zeros"},
		"lcmsKey=tcp:[2001:db8:0::1]:80,ou=virtual_service":             {`write "tcp:[2001:db8::1]:80"`},
		"lcmsKey=10.0.0.11:99999,lcmsKey=fwm4:7,ou=virtual_service":     {"10.0.0.11:99999"},
		"lcmsKey=10.0.0.11:80,lcmsKey=fwm4:0,ou=virtual_service":        {"fwm4:0"},
		"cn=two words,ou=host":                                          {"two words"},
		"lcmsSyncState=both,cn=lb1,ou=host":                             {"both", "master, backup"},
		"lcmsClusterId=" + strings.Repeat("x", 33) + ",ou=load_cluster": {"lcmsClusterId", "32"},
		`cn=a\zz,ou=host`: {"cannot be read"},
	} {
		_, err := b.Place(dn + "," + testBase)
		var f *Fault
		if !errors.As(err, &f) || !errors.Is(err, lvs.ErrInvalid) {
			t.Errorf("Place(%q): %v", dn, err)
			continue
		}
		for _, w := range append(words, dn) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("Place(%q): %v\ndoes not say %q", dn, err, w)
			}
		}
	}
}

func TestBaseIsRefused(t *testing.T) {
	for _, dn := range []string{"", " ", "lcms", "dc=lcms,", "dc=a\\"} {
		if _, err := ParseBase(dn); err == nil || !strings.Contains(err.Error(), "write it like") {
			t.Errorf("ParseBase(%q): %v", dn, err)
		}
	}
}

func TestPlaceAndDNAreInverse(t *testing.T) {
	bases := []Base{mustBase(t, testBase), mustBase(t, `o=Load\, Balancing \+ Co,c=kr`), mustBase(t, "ou=Ü+cn=x, dc=example")}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(bases).Draw(t, "base")
		p := drawPlace(t)
		if got, err := b.Place(b.DN(p)); err != nil || got != p {
			t.Fatalf("Place(%q) = %+v, %v; want %+v", b.DN(p), got, err, p)
		}
		if up := p.Parent(); up.Kind != Elsewhere && !strings.HasSuffix(b.DN(p), ","+b.DN(up)) {
			t.Fatalf("%q does not stand below %q", b.DN(p), b.DN(up))
		}
	})
}

func FuzzPlace(f *testing.F) {
	b := mustBase(f, testBase)
	f.Add("cn=lb1,ou=host," + testBase)
	f.Add(`lcmsKey=tcp:[2001:db8::1]:443,ou=virtual_service,` + testBase)
	f.Add(`cn=#04024869,ou=host,` + testBase)
	f.Fuzz(func(t *testing.T, dn string) {
		p, err := b.Place(dn)
		if err != nil || p.Kind == Elsewhere {
			return
		}
		if again, err := b.Place(b.DN(p)); err != nil || again != p {
			t.Fatalf("%q is %+v, whose DN %q is %+v, %v", dn, p, b.DN(p), again, err)
		}
	})
}
