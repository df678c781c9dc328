package agentx

import (
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a socket in blocking mode. While packets follow each other closely,
// as in a walk or in the phases of a SET, its Read waits for the next one in
// recv(2), as a C program would. After a jiffy without one it parks in the poller
// of the Go runtime, which costs twice as much each time, until packets follow
// closely again. Compared with other ways to do that:
//
// A Read that blocks for longer would hold its P, and the runtime looks after such
// a P every 20 us for a millisecond: a GET every 50 ms then costs 0.9 ms of CPU,
// and 0.09 ms like this.
//
// A net.Conn costs a third more in a walk. Its poller is also woken whenever
// the master has taken an answer, because the socket can be written again. So
// the poller has not the socket here but an epoll that watches it for input, and
// for nothing while Read is in recv(2): else a second thread would be woken.
// With a single P nobody else could run meanwhile, so Read always parks there.
//
// To wait in ppoll(2) before recv(2) wakes the thread less often, but has a timer
// of high resolution set and stopped for each packet: on a virtual machine that
// costs more than all the rest.
type socket struct {
	fd    int
	epoll int
	file  *os.File // of epoll, in the poller

	// Of Read alone:
	others  bool               // goroutines have another processor when Read holds one
	near    bool               // the packet before came soon
	watched uint32             // the events that epoll watches for
	park    syscall.RawConn    // of file
	try     func(uintptr) bool // receive without waiting, made a value once
	in      []byte             // where receive puts what it gets,
	n       int                // how much that was
	errno   syscall.Errno      // or why there is nothing
}

// soon is within what time packets follow closely, and how long recv(2) waits for
// the next one, which Linux makes a jiffy.
const soon = time.Millisecond

// newSocket takes over fd, which is in blocking mode.
func newSocket(fd int, writeTimeout time.Duration) (*socket, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	s := &socket{fd: fd, epoll: epoll, others: runtime.GOMAXPROCS(0) > 1}
	if err := s.prepare(writeTimeout); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) prepare(writeTimeout time.Duration) error {
	for option, limit := range map[int]time.Duration{unix.SO_SNDTIMEO: writeTimeout, unix.SO_RCVTIMEO: soon} {
		limit := unix.NsecToTimeval(limit.Nanoseconds())
		if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, s.fd, new(unix.EpollEvent)); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if err := unix.SetNonblock(s.epoll, true); err != nil { // else NewFile keeps it from the poller
		return os.NewSyscallError("fcntl", err)
	}
	s.file = os.NewFile(uintptr(s.epoll), "epoll")
	s.try = func(uintptr) bool {
		for !s.receive(unix.MSG_DONTWAIT) {
			if s.errno == syscall.EAGAIN {
				return false
			}
		}
		return true
	}
	var err error
	s.park, err = s.file.SyscallConn()
	return err
}

func (s *socket) Read(b []byte) (int, error) {
	s.in = b
	if !s.near || !s.receive(0) {
		if err := s.watch(unix.EPOLLIN); err != nil {
			return 0, err
		}
		parked := time.Now()
		if err := s.park.Read(s.try); err != nil {
			return 0, err
		}
		if s.near = s.others && time.Since(parked) < soon; s.near {
			if err := s.watch(0); err != nil {
				return 0, err
			}
		}
	}
	switch {
	case s.errno != 0:
		return 0, os.NewSyscallError("recv", s.errno)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// watch has epoll watch for events.
func (s *socket) watch(events uint32) error {
	if events == s.watched {
		return nil
	}
	s.watched = events
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.epoll, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events}))
}

// receive reads what is there, and reports false if that is nothing, or the runtime
// has interrupted it.
func (s *socket) receive(flags uintptr) bool {
	s.n, s.errno = transfer(unix.SYS_RECVFROM, s.fd, s.in, flags)
	return s.errno != syscall.EAGAIN && s.errno != syscall.EINTR
}

// Write sends what the master has room for at once, and then the rest as the
// master reads.
func (s *socket) Write(b []byte) (int, error) {
	done, errno := transfer(unix.SYS_SENDTO, s.fd, b, unix.MSG_DONTWAIT)
	if errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR {
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

// transfer is recv(2) or send(2) that does not wait, or for a jiffy at most. A
// Syscall would wake up the thread of the runtime that looks after those, and cost
// a GET that comes alone half as much again. It is interrupted when the runtime
// wants to stop all goroutines.
func transfer(trap uintptr, fd int, b []byte, flags uintptr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		flags|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
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
