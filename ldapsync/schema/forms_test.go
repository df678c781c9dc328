package schema_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// operational are the attributes that tell when an entry was made.
var operational = []string{"entryUUID", "entryCSN", "creatorsName", "modifiersName", "createTimestamp", "modifyTimestamp", "structuralObjectClass"}

// place is what may differ: where the database is, and how it is kept there.
var place = []string{"olcDatabase", "olcDbDirectory", "olcDbMaxSize", "olcDbNoSync", "olcDbEnvFlags", "olcRootPW", "olcDbMode"}

// defaults are what slapd writes down itself when it converts slapd.conf.
var defaults = map[string]string{
	"olcAddContentAcl": "FALSE", "olcDbMaxEntrySize": "0", "olcDbMaxReaders": "0", "olcDbRtxnSize": "10000", "olcDbSearchStack": "16",
	"olcLastBind": "FALSE", "olcLastMod": "TRUE", "olcMaxDerefDepth": "15", "olcMonitoring": "TRUE", "olcReadOnly": "FALSE",
	"olcSyncUseSubentry": "FALSE", "olcPPolicyDisableWrite": "FALSE", "olcPPolicyForwardUpdates": "FALSE",
	"olcPPolicySendNetscapeControls": "FALSE", "olcPPolicyUseLockout": "FALSE",
}

var (
	order = regexp.MustCompile(`\{-?\d+\}`)
	space = regexp.MustCompile(`\s+`)
)

// ours returns, of a configuration, what is of LCMS, without numbers and
// spelled the same.
func ours(t *testing.T, config []ldaptest.Entry) map[string]map[string][]string {
	t.Helper()
	found := make(map[string]map[string][]string)
	var database string
	for _, e := range config {
		if slices.Contains(e.Attributes["olcSuffix"], schema.Base) {
			database = e.DN
		}
	}
	for _, e := range config {
		switch {
		case e.DN == database, strings.HasSuffix(e.DN, ","+database), strings.HasSuffix(e.DN, "lcms,cn=schema,cn=config"):
		case strings.HasPrefix(e.DN, "olcDatabase={-1}frontend"):
			found["frontend"] = map[string][]string{"olcPasswordHash": e.Attributes["olcPasswordHash"]}
			continue
		default:
			continue
		}
		attributes := make(map[string][]string)
		for name, values := range e.Attributes {
			if slices.Contains(operational, name) || e.DN == database && slices.Contains(place, name) {
				continue
			}
			for _, v := range values {
				// An index of many attributes is kept as it was written.
				if names, kind, ok := strings.Cut(v, " "); ok && name == "olcDbIndex" {
					for n := range strings.SplitSeq(names, ",") {
						attributes[name] = append(attributes[name], n+" "+kind)
					}
					continue
				}
				v = strings.TrimSpace(space.ReplaceAllString(withoutOrder(v), " "))
				if v != defaults[name] {
					attributes[name] = append(attributes[name], strings.ReplaceAll(v, "+0 break", "break"))
				}
			}
			if name == "olcDbIndex" || name == "objectClass" {
				slices.Sort(attributes[name])
			}
		}
		found[order.ReplaceAllString(e.DN, "")] = attributes
	}
	if database == "" {
		t.Fatalf("there is no database of %s", schema.Base)
	}
	return found
}

// withoutOrder leaves out the number of a value in an ordered list.
func withoutOrder(v string) string {
	if at := order.FindStringIndex(v); at != nil && at[0] == 0 {
		return v[at[1]:]
	}
	return v
}

func TestBothFormsSayTheSame(t *testing.T) {
	stock := ldaptest.StartStock(t)
	load(t, stock)
	want := ours(t, ldaptest.New(t, ldaptest.Options{}).Config())
	if diff := cmp.Diff(want, ours(t, stock.Config())); diff != "" {
		t.Errorf("slapd.conf (-) and cn=config (+) differ:\n%s", diff)
	}
	if len(want) != 7 {
		t.Errorf("compared only %d entries", len(want))
	}
}

// load puts the files for cn=config into a server as an administrator does.
func load(t *testing.T, s *ldaptest.Stock) {
	t.Helper()
	schemaLDIF, err := os.ReadFile("lcms.ldif")
	if err != nil {
		t.Fatal(err)
	}
	databaseLDIF, err := os.ReadFile("database.ldif")
	if err != nil {
		t.Fatal(err)
	}
	folder := s.Path("lcms")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(string(schemaLDIF)); err != nil {
		t.Fatal(err)
	}
	if err := s.Modify(strings.ReplaceAll(string(databaseLDIF), "/var/lib/ldap/lcms", folder)); err != nil {
		t.Fatal(err)
	}
}
