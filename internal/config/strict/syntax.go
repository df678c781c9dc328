package strict

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

var (
	tabbed = regexp.MustCompile(`^ *\t`)
	tabs   = regexp.MustCompile(`a tab character|cannot start any token`)

	// what to do about errors of the YAML library, by a part of their words
	mends = []struct{ words, mend string }{
		{"cannot start any token", "put a value that begins with @, ` or % into quotes"},
		{"unknown anchor", "put a value that begins with * into quotes"},
		{"mapping values are not allowed", `put a value that has ": " in it into quotes, and let keys of one mapping begin below each other`},
		{"block sequence entries are not allowed", `begin a new line before "- "`},
		{"could not find expected ':'", "write KEY: VALUE, with a blank after the colon"},
		{"did not find expected ','", "close each [ and {"},
		{"did not find expected", "let what belongs together begin below each other, and put a value that begins with ] or } into quotes"},
		{"end of stream", "close the quotes"},
		{"UTF-", "save the file as UTF-8"},
		{"control characters", "save the file as plain text in UTF-8"},
	}
)

// syntax says what to do about a file that is no YAML.
func syntax(path string, text []byte, err error) error {
	err = explain(path, err)
	if tabs.MatchString(err.Error()) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if tabbed.Match(line) {
				return fmt.Errorf("%s:%d: a tab stands at the begin of the line: put blanks in its place", path, i+1)
			}
		}
	}
	for _, m := range mends {
		if strings.Contains(err.Error(), m.words) {
			return fmt.Errorf("%w: %s", err, m.mend)
		}
	}
	return err
}
