package agentx_test

import (
	"context"
	"fmt"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/agentxtest"
	"github.com/lcms-project/lcms/agentx/smi"
)

// uptime is a MIB with one scalar.
type uptime struct{ since time.Time }

var uptimeName = smi.MustParseOID("1.3.6.1.4.1.8072.9999.9999.1.1.0")

func (u uptime) View(context string) (agentx.View, bool) { return u, context == "" }

func (u uptime) Get(name smi.OID) smi.Value {
	if !name.Equal(uptimeName) {
		return smi.NoSuchObject()
	}
	return smi.TimeTicks(uint32(time.Since(u.since) / (10 * time.Millisecond)))
}

func (u uptime) Next(vb *smi.Varbind, from smi.OID, include bool, end smi.OID) bool {
	order := from.Compare(uptimeName)
	if order > 0 || order == 0 && !include || len(end) > 0 && uptimeName.Compare(end) >= 0 {
		return false
	}
	vb.Name = append(vb.Name[:0], uptimeName...)
	vb.Value = u.Get(uptimeName)
	return true
}

// A subagent in a few lines. With a real master, Network and Address take the
// place of Dial.
func Example() {
	master := agentxtest.New()
	defer master.Close()
	session := agentx.New(agentx.Options{
		Dial:          master.Dial,
		Description:   "uptime",
		Registrations: []agentx.Registration{{Subtree: uptimeName[:len(uptimeName)-2]}},
		Handler:       uptime{time.Now()},
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error)
	go func() { done <- session.Run(ctx) }()

	subagent, err := master.Subagent(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	vbs, err := subagent.Walk(ctx, "", smi.MustParseOID("1.3.6.1.4.1.8072.9999.9999"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(vbs), vbs[0].Name, vbs[0].Value.Type)
	cancel()
	fmt.Println(<-done)
	// Output:
	// 1 .1.3.6.1.4.1.8072.9999.9999.1.1.0 TimeTicks
	// <nil>
}
