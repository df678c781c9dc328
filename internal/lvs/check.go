package lvs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CheckType says how the monitor finds out whether a server is healthy,
// numbered as lcmsServiceCheckType of LCMS-MIB.
type CheckType uint8

// The types of checks.
const (
	CheckNone   CheckType = 1
	CheckTCP    CheckType = 2
	CheckHTTP   CheckType = 3
	CheckHTTPS  CheckType = 4
	CheckDNS    CheckType = 5
	CheckSMTP   CheckType = 6
	CheckPing   CheckType = 7
	CheckUDP    CheckType = 8
	CheckSNMP   CheckType = 9
	CheckScript CheckType = 10
)

// Limits of checks. Times are in milliseconds.
const (
	MaxCheckTarget   = 255 // octets
	MinCheckInterval = 100
	MaxCheckInterval = 3600000
	MinCheckTimeout  = 10
	MaxCheckTimeout  = 60000
	MaxCheckRuns     = 100 // that have to agree
)

// HealthCheck is how the servers of a service are checked. It is comparable.
type HealthCheck struct {
	CheckType     CheckType
	CheckTarget   string // what is asked for; see ParseCheckTarget
	CheckInterval uint32 // milliseconds from one check of a server to the next
	CheckTimeout  uint32 // milliseconds after which a check has failed; at most the interval
	CheckRise     uint32 // so many good checks in a row make a server up
	CheckFall     uint32 // so many bad ones make it down
}

// NewHealthCheck returns the check of a service that a bare create makes: none, and
// with a type alone every five seconds.
func NewHealthCheck() HealthCheck {
	return HealthCheck{CheckType: CheckNone, CheckInterval: 5000, CheckTimeout: 2000, CheckRise: 2, CheckFall: 3}
}

// check says what is wrong with it, in which field, and whether its value can
// never be right; "" if nothing is.
func (c *HealthCheck) check() (field, reason string, value bool) {
	switch {
	case c.CheckType < CheckNone || c.CheckType > CheckScript:
		return "CheckType", fmt.Sprintf("check type %s: use %s", c.CheckType, strings.Join(checkTypeTexts[1:], ", ")), true
	case c.CheckInterval < MinCheckInterval || c.CheckInterval > MaxCheckInterval:
		return "CheckInterval", fmt.Sprintf("check interval %d ms: use %d to %d", c.CheckInterval, MinCheckInterval, MaxCheckInterval), true
	case c.CheckTimeout < MinCheckTimeout || c.CheckTimeout > MaxCheckTimeout:
		return "CheckTimeout", fmt.Sprintf("check timeout %d ms: use %d to %d", c.CheckTimeout, MinCheckTimeout, MaxCheckTimeout), true
	case c.CheckTimeout > c.CheckInterval:
		return "CheckTimeout", fmt.Sprintf("check timeout %d ms is longer than the interval of %d ms: a check must end before the next begins", c.CheckTimeout, c.CheckInterval), false
	case c.CheckRise < 1 || c.CheckRise > MaxCheckRuns:
		return "CheckRise", fmt.Sprintf("check rise %d: use 1 to %d", c.CheckRise, MaxCheckRuns), true
	case c.CheckFall < 1 || c.CheckFall > MaxCheckRuns:
		return "CheckFall", fmt.Sprintf("check fall %d: use 1 to %d", c.CheckFall, MaxCheckRuns), true
	}
	if _, err := ParseCheckTarget(c.CheckType, c.CheckTarget); err != nil {
		return "CheckTarget", fmt.Sprintf("check target %q: %v", c.CheckTarget, err), false
	}
	return "", "", false
}

// CheckTarget is what a check asks for, in its parts.
type CheckTarget struct {
	Words   []string          // without a name, in their order
	Options map[string]string // by name
}

// Option returns an option, or def if it is not given.
func (t CheckTarget) Option(name, def string) string {
	if v, ok := t.Options[name]; ok {
		return v
	}
	return def
}

// Number returns an option that is a number, or def if it is not given.
func (t CheckTarget) Number(name string, def int) int {
	if n, err := strconv.Atoi(t.Options[name]); err == nil {
		return n
	}
	return def
}

// Method returns the method and the path of an http or https check.
func (t CheckTarget) Method() (method, path string) {
	switch len(t.Words) {
	case 0:
		return "GET", "/"
	case 1:
		return "GET", t.Words[0]
	}
	return t.Words[0], t.Words[1]
}

// Status returns the ranges of status codes, low and high of each, that an http
// or https check takes.
func (t CheckTarget) Status() [][2]int {
	ranges, _ := parseStatus(t.Option("status", "200-399"))
	return ranges
}

// targetForm is what may stand in the target of a type of check.
type targetForm struct {
	words   string // those without a name, for people
	takes   func(words []string) bool
	options map[string]func(value string) bool
}

var (
	dnsTypes  = []string{"A", "AAAA", "NS", "SOA", "MX", "TXT", "SRV", "PTR", "CNAME"}
	yesNo     = []string{"yes", "no"}
	noWords   = func(words []string) bool { return len(words) == 0 }
	anyText   = func(v string) bool { return v != "" }
	httpWords = "a path such as /health, and before it GET or HEAD if you like"

	httpOptions = map[string]func(string) bool{
		"port": portNumber, "host": anyText, "status": func(v string) bool { _, ok := parseStatus(v); return ok },
		"header": func(v string) bool { return strings.Index(v, ":") > 0 }, "body": anyText,
	}
	httpsOptions = map[string]func(string) bool{
		"port": portNumber, "host": anyText, "status": httpOptions["status"], "header": httpOptions["header"], "body": anyText,
		"expiry": func(v string) bool { return numberIn(v, 0, 3650) }, "verify": oneIn(yesNo),
	}

	targetForms = map[CheckType]targetForm{
		CheckNone:  {"nothing", noWords, nil},
		CheckTCP:   {"nothing but options", noWords, map[string]func(string) bool{"port": portNumber}},
		CheckHTTP:  {httpWords, httpTarget, httpOptions},
		CheckHTTPS: {httpWords, httpTarget, httpsOptions},
		CheckDNS: {"the name to ask for", func(words []string) bool { return len(words) == 1 }, map[string]func(string) bool{
			"port": portNumber, "type": oneIn(dnsTypes), "answer": anyText}},
		CheckSMTP: {"nothing but options", noWords, map[string]func(string) bool{"port": portNumber, "helo": anyText}},
		CheckPing: {"nothing", noWords, nil},
		CheckUDP: {"nothing but options", noWords, map[string]func(string) bool{
			"port": portNumber, "send": anyText, "expect": anyText}},
		CheckSNMP: {"the OID of an instance in numbers", oidTarget, map[string]func(string) bool{
			"port": portNumber, "min": integer, "max": integer, "is": anyText}},
		CheckScript: {"the name of a script in the folder of the monitor, of letters, digits, dot, - and _, and its arguments", scriptTarget, nil},
	}
)

// ParseCheckTarget reads the target of a type of check: words, separated by
// blanks, of which those like name=value are options. Double quotes take blanks
// into a word or a value; within them \ takes the next character as it is.
// LCMS-MIB tells for lcmsServiceCheckTarget what each type takes.
func ParseCheckTarget(t CheckType, text string) (CheckTarget, error) {
	form, ok := targetForms[t]
	if !ok {
		return CheckTarget{}, invalid("there is no check type %s", t)
	}
	if len(text) > MaxCheckTarget {
		return CheckTarget{}, invalid("it has %d octets: at most %d", len(text), MaxCheckTarget)
	}
	words, err := splitWords(text)
	if err != nil {
		return CheckTarget{}, err
	}
	target := CheckTarget{Options: make(map[string]string)}
	for _, w := range words {
		name, value, isOption := strings.Cut(w, "=")
		if !isOption || form.options == nil || !optionName(name) {
			target.Words = append(target.Words, w)
			continue
		}
		valid, known := form.options[name]
		switch _, twice := target.Options[name]; {
		case !known:
			return CheckTarget{}, invalid("there is no option %s of %s: use %s", name, t, optionNames(form))
		case twice:
			return CheckTarget{}, invalid("option %s is there twice: leave one", name)
		case !valid(value):
			return CheckTarget{}, invalid("option %s cannot be %q", name, value)
		}
		target.Options[name] = value
	}
	if !form.takes(target.Words) {
		more := ""
		if len(form.options) > 0 {
			more = "; options are " + optionNames(form)
		}
		return CheckTarget{}, invalid("a check of type %s takes %s%s", t, form.words, more)
	}
	return target, nil
}

// splitWords cuts a text at its blanks that are not in double quotes.
func splitWords(text string) ([]string, error) {
	var words []string
	var word []byte
	open, quoted := false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted, open = !quoted, true
		case quoted && c == '\\' && i+1 < len(text):
			i++
			word = append(word, text[i])
		case c == ' ' && !quoted:
			if open {
				words = append(words, string(word))
			}
			word, open = nil, false
		default:
			word, open = append(word, c), true
		}
	}
	if quoted {
		return nil, invalid("a double quote is not closed: close it, or write \\\" within quotes")
	}
	if open {
		words = append(words, string(word))
	}
	return words, nil
}

func optionName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
}

func optionNames(form targetForm) string {
	names := make([]string, 0, len(form.options))
	for name := range form.options {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func oneIn(list []string) func(string) bool {
	return func(v string) bool { return slices.Contains(list, v) }
}

func numberIn(v string, low, high int) bool {
	n, err := strconv.Atoi(v)
	return err == nil && n >= low && n <= high
}

func portNumber(v string) bool { return numberIn(v, 1, 65535) }

func integer(v string) bool {
	_, err := strconv.ParseInt(v, 10, 64)
	return err == nil
}

// httpTarget reports whether words are [GET|HEAD] [path].
func httpTarget(words []string) bool {
	if len(words) == 2 {
		if words[0] != "GET" && words[0] != "HEAD" {
			return false
		}
		words = words[1:]
	}
	return len(words) == 0 || len(words) == 1 && strings.HasPrefix(words[0], "/")
}

// oidTarget reports whether words are one OID of at least two numbers.
func oidTarget(words []string) bool {
	if len(words) != 1 {
		return false
	}
	parts := strings.Split(strings.TrimPrefix(words[0], "."), ".")
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 32); err != nil {
			return false
		}
	}
	return len(parts) >= 2
}

// scriptTarget reports whether the first word is the name of a file in one
// folder: no path leads out of it.
func scriptTarget(words []string) bool {
	if len(words) == 0 || strings.HasPrefix(words[0], ".") || words[0] == "" {
		return false
	}
	return !strings.ContainsFunc(words[0], func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	})
}

// parseStatus reads status codes of HTTP such as 200-299,304.
func parseStatus(v string) (ranges [][2]int, ok bool) {
	for part := range strings.SplitSeq(v, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		if !numberIn(low, 100, 599) || !numberIn(high, 100, 599) {
			return nil, false
		}
		from, _ := strconv.Atoi(low)
		to, _ := strconv.Atoi(high)
		if from > to {
			return nil, false
		}
		ranges = append(ranges, [2]int{from, to})
	}
	return ranges, true
}
