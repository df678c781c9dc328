package agentx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/agentx/smi"
)

// tape is a stream that plays what the master says and keeps the answers.
type tape struct {
	io.Reader
	answers bytes.Buffer
}

func (s *tape) Write(b []byte) (int, error) { return s.answers.Write(b) }
func (s *tape) shutdown()                   {}
func (s *tape) close()                      {}

// loop is a tape without an end.
type loop struct {
	packets []byte
	left    int // packets until the end
}

func (s *loop) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	return copy(b, s.packets), nil
}

func (*loop) Write(b []byte) (int, error) { return len(b), nil }
func (*loop) shutdown()                   {}
func (*loop) close()                      {}

// fixed is a View in which everything has the same next instance.
type fixed struct{ name smi.OID }

func (f *fixed) View(string) (View, bool) { return f, true }
func (f *fixed) Get(smi.OID) smi.Value    { return smi.Counter64(1) }

func (f *fixed) Next(vb *smi.Varbind, _ smi.OID, _ bool, _ smi.OID) bool {
	vb.Name = append(vb.Name[:0], f.name...)
	vb.Value = smi.Counter64(1)
	return true
}

func (f *fixed) Prepare(string, []smi.Varbind) (Pending, error) { return f, nil }
func (f *fixed) Commit() error                                  { return nil }
func (f *fixed) Undo() error                                    { return nil }
func (f *fixed) Done()                                          {}

var instance = smi.MustParseOID("1.3.6.1.4.1.8072.9999.9999.5267.1.5.1.1.7.17.116.99.112.58.49.57.50.46.48.46.50.46.49.58.56.48.49.50.51")

func newDispatcher(s stream) *dispatcher {
	log := slog.New(slog.DiscardHandler)
	d := &dispatcher{
		conn: newConn(s, 1<<20), handler: &fixed{instance}, calls: newCalls(),
		sets: newTransactions(log), stats: new(counters), log: log,
	}
	d.session.Store(1)
	return d
}

func request(t testing.TB, flags Flags, p PDU) []byte {
	t.Helper()
	b, err := Append(nil, Header{Flags: flags, SessionID: 1, TransactionID: 2, PacketID: 3}, p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func someRanges(n int) []SearchRange {
	rs := make([]SearchRange, n)
	for i := range rs {
		rs[i] = SearchRange{Start: instance, End: instance[:12].Successor()}
	}
	return rs
}

// reads are the requests that the serve path is measured with.
func reads(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"GetNext of 1":               request(t, 0, &GetNextPDU{Ranges: someRanges(1)}),
		"GetNext of 10":              request(t, 0, &GetNextPDU{Ranges: someRanges(10)}),
		"GetNext of 10, big endian":  request(t, FlagNetworkByteOrder, &GetNextPDU{Ranges: someRanges(10)}),
		"Get of 100":                 request(t, 0, &GetPDU{Ranges: someRanges(100)}),
		"Get of 10 in a context":     request(t, 0, &GetPDU{Context: "other", Ranges: someRanges(10)}),
		"GetBulk of 10 columns x 20": request(t, 0, &GetBulkPDU{MaxRepetitions: 20, Ranges: someRanges(10)}),
	}
}

// TestServeAllocates: the serve path takes no memory in steady state.
func TestServeAllocates(t *testing.T) {
	for name, packet := range reads(t) {
		s := &loop{packets: packet}
		d := newDispatcher(s)
		serve := func() {
			s.left = 100
			if err := d.run(); err != io.EOF {
				t.Fatal(err)
			}
		}
		serve()
		if n := testing.AllocsPerRun(10, serve); n != 0 {
			t.Errorf("%s: %v allocations in 100 requests", name, n)
		}
	}
}

// BenchmarkServe measures the serve path without the system calls.
func BenchmarkServe(b *testing.B) {
	for name, packet := range reads(b) {
		b.Run(name, func(b *testing.B) {
			s := &loop{packets: packet, left: b.N}
			d := newDispatcher(s)
			b.ReportAllocs()
			if err := d.run(); err != io.EOF {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(d.stats.varbinds.Load()), "ns/varbind")
		})
	}
}

// BenchmarkSocket adds them: one GetNext at a time over a Unix socket, as
// snmpd does in a walk.
func BenchmarkSocket(b *testing.B) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	master, err := newSocket(fds[0], time.Second)
	if err != nil {
		b.Fatal(err)
	}
	ours, err := newSocket(fds[1], time.Second)
	if err != nil {
		b.Fatal(err)
	}
	d := newDispatcher(ours)
	done := make(chan error)
	go func() { done <- d.run() }()
	packet := reads(b)["GetNext of 1"]
	answer := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := master.Write(packet); err != nil {
			b.Fatal(err)
		}
		if _, err := master.Read(answer); err != nil {
			b.Fatal(err)
		}
	}
	master.shutdown()
	<-done
	master.close()
	d.conn.close()
}

// FuzzServe: whatever comes over the socket, the dispatcher neither panics nor
// sends anything that is no sequence of Responses.
func FuzzServe(f *testing.F) {
	set := request(f, 0, &TestSetPDU{Varbinds: []smi.Varbind{{Name: instance, Value: smi.Integer(1)}}})
	for _, p := range []PDU{&CommitSetPDU{}, &UndoSetPDU{}, &CleanupSetPDU{}, &PingPDU{}, &ClosePDU{}, &ResponsePDU{}, &OpenPDU{}} {
		f.Add(append(bytes.Clone(set), request(f, 0, p)...))
	}
	for _, packet := range reads(f) {
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &tape{Reader: bytes.NewReader(b)}
		d := newDispatcher(s)
		if err := d.run(); err == nil {
			t.Fatal("run ends without an error")
		}
		d.sets.close()
		for out := s.answers.Bytes(); len(out) > 0; {
			h, err := ParseHeader(out)
			if err != nil {
				t.Fatal(err)
			}
			size := HeaderLen + int(h.Length)
			if _, p, err := Parse(out[:size]); err != nil || p.Type() != TypeResponse {
				t.Fatalf("%v: %v", p, err)
			}
			out = out[size:]
		}
	})
}

// socketPair returns both ends of a Unix socket, ours as run would have it.
func socketPair(t *testing.T, writeTimeout time.Duration) (stream, net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agentx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var d net.Dialer
	c, err := d.DialContext(context.Background(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := newStream(c, writeTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.close(); theirs.Close() })
	return ours, theirs
}

// TestWriteTimeout: a master that does not read cannot hold a write for ever,
// and nothing is written after the piece that got through.
func TestWriteTimeout(t *testing.T) {
	fd, _ := socketPair(t, 50*time.Millisecond)
	pipe, _ := net.Pipe()
	other, err := newStream(pipe, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []stream{fd, other} {
		c := newConn(s, 1<<20)
		for range 2 {
			if err := c.write(make([]byte, 16<<20)); !errors.Is(err, errNotReading) {
				t.Errorf("write of %T: %v", s, err)
			}
		}
	}
	other.close()
}

// TestShutdownWakes: a read that blocks in the kernel ends with the session.
func TestShutdownWakes(t *testing.T) {
	s, _ := socketPair(t, time.Second)
	done := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		done <- err
	}()
	s.shutdown()
	if err := <-done; err == nil {
		t.Error("Read succeeds")
	}
}
