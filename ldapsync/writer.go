package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Writer writes changes into the directory, each whole or not at all. Its
// methods may be called by several goroutines at once; writes are made one after
// the other.
type Writer struct {
	// Announce, if set, is told of each write before it is made, and of its end:
	// written says that it was made, as far as is known by then.
	Announce func(requestID string, change *lvs.Change) (end func(written bool))

	options Options
	base    Base
	own     Place // the director's own host

	turn    chan struct{} // held by whoever writes
	uri     string        // the server that is written to
	conn    *Conn         // nil: to be dialled
	plain   bool          // the server knows no transactions, or none that can be trusted
	learned bool          // the server has numbered all attributes, or need not
	mark    mark          // as last read or written over conn
	doubt   *doubt        // a write that nobody knows the outcome of
	torn    []operation   // that were announced and not made
}

// doubt is a write without an answer.
type doubt struct {
	id         string
	mark       mark // before it
	operations []operation
	whole      bool // in a transaction
}

// NewWriter returns a writer for the director on the host own, which writes to
// the first of the URIs.
func NewWriter(o Options, base Base, own string) (*Writer, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	place, err := base.Place("cn=" + ldap.EscapeDN(own) + "," + base.DN(Place{Kind: Hosts}))
	if err != nil {
		return nil, unusable("directory: this director's host: %v", err)
	}
	return &Writer{options: o, base: base, own: place, turn: make(chan struct{}, 1), uri: o.URIs[0]}, nil
}

// Write makes a change of what before is. It takes the WriteTimeout of the Options at
// most, less if ctx ends earlier. The error is a *lvs.Refusal:
//
//   - lvs.ErrConflict: the directory is not, or no longer, as before has it;
//   - lvs.ErrInvalid: the directory does not allow such values;
//   - lvs.ErrUnavailable: it cannot be reached, takes no writes, or not ours;
//   - lvs.ErrUnavailable and ErrOutcomeUnknown: it has not answered.
//
// In all cases but the last nothing has changed. A write that is to be taken
// back is followed by one of its inverse: that fails with lvs.ErrConflict where
// somebody else has changed the same since.
func (w *Writer) Write(ctx context.Context, change *lvs.Change, before *lvs.Config, by lvs.Requester) error {
	ctx, cancel := within(ctx, w.options.writeTimeout())
	defer cancel()
	if err := w.take(ctx); err != nil {
		return err
	}
	defer w.release()
	if err := w.ready(ctx); err != nil {
		return err
	}
	var list []operation
	var machine *Machine
	var whole bool
	err := w.conn.Do(ctx, func() (err error) {
		r := reading{w.conn.Conn, w.base}
		if list, machine, err = operations(w.base, w.own, r, change, before); err == nil && !w.plain {
			whole, err = r.transactable(list)
		}
		return err
	})
	if err != nil {
		return w.failed(operation{}, err)
	}
	if len(list) == 0 && machine == nil {
		return nil
	}
	if err := w.learnVocabulary(ctx); err != nil {
		return err
	}
	whole = whole && !w.plain
	id := newRequestID(by.ID)
	end := func(bool) {}
	if w.Announce != nil {
		end = w.Announce(id, change)
	}
	err = w.make(ctx, list, machine, whole, id, by.Who)
	end(err == nil)
	return err
}

// make makes the operations of a write, in a transaction if they can be its whole.
func (w *Writer) make(ctx context.Context, list []operation, machine *Machine, whole bool, id, who string) error {
	deletes := 0
	for _, op := range list {
		if _, ok := op.request.(*ldap.DelRequest); ok {
			deletes++
		}
	}
	list, err := w.between(ctx, list, machine, deletes, id, who)
	if err != nil {
		return err
	}
	attempt, cancel := within(ctx, w.options.writeTimeout()*2/3) // the rest is for looking up what became of it
	defer cancel()
	var p *progress
	_ = w.conn.Do(attempt, func() error {
		if whole {
			p = transact(w.conn.Conn, list)
		} else {
			p = oneByOne(w.conn.Conn, list)
		}
		if p == nil {
			return nil
		}
		return p.err
	})
	if p == nil {
		w.mark = mark{there: true, director: true, id: id}
		return nil
	}
	uri := w.uri
	switch {
	case p.unknown:
		cause := p.err
		if why := context.Cause(attempt); why != nil {
			cause = why
		}
		w.drop()
		w.doubt = &doubt{id: id, mark: w.mark, operations: list, whole: whole}
		if made, err := w.settle(ctx); err != nil {
			return unknown(uri, id, cause)
		} else if made {
			return nil
		}
		return w.failed(list[p.at], p.err)
	case p.begun:
		refused := w.failed(list[p.at], p.err)
		w.torn = list[:p.at]
		w.repair()
		return refused
	}
	return w.failed(list[p.at], p.err)
}

// between puts the operations between those that mark the write. What is changed
// of the own host comes before: it asserts the CSN that the entry has until then.
func (w *Writer) between(ctx context.Context, list []operation, machine *Machine, deletes int, id, who string) ([]operation, error) {
	m := w.mark
	var own []operation
	if i := slices.IndexFunc(list, func(op operation) bool { return op.place == w.own }); i >= 0 {
		own, list = list[i:i+1:i+1], slices.Concat(list[:i], list[i+1:])
		m.director = m.director || addsClass(own[0].request, directorClass)
	}
	begin := w.begin(m, machine, deletes, who)
	if !w.mark.there {
		// The place for hosts may be missing too.
		p := newPlan(w.base, w.own, reading{w.conn.Conn, w.base})
		if err := w.conn.Do(ctx, func() error { return p.above(w.own.Parent()) }); err != nil {
			return nil, w.failed(begin, err)
		}
		begin.fresh = len(p.early) > 0
		list = append(append(p.early, begin), missing(list, p.early)...)
	} else {
		list = slices.Concat(own, []operation{begin}, list)
	}
	return append(list, w.end(id)), nil
}

// missing leaves out the operations of list whose places others have.
func missing(list, others []operation) []operation {
	return slices.DeleteFunc(slices.Clone(list), func(op operation) bool {
		return slices.ContainsFunc(others, func(o operation) bool { return o.place == op.place })
	})
}

// ready sees to it that there is a connection, and that the outcome of the last
// write and the mark are known.
func (w *Writer) ready(ctx context.Context) error {
	if w.doubt != nil {
		if _, err := w.settle(ctx); err != nil {
			return err
		}
	}
	// A server that has been restarted since is noticed by looking.
	if w.conn == nil || w.look(ctx) != nil {
		if err := w.connect(ctx); err != nil {
			return err
		}
	}
	w.repair()
	return nil
}

// connect dials and looks at what is there.
func (w *Writer) connect(ctx context.Context) error {
	w.drop()
	c, err := w.options.Dial(ctx, w.uri, ForWrite)
	if err != nil {
		return err
	}
	w.conn = c
	err = c.Do(ctx, func() error {
		can, err := readAbilities(c.Conn)
		w.plain, w.learned = !can.Transactions, false
		return err
	})
	if err == nil {
		err = w.look(ctx)
	}
	if err != nil {
		refused := w.failed(operation{place: w.own, request: ldap.NewModifyRequest(w.base.DN(w.own), nil)}, err)
		w.drop()
		return refused
	}
	return nil
}

// look reads the mark.
func (w *Writer) look(ctx context.Context) error {
	return w.conn.Do(ctx, func() (err error) {
		w.mark, err = w.readMark(w.conn.Conn)
		return err
	})
}

// settle finds out whether the write in doubt was made, and if it was not, sees
// to it that it never will be. While it fails, the doubt stays.
func (w *Writer) settle(ctx context.Context) (made bool, err error) {
	d := w.doubt
	if err := w.connect(ctx); err != nil {
		return false, err
	}
	if !d.whole {
		if w.mark.id != d.id {
			if err := w.conn.Do(ctx, func() error { return takeBack(w.conn.Conn, d.operations) }); err != nil {
				return false, w.failed(d.operations[0], err)
			}
		}
		w.doubt = nil
		return w.mark.id == d.id, nil
	}
	if w.mark == d.mark {
		// It may still be on its way.
		fence := newRequestID("fence")
		op := w.fence(d.mark, fence)
		err := w.conn.Do(ctx, func() error { return op.send(w.conn.Conn) })
		code, _ := answer(err)
		switch {
		case err == nil:
			w.mark = mark{there: true, director: true, id: fence}
			w.doubt = nil
			return false, nil
		case code == ldap.LDAPResultAssertionFailed || code == ldap.LDAPResultEntryAlreadyExists:
			if err := w.look(ctx); err != nil {
				return false, w.failed(op, err)
			}
		case code == 0:
			return false, w.failed(op, err)
		}
		// Who may not write the mark could not write anything.
	}
	w.doubt = nil
	return w.mark.id == d.id, nil
}

// MoveTo lets further writes go to another of the servers, as soon as that has
// everything that is known: for each of the CSNs (contextCSN as the directory
// was last seen) one of the same server ID that is not older. It waits for that
// until ctx ends; then the writes go on where they did.
func (w *Writer) MoveTo(ctx context.Context, uri string, known []string) error {
	if err := w.take(ctx); err != nil {
		return err
	}
	defer w.release()
	if uri == w.uri {
		return nil
	}
	c, err := w.options.Dial(ctx, uri, ForWrite)
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var has []string
		err := c.Do(ctx, func() (err error) {
			has, err = readContextCSN(c.Conn, w.base)
			return err
		})
		if err != nil {
			return refusal(uri, c.Identity(), operation{request: ldap.NewModifyRequest(w.base.String(), nil)}, err)
		}
		lacks := lacking(has, known)
		if lacks == "" {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &lvs.Refusal{Kind: lvs.ErrUnavailable, Cause: context.Cause(ctx), Reason: fmt.Sprintf(
				"directory %s has not got yet what %s had (contextCSN %s): see to it that the servers reach each other", uri, w.uri, lacks)}
		}
	}
	w.drop()
	w.uri = uri
	return nil
}

// Provider returns the server that is written to.
func (w *Writer) Provider() string {
	w.turn <- struct{}{}
	defer w.release()
	return w.uri
}

// Settled reports whether the outcome of every write is known, after having
// tried to find out.
func (w *Writer) Settled(ctx context.Context) bool {
	if w.take(ctx) != nil {
		return false
	}
	defer w.release()
	if w.doubt != nil {
		_, _ = w.settle(ctx)
	}
	return w.doubt == nil
}

// Close ends the connection. The next write makes another one.
func (w *Writer) Close() {
	w.turn <- struct{}{}
	defer w.release()
	w.drop()
}

func (w *Writer) take(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Cause: context.Cause(ctx), Reason: "directory: another write is still being made: try again"}
	}
}

func (w *Writer) release() { <-w.turn }

func (w *Writer) drop() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// failed translates why an operation was not made. A connection on which there
// was no answer is of no use any more.
func (w *Writer) failed(op operation, err error) error {
	var r *lvs.Refusal
	if errors.As(err, &r) {
		return r
	}
	who := ""
	code, _ := answer(err)
	if code == ldap.LDAPResultInsufficientAccessRights && w.conn != nil {
		who = w.conn.Identity()
	}
	var s stale
	if code == 0 && !errors.As(err, &s) {
		w.drop()
	}
	return refusal(w.uri, who, op, err)
}
