package mibs

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lcms-project/lcms/agentx/smi"
)

//go:embed LCMS-MIB.txt
var module string

// The two places of the module that a move changes.
const (
	playpenImport = "    netSnmpPlaypen\n        FROM NET-SNMP-MIB\n"
	rootLine      = "    ::= { netSnmpPlaypen 5267 }\n"
)

// MaxIndex is the largest number of sub-identifiers that follow the root in
// the name of an instance: five to the column of lcmsDriftTable and the longest
// index there.
const MaxIndex = 5 + 1 + 1 + 52 + 1 + 47

var (
	enterprises = smi.OID{1, 3, 6, 1, 4, 1}
	playpen     = smi.OID{1, 3, 6, 1, 4, 1, 8072, 9999, 9999}
)

// DefaultRoot returns the OID of lcmsMIB in the published module, in the tree
// that net-snmp keeps for private use.
func DefaultRoot() smi.OID { return playpen.Child(5267) }

// Text returns LCMS-MIB with lcmsMIB at root instead of DefaultRoot. The root
// has to lie below enterprises (1.3.6.1.4.1, RFC 2578 section 4) and leave room
// for the longest index.
func Text(root smi.OID) (string, error) {
	if !root.HasPrefix(enterprises) || root.Equal(enterprises) {
		return "", fmt.Errorf("root %s is not below an enterprise: use 1.3.6.1.4.1.NUMBER with an enterprise number of your own, or what you like below it", root)
	}
	if sub := slices.Max(root); sub > math.MaxInt32 {
		return "", fmt.Errorf("root %s: %d is more than net-snmp's tools read of a sub-identifier: use at most %d", root, sub, math.MaxInt32)
	}
	if len(root)+MaxIndex > smi.MaxOIDLen {
		return "", fmt.Errorf("root %s has %d sub-identifiers: at most %d leave room for the index of lcmsDriftTable", root, len(root), smi.MaxOIDLen-MaxIndex)
	}
	if strings.Count(module, rootLine) != 1 || strings.Count(module, playpenImport) != 1 {
		return "", errors.New("LCMS-MIB.txt does not name its root in the one line that is expected: mend mibs/mibs.go")
	}
	text := module
	if !root.HasPrefix(playpen) || root.Equal(playpen) {
		text = strings.Replace(text, playpenImport, "", 1)
	}
	return strings.Replace(text, rootLine, "    ::= { "+path(root)+" }\n", 1), nil
}

// path spells an OID so that a module may define it: from a name that is
// imported or built in, with a name for each step between, because smilint
// takes a step without a name for a mistake.
func path(root smi.OID) string {
	parent, rest := []string{"iso", "org(3)", "dod(6)", "internet(1)", "private(4)", "enterprises(1)"}, root[len(enterprises):]
	if root.HasPrefix(playpen) && !root.Equal(playpen) {
		parent, rest = []string{"netSnmpPlaypen"}, root[len(playpen):]
	}
	steps := slices.Clone(parent)
	for i, arc := range rest {
		number := strconv.FormatUint(uint64(arc), 10)
		if i < len(rest)-1 {
			number = fmt.Sprintf("lcmsParent%d(%s)", i+1, number)
		}
		steps = append(steps, number)
	}
	return strings.Join(steps, " ")
}
