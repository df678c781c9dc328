package ldapsync

import (
	"context"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// repairLimit is how long a repair may take.
const repairLimit = 2 * time.Second

// repair tells those who follow the directory the truth about operations that
// OpenLDAP has announced and then taken back (see transact): it writes to each
// of the entries anew, without changing anything, and adds and deletes again what
// was not added. What cannot be repaired now is repaired before the next write.
func (w *Writer) repair() {
	if len(w.torn) == 0 || w.conn == nil {
		return
	}
	ctx, cancel := within(context.Background(), repairLimit)
	defer cancel()
	err := w.conn.Do(ctx, func() error { return retell(w.conn.Conn, w.torn) })
	if err != nil {
		w.drop()
		return
	}
	w.torn = nil
}

// retell returns an error if there was no answer.
func retell(c *ldap.Conn, operations []operation) error {
	var added []operation
	for _, op := range operations {
		var err error
		if _, add := op.request.(*ldap.AddRequest); add {
			if err = op.send(c); err == nil {
				added = append(added, op)
			}
		} else {
			err = touch(c, op.dn())
		}
		if code, _ := answer(err); err != nil && code == 0 && !isStale(err) {
			return err
		}
	}
	for _, op := range slices.Backward(added) {
		err := c.Del(ldap.NewDelRequest(op.dn(), nil))
		if code, _ := answer(err); err != nil && code == 0 {
			return err
		}
	}
	return nil
}
