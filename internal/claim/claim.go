// Package claim lets the processes of tests agree on what belongs to whom: a port, a
// processor.
package claim

import "golang.org/x/sys/unix"

// Name makes a name this process's until it ends, whatever ends it. The error is EADDRINUSE
// if it is somebody's already, of this process or another one. What keeps it is an abstract
// Unix socket (unix(7)), so names of one network namespace are not known in another.
func Name(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "@lcms-test-" + name}); err != nil {
		unix.Close(fd)
		return err
	}
	return nil // fd stays open
}
