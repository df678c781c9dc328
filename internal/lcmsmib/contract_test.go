package lcmsmib

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/mibs"
)

// definition is an OBJECT-TYPE of the MIB as its text has it.
type definition struct {
	name, syntax, access string
	oid                  smi.OID
}

var (
	comments    = regexp.MustCompile(`--[^\n]*`)
	quoted      = regexp.MustCompile(`"[^"]*"`)
	assignments = regexp.MustCompile(`(?s)(\w+)\s+(OBJECT IDENTIFIER|OBJECT-TYPE)\s(.*?)::= \{ (\w+) (\d+) \}`)
	clauses     = regexp.MustCompile(`(?s)SYNTAX\s+(.*?)\s+(?:UNITS.*?)?MAX-ACCESS\s+(\S+)`)
	conventions = regexp.MustCompile(`(?s)(\w+) ::= TEXTUAL-CONVENTION.*?SYNTAX\s+((?:INTEGER|BITS) \{[^}]*\}|[^\n]*)`)
	bounds      = regexp.MustCompile(`\((?:SIZE \()?(\d+)\.\.(\d+)\)`)
	labels      = regexp.MustCompile(`(\w+)\((\d+)\)`)
)

// readMIB parses as much of SMIv2 as LCMS-MIB uses.
func readMIB(t *testing.T) (objects map[string]definition, types map[string]string) {
	t.Helper()
	text, err := mibs.Text(mibs.DefaultRoot())
	if err != nil {
		t.Fatal(err)
	}
	text = quoted.ReplaceAllString(comments.ReplaceAllString(text, ""), `""`)
	types = map[string]string{}
	for _, m := range conventions.FindAllStringSubmatch(text, -1) {
		types[m[1]] = m[2]
	}
	oids := map[string]smi.OID{"lcmsMIB": mibs.DefaultRoot()}
	objects = map[string]definition{}
	for _, m := range assignments.FindAllStringSubmatch(text, -1) {
		parent, ok := oids[m[4]]
		if !ok {
			t.Fatalf("%s stands below %s, which is not defined before it", m[1], m[4])
		}
		n, _ := strconv.ParseUint(m[5], 10, 32)
		oids[m[1]] = parent.Child(uint32(n))
		if m[2] != "OBJECT-TYPE" {
			continue
		}
		c := clauses.FindStringSubmatch(m[3])
		if c == nil {
			t.Fatalf("%s has no SYNTAX and MAX-ACCESS", m[1])
		}
		objects[m[1]] = definition{m[1], strings.Join(strings.Fields(c[1]), " "), c[2], oids[m[1]]}
	}
	return objects, types
}

// wireTypes are the types of the wire for each base type and imported
// convention that the module uses.
var wireTypes = map[string]smi.Type{
	"INTEGER": smi.TypeInteger, "TruthValue": smi.TypeInteger, "RowStatus": smi.TypeInteger, "StorageType": smi.TypeInteger,
	"TestAndIncr": smi.TypeInteger, "InetAddressType": smi.TypeInteger,
	"BITS": smi.TypeOctetString, "OCTET": smi.TypeOctetString, "SnmpAdminString": smi.TypeOctetString,
	"DateAndTime": smi.TypeOctetString, "InetAddress": smi.TypeOctetString,
	"OBJECT": smi.TypeObjectIdentifier, "RowPointer": smi.TypeObjectIdentifier,
	"Counter32": smi.TypeCounter32, "Counter64": smi.TypeCounter64,
	"Gauge32": smi.TypeGauge32, "Unsigned32": smi.TypeGauge32, "InetPortNumber": smi.TypeGauge32,
}

// knownRanges are those of imported conventions.
var knownRanges = map[string]string{
	"InetPortNumber": "(0..65535)", "TestAndIncr": "(0..2147483647)",
	"TruthValue":  "true(1), false(2)",
	"RowStatus":   "active(1), notInService(2), notReady(3), createAndGo(4), createAndWait(5), destroy(6)",
	"StorageType": "other(1), volatile(2), nonVolatile(3), permanent(4), readOnly(5)",
}

func TestTablesAgreeWithTheMIB(t *testing.T) {
	defined, types := readMIB(t)
	served := map[string]mib.Object{}
	for _, o := range newModule(t).Objects() {
		served[o.Name] = o
		d, ok := defined[o.Name]
		if !ok {
			t.Errorf("%s is served and not in the MIB", o.Name)
			continue
		}
		if !d.oid.Equal(o.OID) {
			t.Errorf("%s: the MIB has it at %s, served at %s", o.Name, d.oid, o.OID)
		}
		if d.access != o.Access.String() {
			t.Errorf("%s: the MIB says %s, served %s", o.Name, d.access, o.Access)
		}
		base, _, _ := strings.Cut(d.syntax, " ")
		syntax := d.syntax
		if own, ok := types[base]; ok {
			syntax = own
			base, _, _ = strings.Cut(own, " ")
		}
		if known, ok := knownRanges[base]; ok {
			syntax += " " + known
		}
		if want, ok := wireTypes[base]; !ok || want != o.Syntax {
			t.Errorf("%s: the MIB says %s, served as %s", o.Name, d.syntax, o.Syntax)
		}
		if d.access == "read-only" && base != "INTEGER" {
			continue
		}
		compareRange(t, o, base, syntax)
	}
	for name, d := range defined {
		if _, ok := served[name]; !ok && d.access != "not-accessible" && d.access != "accessible-for-notify" {
			t.Errorf("%s is in the MIB and not served", name)
		}
	}
	if len(served) < 100 {
		t.Errorf("only %d objects are served", len(served))
	}
}

func compareRange(t *testing.T, o mib.Object, base, syntax string) {
	t.Helper()
	if base == "INTEGER" || base == "BITS" || len(o.Labels) > 0 {
		var want []string
		first := 1
		if base == "BITS" {
			first = 0
		}
		for i, l := range o.Labels {
			want = append(want, fmt.Sprintf("%s(%d)", l, i+first))
		}
		if got := labels.FindAllString(syntax, -1); !slices.Equal(got, want) {
			t.Errorf("%s: the MIB names %v, served %v", o.Name, got, want)
		}
		return
	}
	low, high := "0", "4294967295"
	if m := bounds.FindStringSubmatch(syntax); m != nil {
		low, high = m[1], m[2]
	} else if base != "Unsigned32" {
		return
	}
	if got := [2]string{strconv.FormatInt(o.Min, 10), strconv.FormatInt(o.Max, 10)}; got != [2]string{low, high} {
		t.Errorf("%s: the MIB allows %s to %s, served %s to %s", o.Name, low, high, got[0], got[1])
	}
}
