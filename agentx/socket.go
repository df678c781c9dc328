package agentx

import (
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a socket in blocking mode whose Read parks in the poller of the Go
// runtime. Compared with other ways to do that:
//
// A Read that blocks in read(2) would hold its P, and the runtime looks after
// such a P every 20 us for a millisecond: a GET every 50 ms then costs 0.9 ms
// of CPU, and 0.09 ms like this.
//
// A net.Conn costs a third more in a walk. Its poller is also woken whenever
// the master has taken an answer, because the socket can be written again. So
// the poller has not the socket here but an epoll that watches it for input.
type socket struct {
	fd    int
	epoll int
	file  *os.File // of epoll, in the poller

	// Of Read alone:
	park  syscall.RawConn    // of file
	try   func(uintptr) bool // receive, made a value once
	in    []byte             // where receive puts what it gets,
	n     int                // how much that was
	errno syscall.Errno      // or why there is nothing
}

// newSocket takes over fd, which is in blocking mode.
func newSocket(fd int, writeTimeout time.Duration) (*socket, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	s := &socket{fd: fd, epoll: epoll}
	if err := s.prepare(writeTimeout); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) prepare(writeTimeout time.Duration) error {
	limit := unix.NsecToTimeval(writeTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if err := unix.SetNonblock(s.epoll, true); err != nil { // else NewFile keeps it from the poller
		return os.NewSyscallError("fcntl", err)
	}
	s.file = os.NewFile(uintptr(s.epoll), "epoll")
	s.try = s.receive
	var err error
	s.park, err = s.file.SyscallConn()
	return err
}

func (s *socket) Read(b []byte) (int, error) {
	s.in = b
	if err := s.park.Read(s.try); err != nil {
		return 0, err
	}
	switch {
	case s.errno != 0:
		return 0, os.NewSyscallError("recv", s.errno)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// receive reads what is there, and reports false if that is nothing.
func (s *socket) receive(uintptr) bool {
	s.n, s.errno = transfer(unix.SYS_RECVFROM, s.fd, s.in)
	return s.errno != syscall.EAGAIN
}

// Write sends what the master has room for at once, and then the rest as the
// master reads.
func (s *socket) Write(b []byte) (int, error) {
	done, errno := transfer(unix.SYS_SENDTO, s.fd, b)
	if errno != 0 && errno != syscall.EAGAIN {
		return 0, os.NewSyscallError("send", errno)
	}
	for done < len(b) {
		n, err := syscall.Write(s.fd, b[done:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return done, errNotReading
		case err != nil:
			return done, os.NewSyscallError("write", err)
		default:
			done += n
		}
	}
	return done, nil
}

// transfer is recv(2) or send(2) without waiting. A Syscall would wake up the
// thread of the runtime that looks after those, and cost a GET that comes
// alone half as much again.
func transfer(trap uintptr, fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

func (s *socket) shutdown() { unix.Shutdown(s.fd, unix.SHUT_RDWR) }

func (s *socket) close() {
	if s.file != nil {
		s.file.Close()
	} else {
		unix.Close(s.epoll)
	}
	unix.Close(s.fd)
}
