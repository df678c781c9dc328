package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// syncrepl is the Source of servers that tell what changes (RFC 4533), such as
// OpenLDAP with the overlay syncprov. Where a session ended, the next one goes on.
type syncrepl struct {
	// patience is how long a server may lack what another one had before all is
	// read anew from it.
	patience time.Duration
	// otherwise is how a server is followed that says it can and cannot.
	otherwise poll
}

// lag is how long a provider may need to get what its twin has. One that was
// restored from a backup never gets it.
const lag = 10 * time.Second

// queued is how many entries may be decoded before they are put into the tree. A
// reader that is slow would hold up the connection, and its end.
const queued = 256

// syncing is one session.
type syncing struct {
	conn    *Conn
	tree    *Tree
	tell    func(Progress)
	refresh *batch      // nil: the refresh is over
	sent    bool        // the server was told up to where we know
	present bool        // it has named all that it has
	missing []entryUUID // the tree had them before the refresh, and the server had not
}

// Follow implements Source.
func (s syncrepl) Follow(ctx context.Context, c *Conn, tree *Tree, tell func(Progress)) error {
	// Whatever ends this, the search is cancelled before the connection is closed,
	// which would wait for it.
	search, cancel := context.WithCancel(ctx)
	defer cancel()
	on := syncing{conn: c, tree: tree, tell: tell}
	tell(Refreshing)
	if err := on.compare(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return ended(c, tree, s.patience, err)
	}
	c.SetTimeout(0) // it would end the search too
	cookie := tree.known()
	on.sent, on.refresh = cookie != nil, tree.begin(true)
	// A request is good for one search: the control is put into it.
	request := ldap.NewSearchRequest(tree.base.String(), ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", wanted, nil)
	// Without a reload hint a server that does not know our cookie says so, and does
	// not tell all as if it were what has changed.
	response := c.Syncrepl(search, request, queued, ldap.SyncRequestModeRefreshAndPersist, cookie, false)
	for response.Next() {
		if err := on.take(response.Entry(), response.Controls()); err != nil {
			tree.Forget()
			return unfollowed(c, err, "%v", err)
		}
	}
	if ctx.Err() != nil { // go-ldap has no error then
		return context.Cause(ctx)
	}
	if code, _ := answer(response.Err()); code == ldap.LDAPResultUnavailableCriticalExtension {
		// OpenLDAP says that it can as soon as the module is loaded, also if no
		// overlay keeps this base.
		return s.otherwise.Follow(ctx, c, tree, tell)
	}
	return ended(c, tree, s.patience, response.Err())
}

// Why all has to be told anew, or cannot be told.
var (
	errNoControl = errors.New("it sends entries without saying what has become of them: it does not speak RFC 4533; take its control out of supportedControl, so that it is polled")
	errNoBase    = errors.New("the entry of the base was renamed or deleted: correct directory.base, or bring it back")
	errNoCookie  = errors.New("it has told all as if it were what has changed: all is read anew")
	errUntold    = errors.New("it has not told what was deleted: all is read anew")
)

// compare looks, before a session goes on where another one ended, whether the server
// holds what was told until then. A server that was restored from a backup does not,
// and goes on all the same once something was written to it: then it tells of what
// has not changed since only that it is there. All is read anew then.
func (on *syncing) compare(ctx context.Context) error {
	known := on.tree.csns()
	if len(known) == 0 {
		return nil
	}
	on.conn.SetTimeout(usualPoll.limit)
	var csns []string
	err := on.conn.Do(ctx, func() (err error) {
		csns, err = readContextCSN(on.conn.Conn, on.tree.base)
		return err
	})
	has := func(sid string) bool {
		return slices.ContainsFunc(csns, func(csn string) bool { return sidOf(csn) == sid })
	}
	behind := func(csn string) bool { return has(sidOf(csn)) && lacking(csns, []string{csn}) != "" }
	if err != nil || slices.ContainsFunc(known, behind) {
		return err // it will say itself what it lacks
	}
	entries, named := make(map[entryUUID]string), true
	look := polling{poll: usualPoll, ctx: ctx, conn: on.conn, tree: on.tree}
	err = look.search("(objectClass=*)", []string{"entryCSN"}, func(_ entryUUID, e *ldap.Entry) {
		id, ok := parseUUID(e.GetEqualFoldAttributeValue("entryUUID"))
		entries[id], named = e.GetEqualFoldAttributeValue("entryCSN"), named && ok
	})
	if err != nil || !named {
		return err
	}
	// A server ID that is not in contextCSN is that of slapadd.
	missing, other := on.tree.compare(entries, func(csn string) bool {
		return has(sidOf(csn)) && lacking(known, []string{csn}) != ""
	})
	if other {
		on.tree.Forget()
		on.tell(Differed)
	}
	on.missing = missing
	return nil
}

// take takes what the server tells.
func (on *syncing) take(e *ldap.Entry, controls []ldap.Control) error {
	for _, c := range controls {
		switch c := c.(type) {
		case *ldap.ControlSyncState:
			return on.entry(e, c)
		case *ldap.ControlSyncInfo:
			return on.info(c)
		}
	}
	if e != nil {
		return errNoControl
	}
	return nil // a reference to elsewhere
}

// entry takes what has become of an entry.
func (on *syncing) entry(e *ldap.Entry, state *ldap.ControlSyncState) error {
	b := on.batch()
	id := entryUUID(state.EntryUUID)
	appeared := false
	switch state.State {
	case ldap.SyncStateAdd, ldap.SyncStateModify:
		appeared = on.refresh == nil && !on.tree.knows(id) && older(e, state.Cookie)
		b.put(id, e)
	case ldap.SyncStatePresent:
		if on.refresh != nil {
			b.present(id)
		}
	case ldap.SyncStateDelete:
		if on.tree.isBase(id) {
			// The server goes on until the next change, which it refuses to tell.
			return errNoBase
		}
		b.gone(id)
	default:
		return fmt.Errorf("it sends the state %d, which RFC 4533 does not know", state.State)
	}
	on.changed(b, state.Cookie)
	if appeared {
		on.tell(Appeared)
	}
	return nil
}

// older reports whether an entry is older than the change that a cookie stands
// for, so that it was not made by that.
func older(e *ldap.Entry, cookie []byte) bool {
	const second = len("20060102150405")
	csns, made := cookieCSNs(cookie), e.GetEqualFoldAttributeValue("createTimestamp")
	return len(csns) == 1 && len(made) > second && made[:second] < csns[0][:second]
}

// info takes what is no entry.
func (on *syncing) info(i *ldap.ControlSyncInfo) error {
	switch {
	case i.SyncIdSet != nil:
		b := on.batch()
		for _, u := range i.SyncIdSet.SyncUUIDs {
			switch {
			case i.SyncIdSet.RefreshDeletes:
				b.gone(entryUUID(u))
			case on.refresh != nil:
				b.present(entryUUID(u))
			}
		}
		on.changed(b, i.SyncIdSet.Cookie)
	case i.NewCookie != nil:
		// go-ldap leaves it empty.
		if cookie := on.conn.tap.next(); on.refresh == nil {
			on.tree.reached(cookie)
		}
	case i.RefreshDelete != nil && i.RefreshDelete.RefreshDone:
		return on.refreshed(on.present || !on.sent, i.RefreshDelete.Cookie)
	case i.RefreshPresent != nil && i.RefreshPresent.RefreshDone:
		return on.refreshed(true, i.RefreshPresent.Cookie)
	case i.RefreshPresent != nil:
		on.present = true // what follows is only what was deleted meanwhile
	}
	return nil
}

// batch returns where to put what is told.
func (on *syncing) batch() *batch {
	if on.refresh != nil {
		return on.refresh
	}
	return on.tree.begin(false)
}

// changed ends a change. One that is part of the refresh waits for its end.
func (on *syncing) changed(b *batch, cookie []byte) {
	if on.refresh == nil {
		b.commit(false, nil)
		on.tree.reached(cookie)
		on.tell(Changed)
	}
}

// refreshed ends the refresh. all says that the server has named all that it has,
// so that the rest is gone.
func (on *syncing) refreshed(all bool, cookie []byte) error {
	b := on.refresh
	switch {
	case b == nil:
		return nil
	case !all && len(cookie) == 0 && len(b.items) > 0:
		return errNoCookie // OpenLDAP could not read ours
	}
	on.refresh = nil
	if all {
		b.commit(true, cookieOf(cookie))
	} else {
		b.commit(false, nil)
		// After a crash OpenLDAP may take its session log for whole that is not.
		if slices.ContainsFunc(on.missing, on.tree.knows) {
			return errUntold
		}
		on.tree.reached(cookie)
	}
	on.tell(Refreshed)
	return nil
}

// ended says why the server does not go on. It is never taken for a directory
// that is empty.
func ended(c *Conn, tree *Tree, patience time.Duration, err error) error {
	base := tree.base.String()
	code, words := answer(err)
	switch code {
	case 0:
		if err == nil {
			words = "it has ended the search"
		}
		if strings.HasSuffix(words, "EOF") {
			return unfollowed(c, err, "it has ended the connection: see whether it runs")
		}
		return unfollowed(c, err, "the connection is lost (%s): see whether the server and the network are up", words)
	case ldap.LDAPResultNoSuchObject:
		return unfollowed(c, err, "%s is not there, or %s must not see it (%s): correct directory.base, bring the entry back, or give read access", base, c.Identity(), words)
	case ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded:
		return unfollowed(c, err, "it does not tell all (%s), and nothing of it is used: give %s `limits ... size=unlimited time=unlimited`", words, c.Identity())
	case ldap.LDAPResultSyncRefreshRequired:
		tree.Forget()
		return unfollowed(c, err, "it cannot go on from where it was (%s): all is read anew", words)
	case ldap.LDAPResultUnwillingToPerform:
		if tree.known() == nil {
			break
		}
		if tree.lacks(c.URI(), patience) {
			return unfollowed(c, err, "it lacks changes that were made elsewhere (%s): see to it that the servers reach each other", words)
		}
		return unfollowed(c, err, "it lacks changes that it, or another server, had, as after a restore (%s): all is read anew", words)
	case ldap.LDAPResultInsufficientAccessRights:
		return unfollowed(c, err, "%s must not read %s (%s): give read access", c.Identity(), base, words)
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return unfollowed(c, err, "it cannot answer now (%s): see what it logs", words)
	}
	return unfollowed(c, err, "it does not tell what %s holds (%s): see what it logs", base, words)
}

// unfollowed says why a server cannot be followed.
func unfollowed(c *Conn, cause error, format string, args ...any) error {
	return &lvs.Refusal{
		Kind: lvs.ErrUnavailable, Cause: cause,
		Reason: fmt.Sprintf("directory %s: %s", c.URI(), fmt.Sprintf(format, args...)),
	}
}

// wanted are the attributes that an entry is read for. What else somebody keeps in
// it need not cross the network.
var wanted = func() []string {
	names := []string{"objectClass", "createTimestamp", "entryCSN"}
	seen := map[string]bool{"objectClass": true}
	for k := Host; k <= Server; k++ {
		if c := classes[k]; c != nil {
			for _, name := range c.attributeNames() {
				if !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names
}()
