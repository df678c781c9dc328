package agentxtest

import (
	"context"
	"fmt"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

// Set sets varbinds in one SET with the phases that net-snmp's master makes of
// it: a refused TestSet is followed by CleanupSet, a refused CommitSet by
// UndoSet alone. A refusal is a *smi.SetError without a Reason.
func (s *Subagent) Set(ctx context.Context, context string, vbs ...smi.Varbind) error {
	t := s.Begin(context)
	if err := t.Test(ctx, vbs...); err != nil {
		t.Cleanup()
		return err
	}
	if err := t.Commit(ctx); err != nil {
		if undo := t.Undo(ctx); undo != nil {
			return undo
		}
		return err
	}
	return t.Cleanup()
}

// Transaction is one SET, phase by phase. Test, Commit and Undo fail with a
// *smi.SetError if the subagent refuses.
type Transaction struct {
	subagent *Subagent
	context  string
	id       uint32
	last     []byte // packet sent last
}

// Begin returns a transaction with an id of its own, of which nothing is sent
// yet.
func (s *Subagent) Begin(context string) *Transaction {
	return &Transaction{subagent: s, context: context, id: s.transaction()}
}

// Test sends TestSet.
func (t *Transaction) Test(ctx context.Context, vbs ...smi.Varbind) error {
	return t.phase(ctx, &agentx.TestSetPDU{Context: t.context, Varbinds: vbs})
}

// Commit sends CommitSet.
func (t *Transaction) Commit(ctx context.Context) error {
	return t.phase(ctx, &agentx.CommitSetPDU{})
}

// Undo sends UndoSet, which ends the transaction.
func (t *Transaction) Undo(ctx context.Context) error { return t.phase(ctx, &agentx.UndoSetPDU{}) }

// Cleanup sends CleanupSet, which ends the transaction and has no answer.
func (t *Transaction) Cleanup() error {
	packet, err := t.subagent.Packet(t.id, &agentx.CleanupSetPDU{})
	if err != nil {
		return err
	}
	return t.subagent.Send(packet)
}

// Resend sends the last phase once more, octet for octet, as a master does
// that got no answer in time, and returns what is answered now.
func (t *Transaction) Resend(ctx context.Context) error { return t.exchange(ctx) }

func (t *Transaction) phase(ctx context.Context, p agentx.PDU) (err error) {
	if t.last, err = t.subagent.Packet(t.id, p); err != nil {
		return err
	}
	return t.exchange(ctx)
}

func (t *Transaction) exchange(ctx context.Context) error {
	r, err := t.subagent.Exchange(ctx, t.last)
	switch {
	case err != nil:
		return err
	case r.Error == 0 && len(r.Varbinds) != 0:
		return fmt.Errorf("a phase of a SET is answered with %d varbinds", len(r.Varbinds))
	case r.Error == 0:
		return nil
	}
	return &smi.SetError{Status: smi.ErrorStatus(r.Error), Index: int(r.Index)}
}
