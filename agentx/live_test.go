package agentx_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a Session until the test ends and waits until it serves.
func serve(t testing.TB, o agentx.Options) *agentx.Session {
	t.Helper()
	s := agentx.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	waitFor(t, s, agentx.Serving)
	return s
}

func waitFor(t testing.TB, s *agentx.Session, want agentx.State) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if got := s.State(); got != want {
			return fmt.Errorf("session is %s, want %s: %s", got, want, s.Stats().LastError)
		}
		return nil
	})
}

func options(d *snmpd, h agentx.Handler) agentx.Options {
	return agentx.Options{
		Network: "unix", Address: d.socket, Description: "agentx test", ID: root,
		Registrations: []agentx.Registration{{Subtree: root}}, Handler: h,
	}
}

func lines(s string) []string {
	return strings.Split(strings.TrimSpace(s), "\n")
}

func TestLiveRead(t *testing.T) {
	d := startSnmpd(t)
	const n = 1000
	mib := newTable(n)
	for _, big := range []bool{false, true} {
		t.Run(fmt.Sprintf("network byte order %t", big), func(t *testing.T) {
			o := options(d, mib)
			o.NetworkByteOrder = big
			s := serve(t, o)
			walked := lines(d.run("snmpwalk", root.String()))
			if len(walked) != n+1 && len(walked) != n { // net-snmp may add a line "no more variables"
				t.Fatalf("walk gives %d lines, want %d: %s ...", len(walked), n, walked[0])
			}
			for i, vb := range mib.rows {
				if !strings.HasPrefix(walked[i], vb.Name.String()+" = ") {
					t.Fatalf("line %d of the walk is %q, want %s", i, walked[i], vb)
				}
			}
			bulk := d.run("snmpbulkwalk", "-Cr50", root.String())
			if bulk != strings.Join(walked, "\n")+"\n" {
				t.Error("snmpbulkwalk differs from snmpwalk")
			}

			var names []string
			for _, vb := range mib.rows[:100] {
				names = append(names, vb.Name.String())
			}
			if got := lines(d.run("snmpget", names...)); strings.Join(got, "\n") != strings.Join(walked[:100], "\n") {
				t.Errorf("GET of 100 differs from the walk: %s", got)
			}
			if got := lines(d.run("snmpgetnext", names...)); strings.Join(got, "\n") != strings.Join(walked[1:101], "\n") {
				t.Errorf("GETNEXT of 100 differs from the walk: %s", got)
			}

			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if got, err := d.tool("snmpbulkwalk", "public", "-Cr25", root.String()); err != nil || got != bulk {
						t.Errorf("parallel walk differs: %v", err)
					}
				})
			}
			wg.Wait()
			if st := s.Stats(); st.ProtocolErrors != 0 || st.LastError != "" || st.Connects != 1 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestLiveSet(t *testing.T) {
	d := startSnmpd(t)
	mib := newTable(100)
	s := serve(t, options(d, mib))
	other := &table{}
	otherRoot := root.Successor()
	otherName := otherRoot.Child(1, 0)
	other.rows = []smi.Varbind{{Name: otherName, Value: smi.Integer(1)}}
	o := options(d, other)
	o.Registrations = []agentx.Registration{{Subtree: otherRoot}}
	serve(t, o)
	a, b, c := first.Name.String(), second.Name.String(), otherName.String()

	d.run("snmpset", a, "i", "4711", b, "i", "4712", c, "i", "2")
	awaitCalls(t, mib, "prepare", "commit", "done")
	awaitCalls(t, other, "prepare", "commit", "done")
	if out := d.run("snmpget", b, c); !strings.Contains(out, "INTEGER: 4712") || !strings.Contains(out, "INTEGER: 2") {
		t.Errorf("after the SET: %s", out)
	}

	refused := func(want string, args ...string) {
		t.Helper()
		out, err := d.tool("snmpset", "private", args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("snmpset says %q, %v, want %q", out, err, want)
		}
	}
	// Refused in TestSet: by varbind 2 here, by the other subagent there.
	refused("noCreation", a, "i", "1", absent.Name.String(), "i", "1")
	refused("Failed object: "+absent.Name.String(), a, "i", "1", absent.Name.String(), "i", "1")
	awaitCalls(t, mib, "prepare", "prepare")
	refused("wrongType", a, "i", "1", c, "s", "x")
	awaitCalls(t, mib, "prepare", "done")
	awaitCalls(t, other, "prepare")

	// Refused in CommitSet: all get UndoSet.
	other.let(func(t *table) { t.commitErr = errBroken })
	refused("commitFailed", a, "i", "1", c, "i", "3")
	awaitCalls(t, mib, "prepare", "commit", "undo")
	awaitCalls(t, other, "prepare", "commit", "undo")
	if out := d.run("snmpget", a, c); !strings.Contains(out, "INTEGER: 4711") || !strings.Contains(out, "INTEGER: 2") {
		t.Errorf("after a SET that was taken back: %s", out)
	}
	other.let(func(t *table) { t.undoErr = errBroken })
	refused("undoFailed", a, "i", "1", c, "i", "3")
	if st := s.Stats(); st.Connects != 1 || st.ProtocolErrors != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestLiveSetTwoRegistrations: one SET over two registrations of a session is
// one TestSet, so that a Writer can refuse it as a whole.
func TestLiveSetTwoRegistrations(t *testing.T) {
	d := startSnmpd(t)
	mib := newTable(100)
	o := options(d, mib)
	o.Registrations = []agentx.Registration{{Subtree: root.Child(1, 1)}, {Subtree: root.Child(1, 4)}}
	serve(t, o)
	d.run("snmpset", first.Name.String(), "i", "1", root.Child(1, 4, 1).String(), "i", "2")
	awaitCalls(t, mib, "prepare", "commit", "done")
}

// TestLiveResend: a master that is kept waiting repeats CommitSet, which must
// not be done again.
func TestLiveResend(t *testing.T) {
	d := startSnmpd(t, "agentXTimeout 1", "agentXRetries 9")
	mib := newTable(100)
	s := serve(t, options(d, mib))
	mib.let(func(t *table) { t.commitDelay = 2500 * time.Millisecond })
	if _, err := d.tool("snmpset", "private", first.Name.String(), "i", "4711"); err != nil {
		t.Error(err)
	}
	awaitCalls(t, mib, "prepare", "commit", "done")
	mib.let(func(t *table) { t.commitDelay = 0 })
	d.run("snmpset", first.Name.String(), "i", "4712")
	awaitCalls(t, mib, "prepare", "commit", "done")
	if st := s.Stats(); st.Connects != 1 || st.Sets != 2 || st.SetFailures != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestLiveRestart: the rows are back within a second of snmpd's return. On a
// busy machine it may take longer, but not each of ten times.
func TestLiveRestart(t *testing.T) {
	d := startSnmpd(t)
	mib := newTable(100)
	s := serve(t, options(d, mib))
	fastest := time.Hour
	for i := 0; i < 3 || i < 10 && fastest > time.Second; i++ {
		d.kill()
		eventually(t, time.Minute, func() error {
			if s.State() == agentx.Serving {
				return fmt.Errorf("session is %s while snmpd is dead", s.State())
			}
			return nil
		})
		d.start()
		back := time.Now()
		eventually(t, time.Minute, func() error {
			_, err := d.tool("snmpget", "public", mib.rows[0].Name.String())
			if err == nil && s.State() != agentx.Serving {
				err = fmt.Errorf("session is %s", s.State())
			}
			return err
		})
		took := time.Since(back)
		fastest = min(fastest, took)
		t.Logf("served again %s after the return", took.Round(time.Millisecond))
		if got := s.Stats().Reconnects(); got != uint64(i+1) {
			t.Errorf("%d reconnects, want %d", got, i+1)
		}
	}
	if fastest > time.Second {
		t.Errorf("served again %s after the return at the earliest, want at most 1 s", fastest)
	}
}

// TestLiveTCP: the other transport, through a restart of snmpd.
func TestLiveTCP(t *testing.T) {
	d := startSnmpd(t)
	d.kill()
	address := fmt.Sprintf("127.0.0.1:%d", d.port) // of TCP: the number is free there as well
	conf, err := os.OpenFile(filepath.Join(d.dir, "snmpd.conf"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = fmt.Fprintf(conf, "agentXSocket unix:%s,tcp:%s\n", d.socket, address)
	must(t, errors.Join(err, conf.Close()))
	d.start()
	mib := newTable(100)
	o := options(d, mib)
	o.Network, o.Address = "tcp", address
	s := serve(t, o)
	for round := range 2 {
		d.run("snmpset", first.Name.String(), "i", fmt.Sprint(4711+round))
		awaitCalls(t, mib, "prepare", "commit", "done")
		walked := lines(d.run("snmpbulkwalk", "-Cr20", root.String()))
		if len(walked) < len(mib.rows) || !strings.Contains(walked[0], fmt.Sprintf("INTEGER: %d", 4711+round)) {
			t.Errorf("a walk gives %d lines, the first is %s", len(walked), walked[0])
		}
		if round == 0 {
			d.kill()
			d.start()
			eventually(t, 10*time.Second, func() error {
				if n := s.Stats().Reconnects(); n != 1 || s.State() != agentx.Serving {
					return fmt.Errorf("session is %s after %d reconnects", s.State(), n)
				}
				return nil
			})
		}
	}
}

// TestLiveStale: a subagent that was killed, or has hung up, leaves nothing
// that keeps the next one out.
func TestLiveStale(t *testing.T) {
	d := startSnmpd(t)
	mib := newTable(10)
	for range 5 {
		c, err := net.Dial("unix", d.socket)
		must(t, err)
		for _, p := range []agentx.PDU{&agentx.OpenPDU{}, &agentx.RegisterPDU{Subtree: root, Priority: 127}} {
			b, err := agentx.Append(nil, agentx.Header{PacketID: 1, SessionID: 1}, p)
			must(t, err)
			_, err = c.Write(b)
			must(t, err)
		}
		c.Close()
	}
	serve(t, options(d, mib))
	d.run("snmpget", mib.rows[0].Name.String())
}

// TestLiveNotify: snmpd accepts a notification, also many in turn.
func TestLiveNotify(t *testing.T) {
	d := startSnmpd(t)
	s := serve(t, options(d, newTable(10)))
	ctx := limited(t)
	for range 100 {
		must(t, s.Notify(ctx, "", trap))
	}
	must(t, s.Ping(ctx, ""))
	if _, err := s.IndexAllocate(ctx, "", agentx.IndexNew, index); err != nil {
		t.Error(err)
	}
}
