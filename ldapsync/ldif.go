package ldapsync

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lcms-project/lcms/internal/lvs"
)

// WriteLDIF writes as LDIF (RFC 2849) the entries that a change adds to a
// directory, in the order in which ldapadd can add them. have tells what stands
// at a place already: containers that are missing are written too. own is the
// host of the director whose sync daemons and timeouts they are.
func WriteLDIF(w io.Writer, base Base, own lvs.HostName, change *lvs.Change, have func(Place) bool) error {
	host := Place{Kind: Host, Host: own}
	objects := make(map[Place]Object)
	for _, e := range edits(host, change, new(lvs.Config)) {
		objects[e.after.Place] = e.after
	}
	var list []Object
	seen := make(map[Place]bool)
	var add func(Place) error
	add = func(p Place) error {
		if seen[p] || p.Kind == Root {
			return nil
		}
		seen[p] = true
		if _, ours := objects[p]; !ours && have(p) {
			return nil
		}
		if err := add(p.Parent()); err != nil {
			return err
		}
		o, ours := objects[p]
		switch {
		case ours:
		case p == host:
			o = Object{p, Machine{Host: lvs.NewHost(own), IsDirector: true}}
		case classes[p.Kind] != nil:
			return &lvs.Refusal{Kind: lvs.ErrNotFound, Reason: fmt.Sprintf("directory: there is no %s: create it first", base.DN(p))}
		default:
			o = Object{Place: p}
		}
		list = append(list, o)
		return nil
	}
	places := make([]Place, 0, len(objects))
	for p := range objects {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b Place) int { return strings.Compare(base.DN(a), base.DN(b)) })
	for _, p := range places {
		if err := add(p); err != nil {
			return err
		}
	}
	out := bufio.NewWriter(w)
	for i, o := range list {
		if i > 0 {
			fmt.Fprintln(out)
		}
		r := base.Add(o)
		writeLine(out, "dn", r.DN)
		for _, a := range r.Attributes {
			for _, v := range a.Vals {
				writeLine(out, a.Type, v)
			}
		}
	}
	return out.Flush()
}

// writeLine writes an attribute with a value, in base64 where LDIF wants that.
func writeLine(w io.Writer, attribute, value string) {
	if isSafe(value) {
		fmt.Fprintf(w, "%s: %s\n", attribute, value)
		return
	}
	fmt.Fprintf(w, "%s:: %s\n", attribute, base64.StdEncoding.EncodeToString([]byte(value)))
}

// isSafe reports whether a value can stand in LDIF as it is: a SAFE-STRING, with
// UTF-8 taken in as ldapadd takes it.
func isSafe(value string) bool {
	if value == "" {
		return true
	}
	first, last := value[0], value[len(value)-1]
	return first != ' ' && first != ':' && first != '<' && last != ' ' && utf8.ValidString(value) && !strings.ContainsAny(value, "\x00\r\n")
}
