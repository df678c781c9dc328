package ldapsync

import (
	"context"
	"time"
)

// heartbeat asks a server again and again whether it is there, over a
// connection of its own, and what it has. Who follows a server that hangs notices
// nothing of it.
type heartbeat struct {
	options Options
	base    Base
	uri     string
	limit   time.Duration // of an answer
	conn    *Conn
}

// ask returns the contextCSN of the server. It fails if there is no answer.
func (h *heartbeat) ask(ctx context.Context) ([]string, error) {
	ctx, cancel := within(ctx, h.limit)
	defer cancel()
	fresh := h.conn == nil
	if fresh {
		c, err := h.options.Dial(ctx, h.uri, ForHeartbeat)
		if err != nil {
			return nil, err
		}
		h.conn = c
	}
	var has []string
	err := h.conn.Do(ctx, func() (err error) {
		has, err = readContextCSN(h.conn.Conn, h.base)
		return err
	})
	if err == nil {
		return has, nil
	}
	if code, _ := answer(err); code != 0 {
		return nil, nil // an answer, if not the one that was hoped for
	}
	h.close()
	if fresh || ctx.Err() != nil {
		return nil, unreachable(ctx, h.uri, err)
	}
	// The server may have closed a connection that was idle.
	return h.ask(ctx)
}

func (h *heartbeat) close() {
	if h.conn != nil {
		_ = h.conn.Close()
		h.conn = nil
	}
}

// beat asks the server of a session until ctx ends, and cuts the session when
// there is no answer.
func (f *Follower) beat(ctx context.Context, uri string, syncrepl bool, cut context.CancelCauseFunc) {
	h := heartbeat{options: f.Options, base: f.Base, uri: uri, limit: f.times.beatLimit}
	defer h.close()
	for {
		has, err := h.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			cut(&hang{err})
			return
		}
		if f.heard(has) && syncrepl {
			cut(errStale)
			return
		}
		if !pause(ctx, f.times.beat) {
			return
		}
	}
}

// hang is a server that does not answer.
type hang struct{ error }

func (h *hang) Unwrap() error { return h.error }
