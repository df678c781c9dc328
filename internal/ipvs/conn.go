package ipvs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/cloudflare/ipvs"
	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/internal/ipvs/rules"
	"github.com/lcms-project/lcms/internal/lvs"
)

// Of the generic netlink family (include/uapi/linux/ip_vs.h).
const (
	familyName    = "IPVS"
	familyVersion = 1

	cmdNewService = 1
	cmdSetService = 2
	cmdGetService = 4
	cmdNewDaemon  = 9
	cmdDelDaemon  = 10
	cmdGetDaemon  = 11
	cmdZero       = 16

	cmdAttrService = 1
	cmdAttrDaemon  = 3
)

// patience is how long an answer may take. The kernel does what it is told
// before the sending call returns, though it may have to load a module first: then
// an answer is there at once or never.
const patience = time.Second

// conn is what is open to the kernel of one network namespace. Sockets and the
// file stay in the namespace in which they were opened, whichever thread uses
// them.
type conn struct {
	client ipvs.Client     // servers, timeouts, information
	genl   *genetlink.Conn // what client cannot say: engines, sync daemons, zero
	family uint16
	totals *os.File
	netns  os.FileInfo // what the path was, nil for the process's own namespace
}

// open opens the namespace at the path, "" for the process's own. Its errors
// are refusals.
func open(netns string) (*conn, error) {
	if netns == "" {
		return dial()
	}
	ns, err := os.Open(netns)
	if err != nil {
		return nil, unavailable("network namespace %s cannot be opened: create it with ip netns add, or correct its path (%v)", netns, err)
	}
	defer ns.Close()
	identity, err := ns.Stat()
	if err != nil {
		return nil, unavailable("network namespace %s: %v", netns, err)
	}
	var c *conn
	if err2 := within(ns, func() { c, err = dial() }); err2 != nil {
		return nil, unavailable("network namespace %s cannot be entered: it must be one, and the capability CAP_SYS_ADMIN is needed (%v)", netns, err2)
	}
	if err != nil {
		return nil, err
	}
	c.netns = identity
	return c, nil
}

// within calls f on a thread that is in the network namespace ns. A thread
// that cannot be brought back is not used again.
func within(ns *os.File, f func()) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			result <- err
			runtime.UnlockOSThread()
			return
		}
		defer own.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- err
			runtime.UnlockOSThread()
			return
		}
		f()
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- nil
	}()
	return <-result
}

// dial opens everything in the namespace of the thread. To look up the family
// makes the kernel load its module, if it may.
func dial() (*conn, error) {
	c := new(conn)
	var err error
	if c.genl, err = genetlink.Dial(nil); err != nil {
		return nil, rules.Translate(lvs.Op{}, err)
	}
	family, err := c.genl.GetFamily(familyName)
	if err != nil {
		return nil, errors.Join(rules.Translate(lvs.Op{}, err), c.close())
	}
	c.family = family.ID
	if c.client, err = ipvs.New(); err != nil {
		return nil, errors.Join(rules.Translate(lvs.Op{}, err), c.close())
	}
	if c.totals, err = os.Open("/proc/thread-self/net/ip_vs_stats"); err != nil {
		return nil, errors.Join(unavailable("the totals of IPVS cannot be read: mount /proc (%v)", err), c.close())
	}
	return c, nil
}

// current reports whether the path still leads to the namespace of c. One that
// was deleted lives on as long as c is open.
func (c *conn) current(netns string) bool {
	if netns == "" {
		return true
	}
	now, err := os.Stat(netns)
	return err == nil && os.SameFile(now, c.netns)
}

func (c *conn) close() error {
	var errs []error
	if c.totals != nil {
		errs = append(errs, c.totals.Close())
	}
	if closer, ok := c.client.(io.Closer); ok {
		errs = append(errs, closer.Close())
	}
	if c.genl != nil {
		errs = append(errs, c.genl.Close())
	}
	return errors.Join(errs...)
}

// request sends a command with one nested attribute, none if encode is nil,
// and returns the answers.
func (c *conn) request(command uint8, flags netlink.HeaderFlags, attribute uint16, encode func(*netlink.AttributeEncoder) error) ([]genetlink.Message, error) {
	m := genetlink.Message{Header: genetlink.Header{Command: command, Version: familyVersion}}
	if encode != nil {
		e := netlink.NewAttributeEncoder()
		e.Nested(attribute, encode)
		b, err := e.Encode()
		if err != nil {
			return nil, err
		}
		m.Data = b
	}
	sent, err := c.genl.Send(m, c.family, netlink.Request|flags)
	if err != nil {
		return nil, err
	}
	if err := c.genl.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	messages, answers, err := c.genl.Receive()
	if err != nil {
		return nil, err
	}
	return messages, netlink.Validate(sent, answers)
}

// command sends a command and waits for the kernel to have done it.
func (c *conn) command(command uint8, attribute uint16, encode func(*netlink.AttributeEncoder) error) error {
	_, err := c.request(command, netlink.Acknowledge, attribute, encode)
	return err
}

// dump asks for all objects of a kind and decodes each.
func (c *conn) dump(command uint8, attribute uint16, decode func(*netlink.AttributeDecoder) error) error {
	messages, err := c.request(command, netlink.Dump, 0, nil)
	if err != nil {
		return err
	}
	for _, m := range messages {
		d, err := netlink.NewAttributeDecoder(m.Data)
		if err != nil {
			return err
		}
		for d.Next() {
			if d.Type() == attribute {
				d.Nested(decode)
			}
		}
		if err := d.Err(); err != nil {
			return err
		}
	}
	return nil
}

// zero resets the counters of a service, or of everything for the zero key.
func (c *conn) zero(key lvs.ServiceKey) error {
	if key.IsZero() {
		return c.command(cmdZero, 0, nil)
	}
	return c.command(cmdZero, cmdAttrService, func(e *netlink.AttributeEncoder) error {
		encodeIdentity(e, key)
		return nil
	})
}

func addressFamily(f lvs.Family) uint16 {
	if f == lvs.IPv6 {
		return syscall.AF_INET6
	}
	return syscall.AF_INET
}

func unavailable(format string, args ...any) error {
	return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: fmt.Sprintf(format, args...)}
}
