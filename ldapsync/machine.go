package ldapsync

import (
	"fmt"

	"github.com/lcms-project/lcms/internal/lvs"
)

// hostEdit is what is wanted of the entry of a host. Of it, lvs.Config knows the
// lvs.Host and, of the director's own, the timeouts; all else that a director
// keeps there stays.
type hostEdit struct {
	place         Place
	before, after *lvs.Host // nil: there is none; both nil: it stays as it is
	timeouts      *timeoutsEdit
}

type timeoutsEdit struct{ before, after lvs.Timeouts }

// hostEdits lists what a change wants of hosts.
func hostEdits(own Place, change *lvs.Change, before *lvs.Config) []hostEdit {
	var list []hostEdit
	at := func(n lvs.HostName) hostEdit {
		e := hostEdit{place: Place{Kind: Host, Host: n}}
		if old, ok := before.Host(n); ok && old.Storage == lvs.NonVolatile {
			e.before = &old
		}
		if e.place == own && change.Timeouts != nil {
			e.timeouts = &timeoutsEdit{before.Timeouts(), *change.Timeouts}
		}
		return e
	}
	seen := false
	for i := range change.PutHosts {
		e := at(change.PutHosts[i].Name)
		e.after = &change.PutHosts[i]
		seen = seen || e.place == own
		list = append(list, e)
	}
	for _, n := range change.DeleteHosts {
		if e := at(n); e.before != nil {
			seen = seen || e.place == own
			list = append(list, e)
		}
	}
	if change.Timeouts != nil && !seen {
		e := at(own.Host)
		e.before = nil
		list = append(list, e)
	}
	return list
}

// host adds what e needs.
func (p *plan) host(e hostEdit) error {
	own := e.place == p.own
	if e.after != nil {
		if err := p.possible(Object{e.place, Machine{Host: *e.after}}); err != nil {
			return err
		}
	}
	if own && e.before != nil && e.after == nil {
		return p.conflict(e.place, p.base.DN(e.place), "is this director's own host, with the mark of its writes: it can be deleted when the director is gone")
	}
	s, there, err := p.view.at(e.place)
	switch {
	case err != nil:
		return err
	case !there && own: // the write begins with it
		m := Machine{Host: lvs.NewHost(e.place.Host), IsDirector: true}
		e.apply(&m)
		p.machine = &m
		return nil
	case !there && e.before != nil:
		return p.conflict(e.place, p.base.DN(e.place), "is no longer there: look again, and create it if it is still wanted")
	case !there:
		return p.add(Object{e.place, Machine{Host: *e.after}})
	case s.fault != nil:
		return p.conflict(e.place, s.dn, fmt.Sprintf("was changed to what cannot be (%v): mend or delete it there", s.fault))
	}
	m, ours := s.object.Value.(Machine)
	switch {
	case !ours:
		return p.conflict(e.place, s.dn, "is there, and is no host of LCMS: add the objectClass lcmsHost to it there")
	case e.before != nil && m.Host != *e.before, e.timeouts != nil && m.Timeouts != e.timeouts.before:
		return p.conflict(e.place, s.dn, "has just been changed there: look again, and repeat what is still wanted")
	case e.before == nil && e.after != nil && !(own && m.Host == lvs.NewHost(e.place.Host)): // a director makes its own
		return p.conflict(e.place, s.dn, "has just been created there: look again, and change it instead")
	case e.before != nil && e.after == nil:
		return p.deleteTree(s)
	}
	next := m
	e.apply(&next)
	if r := p.base.Modify(s.object, Object{e.place, next}); r != nil {
		r.DN = s.dn
		p.modifies = append(p.modifies, operation{place: e.place, request: r, assert: assertion{"entryCSN", s.csn}})
	}
	return nil
}

// apply makes of m what is wanted. Who has timeouts is a director.
func (e *hostEdit) apply(m *Machine) {
	if e.after != nil {
		m.Host = *e.after
	}
	if e.timeouts != nil && m.Timeouts != e.timeouts.after {
		m.IsDirector, m.Timeouts = true, e.timeouts.after
	}
}
