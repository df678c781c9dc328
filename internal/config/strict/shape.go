package strict

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shape compares what is written with the type that it is for.
type shape struct {
	faults    *Faults
	knownKeys string
}

var (
	textType  = reflect.TypeFor[Text]()
	textsType = reflect.TypeFor[Texts]()
)

// check notes what is of another shape than t, and the keys that t does not have. key is
// where it stands, "" for the whole file.
func (s shape) check(n *yaml.Node, t reflect.Type, key string) {
	n = resolve(n)
	switch {
	case n.Kind == yaml.DocumentNode:
		s.check(n.Content[0], t, key)
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null": // nothing is said of it
	case t == textType:
		if n.Kind != yaml.ScalarNode {
			s.belongs(n, key, "a single value", "")
		}
	case t == textsType:
		switch n.Kind {
		case yaml.MappingNode:
			s.belongs(n, key, "a list of values", "")
		case yaml.SequenceNode:
			for _, one := range n.Content {
				if one = resolve(one); one.Kind != yaml.ScalarNode || one.ShortTag() == "!!null" {
					s.belongs(one, key, "a single value", "")
				}
			}
		}
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			s.belongs(n, key, "a list", `, each entry with "- " before it and the keys `+keys(t.Elem()))
			return
		}
		for _, one := range n.Content {
			s.check(one, t.Elem(), key)
		}
	case n.Kind != yaml.MappingNode:
		s.belongs(n, key, "a mapping", ", with the keys "+keys(t))
	default:
		s.mapping(n, t, key)
	}
}

func (s shape) mapping(n *yaml.Node, t reflect.Type, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		field, known := fields(t)[name.Value]
		switch {
		case name.ShortTag() == "!!merge":
			merged := []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				merged = value.Content
			}
			for _, one := range merged {
				s.check(one, t, key)
			}
		case !known:
			s.faults.Add(name.Line, fmt.Errorf("unknown key %q: the keys are %s", name.Value, s.knownKeys))
		default:
			s.check(value, field, strings.TrimPrefix(key+"."+name.Value, "."))
		}
	}
}

func (s shape) belongs(n *yaml.Node, key, what, more string) {
	if key != "" {
		key += ": "
	}
	s.faults.Add(n.Line, fmt.Errorf("%s%s belongs here%s: not %s", key, what, more, found(n)))
}

// found says what stands there.
func found(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.ShortTag() == "!!null":
		return "nothing"
	case n.ShortTag() == "!!int", n.ShortTag() == "!!float":
		return "the number " + n.Value
	case n.ShortTag() == "!!bool":
		return n.Value
	}
	const most = 40
	if text := []rune(n.Value); len(text) > most {
		return fmt.Sprintf("the text %q...", string(text[:most]))
	}
	return fmt.Sprintf("the text %q", n.Value)
}

// fields are the types of the keys of a struct.
func fields(t reflect.Type) map[string]reflect.Type {
	all := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		if name, inline := tag(f); !inline {
			all[name] = f.Type
		}
	}
	return all
}

// keys are the names of the keys of a struct, in their order.
func keys(t reflect.Type) string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, inline := tag(f); !inline {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func tag(f reflect.StructField) (name string, inline bool) {
	name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name, options == "inline"
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
