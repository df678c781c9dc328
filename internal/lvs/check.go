package lvs

import (
	"fmt"
	"math"
	"net/url"
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
	options map[string]targetOption
	// never says why a target whose parts are of this form can be good of no server, ""
	// if it can; nil: any can.
	never func(t CheckTarget) string
}

// targetOption is which values an option takes.
type targetOption struct {
	valid func(value string) bool
	use   string // instead of one that is not, for people
}

var (
	dnsTypes  = []string{"A", "AAAA", "NS", "SOA", "MX", "TXT", "SRV", "PTR", "CNAME"}
	noWords   = func(words []string) bool { return len(words) == 0 }
	oneWord   = func(words []string) bool { return len(words) == 1 && words[0] != "" }
	httpWords = "a path such as /health, in which a blank is %20, and before it GET or HEAD if you like"

	portOption   = targetOption{func(v string) bool { return numberIn(v, 1, 65535) }, "1 to 65535"}
	textOption   = targetOption{func(v string) bool { return v != "" }, "a text"}
	heloOption   = targetOption{func(v string) bool { return v != "" && !strings.Contains(v, " ") }, "a name without blanks"}
	numberOption = targetOption{func(v string) bool { _, err := strconv.ParseInt(v, 10, 64); return err == nil }, "a whole number"}
	statusOption = targetOption{func(v string) bool { _, ok := parseStatus(v); return ok }, "codes and ranges of 100 to 599, such as 200-299,304"}
	hostOption   = targetOption{func(v string) bool { return v != "" && !strings.ContainsAny(v, ` /?#@\"<>`) }, "a name, such as www.example.org"}
	headerOption = targetOption{headerName, "name:value, such as X-State:ready"}

	httpOptions = map[string]targetOption{
		"port": portOption, "host": hostOption, "status": statusOption, "header": headerOption, "body": textOption,
	}
	httpsOptions = map[string]targetOption{
		"port": portOption, "host": hostOption, "status": statusOption, "header": headerOption, "body": textOption,
		"expiry": {func(v string) bool { return numberIn(v, 0, 3650) }, "0 to 3650 days"}, "verify": oneOf("yes", "no"),
	}

	targetForms = map[CheckType]targetForm{
		CheckNone:  {words: "nothing", takes: noWords},
		CheckTCP:   {words: "nothing but options", takes: noWords, options: map[string]targetOption{"port": portOption}},
		CheckHTTP:  {httpWords, httpTarget, httpOptions, httpNever},
		CheckHTTPS: {httpWords, httpTarget, httpsOptions, httpNever},
		CheckDNS: {"the name to ask for", oneWord,
			map[string]targetOption{"port": portOption, "type": oneOf(dnsTypes...), "answer": textOption}, dnsNever},
		CheckSMTP: {words: "nothing but options", takes: noWords, options: map[string]targetOption{"port": portOption, "helo": heloOption}},
		CheckPing: {words: "nothing", takes: noWords},
		CheckUDP: {words: "nothing but options", takes: noWords,
			options: map[string]targetOption{"port": portOption, "send": textOption, "expect": textOption}},
		CheckSNMP: {"the OID of an instance in numbers of 0 to 4294967295", oidTarget,
			map[string]targetOption{"port": portOption, "min": numberOption, "max": numberOption, "is": textOption}, snmpNever},
		CheckScript: {words: "the name of a script in the folder of the monitor, of letters, digits, dot, - and _, and its arguments", takes: scriptTarget},
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
		option, known := form.options[name]
		switch _, twice := target.Options[name]; {
		case !known:
			return CheckTarget{}, invalid("there is no option %s of %s: use %s", name, t, optionNames(form))
		case twice:
			return CheckTarget{}, invalid("option %s is there twice: leave one", name)
		case !option.valid(value):
			return CheckTarget{}, invalid("option %s cannot be %q: use %s", name, value, option.use)
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
	if form.never != nil {
		if reason := form.never(target); reason != "" {
			return CheckTarget{}, invalid("%s", reason)
		}
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

func oneOf(values ...string) targetOption {
	last := len(values) - 1
	return targetOption{func(v string) bool { return slices.Contains(values, v) }, strings.Join(values[:last], ", ") + " or " + values[last]}
}

func numberIn(v string, low, high int) bool {
	n, err := strconv.Atoi(v)
	return err == nil && n >= low && n <= high
}

// headerName reports whether a text is name:value with a name that a header can have
// (RFC 9110 section 5.6.2).
func headerName(v string) bool {
	name, _, ok := strings.Cut(v, ":")
	return ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// httpTarget reports whether words are [GET|HEAD] [path].
func httpTarget(words []string) bool {
	if len(words) == 2 {
		if words[0] != "GET" && words[0] != "HEAD" {
			return false
		}
		words = words[1:]
	}
	return len(words) == 0 || len(words) == 1 && strings.HasPrefix(words[0], "/") && !strings.Contains(words[0], " ")
}

func httpNever(t CheckTarget) string {
	method, path := t.Method()
	if _, err := url.ParseRequestURI(path); err != nil {
		return fmt.Sprintf("%q is no path: after %% come two hexadecimal digits, and %% itself is %%25", path)
	}
	if _, ok := t.Options["body"]; ok && method == "HEAD" {
		return "the answer to HEAD has no body: use GET, or leave the option body out"
	}
	return ""
}

// dnsNever holds a name to RFC 1035 section 2.3.4.
func dnsNever(t CheckTarget) string {
	name := strings.TrimSuffix(t.Words[0], ".")
	if name == "" && t.Words[0] == "." {
		return "" // the root
	}
	if len(name) > 253 {
		return fmt.Sprintf("the name has %d octets: at most 253", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "the name has nothing between two dots, or before the first: leave one dot between its labels"
		case len(label) > 63:
			return fmt.Sprintf("label %s of the name has %d octets: at most 63", label, len(label))
		}
	}
	return ""
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

func snmpNever(t CheckTarget) string {
	arcs := strings.Split(strings.TrimPrefix(t.Words[0], "."), ".")
	first, _ := strconv.ParseUint(arcs[0], 10, 32)
	second, _ := strconv.ParseUint(arcs[1], 10, 32)
	if first > 2 || first < 2 && second > 39 {
		return fmt.Sprintf("there is no OID %s: it begins with 0, 1 or 2, and after 0 and 1 comes at most 39", t.Words[0])
	}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	bounded := false
	for name, into := range map[string]*int64{"min": &low, "max": &high} {
		if text, ok := t.Options[name]; ok {
			*into, _ = strconv.ParseInt(text, 10, 64)
			bounded = true
		}
	}
	if low > high {
		return fmt.Sprintf("no value is at least %d and at most %d: min must not be above max", low, high)
	}
	if is, ok := t.Options["is"]; ok && bounded {
		if n, err := strconv.ParseInt(is, 10, 64); err != nil || n < low || n > high {
			return fmt.Sprintf("the value %q that it must have is not within min and max: leave is, or the bounds", is)
		}
	}
	return ""
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
