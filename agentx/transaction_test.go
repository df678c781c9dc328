package agentx_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// checkCalls compares what the Writer was asked for since the last time.
func checkCalls(t *testing.T, mib *table, want ...string) {
	t.Helper()
	if got := mib.calls(); !slices.Equal(got, want) {
		t.Errorf("the Writer was called %v, want %v", got, want)
	}
}

// awaitCalls is checkCalls for what happens in another goroutine.
func awaitCalls(t *testing.T, mib *table, want ...string) {
	t.Helper()
	var got []string
	eventually(t, time.Minute, func() error {
		got = append(got, mib.calls()...)
		if !slices.Equal(got, want) {
			return fmt.Errorf("the Writer was called %v, want %v", got, want)
		}
		return nil
	})
}

func checkRefusal(t *testing.T, err error, status smi.ErrorStatus, index int) {
	t.Helper()
	var refusal *smi.SetError
	if !errors.As(err, &refusal) || refusal.Status != status || refusal.Index != index {
		t.Errorf("error %v, want %s of varbind %d", err, status, index)
	}
}

var (
	first  = smi.Varbind{Name: root.Child(1, 1, 1), Value: smi.Integer(4711)}
	second = smi.Varbind{Name: root.Child(1, 1, 4), Value: smi.Integer(4712)}
	absent = smi.Varbind{Name: root.Child(1, 99, 1), Value: smi.Integer(1)}
)

func TestSet(t *testing.T) {
	mib := newTable(100)
	before := mib.Get(first.Name)
	sub, s, _ := connected(t, "unix", mib)
	ctx := limited(t)

	must(t, sub.Set(ctx, "", first, second))
	if got := mib.Get(second.Name); !got.Equal(second.Value) {
		t.Errorf("value is %s after the SET", got)
	}
	awaitCalls(t, mib, "prepare", "commit", "done")

	checkRefusal(t, sub.Set(ctx, "", first, absent), smi.NoCreation, 2)
	mib.let(func(t *table) { t.refuse = errBroken })
	checkRefusal(t, sub.Set(ctx, "", first), smi.GenErr, 1)
	mib.let(func(t *table) { t.refuse = &smi.SetError{Status: smi.ResourceUnavailable} })
	checkRefusal(t, sub.Set(ctx, "", first), smi.ResourceUnavailable, 1)
	mib.let(func(t *table) { t.refuse = nil })
	awaitCalls(t, mib, "prepare", "prepare", "prepare") // nothing is pending after a refusal

	again := smi.Varbind{Name: first.Name, Value: before}
	mib.let(func(t *table) { t.commitErr = errBroken })
	checkRefusal(t, sub.Set(ctx, "", again), smi.CommitFailed, 1)
	mib.let(func(t *table) { t.commitErr = &smi.SetError{Status: smi.GenErr, Index: 2} })
	checkRefusal(t, sub.Set(ctx, "", again, second), smi.CommitFailed, 2)
	mib.let(func(t *table) { t.undoErr = errBroken })
	checkRefusal(t, sub.Set(ctx, "", again), smi.UndoFailed, 1)
	mib.let(func(t *table) { t.commitErr, t.undoErr = nil, nil })
	checkCalls(t, mib, "prepare", "commit", "undo", "prepare", "commit", "undo", "prepare", "commit", "undo")
	if got := mib.Get(first.Name); !got.Equal(first.Value) {
		t.Errorf("value is %s after a SET that was taken back, want %s", got, first.Value)
	}
	if st := s.Stats(); st.Sets != 7 || st.SetFailures != 7 || st.ProtocolErrors != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestSetPhases(t *testing.T) {
	mib := newTable(100)
	sub, _, _ := connected(t, "unix", mib)
	ctx := limited(t)

	t.Run("the master gives up after TestSet", func(t *testing.T) {
		tr := sub.Begin("")
		must(t, tr.Test(ctx, first))
		must(t, tr.Cleanup())
		awaitCalls(t, mib, "prepare", "done")
	})
	t.Run("undo without commit", func(t *testing.T) {
		tr := sub.Begin("")
		must(t, tr.Test(ctx, first))
		must(t, tr.Undo(ctx))
		checkCalls(t, mib, "prepare", "done")
	})
	t.Run("undo of a commit", func(t *testing.T) {
		before := mib.Get(first.Name)
		tr := sub.Begin("")
		must(t, tr.Test(ctx, first))
		must(t, tr.Commit(ctx))
		must(t, tr.Undo(ctx))
		must(t, tr.Resend(ctx))
		must(t, tr.Cleanup())
		if got := mib.Get(first.Name); !got.Equal(before) {
			t.Errorf("value is %s, was %s", got, before)
		}
		checkCalls(t, mib, "prepare", "commit", "undo")
	})
	t.Run("every PDU again", func(t *testing.T) {
		tr := sub.Begin("")
		must(t, tr.Test(ctx, first))
		must(t, tr.Resend(ctx))
		must(t, tr.Commit(ctx))
		must(t, tr.Resend(ctx))
		must(t, tr.Resend(ctx))
		must(t, tr.Commit(ctx)) // with a new packet id
		must(t, tr.Cleanup())
		must(t, tr.Cleanup())
		awaitCalls(t, mib, "prepare", "commit", "done")
	})
	t.Run("a refusal again", func(t *testing.T) {
		tr := sub.Begin("")
		checkRefusal(t, tr.Test(ctx, absent), smi.NoCreation, 1)
		checkRefusal(t, tr.Resend(ctx), smi.NoCreation, 1)
		checkRefusal(t, tr.Commit(ctx), smi.CommitFailed, 1)
		must(t, tr.Cleanup())
		mib.let(func(t *table) { t.commitErr = errBroken })
		tr = sub.Begin("")
		must(t, tr.Test(ctx, first))
		checkRefusal(t, tr.Commit(ctx), smi.CommitFailed, 1)
		checkRefusal(t, tr.Resend(ctx), smi.CommitFailed, 1)
		must(t, tr.Undo(ctx))
		checkCalls(t, mib, "prepare", "prepare", "commit", "undo")
		tr = sub.Begin("")
		must(t, tr.Test(ctx, first))
		checkRefusal(t, tr.Commit(ctx), smi.CommitFailed, 1)
		must(t, tr.Cleanup()) // without UndoSet
		mib.let(func(t *table) { t.commitErr = nil })
		awaitCalls(t, mib, "prepare", "commit", "undo")
	})
	t.Run("unknown transaction", func(t *testing.T) {
		checkRefusal(t, sub.Begin("").Commit(ctx), smi.CommitFailed, 1)
		checkRefusal(t, sub.Begin("").Undo(ctx), smi.UndoFailed, 1)
		must(t, sub.Begin("").Cleanup())
		checkCalls(t, mib)
	})
	t.Run("two at a time", func(t *testing.T) {
		a, b := sub.Begin(""), sub.Begin("")
		must(t, a.Test(ctx, first))
		must(t, b.Test(ctx, second))
		must(t, b.Commit(ctx))
		must(t, a.Cleanup())
		must(t, b.Cleanup())
		awaitCalls(t, mib, "prepare", "prepare", "commit", "done", "done")
	})
	t.Run("TestSet anew", func(t *testing.T) {
		tr := sub.Begin("")
		must(t, tr.Test(ctx, first))
		must(t, tr.Test(ctx, second))
		must(t, tr.Cleanup())
		awaitCalls(t, mib, "prepare", "done", "prepare", "done")
	})
	t.Run("unknown context", func(t *testing.T) {
		checkRefusal(t, sub.Set(ctx, "nowhere", first), smi.ErrorStatus(agentx.UnsupportedContext), 1)
		checkCalls(t, mib)
	})
	t.Run("malformed", func(t *testing.T) {
		packet, err := sub.Packet(1<<20, &agentx.TestSetPDU{Varbinds: []smi.Varbind{first}})
		must(t, err)
		packet[agentx.HeaderLen] = 3 // no value type
		r, err := sub.Exchange(ctx, packet)
		must(t, err)
		if r.Error != agentx.ParseError || r.Index != 1 {
			t.Errorf("answer %+v", r)
		}
		checkCalls(t, mib)
	})
}

func TestSetReadOnly(t *testing.T) {
	sub, _, _ := connected(t, "unix", struct{ agentx.Handler }{newTable(10)})
	checkRefusal(t, sub.Set(limited(t), "", first), smi.NotWritable, 1)
}

// TestSetLost: what is stored is the truth when nobody can tell any more what
// the master knows.
func TestSetLost(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, mib *table, commit func() error)
		want []string
	}{
		{"prepared", func(*testing.T, *table, func() error) {}, []string{"prepare", "done"}},
		{"committed", func(t *testing.T, _ *table, commit func() error) { must(t, commit()) }, []string{"prepare", "commit", "done"}},
		{"failed", func(t *testing.T, mib *table, commit func() error) {
			mib.let(func(t *table) { t.commitErr = errBroken })
			checkRefusal(t, commit(), smi.CommitFailed, 1)
		}, []string{"prepare", "commit", "undo"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mib := newTable(10)
			sub, s, m := connected(t, "unix", mib)
			ctx := limited(t)
			tr := sub.Begin("")
			must(t, tr.Test(ctx, first))
			c.do(t, mib, func() error { return tr.Commit(ctx) })
			sub.Drop()
			awaitCalls(t, mib, c.want...)
			<-sub.Lost()
			next := subagent(t, m)
			mib.let(func(t *table) { t.commitErr = nil })
			must(t, next.Set(ctx, "", first))
			if s.Stats().Reconnects() != 1 {
				t.Errorf("stats %+v", s.Stats())
			}
		})
	}
}

// TestSetAbandoned: a master that forgets a SET does not block the Writer for
// ever.
func TestSetAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mib := newTable(10)
		m, o := newMaster(t, "pipe", mib)
		o.TransactionTimeout = 150 * time.Millisecond
		serve(t, o)
		sub, ctx := subagent(t, m), limited(t)
		before := mib.Get(first.Name)

		must(t, sub.Begin("").Test(ctx, first))
		awaitCalls(t, mib, "prepare", "done")

		tr := sub.Begin("")
		must(t, tr.Test(ctx, first))
		must(t, tr.Commit(ctx))
		awaitCalls(t, mib, "prepare", "commit", "undo")
		if got := mib.Get(first.Name); !got.Equal(before) {
			t.Errorf("value is %s, was %s", got, before)
		}

		mib.let(func(t *table) { t.commitDelay = 2 * o.TransactionTimeout }) // at work is not abandoned
		must(t, sub.Set(ctx, "", first))
		awaitCalls(t, mib, "prepare", "commit", "done")
	})
}
