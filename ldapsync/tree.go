package ldapsync

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Tree is what a directory holds, by entryUUID. Sources put into it what a
// server tells; it is safe for concurrent use.
//
// A DN is no name here: a server tells of an entry that was renamed, and not of
// what stands below it, which moves all the same. So an entry hangs on the entry
// above it, not on the DN of that.
type Tree struct {
	base Base
	own  lvs.HostName

	mu       sync.Mutex
	root     *node // the entry of the base
	ids      map[entryUUID]*node
	services map[string][]*node // those without a fault, by the text of the key
	groups   [Server + 1]map[*node]struct{}
	faulty   map[*node]struct{}
	ours     int                  // entries of our classes
	edits    uint64               // changes of what they say
	refresh  uint32               // number of the last one
	cookie   []byte               // up to where a server has told; nil: all is to be told again
	behind   map[string]time.Time // since when the server of a URI lacks what another one had
	look     look
}

// NewTree returns an empty tree for the director on the host own.
func NewTree(base Base, own lvs.HostName) *Tree {
	t := &Tree{
		base: base, own: own, root: &node{},
		ids: make(map[entryUUID]*node), services: make(map[string][]*node), faulty: make(map[*node]struct{}),
		behind: make(map[string]time.Time),
	}
	for _, k := range []Kind{Host, SyncDaemon, Cluster, Member} {
		t.groups[k] = make(map[*node]struct{})
	}
	t.look.begin()
	return t
}

// Forget lets the next session read all that the directory holds, not only what
// has changed since the last one. The tree keeps what it has until then.
func (t *Tree) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cookie = nil
}

// known returns up to where a server has told, as a cookie; nil if all is to be
// told again.
func (t *Tree) known() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cookie
}

// reached notes up to where a server has told in addition to what was known; an
// empty cookie says nothing. All that it stands for must be in the tree.
func (t *Tree) reached(cookie []byte) {
	if len(cookie) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cookie != nil {
		t.cookie = mergeCookies(t.cookie, cookie)
	}
}

// knows reports whether the tree has an entry.
func (t *Tree) knows(id entryUUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids[id] != nil
}

// isBase reports whether an entry is that of the base.
func (t *Tree) isBase(id entryUUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.root.id == id
}

// lacks notes that a server lacks what another one had, and reports whether that
// is to be borne. It is for as long as patience; then all is to be told again.
func (t *Tree) lacks(uri string, patience time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, ok := t.behind[uri]
	if !ok {
		since = time.Now()
		t.behind[uri] = since
	}
	if time.Since(since) < patience {
		return true
	}
	t.cookie = nil
	return false
}

// batch is what a server tells that only together makes sense: a refresh, or one
// change. The tree is as before until all of it has come.
type batch struct {
	tree    *Tree
	refresh uint32 // number of the refresh, 0: it is none
	items   []item
	at      map[entryUUID]int // in items
}

// item is an entry as the server told it.
type item struct {
	id      entryUUID
	dn      string // "": it is gone
	depth   int
	value   any
	fault   *fault
	csn     string
	created int64
	class   Kind
	from    *node // where it stood, nil: nowhere
}

// begin returns a batch that nothing is in yet. There is one at a time.
func (t *Tree) begin(refresh bool) *batch {
	b := &batch{tree: t}
	if refresh {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.refresh++
		b.refresh, b.at = t.refresh, make(map[entryUUID]int)
	}
	return b
}

// put tells that the server has an entry, and all that it says.
func (b *batch) put(id entryUUID, e *ldap.Entry) {
	if id == (entryUUID{}) {
		return // it names none
	}
	class := ourClass(e)
	i := item{id: id, dn: e.DN, depth: depth(e.DN), created: createdAt(e), class: classKinds[class]}
	i.csn = strings.Clone(e.GetEqualFoldAttributeValue("entryCSN"))
	if class != nil {
		place, err := b.tree.base.Place(e.DN)
		i.value, i.fault = b.tree.read(place, err, class, e)
	}
	b.add(i)
}

// gone tells that the server has not got an entry any more.
func (b *batch) gone(id entryUUID) { b.add(item{id: id}) }

// add adds what is told last of an entry.
func (b *batch) add(i item) {
	if b.at == nil {
		b.items = append(b.items, i)
		return
	}
	if at, ok := b.at[i.id]; ok {
		b.items[at] = i
		return
	}
	b.at[i.id] = len(b.items)
	b.items = append(b.items, i)
}

// present tells that the server has entries as they were. OpenLDAP names also those
// that we must not see.
func (b *batch) present(ids ...entryUUID) {
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	for _, id := range ids {
		if n := b.tree.ids[id]; n != nil {
			n.seen = b.refresh
		}
	}
}

// commit puts the batch into the tree. If it is all that the server has, what is
// not in it is removed, and cookie is up to where it has told; nil if that is not
// known. commit reports whether anything of ours is not as it was.
func (b *batch) commit(all bool, cookie []byte) (changed bool) {
	t := b.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	edits := t.edits
	for _, i := range b.items {
		switch n := t.ids[i.id]; {
		case n == nil:
		case i.dn == "":
			t.remove(n)
		default:
			n.seen = b.refresh
		}
	}
	if all {
		for _, n := range t.ids {
			if n.seen != b.refresh {
				t.remove(n)
			}
		}
	}
	b.items = slices.DeleteFunc(b.items, func(i item) bool { return i.dn == "" })
	// All are taken away before the first is put back, because they may have
	// changed places.
	for at := range b.items {
		i := &b.items[at]
		if n := t.ids[i.id]; n != nil && n != t.root {
			i.from = n.parent
			n.take()
		}
	}
	slices.SortStableFunc(b.items, func(a, b item) int { return a.depth - b.depth })
	f := finder{tree: t, moved: make(map[*node]bool)}
	for _, i := range b.items {
		t.place(&f, i, b.refresh)
	}
	for _, i := range b.items {
		if i.from != nil {
			t.prune(i.from)
		}
	}
	if b.refresh > 0 {
		clear(t.behind)
	}
	if all {
		t.cookie = cookie
	}
	b.items, b.at = nil, nil
	return t.edits != edits
}

// finder finds entries by DN. It remembers the last one that others stand below,
// and those that have moved.
type finder struct {
	tree  *Tree
	dn    string
	node  *node
	moved map[*node]bool
}

// follows reports whether n has moved, or stands below what has.
func (f *finder) follows(n *node) bool {
	for len(f.moved) > 0 && n != nil {
		if f.moved[n] {
			return true
		}
		n = n.parent
	}
	return false
}

// at returns what stands at a DN, in want of an entry a node that nothing is
// known of; nil if it is not below the base.
func (f *finder) at(dn string) *node {
	if f.node != nil && f.dn == dn {
		return f.node
	}
	if f.tree.base.is(dn) {
		return f.tree.root
	}
	rdn, above := splitDN(dn)
	if above == "" {
		return nil
	}
	parent := f.at(above)
	if parent == nil {
		return nil
	}
	name := nameOf(rdn)
	n := parent.child(name)
	if n == nil {
		n = &node{name: strings.Clone(name)}
		parent.put(n)
	}
	f.dn, f.node = dn, n
	return n
}

// place puts an entry where it stands, with what it says.
func (t *Tree) place(f *finder, i item, refresh uint32) {
	n := t.ids[i.id]
	var parent *node
	name := ""
	if t.base.is(i.dn) {
		if n != nil && n != t.root {
			t.drop(n, i.from)
			n = nil
		}
		if n == nil {
			delete(t.ids, t.root.id)
			t.root.id = i.id
			t.ids[i.id] = t.root
			n = t.root
		}
	} else {
		rdn, above := splitDN(i.dn)
		parent, name = f.at(above), nameOf(rdn)
		if parent == nil { // it is not below the base
			if n != nil {
				t.drop(n, i.from)
			}
			return
		}
	}
	switch {
	case n == nil:
		n = &node{id: i.id, name: strings.Clone(name)}
		t.ids[i.id] = n
		t.stand(f, n, parent)
	case n == t.root && parent != nil: // what was the base stands below the base
		n = &node{id: i.id, name: strings.Clone(name)}
		t.root.id = entryUUID{}
		t.ids[i.id] = n
		t.stand(f, n, parent)
	case n != t.root:
		moved := n.name != name || i.from != parent || f.follows(parent)
		if moved {
			f.moved[n] = true
			t.leave(n, i.from)
			n.name = strings.Clone(name)
		}
		t.stand(f, n, parent)
		if moved {
			t.enter(n)
			place, err := t.placeOf(n)
			t.settle(n, place, err)
		} else if n.class == Server {
			t.judge(n) // what is above may have become something else
		}
	}
	n.seen, n.csn = refresh, i.csn
	t.say(n, i)
}

// stand puts n below parent. What stood there is not there any more, but for
// what stands below it.
func (t *Tree) stand(f *finder, n, parent *node) {
	if old := parent.child(n.name); old != nil {
		t.leave(old, parent)
		delete(t.ids, old.id)
		old.take()
		if n.below == nil {
			n.below, old.below = old.below, nil
			for c := range n.children {
				c.parent = n
			}
		} else {
			for c := range old.children {
				if n.child(c.name) == nil {
					c.parent = n
				}
			}
			for c := range old.children {
				if c.parent == n {
					n.put(c)
				} else {
					t.drop(c, old)
				}
			}
		}
		f.node = nil
	}
	parent.put(n)
}

// remove removes an entry. If something stands below it, its name stays.
func (t *Tree) remove(n *node) {
	if n == t.root || n.below != nil {
		t.leave(n, n.parent)
		delete(t.ids, n.id)
		n.id, n.class, n.value, n.fault, n.csn, n.was, n.created = entryUUID{}, Elsewhere, nil, nil, "", nil, 0
		t.judgeBelow(n)
		return
	}
	parent := n.parent
	t.leave(n, parent)
	delete(t.ids, n.id)
	n.take()
	t.prune(parent)
}

// drop removes an entry that was taken away from below parent, with all that
// stands below it.
func (t *Tree) drop(n, parent *node) {
	for c := range n.children {
		t.drop(c, n)
	}
	t.leave(n, parent)
	delete(t.ids, n.id)
	n.below, n.parent = nil, nil
}

// prune removes nodes that nothing is known of, and nothing stands below.
func (t *Tree) prune(n *node) {
	for n != nil && n != t.root && n.below == nil && n.id == (entryUUID{}) && n.parent != nil {
		parent := n.parent
		n.take()
		n = parent
	}
}

// say makes an entry say what the server told.
func (t *Tree) say(n *node, i item) {
	same := n.class == i.class && n.created == i.created && n.fault == nil && i.fault == nil
	if same && n.value == i.value {
		return
	}
	if was, ok := n.value.(Machine); ok && same && was.Host == i.value.(Machine).Host {
		// Each write of a director comes by here.
		t.look.marks, t.look.own = true, true
		t.edits++
		n.value = i.value
		return
	}
	t.leave(n, n.parent)
	n.class, n.value, n.fault, n.created = i.class, i.value, i.fault, i.created
	t.enter(n)
	t.judgeBelow(n)
}

// enter lists an entry by what it says.
func (t *Tree) enter(n *node) {
	if n.class == Elsewhere {
		return
	}
	t.ours++
	if of := t.groups[n.class]; of != nil {
		of[n] = struct{}{}
	}
	if _, ok := n.value.(lvs.Service); ok {
		key := keyText(n.name)
		t.services[key] = append(t.services[key], n)
	}
	if n.value != nil && (n.class != Server || n.parent.isService()) {
		n.was = nil
	}
	t.judge(n)
	t.mark(n, n.parent)
}

// leave undoes enter, for an entry that stands, or stood, below parent.
func (t *Tree) leave(n, parent *node) {
	if n.class == Elsewhere {
		return
	}
	t.ours--
	switch v := n.value.(type) {
	case lvs.Service:
		n.was = &row{service: v.Key}
	case lvs.Server:
		if parent.isService() {
			n.was = &row{service: parent.value.(lvs.Service).Key, server: v.Key}
		}
	}
	delete(t.groups[n.class], n)
	if _, ok := n.value.(lvs.Service); ok {
		key := keyText(n.name)
		rest := slices.DeleteFunc(t.services[key], func(s *node) bool { return s == n })
		if len(rest) == 0 {
			delete(t.services, key)
		} else {
			t.services[key] = rest
		}
	}
	if _, ok := t.faulty[n]; ok {
		delete(t.faulty, n)
		t.look.faults = true
	}
	t.mark(n, parent)
}

// judge notes whether an entry has to be left aside.
func (t *Tree) judge(n *node) {
	_, was := t.faulty[n]
	is := n.fault != nil
	if n.class == Server && !is {
		_, ok := n.service()
		is = !ok
	}
	switch {
	case is:
		t.faulty[n] = struct{}{}
	case was:
		delete(t.faulty, n)
	}
	t.look.faults = t.look.faults || is || was
}

// judgeBelow does it for the servers of what may have become a service, or none.
func (t *Tree) judgeBelow(n *node) {
	for c := range n.children {
		if c.class == Server {
			t.judge(c)
		}
	}
}

// mark notes what an entry below parent makes to be looked at anew.
func (t *Tree) mark(n, parent *node) {
	t.edits++
	switch n.class {
	case Host:
		t.look.hosts, t.look.marks, t.look.own = true, true, true
	case SyncDaemon:
		t.look.own = true
	case Cluster:
		t.look.clusters = true
	case Member:
		t.look.members = true
	case Service:
		if n.value != nil {
			t.look.keys[keyText(n.name)] = struct{}{}
		}
	case Server:
		if parent == nil || n.value == nil {
			return
		}
		if _, ok := parent.value.(lvs.Service); ok {
			t.look.keys[keyText(parent.name)] = struct{}{}
		}
	}
}

// read says what an entry is at a place.
func (t *Tree) read(place Place, err error, class class, e *ldap.Entry) (any, *fault) {
	if err != nil { // in the name, which is kept in one spelling
		f := asFault(err)
		return nil, &fault{attribute: namingType(f.Attribute), value: strings.ToLower(oneSpace(f.Value)), reason: f.Reason, entry: e}
	}
	o, err := t.base.readAt(place, nil, class, e)
	if err == nil {
		return o.Value, nil
	}
	f := asFault(err)
	return nil, &fault{attribute: f.Attribute, value: f.Value, reason: f.Reason, entry: e}
}

// missing returns the entries that the tree has and that are not in a set, and
// whether it has all that are.
func (t *Tree) missing(set map[entryUUID]bool) (list []entryUUID, hasAll bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.ids {
		if !set[id] {
			list = append(list, id)
		}
	}
	return list, len(t.ids)-len(list) == len(set)
}

// compare compares the tree with the entries that a server has, with the CSN of the
// last change of each. It returns those that the server has not got, and whether one
// that it has is not as the tree has it and is not among what it has yet to tell: then
// it is another tree than was told.
func (t *Tree) compare(has map[entryUUID]string, untold func(csn string) bool) (missing []entryUUID, other bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, csn := range has {
		if n := t.ids[id]; (n == nil || n.csn != csn) && !untold(csn) {
			return nil, true
		}
	}
	for id := range t.ids {
		if _, ok := has[id]; !ok {
			missing = append(missing, id)
		}
	}
	return missing, false
}

// placeOf returns where an entry stands.
func (t *Tree) placeOf(n *node) (Place, error) {
	if n == t.root {
		return Place{Kind: Root}, nil
	}
	above, err := t.placeOf(n.parent)
	if err != nil {
		return Place{}, err
	}
	return above.named(n.name)
}

// settle reads anew what stands below an entry that has moved.
func (t *Tree) settle(n *node, place Place, err error) {
	for c := range n.children {
		p, e := Place{}, err
		if err == nil {
			p, e = place.named(c.name)
		}
		t.leave(c, n)
		if c.class != Elsewhere {
			if moved, ok := moveTo(c.value, p); ok && e == nil && p.Kind == c.class {
				c.value = moved
			} else {
				entry := &ldap.Entry{}
				if c.fault != nil {
					entry = c.fault.entry
				} else {
					entry = entryFor(t.base, c.value)
				}
				c.value, c.fault = t.read(p, e, classes[c.class], entry)
			}
		}
		t.enter(c)
		t.settle(c, p, e)
	}
}

// dn returns the DN of an entry as it is now.
func (t *Tree) dn(n *node) string {
	var b strings.Builder
	for ; n != t.root; n = n.parent {
		b.WriteString(n.name)
		b.WriteByte(',')
	}
	b.WriteString(t.base.text)
	return b.String()
}

// generalizedTime is how OpenLDAP writes a time (RFC 4517 section 3.3.13). Fractions
// are read too.
const generalizedTime = "20060102150405Z"

// createdAt reads createTimestamp. Who does not tell comes last.
func createdAt(e *ldap.Entry) int64 {
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, "createTimestamp") && len(a.Values) == 1 {
			if at, err := time.Parse(generalizedTime, a.Values[0]); err == nil {
				return at.Unix()
			}
		}
	}
	return math.MaxInt64
}

// Has reports whether there is an entry at a place.
func (t *Tree) Has(p Place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.at(p)
	return n != nil && n.id != (entryUUID{})
}

// at returns what stands at a place, nil if nothing does.
func (t *Tree) at(p Place) *node {
	switch p.Kind {
	case Elsewhere:
		return nil
	case Root:
		return t.root
	}
	above := t.at(p.Parent())
	if above == nil {
		return nil
	}
	attribute, value := p.name()
	return above.child(nameOf(attribute + "=" + ldap.EscapeDN(value)))
}
