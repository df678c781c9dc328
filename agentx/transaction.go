package agentx

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/lcms-project/lcms/agentx/smi"
)

// phase is how far a SET has come.
//
//	           TestSet           CommitSet            CleanupSet
//	(nothing) ---------> prepared ---------> committed ---------> (nothing)
//	    |                   |                    |
//	    |                   | Commit fails       | UndoSet
//	    v                   v       UndoSet      v
//	 refused             failed --------------> ended
//
// CleanupSet ends every phase; UndoSet ends prepared too.
type phase uint8

const (
	refused   phase = iota // nothing pending; waits for its CleanupSet
	prepared               // Prepare succeeded
	committed              // Commit succeeded
	failed                 // Commit failed
	ended                  // kept only to answer a repeated UndoSet
)

// answer is what a PDU of a SET was answered.
type answer struct {
	code  ErrorCode
	index int
}

// transaction is one SET of the master. The phase PDUs share its id.
type transaction struct {
	phase   phase
	pending Pending
	request Type   // answered last
	packet  uint32 // its packet id
	answer  answer
	touched uint64 // what the clock of the table said then
}

// transactions is the table of the SETs of one session.
type transactions struct {
	log *slog.Logger

	mu    sync.Mutex // held while a Pending works, so that its calls never overlap
	table map[uint32]*transaction
	clock uint64 // counts sweeps
}

// sweeps is how many of them make the time limit of a transaction. Sweeping
// costs less than a timer for each phase of each SET, which would wake a
// thread every time.
const sweeps = 4

func newTransactions(log *slog.Logger) *transactions {
	return &transactions{log: log, table: make(map[uint32]*transaction)}
}

// test begins the transaction of h. fresh is false when the PDU is a repeated
// one, which gets the answer of the first.
func (ts *transactions) test(h Header, prepare func() (Pending, error)) (a answer, fresh bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.table[h.TransactionID]; t != nil {
		if t.repeats(h) {
			return t.answer, false
		}
		ts.end(h.TransactionID, t) // the master counts from the start again
	}
	t := &transaction{}
	pending, err := prepare()
	switch {
	case err != nil:
		t.answer = answerTo(err, 0)
	case pending == nil:
		t.answer = answer{ErrorCode(smi.GenErr), 1}
	default:
		t.phase, t.pending = prepared, pending
	}
	ts.table[h.TransactionID] = t
	ts.answered(t, h)
	return t.answer, true
}

// commit is the second phase.
func (ts *transactions) commit(h Header) (a answer, fresh bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.table[h.TransactionID]
	switch {
	case t == nil:
		return answer{ErrorCode(smi.CommitFailed), 1}, true
	case t.repeats(h):
		return t.answer, false
	case t.phase == committed, t.phase == failed:
		return t.answer, false
	case t.phase != prepared:
		return answer{ErrorCode(smi.CommitFailed), 1}, true
	}
	t.phase, t.answer = committed, answer{}
	if err := t.pending.Commit(); err != nil {
		ts.log.Warn("agentx: commit failed", "transaction", h.TransactionID, "error", err)
		t.phase, t.answer = failed, answerTo(err, smi.CommitFailed)
	}
	ts.answered(t, h)
	return t.answer, true
}

// undo takes the second phase back and ends the transaction.
func (ts *transactions) undo(h Header) (a answer, fresh bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.table[h.TransactionID]
	switch {
	case t == nil:
		return answer{ErrorCode(smi.UndoFailed), 1}, true
	case t.repeats(h), t.phase == ended:
		return t.answer, false
	}
	t.answer = answer{}
	switch t.phase {
	case prepared:
		t.pending.Done()
	case committed, failed:
		if err := t.pending.Undo(); err != nil {
			ts.log.Error("agentx: undo failed", "transaction", h.TransactionID, "error", err)
			t.answer = answerTo(err, smi.UndoFailed)
		}
	}
	t.phase, t.pending = ended, nil
	ts.answered(t, h)
	return t.answer, true
}

// cleanup ends the transaction; there is no answer.
func (ts *transactions) cleanup(h Header) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.table[h.TransactionID]; t != nil {
		if t.phase == committed {
			t.pending.Done()
			t.pending = nil
		}
		ts.end(h.TransactionID, t)
	}
}

// close ends all transactions because the session is over: nobody knows
// whether the master got the answer to a CommitSet, so what is committed
// stays.
func (ts *transactions) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for id, t := range ts.table {
		if t.phase == committed {
			t.pending.Done()
			t.pending = nil
		}
		ts.end(id, t)
	}
}

// end forgets t, taking back what is not finished.
func (ts *transactions) end(id uint32, t *transaction) {
	if t.pending != nil {
		switch t.phase {
		case prepared:
			t.pending.Done()
		case committed, failed:
			if err := t.pending.Undo(); err != nil {
				ts.log.Error("agentx: undo failed", "transaction", id, "error", err)
			}
		}
	}
	delete(ts.table, id)
}

// sweep ends the transactions that the master seems to have forgotten, those
// of which no PDU has come for the last sweeps. One that is at work now is none
// of them.
func (ts *transactions) sweep() {
	if !ts.mu.TryLock() {
		return
	}
	defer ts.mu.Unlock()
	ts.clock++
	for id, t := range ts.table {
		if ts.clock-t.touched <= sweeps {
			continue
		}
		if t.pending != nil {
			ts.log.Warn("agentx: the master has abandoned a SET", "transaction", id, "committed", t.phase != prepared)
		}
		ts.end(id, t)
	}
}

// answered keeps the answer for a repeated PDU and starts the time limit anew.
func (ts *transactions) answered(t *transaction, h Header) {
	t.request, t.packet, t.touched = h.Type, h.PacketID, ts.clock
}

func (t *transaction) repeats(h Header) bool { return t.request == h.Type && t.packet == h.PacketID }

// answerTo turns a refusal into an answer with the given status, 0 meaning
// that of the refusal. The index is at least 1: with 0 net-snmp's master tells
// the manager genErr.
func answerTo(err error, status smi.ErrorStatus) answer {
	a := answer{ErrorCode(status), 1}
	var refusal *smi.SetError
	if !errors.As(err, &refusal) {
		refusal = &smi.SetError{Status: smi.GenErr}
	}
	if status == 0 {
		a.code = ErrorCode(refusal.Status)
	}
	if a.code == 0 {
		a.code = ErrorCode(smi.GenErr)
	}
	a.index = min(max(refusal.Index, 1), 1<<16-1)
	return a
}
