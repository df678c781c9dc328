package directory

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/tests/director"
)

// command runs lcms-subagent with a configuration.
func command(t *testing.T, config []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lcms-subagent.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return commandWith(t, path, args...)
}

// commandWith runs lcms-subagent with a file of configuration.
func commandWith(t *testing.T, path string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(director.Binary(t), append(args, "--config", path)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// A director that had no directory brings what it holds into one: first it shows
// what it would do, then ldapadd or the command itself does it, and from then on
// both say the same.
func TestExport(t *testing.T) {
	for _, how := range []string{"ldapadd", "--write"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			alone := director.Start(t, director.Options{})
			a := &scene{T: t, Director: alone}
			const server = web + `."10.0.0.11:80"`
			a.set(`lcmsServiceRowStatus.`+web+` i 4`, `lcmsServiceName.`+web+` s Größe`, `lcmsServerRowStatus.`+server+` i 4`,
				`lcmsServerWeight.`+server+` u 300`, `lcmsServerAdminStatus.`+server+` i 2`)
			before := a.allRows()

			slapd := ldaptest.Start(t, ldaptest.Options{})
			config := append([]string{"store: {path: " + alone.StorePath() + "}", "ipvs: memory"}, configured("lb1", []*ldaptest.Server{slapd})...)
			if _, words, _ := command(t, config, "export"); !strings.Contains(words, "in use by another process: stop the lcms-subagent") {
				t.Errorf("while the agent runs: %s", words)
			}
			alone.StopSubagent()
			ldif, words, status := command(t, config, "export")
			if status != 0 || !strings.Contains(words, "dry run: 1 services, 1 servers") {
				t.Fatalf("status %d, %s", status, words)
			}
			if found, err := slapd.Search("(lcmsKey=*)"); err != nil || len(found) > 0 {
				t.Fatalf("a dry run has written %v, %v", found, err)
			}
			if how == "ldapadd" {
				if err := slapd.As(ldaptest.Operator).Add(ldif); err != nil {
					t.Fatalf("%v\n%s", err, ldif)
				}
			} else if _, words, status := command(t, config, "export", how); status != 0 || !strings.Contains(words, "1 services, 1 servers and 0 others added") {
				t.Fatalf("status %d, %s", status, words)
			}
			if _, words, status := command(t, config, "export"); status != 0 || !strings.Contains(words, "dry run: 0 services, 0 servers and 0 others") {
				t.Errorf("again: status %d, %s", status, words)
			}
			dn := "lcmsKey=10.0.0.11:80,lcmsKey=tcp:192.0.2.10:80,ou=virtual_service," + slapd.Base()
			if e, err := slapd.Read(dn); err != nil || e.Value("lcmsWeight") != "300" || e.Value("lcmsAdminStatus") != "drain" {
				t.Errorf("the directory has %v, %v", e, err)
			}

			// The same store with the directory now: nothing changes.
			both := director.Start(t, director.Options{StorePath: alone.StorePath(), Config: configured("lb1", []*ldaptest.Server{slapd})})
			b := &scene{T: t, Director: both, slapd: slapd}
			b.waitState(inSync)
			b.keeps(before)
		})
	}
}

// What is in the directory already, and otherwise, stays as it is and is named.
func TestExportLeavesWhatIsThere(t *testing.T) {
	t.Parallel()
	a := &scene{T: t, Director: director.Start(t, director.Options{})}
	a.set(`lcmsServiceRowStatus.`+web+` i 4`, `lcmsServiceScheduler.`+web+` s rr`)
	a.StopSubagent()
	slapd := ldaptest.Start(t, ldaptest.Options{})
	dn := "lcmsKey=tcp:192.0.2.10:80,ou=virtual_service," + slapd.Base()
	if err := slapd.As(ldaptest.Operator).Add(fmt.Sprintf("dn: %s\nobjectClass: lcmsVirtualService\nlcmsKey: tcp:192.0.2.10:80\nlcmsScheduler: sed\n", dn)); err != nil {
		t.Fatal(err)
	}
	config := append([]string{"store: {path: " + a.StorePath() + "}", "ipvs: memory"}, configured("lb1", []*ldaptest.Server{slapd})...)
	if _, words, status := command(t, config, "export", "--write"); status != 0 || !strings.Contains(words, "left as it is: the directory has service tcp:192.0.2.10:80 otherwise") {
		t.Errorf("status %d, %s", status, words)
	}
	if e, err := slapd.Read(dn); err != nil || e.Value("lcmsScheduler") != "sed" {
		t.Errorf("the directory has %v, %v", e, err)
	}
}

// A configuration that cannot work is refused by check-config and by the agent
// with the cause and the mend.
func TestConfigurationIsChecked(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for lines, want := range map[string]string{
		"directory: {uris: 'ldapi:///', base: lcms=}\nhost: lb1":                                      "no fault found",
		"directory: {uris: 'ldapi://%zz', base: dc=x}":                                                "ldapi",
		"directory: {uris: 'ldap://h', base: dc=x}":                                                   "set directory.bind-dn",
		"directory: {base: dc=x}":                                                                     "set directory.uris",
		"directory: {uris: 'ldaps://h', base: dc=x, bind-dn: cn=a, password-file: " + password + "}":  "warning: directory.password-file " + password + " can be read or written by others",
		"directory: {uris: 'ldaps://h', base: dc=x, bind-dn: cn=a, password-file: /nowhere/password}": "no such file",
		"directory: {uris: 'ldaps://h', base: dc=x, bind-dn: cn=a, password-file: /nowhere}":          "no other fault found",
	} {
		out, words, _ := command(t, strings.Split(lines, "\n"), "check-config")
		if !strings.Contains(out+words, want) {
			t.Errorf("%s: %s%s, want %s", lines, out, words, want)
		}
	}
}
