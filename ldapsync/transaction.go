package ldapsync

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Between the last update of a transaction and its end OpenLDAP needs time. It
// answers an update, and then goes on to look at it in the same thread; at the
// end another thread frees all updates (connection_operation and txn_end_extop,
// 2.5.13 and later). An end that comes too early kills slapd. Nothing that can be
// asked tells whether the thread is through: it has microseconds of work left, and
// has to get a processor for them. How long that takes on its machine, the
// round trips tell.
const (
	settleLeast = 5 * time.Millisecond
	settleMost  = 100 * time.Millisecond
	settleTrips = 4 // of the slowest
)

// settlePause returns how long a transaction rests before its end, by its slowest
// update.
func settlePause(slowest time.Duration) time.Duration {
	return min(max(settleTrips*slowest, settleLeast), settleMost)
}

// operation is one update of an entry.
type operation struct {
	place   Place
	request any         // *ldap.AddRequest, *ldap.ModifyRequest, *ldap.DelRequest or *ldap.ModifyDNRequest
	assert  assertion   // holds before the update; zero: nothing to assert
	fresh   bool        // of an add: the entry above is added by the same write
	image   *ldap.Entry // as it was before, if it may have to be taken back
}

// dn returns the entry as it is named before the operation.
func (op operation) dn() string {
	switch r := op.request.(type) {
	case *ldap.AddRequest:
		return r.DN
	case *ldap.ModifyRequest:
		return r.DN
	case *ldap.DelRequest:
		return r.DN
	case *ldap.ModifyDNRequest:
		return r.DN
	}
	return ""
}

// send makes the update, as part of a transaction if one is given.
func (op operation) send(c *ldap.Conn, txn ...ldap.Control) error {
	controls := txn
	if op.assert != (assertion{}) {
		controls = append([]ldap.Control{op.assert}, txn...)
	}
	// A copy, because the request may be sent again.
	switch r := op.request.(type) {
	case *ldap.AddRequest:
		q := *r
		q.Controls = controls
		return c.Add(&q)
	case *ldap.ModifyRequest:
		q := *r
		q.Controls = controls
		return c.Modify(&q)
	case *ldap.DelRequest:
		q := *r
		q.Controls = controls
		return c.Del(&q)
	case *ldap.ModifyDNRequest:
		q := *r
		q.Controls = controls
		return c.ModifyDN(&q)
	}
	return fmt.Errorf("no such update: %T", op.request)
}

// transactable reports whether OpenLDAP can be trusted with a transaction of the
// operations. One that moves an entry to another one above is carried out with a
// name that is no longer in memory (do_modrdn keeps it on its stack). One that
// deletes the last entry below another one is refused before 2.5.20 and 2.6.10
// (other 80, ITS#10304).
func (r reading) transactable(operations []operation) (bool, error) {
	deleted := make(map[string]bool)
	above := make(map[string]int) // how many are deleted below it
	for _, op := range operations {
		switch q := op.request.(type) {
		case *ldap.ModifyDNRequest:
			return false, nil
		case *ldap.DelRequest:
			dn := strings.ToLower(q.DN)
			deleted[dn] = true
			above[parentDN(dn)]++
		}
	}
	for dn, n := range above {
		if deleted[dn] {
			return false, nil // the last one below it is deleted too
		}
		found, err := r.conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, n+1, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
		if code, _ := answer(err); err != nil && code != ldap.LDAPResultSizeLimitExceeded {
			return false, err
		}
		if !slices.ContainsFunc(found.Entries, func(e *ldap.Entry) bool { return !deleted[strings.ToLower(e.DN)] }) {
			return false, nil
		}
	}
	return true, nil
}

// parentDN returns what is above an entry.
func parentDN(dn string) string {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			return dn[i+1:]
		}
	}
	return ""
}

// stale is the result with which an update would fail, because the entry is not
// as it was known.
type stale uint16

func (s stale) Error() string { return fmt.Sprintf("%s %d", resultNames[uint16(s)], uint16(s)) }

// checkable reports whether check asks the server anything.
func (op operation) checkable() bool {
	if _, add := op.request.(*ldap.AddRequest); add {
		return !op.fresh
	}
	return op.assert.attribute != ""
}

// check asks whether the update would find the entry as it has to be.
func (op operation) check(c *ldap.Conn) error {
	_, add := op.request.(*ldap.AddRequest)
	attribute := op.assert.attribute
	if add {
		attribute = "1.1" // none
	}
	found, err := c.Search(ldap.NewSearchRequest(op.dn(), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
	code, _ := answer(err)
	switch {
	case add && code == ldap.LDAPResultNoSuchObject:
		return nil
	case err != nil:
		return err
	case len(found.Entries) != 1:
		return stale(ldap.LDAPResultNoSuchObject)
	case add:
		return stale(ldap.LDAPResultEntryAlreadyExists)
	case found.Entries[0].GetEqualFoldAttributeValue(attribute) != op.assert.value:
		return stale(ldap.LDAPResultAssertionFailed)
	}
	return nil
}

// progress is how far a write came that did not succeed.
type progress struct {
	at      int   // the operation at fault
	begun   bool  // operations before it may have been made, or have been announced
	unknown bool  // nobody knows whether it was made
	err     error // what the server answered, or why it did not
}

// transact makes all updates or none (RFC 5805). It returns nil if all were
// made.
//
// A transaction that fails at its end is taken back, but OpenLDAP has announced
// by then what came before the failing update to whoever follows the changes, and
// announces nothing of the taking back. Therefore everything that can be is checked
// before the end, and a transaction that would fail is aborted.
func transact(c *ldap.Conn, operations []operation) *progress {
	begin, err := c.Extended(startTxn())
	if err != nil {
		return &progress{err: err}
	}
	var id txnSpec
	if begin.Value != nil && begin.Value.Data != nil {
		id = txnSpec(begin.Value.Data.Bytes())
	}
	var slowest time.Duration
	abort := func(at int, err error) *progress {
		time.Sleep(settlePause(slowest))
		// If this fails, so has the connection, which ends the transaction too.
		_, _ = c.Extended(endTxn(id, false))
		return &progress{at: at, err: err}
	}
	for i, op := range operations {
		began := time.Now()
		err := op.send(c, id)
		slowest = max(slowest, time.Since(began))
		if err != nil {
			return abort(i, err)
		}
	}
	rest := time.NewTimer(settlePause(slowest))
	defer rest.Stop()
	checks := 0
	for i, op := range operations {
		if !op.checkable() {
			continue
		}
		checks++
		if err := op.check(c); err != nil {
			return abort(i, err)
		}
	}
	<-rest.C
	_, err = c.Extended(endTxn(id, true))
	var refused *ldap.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refused) || refused.Packet == nil:
		return &progress{at: len(operations) - 1, unknown: true, err: err}
	}
	// Between the last update and the end there were the checks.
	last := len(operations) - 1
	p := &progress{at: last, err: err}
	if at := last - (failedMessage(refused.Packet) - 1 - checks); at >= 0 && at < last {
		p.at = at
	}
	p.begun = p.at > 0
	return p
}
