package agentx_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

func TestRead(t *testing.T) {
	for _, network := range []string{"pipe", "unix", "tcp"} {
		for _, big := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, network byte order %t", network, big), func(t *testing.T) {
				mib := newTable(100)
				m, o := newMaster(t, network, mib)
				o.NetworkByteOrder = big
				s := serve(t, o)
				sub, ctx := subagent(t, m), limited(t)

				vbs, err := sub.Get(ctx, "", mib.rows[7].Name, absent.Name, mib.rows[1].Name)
				must(t, err)
				sameVarbinds(t, vbs, []smi.Varbind{mib.rows[7], {Name: absent.Name, Value: smi.NoSuchInstance()}, mib.rows[1]})

				end := mib.rows[99].Name.Successor()
				vbs, err = sub.Next(ctx, "",
					agentx.SearchRange{Start: mib.rows[7].Name, End: end},
					agentx.SearchRange{Start: mib.rows[7].Name, Include: true, End: end},
					agentx.SearchRange{Start: mib.rows[7].Name, End: mib.rows[8].Name},
					agentx.SearchRange{Start: mib.rows[99].Name},
					agentx.SearchRange{})
				must(t, err)
				sameVarbinds(t, vbs, []smi.Varbind{
					mib.rows[8], mib.rows[7],
					{Name: mib.rows[7].Name, Value: smi.EndOfMibView()}, {Name: mib.rows[99].Name, Value: smi.EndOfMibView()},
					mib.rows[0],
				})

				vbs, err = sub.Walk(ctx, "", root)
				must(t, err)
				sameVarbinds(t, vbs, mib.rows)

				if _, err = sub.Get(ctx, "nowhere", root); !isRefusal(err, agentx.UnsupportedContext) {
					t.Errorf("unknown context: %v", err)
				}
				if st := s.Stats(); st.Requests != 2+101+1 || st.Varbinds != 3+5+101 || st.ProtocolErrors != 0 {
					t.Errorf("stats %+v", st)
				}
			})
		}
	}
}

func isRefusal(err error, code agentx.ErrorCode) bool {
	var refusal *agentx.ResponseError
	return errors.As(err, &refusal) && refusal.Code == code
}

func TestContext(t *testing.T) {
	mib := newTable(10)
	mib.context = "other"
	sub, _, _ := connected(t, "unix", mib)
	for range 2 {
		vbs, err := sub.Get(limited(t), "other", mib.rows[3].Name)
		must(t, err)
		sameVarbinds(t, vbs, mib.rows[3:4])
		if _, err = sub.Get(limited(t), "", root); !isRefusal(err, agentx.UnsupportedContext) {
			t.Errorf("default context: %v", err)
		}
	}
}

func TestGetBulk(t *testing.T) {
	mib := newTable(100)
	sub, _, _ := connected(t, "unix", mib)
	ctx := limited(t)
	at := func(i int) agentx.SearchRange { return agentx.SearchRange{Start: mib.rows[i].Name} }
	eof := func(i int) smi.Varbind { return smi.Varbind{Name: mib.rows[i].Name, Value: smi.EndOfMibView()} }

	vbs, err := sub.Bulk(ctx, "", 1, 3, at(0), at(10), at(97))
	must(t, err)
	sameVarbinds(t, vbs, []smi.Varbind{
		mib.rows[1],
		mib.rows[11], mib.rows[98],
		mib.rows[12], mib.rows[99],
		mib.rows[13], eof(99),
	})
	vbs, err = sub.Bulk(ctx, "", 0, 65535, at(97))
	must(t, err)
	sameVarbinds(t, vbs, []smi.Varbind{mib.rows[98], mib.rows[99], eof(99)})
	vbs, err = sub.Bulk(ctx, "", 9, 9, at(0))
	must(t, err)
	sameVarbinds(t, vbs, mib.rows[1:2])
	vbs, err = sub.Bulk(ctx, "", 0, 0, at(0))
	must(t, err)
	sameVarbinds(t, vbs, nil)
	vbs, err = sub.Bulk(ctx, "", 0, 65535)
	must(t, err)
	sameVarbinds(t, vbs, nil)
}

// TestGetBulkBounded: what is asked for does not decide how much memory the
// answer takes.
func TestGetBulkBounded(t *testing.T) {
	mib := newTable(10000)
	sub, _, _ := connected(t, "unix", mib)
	vbs, err := sub.Bulk(limited(t), "", 0, 65535, agentx.SearchRange{Start: root})
	must(t, err)
	if len(vbs) < 1000 || len(vbs) > 2000 {
		t.Errorf("%d varbinds", len(vbs))
	}
	sameVarbinds(t, vbs, mib.rows[:len(vbs)])
}

// TestGetMany: a request may be larger than the buffer.
func TestGetMany(t *testing.T) {
	mib := newTable(10000)
	sub, s, _ := connected(t, "unix", mib)
	names := make([]smi.OID, len(mib.rows))
	for i, vb := range mib.rows {
		names[i] = vb.Name
	}
	for range 2 {
		vbs, err := sub.Get(limited(t), "", names...)
		must(t, err)
		sameVarbinds(t, vbs, mib.rows)
	}
	if s.Stats().Connects != 1 {
		t.Errorf("stats %+v", s.Stats())
	}
}

// TestPipelined: requests that come in one piece, or octet by octet, are
// answered in order.
func TestPipelined(t *testing.T) {
	mib := newTable(100)
	sub, _, _ := connected(t, "unix", mib)
	ctx := limited(t)
	var packets []byte
	for i := range 100 {
		p, err := sub.Packet(1, &agentx.GetPDU{Ranges: []agentx.SearchRange{{Start: mib.rows[i].Name}}})
		must(t, err)
		packets = append(packets, p...)
	}
	must(t, sub.Send(packets))
	for _, b := range packets[:500] {
		must(t, sub.Send([]byte{b}))
	}
	must(t, sub.Send(packets[500:]))
	vbs, err := sub.Get(ctx, "", mib.rows[1].Name)
	must(t, err)
	sameVarbinds(t, vbs, mib.rows[1:2])
}

// broken is a View whose values cannot be encoded.
type broken struct{}

func (broken) View(string) (agentx.View, bool) { return broken{}, true }
func (broken) Get(smi.OID) smi.Value           { return smi.Value{} }
func (broken) Next(vb *smi.Varbind, _ smi.OID, _ bool, _ smi.OID) bool {
	*vb = smi.Varbind{Name: make(smi.OID, 200), Value: smi.Null()}
	return true
}

func TestBrokenView(t *testing.T) {
	sub, s, _ := connected(t, "unix", broken{})
	ctx := limited(t)
	for range 2 {
		if _, err := sub.Get(ctx, "", root); !isRefusal(err, agentx.ErrorCode(smi.GenErr)) {
			t.Errorf("Get: %v", err)
		}
		if _, err := sub.Next(ctx, "", agentx.SearchRange{Start: root}); !isRefusal(err, agentx.ErrorCode(smi.GenErr)) {
			t.Errorf("Next: %v", err)
		}
	}
	if st := s.Stats(); st.LastError == "" || st.Connects != 1 {
		t.Errorf("stats %+v", st)
	}
}
