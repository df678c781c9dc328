// Package strict reads YAML in which nothing is guessed: an unknown key, what is of
// another shape than what belongs there, and a second document are refused with
// file, line and reason.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Text is a single value and where it stands.
type Text struct {
	Value string
	Line  int // 0 = not given
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	t.Value, t.Line = n.Value, n.Line
	return nil
}

// Texts is a list of single values; one that stands alone is a list of one.
type Texts []Text

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *Texts) UnmarshalYAML(n *yaml.Node) error {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, n := range nodes {
		n = resolve(n)
		*l = append(*l, Text{n.Value, n.Line})
	}
	return nil
}

// Decode reads the one document of a file into a struct of Text and the like.
// The error lists every fault on a line of its own, as FILE:LINE: REASON.
// knownKeys names the keys, for whoever wrote one that is not known.
func Decode(path string, b []byte, into any, knownKeys string) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var document yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return syntax(path, b, err)
	}
	if err := d.Decode(new(yaml.Node)); err == nil {
		return fmt.Errorf("%s: there is a second YAML document: keep one", path)
	} else if !errors.Is(err, io.EOF) {
		return syntax(path, b, err)
	}
	var anything any // what no type can mend, such as an anchor that contains itself
	if err := document.Decode(&anything); err != nil {
		return explain(path, err)
	}
	f := &Faults{Path: path}
	shape{f, knownKeys}.check(&document, reflect.TypeOf(into).Elem(), "")
	if err := f.Err(); err != nil {
		return err
	}
	if err := document.Decode(into); err != nil {
		return explain(path, err)
	}
	return nil
}

// Lines returns where the n entries stand of the list that a key names, in a document
// that Decode has read.
func Lines(b []byte, key string, n int) []int {
	var nodes map[string]yaml.Node
	_ = yaml.Unmarshal(b, &nodes) // what it leaves out stands at line 1
	list := nodes[key]
	lines := make([]int, n)
	for i := range lines {
		lines[i] = max(1, list.Line)
		if i < len(list.Content) { // it is no alias
			lines[i] = list.Content[i].Line
		}
	}
	return lines
}

// Faults gathers what is wrong with the values of a file.
type Faults struct {
	Path string
	list []error
}

// Read hands a value that is given to set, and notes its error.
func (f *Faults) Read(t Text, set func(string) error) {
	if t.Line == 0 {
		return
	}
	if err := set(t.Value); err != nil {
		f.Add(t.Line, err)
	}
}

// Add notes a fault at a line.
func (f *Faults) Add(line int, err error) {
	f.list = append(f.list, fmt.Errorf("%s:%d: %w", f.Path, line, err))
}

// Err returns all faults as one error, nil if there are none.
func (f *Faults) Err() error { return errors.Join(f.list...) }

// Absolute sets the path that a key names, which has to be absolute.
func Absolute(key string, into *string) func(string) error {
	return func(s string) error {
		if !filepath.IsAbs(s) {
			return fmt.Errorf("%s %q: use an absolute path", key, s)
		}
		*into = s
		return nil
	}
}

// Socket sets the path of a Unix socket that a key names.
func Socket(key string, into *string) func(string) error {
	const most = 107 // unix(7): sun_path has 108 octets, the last of them 0
	return func(s string) error {
		if len(s) > most {
			return fmt.Errorf("%s %q: the path of a socket has at most %d octets, this one has %d: use a shorter path", key, s, most, len(s))
		}
		return Absolute(key, into)(s)
	}
}

// Duration sets the time that a key names, which has to lie within limits. The example
// is one of its times.
func Duration(key string, into *time.Duration, low, high time.Duration, example string) func(string) error {
	return func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < low || d > high {
			return fmt.Errorf("%s %q: use a time from %s to %s, as in %s", key, s, low, high, example)
		}
		*into = d
		return nil
	}
}

var otherFault = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// explain rewrites the errors of the YAML library.
func explain(path string, err error) error {
	var types *yaml.TypeError
	lines := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if errors.As(err, &types) {
		lines = types.Errors
	}
	faults := make([]error, len(lines))
	for i, l := range lines {
		if m := otherFault.FindStringSubmatch(l); m != nil {
			faults[i] = fmt.Errorf("%s:%s: %s", path, m[1], m[2])
		} else {
			faults[i] = fmt.Errorf("%s: %s", path, l)
		}
	}
	return errors.Join(faults...)
}
