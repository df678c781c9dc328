// Package schema holds what a slapd needs to keep the directory of LCMS: the
// schema, the setting of the database with its access rules, and the tree
// before anything is in it.
package schema

import (
	_ "embed" // for the files
	"strings"
)

// Base is the base of the tree as the files have it.
const Base = "dc=lcms,dc=dpnm,dc=postech,dc=edu"

// The files. The first two are for slapd.conf; lcms.ldif and database.ldif
// beside them say the same for cn=config.
var (
	//go:embed lcms.schema
	Schema string // attribute types and object classes
	//go:embed database.conf
	Database string // of the section of the database: indexes, limits, access, overlays
	//go:embed skeleton.ldif
	Skeleton string // the entries that are there from the beginning
	//go:embed demo.ldif
	Demo string // a web and a streaming cluster, to try things on
)

// Modules are the modules that Database needs, in the order of loading.
var Modules = []string{"argon2", "constraint", "ppolicy", "refint", "syncprov"}

// Rebase moves a file to another base, which must begin with dc=.
func Rebase(text, base string) string {
	if base == Base {
		return text
	}
	name := func(base string) string {
		first, _, _ := strings.Cut(base, ",")
		return "\n" + strings.Replace(first, "=", ": ", 1) + "\n"
	}
	text = strings.ReplaceAll(text, Base, base)
	return strings.ReplaceAll(text, name(Base), name(base))
}
