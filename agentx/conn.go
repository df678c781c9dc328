package agentx

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stream is the transport below a conn.
type stream interface {
	io.ReadWriter
	// shutdown wakes whoever is blocked in Read or Write; it may be called at
	// any time before close.
	shutdown()
	// close frees the descriptor; nobody may be in Read or Write any more.
	close()
}

// newStream takes over c. A socket becomes a socket of ours, which is cheaper;
// other connections are used as they are.
func newStream(c net.Conn, writeTimeout time.Duration) (stream, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return &netStream{c, writeTimeout}, nil
	}
	defer c.Close()
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return newSocket(fd, writeTimeout)
}

// netStream is any other connection.
type netStream struct {
	net.Conn
	writeTimeout time.Duration
}

func (s *netStream) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(s.writeTimeout)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errNotReading
	}
	return n, err
}

func (s *netStream) shutdown() { s.Close() }
func (s *netStream) close()    { s.Close() }

var errNotReading = errors.New("the master does not read from its socket")

// conn cuts a stream into packets. One goroutine reads; any may write.
type conn struct {
	stream stream
	limit  int // octets of a packet

	in   []byte // in[r:w] is read and not yet used
	r, w int

	mu     sync.Mutex // held in Write
	broken error      // of the first failed Write: what follows would be out of step

	ending sync.Mutex // held in shutdown and close
	closed bool
}

const readBuffer = 64 << 10

func newConn(s stream, limit int) *conn {
	return &conn{stream: s, limit: limit, in: make([]byte, readBuffer)}
}

// next returns the next packet if it was read already. The payload is valid
// until fill is called.
func (c *conn) next() (h Header, payload []byte, ok bool, err error) {
	have := c.in[c.r:c.w]
	if len(have) < HeaderLen {
		return Header{}, nil, false, nil
	}
	h, err = ParseHeader(have)
	if err != nil {
		return Header{}, nil, false, err
	}
	if int64(h.Length) > int64(c.limit-HeaderLen) {
		return Header{}, nil, false, fmt.Errorf("%w: %s PDU of %d octets, the limit is %d", ErrMalformed, h.Type, h.Length, c.limit-HeaderLen)
	}
	size := HeaderLen + int(h.Length)
	if len(have) < size {
		return Header{}, nil, false, nil
	}
	c.r += size
	return h, have[HeaderLen:size:size], true, nil
}

// fill reads more, making room first for a whole packet.
func (c *conn) fill() error {
	rest := c.w - c.r
	if rest == 0 {
		c.r, c.w = 0, 0
	} else if c.r > 0 {
		copy(c.in, c.in[c.r:c.w])
		c.r, c.w = 0, rest
	}
	if c.w == len(c.in) {
		bigger := make([]byte, min(2*len(c.in), c.limit))
		copy(bigger, c.in)
		c.in = bigger
	}
	n, err := c.stream.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if err == io.EOF && rest > 0 {
		err = fmt.Errorf("%w: the connection ended in the middle of a PDU", ErrMalformed)
	}
	return err
}

// write sends whole packets.
func (c *conn) write(packets []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	if _, err := c.stream.Write(packets); err != nil {
		c.broken = fmt.Errorf("%w: write to the AgentX master: %w", ErrNotConnected, err)
		c.shutdown()
		return c.broken
	}
	return nil
}

// shutdown wakes whoever is blocked in fill or write. It may be called at any
// time.
func (c *conn) shutdown() {
	c.ending.Lock()
	defer c.ending.Unlock()
	if !c.closed {
		c.stream.shutdown()
	}
}

// close ends the connection; the reader must have returned.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = ErrNotConnected
	}
	c.ending.Lock()
	defer c.ending.Unlock()
	c.closed = true
	c.stream.close()
}
