package agentx

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socketOver returns both ends of a connection, ours as run would have it. The
// caller closes them.
func socketOver(t *testing.T, network, address string) (*socket, net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := newStream(c, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return ours.(*socket), theirs
}

// overAll runs a test over both kinds of socket that a master may listen on.
func overAll(t *testing.T, f func(t *testing.T, s *socket, theirs net.Conn)) {
	for network, address := range map[string]string{"unix": "@", "tcp": "127.0.0.1:0"} { // both made up by the kernel
		t.Run(network, func(t *testing.T) {
			s, theirs := socketOver(t, network, address)
			defer theirs.Close()
			defer s.close()
			f(t, s, theirs)
		})
	}
}

// exchange sends one octet there and back.
func exchange(t *testing.T, s *socket, theirs net.Conn, buf []byte) {
	t.Helper()
	for _, step := range []func([]byte) (int, error){theirs.Write, s.Read, s.Write, theirs.Read} {
		if n, err := step(buf[:1]); n != 1 || err != nil {
			t.Fatalf("%d octets, %v", n, err)
		}
	}
}

// silence is long enough for Read to park, most likely.
const silence = 20 * time.Millisecond

// TestReadParks: a Read that waits does nothing until there is something, and
// allocates nothing.
func TestReadParks(t *testing.T) {
	overAll(t, func(t *testing.T, s *socket, theirs net.Conn) {
		tries, try := 0, s.try
		s.try = func(fd uintptr) bool {
			tries++
			return try(fd)
		}
		buf := make([]byte, 1)
		exchange(t, s, theirs, buf)
		tries = 0
		late := time.AfterFunc(silence, func() { theirs.Write([]byte{42}) })
		defer late.Stop()
		if n, err := s.Read(buf); n != 1 || err != nil || buf[0] != 42 {
			t.Errorf("%d octets %v, %v", n, buf, err)
		}
		if tries > 3 { // one too many if the poller had an event from before
			t.Errorf("%d tries to read", tries)
		}
		if n := testing.AllocsPerRun(100, func() { exchange(t, s, theirs, buf) }); n != 0 {
			t.Errorf("%v allocations for each packet", n)
		}
	})
}

// TestReadFollows: a Read waits in recv(2) while packets follow closely, with
// nobody else woken by them, and parks when they do not any more.
func TestReadFollows(t *testing.T) {
	overAll(t, func(t *testing.T, s *socket, theirs net.Conn) {
		s.others = true
		waited := func() bool { return s.near && s.watched == 0 }
		buf := make([]byte, 1)
		for range 1000 { // a busy machine may be slow to answer
			if exchange(t, s, theirs, buf); waited() {
				break
			}
		}
		if !waited() {
			t.Fatal("it parks for packets that are there already")
		}
		late := time.AfterFunc(silence, func() { theirs.Write([]byte{42}) })
		defer late.Stop()
		if n, err := s.Read(buf); n != 1 || err != nil || buf[0] != 42 {
			t.Errorf("%d octets %v, %v", n, buf, err)
		}
		if s.near || s.watched != unix.EPOLLIN {
			t.Error("it holds its processor after a packet that came late")
		}
		s.others = false
		for range 10 {
			if exchange(t, s, theirs, buf); s.near {
				t.Fatal("it holds the only processor")
			}
		}
	})
}

// TestReadEnds: whoever is in Read is woken when either side ends the
// connection.
func TestReadEnds(t *testing.T) {
	for name, end := range map[string]func(s *socket, theirs net.Conn){
		"ours":   func(s *socket, _ net.Conn) { s.shutdown() },
		"theirs": func(_ *socket, theirs net.Conn) { theirs.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			overAll(t, func(t *testing.T, s *socket, theirs net.Conn) {
				late := time.AfterFunc(silence, func() { end(s, theirs) })
				defer late.Stop()
				if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("%d octets, %v", n, err)
				}
			})
		})
	}
}

// TestDescriptors: a socket leaves none behind, also if it fails.
func TestDescriptors(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	use := func() {
		s, theirs := socketOver(t, "unix", "@")
		exchange(t, s, theirs, make([]byte, 1))
		s.close()
		theirs.Close()
		pipe := make([]int, 2)
		if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pipe[1])
		if s, err := newSocket(pipe[0], time.Second); err == nil {
			s.close()
			t.Error("a pipe is taken for a socket")
		}
	}
	use() // the poller of the runtime is there from now on
	before := count()
	for range 10 {
		use()
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
}
