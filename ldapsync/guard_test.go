package ldapsync

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// column is what the guards look at of an attribute.
type column struct {
	name, field string
	syntax      syntax
	many        bool
	allowed     []string
}

func columnsOf[T any](t *table[T]) (list []column) {
	for _, a := range t.attributes {
		list = append(list, column{a.name, a.field, a.syntax, a.many, a.allowed})
	}
	return list
}

// rows are the classes with the types of their objects.
var rows = []struct {
	classes []string // that lcms.schema has for it
	value   any
	columns []column
	apart   map[string]string // fields without an attribute: why
}{
	{[]string{"lcmsVirtualService"}, lvs.Service{}, columnsOf(serviceTable), map[string]string{
		"Key": "the name of the entry", "Cluster": "the place of the entry", "Storage": "what is in the directory is nonVolatile"}},
	{[]string{"lcmsRealServer"}, lvs.Server{}, columnsOf(serverTable), map[string]string{
		"Key": "the name of the entry", "Storage": "what is in the directory is nonVolatile"}},
	{[]string{"lcmsSyncDaemon"}, lvs.SyncDaemon{}, columnsOf(syncDaemonTable), map[string]string{
		"State": "the name of the entry", "Storage": "what is in the directory is nonVolatile"}},
	{[]string{"lcmsCluster"}, lvs.Cluster{}, columnsOf(clusterTable), map[string]string{
		"ID": "the name of the entry", "Storage": "what is in the directory is nonVolatile"}},
	{[]string{"lcmsClusterMember"}, lvs.Member{}, columnsOf(memberTable), map[string]string{
		"Cluster": "the place of the entry", "Role": "the place of the entry", "Host": "the name of the entry",
		"Storage": "what is in the directory is nonVolatile"}},
	{[]string{"lcmsHost", "lcmsDirector"}, Machine{}, columnsOf(hostTable), map[string]string{
		"Name": "the name of the entry", "Storage": "what is in the directory is nonVolatile"}},
}

// fieldsOf returns the names of the exported fields of a row, those of structs
// in it in their place.
func fieldsOf(row reflect.Type) (names []string) {
	for i := range row.NumField() {
		f := row.Field(i)
		ours := f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 && f.Type.Field(0).IsExported()
		switch {
		case !f.IsExported():
		case ours:
			names = append(names, fieldsOf(f.Type)...)
		default:
			names = append(names, f.Name)
		}
	}
	return names
}

func TestEveryFieldHasItsAttribute(t *testing.T) {
	for _, r := range rows {
		row := reflect.TypeOf(r.value)
		fields := fieldsOf(row)
		for _, name := range fields {
			has := slices.ContainsFunc(r.columns, func(c column) bool { return c.field == name })
			if has == (r.apart[name] != "") {
				t.Errorf("%s.%s: has an attribute: %v; listed as apart: %q", row, name, has, r.apart[name])
			}
		}
		for _, c := range r.columns {
			if c.field != "" && !slices.Contains(fields, c.field) {
				t.Errorf("%s: %s is of a field %s that does not exist", row, c.name, c.field)
			}
		}
		for name := range r.apart {
			if !slices.Contains(fields, name) {
				t.Errorf("%s: apart is a field %s that does not exist", row, name)
			}
		}
		if !row.Comparable() {
			t.Errorf("%s is not comparable", row)
		}
	}
}

var (
	definition = regexp.MustCompile(`(?m)^(attributetype|objectclass) \( \S+ NAME '(\w+)'\n((?:\t.*\n)+)`)
	syntaxOf   = regexp.MustCompile(`SYNTAX ([\d.]+)`)
	namesIn    = regexp.MustCompile(`(?s)(MUST|MAY) (?:(\w+)|\(([^)]*)\))`)
)

// standard attributes are not ours to define.
var standard = map[string]column{
	"description":  {syntax: directorySyntax},
	"ipHostNumber": {syntax: ia5Syntax},
}

// keys are the attributes that name entries.
var keys = []string{"cn", "lcmsKey", "lcmsClusterId", "lcmsSyncState"}

// attributeTypes returns those of lcms.schema, and attributes those of each
// class.
func attributeTypes(t *testing.T) (types map[string]column, attributes map[string][]string) {
	t.Helper()
	types, attributes = make(map[string]column), make(map[string][]string)
	for _, m := range definition.FindAllStringSubmatch(schema.Schema, -1) {
		kind, name, body := m[1], m[2], m[3]
		if kind == "objectclass" {
			for _, list := range namesIn.FindAllStringSubmatch(body, -1) {
				attributes[name] = append(attributes[name], strings.FieldsFunc(list[2]+list[3], func(r rune) bool { return strings.ContainsRune(" $\n\t", r) })...)
			}
			continue
		}
		c := column{many: !strings.Contains(body, "SINGLE-VALUE")}
		if s := syntaxOf.FindStringSubmatch(body); s != nil {
			c.syntax = syntax(s[1])
		} else if strings.Contains(body, "SUP distinguishedName") {
			c.syntax = nameSyntax
		}
		types[name] = c
	}
	if len(types) < 50 || len(attributes) < 7 {
		t.Fatalf("found %d attribute types and %d classes in lcms.schema", len(types), len(attributes))
	}
	return types, attributes
}

func TestTablesAndSchemaAgree(t *testing.T) {
	types, attributes := attributeTypes(t)
	used := slices.Clone(keys)
	for _, r := range rows {
		var allowed []string
		for _, class := range r.classes {
			if attributes[class] == nil {
				t.Errorf("lcms.schema has no class %s", class)
			}
			allowed = append(allowed, attributes[class]...)
		}
		for _, c := range r.columns {
			if c.name == "objectClass" {
				continue
			}
			used = append(used, c.name)
			want, ours := types[c.name]
			if !ours {
				want = standard[c.name]
			}
			if c.syntax != want.syntax || c.many != want.many {
				t.Errorf("%s: syntax %s, several values %v; lcms.schema says %s, %v", c.name, c.syntax, c.many, want.syntax, want.many)
			}
			if c.name != "ipHostNumber" && !slices.Contains(allowed, c.name) { // of the class ipHost
				t.Errorf("lcms.schema does not allow %s in %v", c.name, r.classes)
			}
		}
		for _, name := range allowed {
			isKey := slices.Contains(keys, name)
			isRemark := name == "description" && r.classes[0] != "lcmsCluster" // for whoever keeps the directory
			if !isKey && !isRemark && !slices.ContainsFunc(r.columns, func(c column) bool { return c.name == name }) {
				t.Errorf("lcms.schema allows %s in %v, and nothing reads it", name, r.classes)
			}
		}
	}
	for name := range types {
		if !slices.Contains(used, name) {
			t.Errorf("nothing reads %s", name)
		}
	}
}

// The words that the tables take are those that slapd takes: its constraint
// names each.
func TestKeywordsAndConstraintsAgree(t *testing.T) {
	for _, r := range rows {
		for _, c := range r.columns {
			if c.allowed == nil {
				continue
			}
			constraint := regexp.MustCompile(`(?m)^constraint_attribute \S*\b` + c.name + `\b\S* regex "(.*)"$`).FindStringSubmatch(schema.Database)
			if constraint == nil {
				t.Errorf("database.conf has no constraint of %s", c.name)
				continue
			}
			for _, word := range c.allowed {
				if !regexp.MustCompile(constraint[1]).MatchString(word) {
					t.Errorf("%s: slapd would refuse %q: %s", c.name, word, constraint[1])
				}
			}
		}
	}
}
