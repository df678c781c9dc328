//go:build lab

package faults

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/tests/director"
)

// refuser is the MIB of a second subagent: one integer, which it lets nobody
// set when it comes to the commit.
type refuser struct{}

const refuserName = ".1.3.6.1.4.1.8072.9999.9999.77.1.0"

var refuserOID = smi.MustParseOID("1.3.6.1.4.1.8072.9999.9999.77.1.0")

func (refuser) View(context string) (agentx.View, bool) { return refuser{}, context == "" }

func (refuser) Get(name smi.OID) smi.Value {
	if !name.Equal(refuserOID) {
		return smi.NoSuchObject()
	}
	return smi.Integer(1)
}

func (refuser) Next(*smi.Varbind, smi.OID, bool, smi.OID) bool { return false }

func (refuser) Prepare(string, []smi.Varbind) (agentx.Pending, error) { return refuser{}, nil }
func (refuser) Commit() error                                         { return errors.New("this one never commits") }
func (refuser) Undo() error                                           { return nil }
func (refuser) Done()                                                 {}

// startRefuser runs it until the test ends, and waits until it is served.
func startRefuser(t *testing.T, d *director.Director) {
	t.Helper()
	session := agentx.New(agentx.Options{
		Network: "unix", Address: d.Socket(), Description: "refuser",
		Registrations: []agentx.Registration{{Subtree: refuserOID[:len(refuserOID)-2]}},
		Handler:       refuser{}, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- session.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	awaitRefuser(t, d)
}

func awaitRefuser(t *testing.T, d *director.Director) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		vbs, err := d.Get(refuserName)
		if err == nil && vbs[0].Value != "1" {
			err = errors.New("the refuser is not served: " + vbs[0].String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
