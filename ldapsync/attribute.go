package ldapsync

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lcms-project/lcms/internal/lvs"
)

// syntax is that of an attribute type in lcms.schema (RFC 4517 section 3.3).
type syntax string

const (
	booleanSyntax   syntax = "1.3.6.1.4.1.1466.115.121.1.7"
	nameSyntax      syntax = "1.3.6.1.4.1.1466.115.121.1.12" // a DN
	directorySyntax syntax = "1.3.6.1.4.1.1466.115.121.1.15" // text in UTF-8
	ia5Syntax       syntax = "1.3.6.1.4.1.1466.115.121.1.26" // text in US-ASCII
	integerSyntax   syntax = "1.3.6.1.4.1.1466.115.121.1.27"
)

// attribute is one attribute of a class, used both ways. T is the object of the
// class.
type attribute[T any] struct {
	name    string // as in lcms.schema
	field   string // Go name of the field of T; "" if the value follows from the key
	syntax  syntax
	many    bool     // it has several values
	allowed []string // keywords or flags, nil for others
	// encode returns the values that say what the object is. They are written
	// if a new object has other ones, or if they follow from the key.
	encode func(Base, *T) []string
	// decode puts values into the object, or tells in words why they cannot be.
	// There is at least one.
	decode func(Base, *T, []string) error
}

// single makes an attribute of one value.
func single[T any](name, field string, syntax syntax, encode func(*T) string, decode func(*T, string) error) attribute[T] {
	return attribute[T]{
		name: name, field: field, syntax: syntax,
		encode: func(_ Base, o *T) []string {
			if v := encode(o); v != "" {
				return []string{v}
			}
			return nil
		},
		decode: func(_ Base, o *T, values []string) error {
			if len(values) != 1 {
				return severalValues(values)
			}
			return decode(o, values[0])
		},
	}
}

// text is text of at most so many octets; absent is the empty text.
func text[T any](name, field string, syntax syntax, at func(*T) *string, most int) attribute[T] {
	return single(name, field, syntax,
		func(o *T) string { return *at(o) },
		func(o *T, v string) error {
			if len(v) > most {
				return fmt.Errorf("it has %d octets: at most %d", len(v), most)
			}
			*at(o) = v
			return nil
		})
}

// number is a number from low to high.
func number[T any, N ~uint8 | ~uint16 | ~uint32](name, field string, at func(*T) *N, low, high uint64) attribute[T] {
	return single(name, field, integerSyntax,
		func(o *T) string { return strconv.FormatUint(uint64(*at(o)), 10) },
		func(o *T, v string) error {
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil || n < low || n > high {
				return fmt.Errorf("use a number from %d to %d", low, high)
			}
			*at(o) = N(n)
			return nil
		})
}

// truth is TRUE or FALSE (RFC 4517 section 3.3.3).
func truth[T any](name, field string, at func(*T) *bool) attribute[T] {
	return single(name, field, booleanSyntax,
		func(o *T) string { return strings.ToUpper(strconv.FormatBool(*at(o))) },
		func(o *T, v string) error {
			if v != "TRUE" && v != "FALSE" {
				return fmt.Errorf("use TRUE or FALSE")
			}
			*at(o) = v == "TRUE"
			return nil
		})
}

// keyword is the text of one of a few values. The zero value, where it is not
// among them, is absent.
func keyword[T any, E interface {
	~uint8
	comparable
	fmt.Stringer
}](name, field string, at func(*T) *E, values ...E) attribute[T] {
	a := single(name, field, ia5Syntax,
		func(o *T) string {
			if v := *at(o); slices.Contains(values, v) {
				return v.String()
			}
			return ""
		},
		func(o *T, text string) error {
			for _, v := range values {
				if strings.EqualFold(v.String(), text) {
					*at(o) = v
					return nil
				}
			}
			return fmt.Errorf("use %s", oneOf(values))
		})
	for _, v := range values {
		a.allowed = append(a.allowed, v.String())
	}
	return a
}

// flags are the names of the bits that are set; texts[i] is that of bit i, ""
// where there is none.
func flags[T any, B ~uint8](name, field string, at func(*T) *B, texts ...string) attribute[T] {
	allowed := slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return s == "" })
	return attribute[T]{
		name: name, field: field, syntax: ia5Syntax, many: true, allowed: allowed,
		encode: func(_ Base, o *T) []string {
			var set []string
			for i, s := range texts {
				if s != "" && *at(o)&(1<<i) != 0 {
					set = append(set, s)
				}
			}
			return set
		},
		decode: func(_ Base, o *T, values []string) error {
			var bits B
			for _, v := range values {
				i := slices.IndexFunc(texts, func(s string) bool { return s != "" && strings.EqualFold(s, v) })
				if i < 0 {
					return fmt.Errorf("%q is none of them: use %s", v, oneOf(allowed))
				}
				bits |= 1 << i
			}
			*at(o) = bits
			return nil
		},
	}
}

// address is an IP address; absent is none.
func address[T any](name, field string, at func(*T) *netip.Addr) attribute[T] {
	return single(name, field, ia5Syntax,
		func(o *T) string {
			if a := *at(o); a.IsValid() {
				return a.String()
			}
			return ""
		},
		func(o *T, v string) (err error) {
			*at(o), err = parseAddress(v)
			return err
		})
}

func parseAddress(v string) (netip.Addr, error) {
	a, err := netip.ParseAddr(v)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("it is no IP address: write it like 192.0.2.1 or 2001:db8::1")
	case a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("it has a zone: leave out %%%s", a.Zone())
	}
	return a.Unmap(), nil
}

// fromKey is what the key tells too, for those who search. An entry need not
// have it, but must not contradict itself.
func fromKey[T any](name string, syntax syntax, encode func(*T) string) attribute[T] {
	return single(name, "", syntax, encode, func(o *T, v string) error {
		want := encode(o)
		if strings.EqualFold(v, want) {
			return nil
		}
		if a, err := netip.ParseAddr(v); err == nil && a.String() == want {
			return nil // another spelling
		}
		if want == "" {
			return fmt.Errorf("the key tells of none: delete the attribute, or rename the entry")
		}
		return fmt.Errorf("the key says %s: delete the attribute, or rename the entry", want)
	})
}

// addresses are IP addresses in any order; in the object they are as
// lvs.FormatAddresses writes them.
func addresses[T any](name, field string, at func(*T) *string) attribute[T] {
	return attribute[T]{
		name: name, field: field, syntax: ia5Syntax, many: true,
		encode: func(_ Base, o *T) []string { return strings.Fields(*at(o)) },
		decode: func(_ Base, o *T, values []string) error {
			var list []netip.Addr
			for _, v := range values {
				a, err := parseAddress(v)
				if err != nil {
					return err
				}
				list = append(list, a)
			}
			*at(o) = lvs.FormatAddresses(list)
			return nil
		},
	}
}

// hostRef is the DN of a host; absent is none. Where field is empty the key
// names the host too, and the two must agree.
func hostRef[T any](field string, at func(*T) *lvs.HostName) attribute[T] {
	return attribute[T]{
		name: "lcmsHostRef", field: field, syntax: nameSyntax,
		encode: func(b Base, o *T) []string {
			if *at(o) == "" {
				return nil
			}
			return []string{b.DN(Place{Kind: Host, Host: *at(o)})}
		},
		decode: func(b Base, o *T, values []string) error {
			if len(values) != 1 {
				return severalValues(values)
			}
			p, err := b.Place(values[0])
			switch {
			case err != nil || p.Kind != Host:
				return fmt.Errorf("it names no host: write it like %s", b.DN(Place{Kind: Host, Host: "lb1"}))
			case field == "" && p.Host != *at(o):
				return fmt.Errorf("the key says %s: delete the attribute, or rename the entry", *at(o))
			}
			*at(o) = p.Host
			return nil
		},
	}
}

func severalValues(values []string) error {
	return fmt.Errorf("there are %d values: leave one", len(values))
}

func oneOf[S any](words []S) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprint(&b, w)
	}
	return b.String()
}
