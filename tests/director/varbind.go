package director

import (
	"fmt"
	"strings"
)

// Varbind is one line that a tool of net-snmp has printed.
type Varbind struct {
	Name  string // lcmsServerWeight."tcp:192.0.2.1:80"."10.0.0.11:80"
	Type  string // INTEGER, STRING and so on, or one of the exceptions below
	Value string // as printed; enumerations are numbers
}

// The types of a Varbind that has no value (RFC 3416 section 4.2.1).
const (
	NoSuchObject   = "noSuchObject"
	NoSuchInstance = "noSuchInstance"
	EndOfMibView   = "endOfMibView"
)

// String returns the varbind as it was printed.
func (v Varbind) String() string { return v.Name + " = " + v.Type + ": " + v.Value }

var exceptions = []struct{ words, kind string }{
	{"No Such Object available on this agent at this OID", NoSuchObject},
	{"No Such Instance currently exists at this OID", NoSuchInstance},
	{"No more variables left in this MIB View", EndOfMibView},
}

// Parse reads the output of a tool. Octets that are no text are printed on
// several lines if there are many.
func Parse(out string) ([]Varbind, error) {
	var vbs []Varbind
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		name, rest, ok := strings.Cut(line, " = ")
		if !ok {
			if len(vbs) == 0 {
				return nil, fmt.Errorf("no varbind: %q", line)
			}
			vbs[len(vbs)-1].Value += line
			continue
		}
		vbs = append(vbs, value(name, rest))
	}
	for i := range vbs {
		vbs[i].Value = strings.TrimRight(vbs[i].Value, " ")
	}
	return vbs, nil
}

func value(name, text string) Varbind {
	for _, e := range exceptions {
		if strings.HasPrefix(text, e.words) {
			return Varbind{Name: name, Type: e.kind}
		}
	}
	if text == `""` { // how net-snmp prints no octets without a display hint
		return Varbind{Name: name, Type: "STRING"}
	}
	kind, rest, _ := strings.Cut(text, ":")
	return Varbind{Name: name, Type: kind, Value: strings.TrimPrefix(rest, " ")}
}
