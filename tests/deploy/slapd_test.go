package deploy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

const guide = "../../docs/120-directory.md"

// steps returns the commands of the guide, by their heading.
func steps(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	var heading string
	inside := false
	for line := range strings.Lines(string(text)) {
		switch {
		case inside && line == "```\n":
			inside = false
		case inside:
			found[heading] += line
		case line == "```sh\n":
			inside = true
			for n := 2; found[heading] != ""; n++ {
				heading = fmt.Sprintf("%s (%d)", strings.TrimRight(heading, " ()0123456789"), n)
			}
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "# "))
		}
	}
	return found
}

// administrator follows the guide at a slapd as Debian installs it, with the
// paths of the machine moved into the folder of that server.
type administrator struct {
	t     *testing.T
	slapd *ldaptest.Stock
	other *ldaptest.Stock
	steps map[string]string
}

func (a administrator) do(heading string) string {
	a.t.Helper()
	script, ok := a.steps[heading]
	if !ok {
		a.t.Fatalf("the guide has no commands under %q", heading)
	}
	return a.run(heading, script)
}

func (a administrator) run(what, script string) string {
	a.t.Helper()
	moves := []string{
		"apt-get install", "true",
		"-o openldap -g openldap", "",
		"/var/lib/ldap/lcms", a.slapd.Path("lcms"),
		"/etc/lcms", a.slapd.Path("etc"),
		"/etc/ldap/tls", a.slapd.Path("tls"),
		"ldapi:///", a.slapd.LDAPI(),
		"id -g lcms", "id -g", "id -u lcms", "id -u",
		"ldap://ldap1.example.org", a.slapd.URI(),
		"ldapsync/schema/database.ldif", a.slapd.Path("database.ldif"),
	}
	if a.other != nil {
		moves = append([]string{"ldap://ldap1.example.org", a.other.URI()}, moves...)
	}
	database, err := os.ReadFile("../../ldapsync/schema/database.ldif")
	if err == nil {
		err = os.WriteFile(a.slapd.Path("database.ldif"), bytes.ReplaceAll(database, []byte("/var/lib/ldap/lcms"), []byte(a.slapd.Path("lcms"))), 0o600)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.NewReplacer(moves...).Replace(script))
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "LDAPCONF=/dev/null", "HOME="+a.slapd.Path(""))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		a.t.Fatalf("%s: %v: %s\n%s", what, err, stderr.String(), script)
	}
	return string(out)
}

func TestDirectoryAsTheGuideSetsItUp(t *testing.T) {
	slapd := ldaptest.StartStock(t)
	slapd.Certify("tls")
	a := administrator{t: t, slapd: slapd, steps: steps(t)}
	for _, heading := range []string{"1. Packages", "2. A number for the server", "3. Classes and database", "4. Passwords of the programs", "5. The first manager", "6. TLS"} {
		a.do(heading)
	}
	for _, file := range []string{"etc/ldapsync.password", "etc/lcmsweb.password"} {
		info, err := os.Stat(slapd.Path(file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || info.Size() != 32 {
			t.Errorf("%s has mode %o and %d octets", file, info.Mode().Perm(), info.Size())
		}
	}
	found := a.do("7. Try it")
	for name, want := range map[string]bool{"ou: host": true, "ou: virtual_service": true, "ou: load_cluster": true, "manager": false, "group": false} {
		if strings.Contains(found, name) != want {
			t.Errorf("a director finds\n%s\nwith %q = %v", found, name, !want)
		}
	}

	// The manager is an administrator, sets up the demo, and drains as the guide
	// tells.
	base := schema.Base
	a.run("password of alice", "ldappasswd -Q -Y EXTERNAL -H ldapi:/// -s alice uid=alice,ou=manager,"+base)
	alice := slapd.As("uid=alice,ou=manager,"+base, "alice")
	if err := alice.Add(schema.Demo); err != nil {
		t.Fatal(err)
	}
	a.run("drain", "export LDAPTLS_CACERT=/etc/ldap/tls/ca.pem\n"+strings.Replace(a.steps["The tree"], "-W", "-w alice", 1))
	server := "lcmsKey=10.0.0.11:80,lcmsKey=tcp:192.0.2.10:80,ou=virtual_service,lcmsClusterId=web,ou=load_cluster," + base
	if e, err := alice.Read(server); err != nil || e.Value("lcmsAdminStatus") != "drain" {
		t.Errorf("not drained: %v, %v", e, err)
	}

	// Nobody logs in in clear over the network.
	clear := exec.Command("ldapwhoami", "-x", "-H", slapd.URI(), "-D", "uid=alice,ou=manager,"+base, "-w", "alice")
	if out, err := clear.CombinedOutput(); err == nil || !strings.Contains(string(out), "(13)") {
		t.Errorf("a password in clear: %v, %s; want confidentialityRequired", err, out)
	}

	// The last step makes this user the sync identity, who was root until then.
	a.do("8. A director beside slapd")
	if got, err := slapd.WhoAmI(); err != nil || got != "dn:uid=ldapsync,ou=service,"+base {
		t.Errorf("on the socket: %q, %v", got, err)
	}
}

func TestTwoServersAsTheGuideSetsThemUp(t *testing.T) {
	first, second := ldaptest.StartStock(t), ldaptest.StartStock(t)
	guide := steps(t)
	one := administrator{t, first, second, guide}
	two := administrator{t, second, first, guide}
	first.Certify("tls")
	second.Certify("tls")
	// Each trusts the other: one file with both authorities.
	var authorities []byte
	for _, s := range []*ldaptest.Stock{first, second} {
		pem, err := os.ReadFile(s.Path("tls/ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		authorities = append(authorities, pem...)
	}
	for _, s := range []*ldaptest.Stock{first, second} {
		if err := os.WriteFile(s.Path("tls/ca.pem"), authorities, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(s.Path("etc"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	one.do("2. A number for the server")
	two.run("number", strings.Replace(guide["2. A number for the server"], "olcServerID: 1", "olcServerID: 2", 1))
	one.do("3. Classes and database")
	classes := guide["3. Classes and database"]
	two.run("without skeleton", classes[:strings.LastIndex(classes, "ldapadd")])
	one.do("6. TLS")
	two.do("6. TLS")
	one.do("Two servers")
	password, err := os.ReadFile(first.Path("etc/replicator.password"))
	if err == nil {
		err = os.WriteFile(second.Path("etc/replicator.password"), password, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	follow := guide["Two servers (2)"]
	two.run("follow the first", follow)
	one.run("follow the second", follow)

	for i, s := range []struct{ writer, reader *ldaptest.Stock }{{first, second}, {second, first}} {
		waitFor(t, func() error { _, err := s.writer.Read("ou=load_cluster," + schema.Base); return err })
		id := fmt.Sprintf("c%d", i)
		dn := "lcmsClusterId=" + id + ",ou=load_cluster," + schema.Base
		if err := s.writer.Add("dn: " + dn + "\nobjectClass: lcmsCluster\nlcmsClusterId: " + id + "\n"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() error { _, err := s.reader.Read(dn); return err })
	}
}

func waitFor(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// slapd.conf is that of the guide in the other form.
func TestSlapdConfIsTaken(t *testing.T) {
	slapd := ldaptest.StartStock(t) // for its folder
	slapd.Certify("tls")
	if err := os.Mkdir(slapd.Path("lcms"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile("../../deploy/openldap/slapd.conf")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := filepath.Abs("../../ldapsync/schema")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("/etc/ldap/tls", slapd.Path("tls"), "/var/lib/ldap/lcms", slapd.Path("lcms"), "/run/slapd", slapd.Path(""),
		"/etc/ldap/lcms.schema", ours+"/lcms.schema", "/etc/ldap/database.conf", ours+"/database.conf").Replace(string(conf))
	if err := os.WriteFile(slapd.Path("slapd.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"slaptest", "-u", "-f", slapd.Path("slapd.conf")},
		{"slapadd", "-q", "-f", slapd.Path("slapd.conf"), "-l", ours + "/skeleton.ldif"},
		{"slapadd", "-f", slapd.Path("slapd.conf"), "-l", ours + "/demo.ldif"},
	} {
		out, err := exec.Command("/usr/sbin/"+command[0], command[1:]...).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("warn")) {
			t.Errorf("%v: %v: %s", command, err, out)
		}
	}
	for _, module := range schema.Modules {
		if !strings.Contains(text, "\nmoduleload "+module+"\n") {
			t.Errorf("slapd.conf does not load %s", module)
		}
	}
}

// The guide names every class and attribute there is.
func TestGuideNamesEverything(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:attributetype|objectclass) \( \S+ NAME '(\w+)'`).FindAllStringSubmatch(schema.Schema, -1) {
		if !bytes.Contains(text, []byte("`"+m[1]+"`")) {
			t.Errorf("%s does not name %s", guide, m[1])
		}
	}
}
