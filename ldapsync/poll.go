package ldapsync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// poll is the Source of servers that do not tell what changes: they are asked.
// That something was deleted is seen by looking which entries there still are. A
// look takes several requests and is no picture of one moment, so an entry has to
// be missing in two of them, one after the other.
type poll struct {
	interval time.Duration // between two times that it is asked what has changed
	every    int           // such times to one look at which entries there are
	skew     time.Duration // by which a change may seem older than one before it
	page     uint32        // entries to a request
	limit    time.Duration // of a request
}

var usualPoll = poll{interval: 10 * time.Second, every: 3, skew: 5 * time.Second, page: 500, limit: 20 * time.Second}

// polling is one session.
type polling struct {
	poll
	ctx    context.Context
	conn   *Conn
	tree   *Tree
	newest time.Time          // modifyTimestamp of all that was read
	absent map[entryUUID]bool // at the last look
}

// Follow implements Source.
func (p poll) Follow(ctx context.Context, c *Conn, tree *Tree, tell func(Progress)) error {
	c.SetTimeout(p.limit)
	on := polling{poll: p, ctx: ctx, conn: c, tree: tree}
	tell(Refreshing)
	if err := on.refresh(); err != nil {
		return on.ended(err)
	}
	tell(Refreshed)
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for times := 1; ; times++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		changed, err := on.read(on.newest.Add(-p.skew))
		if err == nil && times%p.every == 0 {
			var other bool
			other, err = on.look()
			changed = changed || other
		}
		if err != nil {
			return on.ended(err)
		}
		if changed {
			tell(Changed)
		}
	}
}

func (on *polling) ended(err error) error {
	if on.ctx.Err() != nil {
		return context.Cause(on.ctx)
	}
	return ended(on.conn, on.tree, 0, err)
}

// refresh reads all there is, and looks twice for what is gone.
func (on *polling) refresh() error {
	// Who follows next, and is told what changes, has to be told all.
	on.tree.Forget()
	if _, err := on.read(time.Time{}); err != nil {
		return err
	}
	for range 2 {
		if _, err := on.look(); err != nil || len(on.absent) == 0 {
			return err
		}
	}
	return nil
}

// read reads what was changed at a time or later, and reports whether anything is
// not as it was. The zero time means all.
func (on *polling) read(since time.Time) (changed bool, err error) {
	filter := "(objectClass=*)"
	if !since.IsZero() {
		filter = fmt.Sprintf("(modifyTimestamp>=%s)", since.UTC().Format(generalizedTime))
	}
	b := on.tree.begin(true)
	newest := on.newest
	err = on.search(filter, append([]string{"modifyTimestamp"}, wanted...), func(id entryUUID, e *ldap.Entry) {
		b.put(id, e)
		if at, err := time.Parse(generalizedTime, e.GetEqualFoldAttributeValue("modifyTimestamp")); err == nil && at.After(newest) {
			newest = at
		}
	})
	if err != nil {
		return false, err
	}
	on.newest = newest
	return b.commit(false, nil), nil
}

// look looks which entries there are. What is missing for the second time is gone;
// if there are some that nobody has read, all is read.
func (on *polling) look() (changed bool, err error) {
	there := make(map[entryUUID]bool)
	err = on.search("(objectClass=*)", nil, func(id entryUUID, _ *ldap.Entry) { there[id] = true })
	if err != nil {
		return false, err
	}
	missing, hasAll := on.tree.missing(there)
	absent := make(map[entryUUID]bool)
	b := on.tree.begin(true)
	for _, id := range missing {
		if on.absent[id] {
			b.gone(id)
		} else {
			absent[id] = true
		}
	}
	on.absent = absent
	changed = b.commit(false, nil)
	if !hasAll {
		read, err := on.read(time.Time{})
		return changed || read, err
	}
	return changed, nil
}

// search calls yield for all that a filter matches, page by page (RFC 2696).
func (on *polling) search(filter string, attributes []string, yield func(entryUUID, *ldap.Entry)) error {
	attributes = append([]string{"entryUUID", "nsUniqueId"}, attributes...)
	paging := ldap.NewControlPaging(on.page)
	for {
		var found *ldap.SearchResult
		err := on.conn.Do(on.ctx, func() (err error) {
			found, err = on.conn.Search(ldap.NewSearchRequest(on.tree.base.String(), ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
				0, 0, false, filter, attributes, []ldap.Control{paging}))
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range found.Entries {
			yield(idOf(e), e)
		}
		next, ok := ldap.FindControl(found.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// idOf returns what names an entry: entryUUID (RFC 4530), or nsUniqueId where a
// server has that in its place. Where it has neither it is the DN, so that a
// rename is a deletion and an addition.
func idOf(e *ldap.Entry) entryUUID {
	for _, name := range []string{"entryUUID", "nsUniqueId"} {
		if id, ok := parseUUID(e.GetEqualFoldAttributeValue(name)); ok {
			return id
		}
	}
	var id entryUUID
	sum := sha256.Sum256([]byte(strings.ToLower(e.DN)))
	copy(id[:], sum[:])
	return id
}

// parseUUID reads 16 octets in hexadecimal, with hyphens anywhere. All zero name
// nothing.
func parseUUID(s string) (id entryUUID, ok bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(id) {
		return entryUUID{}, false
	}
	copy(id[:], b)
	return id, id != entryUUID{}
}
