package strict

import (
	"strings"
	"testing"
)

type entry struct {
	Name  Text  `yaml:"name"`
	Tags  Texts `yaml:"tags"`
	extra `yaml:",inline"`
}

type extra struct {
	Port Text `yaml:"port"`
}

type file struct {
	Host    Text    `yaml:"host"`
	Entries []entry `yaml:"entries"`
	Log     struct {
		Level Text `yaml:"level"`
	} `yaml:"log"`
}

func TestDecode(t *testing.T) {
	var f file
	err := Decode("f", []byte(`
host: a
entries:
- &first {name: b, tags: x, port: 1}
- {<<: *first, tags: [y, z]}
- {<<: [*first], name: c}
log:
`), &f, "")
	if err != nil {
		t.Fatal(err)
	}
	e := f.Entries
	if len(e) != 3 || f.Host != (Text{"a", 2}) || e[0].Tags[0].Value != "x" || e[0].Port.Value != "1" ||
		e[1].Name.Value != "b" || len(e[1].Tags) != 2 || e[1].Tags[1] != (Text{"z", 5}) || e[2].Name.Value != "c" {
		t.Errorf("%+v", f)
	}
}

// TestFaults names file, line, where it stands, what stands there and what belongs there.
func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"host: [a]":                          "f:1: host: a single value belongs here: not a list",
		"host: {a: b}":                       "f:1: host: a single value belongs here: not a mapping",
		"entries: 3":                         `f:1: entries: a list belongs here, each entry with "- " before it and the keys name, tags, port: not the number 3`,
		"entries:\n- true":                   "f:2: entries: a mapping belongs here, with the keys name, tags, port: not true",
		"entries:\n- tags: {a: b}":           "f:2: entries.tags: a list of values belongs here: not a mapping",
		"entries:\n- tags:\n  - [a]":         "f:3: entries.tags: a single value belongs here: not a list",
		"entries:\n- tags: [~]":              "f:2: entries.tags: a single value belongs here: not nothing",
		"entries:\n- port: [1]":              "f:2: entries.port: a single value belongs here: not a list",
		"entries:\n- {<<: {ports: 1}}":       `f:2: unknown key "ports": the keys are ALL`,
		"entry: 1\nlog: debug":               "f:1: unknown key \"entry\": the keys are ALL\nf:2: log: a mapping belongs here, with the keys level: not the text \"debug\"",
		"log: " + strings.Repeat("long", 99): `not the text "` + strings.Repeat("long", 10) + `"...`,
		"host: a\nhost: b":                   `f:2: mapping key "host" already defined at line 1`,
		"log: &x {<<: *x}":                   "f: anchor 'x' value contains itself",
		"host: a\n---\nhost: b":              "f: there is a second YAML document: keep one",

		"log:\n\tlevel: a":           "f:2: a tab stands at the begin of the line: put blanks in its place",
		"log:\n  level: a\n\tx: y":   "f:3: a tab stands at the begin of the line",
		"\thost: a":                  "f:1: a tab stands at the begin of the line",
		"log:\n \tlevel: a":          "f:2: a tab stands at the begin of the line",
		"log:\n  level: @a":          "f:2: found character that cannot start any token: put a value that begins with @, ` or % into quotes",
		"host: a: b":                 `put a value that has ": " in it into quotes`,
		"host: [a\nlog:\n":           "close each [ and {",
		"host: \"a\n":                "close the quotes",
		"host: *a":                   "put a value that begins with * into quotes",
		"host: a\nlog":               "f:2: could not find expected ':': write KEY: VALUE",
		"log:\n  level: a\n host: b": "let what belongs together begin below each other",
		"host: \xff":                 "save the file as UTF-8",
		"host: \x01":                 "save the file as plain text in UTF-8",
		"host: - a":                  `begin a new line before "- "`,
	} {
		if err := Decode("f", []byte(text), new(file), "ALL"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}
