package ldapsync

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// edit is what is wanted of one place: another value, or, if after is nil, that
// nothing stands there.
type edit struct {
	before, after Object // of which the places differ if it moves
}

// plan is a write in the making.
type plan struct {
	base Base
	own  Place // the director's own host, which is there or added by the write
	view reading

	machine *Machine // what own is to be, if it has to be added and is more than a mark

	early, late     []operation // adds: before the moves and after them
	moves, modifies []operation
	deletes         []operation
	added           map[Place]bool
	moved           map[Place]Place // from, to
	doomed          map[string]bool // DNs of deletes
}

func newPlan(base Base, own Place, view reading) *plan {
	return &plan{base: base, own: own, view: view, added: make(map[Place]bool), moved: make(map[Place]Place), doomed: make(map[string]bool)}
}

// operations turns a change of what before is into updates, in an order in which
// no entry is ever without the one above it and each beginning of which leaves a
// valid tree. It fails with lvs.ErrConflict where the directory is not as before
// has it. If the director's own host is missing and has to be more than a mark, it
// is returned apart.
func operations(base Base, own Place, view reading, change *lvs.Change, before *lvs.Config) ([]operation, *Machine, error) {
	p := newPlan(base, own, view)
	for _, e := range hostEdits(own, change, before) {
		if err := p.host(e); err != nil {
			return nil, nil, err
		}
	}
	for _, e := range edits(own, change, before) {
		if err := p.edit(e); err != nil {
			return nil, nil, err
		}
	}
	depth := func(a, b operation) int { return cmp.Compare(a.place.depth(), b.place.depth()) }
	slices.SortStableFunc(p.early, depth)
	slices.SortStableFunc(p.late, depth)
	return slices.Concat(p.early, p.moves, p.late, p.modifies, p.deletes), p.machine, nil
}

// depth is how far below the root a place is.
func (p Place) depth() int {
	n := 0
	for p.Kind != Root && p.Kind != Elsewhere {
		p = p.Parent()
		n++
	}
	return n
}

// edit adds what e needs.
func (p *plan) edit(e edit) error {
	if err := p.possible(e.after); err != nil {
		return err
	}
	switch {
	case e.after.Place.Kind == Elsewhere:
		return p.delete(e.before)
	case e.before.Place.Kind == Elsewhere:
		return p.add(e.after)
	case e.before.Place != e.after.Place:
		return p.move(e.before, e.after)
	case e.before == e.after:
		return nil
	}
	s, err := p.known(e.before)
	if err != nil {
		return err
	}
	if r := p.base.Modify(e.before, e.after); r != nil {
		r.DN = s.dn
		op := operation{place: e.after.Place, request: r, assert: assertion{"entryCSN", s.csn}}
		if to, ok := p.moved[e.before.Place.Parent()]; ok {
			op.place.Cluster = to.Cluster
			r.DN = p.base.DN(op.place)
		}
		p.modifies = append(p.modifies, op)
	}
	return nil
}

// possible refuses an object that could not be read back. The constraints of the
// directory would refuse it too, but there slapd (OpenLDAP 2.5.13 at least) dies of
// the next request after a transaction that one of them has refused.
func (p *plan) possible(o Object) error {
	c := classes[o.Place.Kind]
	if c == nil {
		return nil
	}
	e := &ldap.Entry{DN: p.base.DN(o.Place)}
	for _, a := range c.encode(p.base, o) {
		e.Attributes = append(e.Attributes, ldap.NewEntryAttribute(a.Type, a.Vals))
	}
	_, err := c.read(p.base, o.Place, e)
	if err == nil {
		return nil
	}
	r := p.refusal(o.Place, lvs.ErrInvalid, err.Error())
	r.Cause = err
	return r
}

// known returns the entry of an object, which must be as it was.
func (p *plan) known(o Object) (standing, error) {
	s, ok, err := p.view.at(o.Place)
	switch {
	case err != nil:
		return s, err
	case !ok:
		return s, p.conflict(o.Place, p.base.DN(o.Place), "is no longer there: look again, and create it if it is still wanted")
	case s.fault != nil:
		return s, p.conflict(o.Place, s.dn, fmt.Sprintf("was changed to what cannot be (%v): mend or delete it there", s.fault))
	case s.object != o:
		return s, p.conflict(o.Place, s.dn, "has just been changed there: look again, and repeat what is still wanted")
	}
	return s, nil
}

func (p *plan) conflict(at Place, dn, words string) error {
	return p.refusal(at, lvs.ErrConflict, dn+" "+words)
}

func (p *plan) refusal(at Place, kind error, words string) *lvs.Refusal {
	r := &lvs.Refusal{Kind: kind, Service: at.Service, Server: at.Server, Daemon: at.Daemon, Reason: "directory: " + words}
	switch at.Kind {
	case Cluster, Member, Host:
		r.Cluster, r.Host = at.Cluster, at.Host
	}
	return r
}

// add adds an object, and the containers above it that are missing.
func (p *plan) add(o Object) error {
	if p.added[o.Place] {
		return nil
	}
	if !p.added[o.Place.Parent()] {
		s, ok, err := p.view.at(o.Place)
		switch {
		case err != nil:
			return err
		case ok && s.fault != nil:
			return p.conflict(o.Place, s.dn, fmt.Sprintf("is there already, and is not used because it cannot be (%v): mend or delete it there", s.fault))
		case ok:
			return p.conflict(o.Place, s.dn, "has just been created there: look again, and change it instead")
		}
	}
	if err := p.above(o.Place.Parent()); err != nil {
		return err
	}
	p.adding(o)
	return nil
}

// above sees to it that there is something to stand below.
func (p *plan) above(at Place) error {
	if p.added[at] || at.Kind == Root || at == p.own {
		return nil
	}
	for _, to := range p.moved {
		if to == at {
			return nil
		}
	}
	switch _, ok, err := p.view.at(at); {
	case err != nil || ok:
		return err
	case classes[at.Kind] != nil:
		return p.conflict(at, p.base.DN(at), "is no longer there: look again, and create it if it is still wanted")
	}
	if err := p.above(at.Parent()); err != nil {
		return err
	}
	p.adding(Object{Place: at})
	return nil
}

func (p *plan) adding(o Object) {
	p.added[o.Place] = true
	op := operation{place: o.Place, request: p.base.Add(o), fresh: p.added[o.Place.Parent()]}
	if o.Place.Kind == Service || o.Place.Kind == Server {
		p.late = append(p.late, op)
	} else {
		p.early = append(p.early, op)
	}
}

// move takes an entry with all below it to another place above, and then changes
// it.
func (p *plan) move(from, to Object) error {
	s, err := p.known(from)
	if err != nil {
		return err
	}
	if err := p.above(to.Place.Parent()); err != nil {
		return err
	}
	attribute, value := to.Place.name()
	r := ldap.NewModifyDNRequest(s.dn, attribute+"="+ldap.EscapeDN(value), false, p.base.DN(to.Place.Parent()))
	p.moves = append(p.moves, operation{place: from.Place, request: r, assert: assertion{"entryCSN", s.csn}})
	p.moved[from.Place] = to.Place
	from.Place = to.Place
	if m := p.base.Modify(from, to); m != nil {
		// The move has asserted for both.
		p.modifies = append(p.modifies, operation{place: to.Place, request: m})
	}
	return nil
}

// delete deletes an object with everything below it.
func (p *plan) delete(o Object) error {
	s, err := p.known(o)
	if err != nil {
		return err
	}
	if to, ok := p.moved[o.Place.Parent()]; ok {
		o.Place.Cluster = to.Cluster
		s.dn = p.base.DN(o.Place)
		p.doom(s) // nothing stands below a server
		return nil
	}
	if o.Place.Kind == Cluster {
		return p.deleteCluster(s)
	}
	return p.deleteTree(s)
}

// deleteTree deletes an entry with everything below it.
func (p *plan) deleteTree(s standing) error {
	below, err := p.view.below(s)
	if err != nil {
		return err
	}
	for _, b := range slices.Backward(below) {
		p.doom(b)
	}
	p.doom(s)
	return nil
}

// doom deletes an entry, once.
func (p *plan) doom(s standing) {
	dn := strings.ToLower(s.dn)
	if p.doomed[dn] {
		return
	}
	p.doomed[dn] = true
	p.deletes = append(p.deletes, operation{place: s.object.Place, request: ldap.NewDelRequest(s.dn, nil), assert: assertion{"entryCSN", s.csn}})
}

// deleteCluster deletes the entry of a cluster with its containers. What else
// stands below it, and is not deleted or moved away by the same write, is
// somebody else's to decide of: a cluster that other directors serve has services
// that this one does not know.
func (p *plan) deleteCluster(s standing) error {
	below, err := p.view.below(s)
	if err != nil {
		return err
	}
	leaving := make(map[string]bool) // trees that are moved away
	for from := range p.moved {
		leaving[strings.ToLower(p.base.DN(from))] = true
	}
	var containers []standing
	for _, b := range below {
		dn := strings.ToLower(b.dn)
		switch kind := b.object.Place.Kind; {
		case p.doomed[dn]:
		case leaving[dn] || leaving[parentDN(dn)]:
		case kind == Members || kind == Services:
			containers = append(containers, b)
		default:
			return p.conflict(s.object.Place, b.dn, "stands below the cluster and would be deleted with it: delete it first, or let it be of another cluster")
		}
	}
	for _, b := range slices.Backward(containers) {
		p.doom(b)
	}
	p.doom(s)
	return nil
}

// edits lists what a change wants of which place.
func edits(own Place, change *lvs.Change, before *lvs.Config) []edit {
	var list []edit
	for _, c := range change.PutClusters {
		e := edit{after: clusterObject(c)}
		if old, ok := before.Cluster(c.ID); ok && old.Storage == lvs.NonVolatile {
			e.before = clusterObject(old)
		}
		list = append(list, e)
	}
	for _, m := range change.PutMembers {
		e := edit{after: memberObject(m)}
		if old, ok := before.Member(m.ID()); ok && old.Storage == lvs.NonVolatile {
			e.before = memberObject(old)
		}
		list = append(list, e)
	}
	leaving := make(map[lvs.MemberID]bool)
	deleteMember := func(id lvs.MemberID) {
		if old, ok := before.Member(id); ok && old.Storage == lvs.NonVolatile && !leaving[id] {
			leaving[id] = true
			list = append(list, edit{before: memberObject(old)})
		}
	}
	for _, id := range change.DeleteMembers {
		deleteMember(id)
	}
	for _, id := range change.DeleteClusters {
		for _, m := range before.MembersOf(id) {
			deleteMember(m.ID())
		}
	}
	wanted := make(map[lvs.ServiceKey]Place) // where a service is to be
	for _, s := range change.PutServices {
		e := edit{after: serviceObject(s)}
		if old, ok := before.Service(s.Key); ok && old.Storage == lvs.NonVolatile {
			e.before = serviceObject(old)
		}
		wanted[s.Key] = e.after.Place
		list = append(list, e)
	}
	gone := make(map[lvs.ServiceKey]bool)
	for _, k := range change.DeleteServices {
		if old, ok := before.Service(k); ok && old.Storage == lvs.NonVolatile {
			gone[k] = true
			list = append(list, edit{before: serviceObject(old)})
		}
	}
	serverBefore := func(k lvs.ServiceKey, s lvs.ServerKey) (Object, bool) {
		old, ok := before.Server(k, s)
		service, _ := before.Service(k)
		if !ok || old.Storage != lvs.NonVolatile || service.Storage != lvs.NonVolatile {
			return Object{}, false
		}
		return serverObject(serviceObject(service).Place, old), true
	}
	for _, s := range change.PutServers {
		var e edit
		if old, ok := serverBefore(s.Service, s.Server.Key); ok {
			// It moves with its service.
			e.before, e.after = old, serverObject(old.Place.Parent(), s.Server)
		} else {
			at, ok := wanted[s.Service]
			if service, had := before.Service(s.Service); !ok && had {
				at = serviceObject(service).Place
			}
			e.after = serverObject(at, s.Server)
		}
		list = append(list, e)
	}
	for _, id := range change.DeleteServers {
		if old, ok := serverBefore(id.Service, id.Server); ok && !gone[id.Service] {
			list = append(list, edit{before: old})
		}
	}
	for _, d := range change.PutDaemons {
		e := edit{after: daemonObject(own, d)}
		if old, ok := before.Daemon(d.State); ok && old.Storage == lvs.NonVolatile {
			e.before = daemonObject(own, old)
		}
		list = append(list, e)
	}
	for _, state := range change.DeleteDaemons {
		if old, ok := before.Daemon(state); ok && old.Storage == lvs.NonVolatile {
			list = append(list, edit{before: daemonObject(own, old)})
		}
	}
	for _, id := range change.DeleteClusters { // when all that was in them is deleted or moved
		if old, ok := before.Cluster(id); ok && old.Storage == lvs.NonVolatile {
			list = append(list, edit{before: clusterObject(old)})
		}
	}
	return list
}

func clusterObject(c lvs.Cluster) Object {
	return Object{Place{Kind: Cluster, Cluster: c.ID}, c}
}

func memberObject(m lvs.Member) Object {
	return Object{Place{Kind: Member, Cluster: m.Cluster, Role: m.Role, Host: m.Host}, m}
}

func serviceObject(s lvs.Service) Object {
	return Object{Place{Kind: Service, Cluster: s.Cluster, Service: s.Key}, s}
}

func serverObject(service Place, s lvs.Server) Object {
	at := service
	at.Kind, at.Server = Server, s.Key
	return Object{at, s}
}

func daemonObject(own Place, d lvs.SyncDaemon) Object {
	at := own
	at.Kind, at.Daemon = SyncDaemon, d.State
	return Object{at, d}
}
