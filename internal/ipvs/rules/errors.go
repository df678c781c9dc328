package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Translate turns the kernel's answer to op into an error of package lvs: a
// *lvs.Refusal that says the object, the cause and the mend, and keeps the
// kernel's own words at its end. The zero Op stands for reading. It returns
// nil for nil.
func Translate(op lvs.Op, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	r := refusal(op)
	r.Cause = err
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		r.Kind, r.Reason = lvs.ErrUnavailable, fmt.Sprintf("the kernel's IPVS did not answer: %v", err)
		return r
	}
	r.Kind = lvs.ErrInvalid
	if f := check(op); f != nil && f.errno == errno {
		r.Field, r.Reason = f.field, f.reason
	} else {
		r.Field, r.Reason, r.Kind = judge(op, errno)
	}
	r.Reason = fmt.Sprintf("%s (%v)", r.Reason, errno)
	return r
}

func refusal(op lvs.Op) *lvs.Refusal {
	id := op.ID()
	r := &lvs.Refusal{Kind: lvs.ErrInvalid, Service: id.Service, Server: id.Server}
	if op.Daemon != nil {
		r.Daemon = op.Daemon.State
	}
	return r
}

// judge explains an error number that no rule of check does.
func judge(op lvs.Op, errno syscall.Errno) (field, reason string, kind error) {
	service := op.Do == lvs.AddService || op.Do == lvs.EditService || op.Do == lvs.DeleteService
	daemon := op.Do == lvs.StartDaemon || op.Do == lvs.StopDaemon
	id := op.ID()
	switch errno {
	case syscall.EEXIST:
		if daemon {
			return "", "it runs already: stop it first", lvs.ErrExists
		}
		return "", "it is in the kernel already: edit it instead", lvs.ErrExists
	case syscall.ESRCH:
		switch {
		case daemon:
			return "", "it does not run: nothing to stop", lvs.ErrNotFound
		case service:
			return "", "it is not in the kernel: add it first", lvs.ErrNotFound
		}
		return "", "its service is not in the kernel: add that first", lvs.ErrNotFound
	case syscall.ENOENT:
		switch {
		case service && op.Service.PersistenceEngine != "":
			return "Scheduler", fmt.Sprintf("the kernel has no scheduler %s or no persistence engine %s: %sinstall the module ip_vs_%s or ip_vs_pe_%s, or choose others",
				op.Service.Scheduler, op.Service.PersistenceEngine, cmp.Or(lowerCase(op.Service.Scheduler), lowerCase(op.Service.PersistenceEngine)), op.Service.Scheduler, op.Service.PersistenceEngine), lvs.ErrInvalid
		case service:
			return "Scheduler", fmt.Sprintf("the kernel has no scheduler %s: %sinstall the module ip_vs_%s or choose another", op.Service.Scheduler, lowerCase(op.Service.Scheduler), op.Service.Scheduler), lvs.ErrInvalid
		case op.Do == 0:
			return "", "the kernel has no IPVS: load it with modprobe ip_vs; if there is no such module, install a kernel that has it (Debian's linux-image packages do)", lvs.ErrNotFound
		}
		return "", "it is not in the kernel: add it first", lvs.ErrNotFound
	case syscall.ENODEV:
		if !daemon {
			break
		}
		return "Interface", fmt.Sprintf("there is no network interface %s: create it or name another", op.Daemon.Interface), lvs.ErrInvalid
	case syscall.EADDRNOTAVAIL:
		if !daemon {
			break
		}
		return "Interface", fmt.Sprintf("interface %s has no address to send from: give it one", op.Daemon.Interface), lvs.ErrConflict
	case syscall.EADDRINUSE:
		return "Port", "another program has the port: choose another", lvs.ErrConflict
	case syscall.EINVAL:
		switch {
		case op.Do == lvs.StartDaemon:
			return "", "a service has servers of the other IP version, which connection synchronisation cannot carry: remove those servers first", lvs.ErrConflict
		case !id.Server.IsZero() && id.Service.Family() != id.Server.Family():
			return "", "a sync daemon runs, which cannot carry servers of the other IP version: stop it first", lvs.ErrConflict
		case op.Do == lvs.AddServer:
			return "Key", "the kernel takes no such address for a server: is it the broadcast address of a network of this director?", lvs.ErrInvalid
		}
		return "", "the kernel refuses these values", lvs.ErrInvalid
	case syscall.ERANGE, syscall.EAFNOSUPPORT:
		return "", "the kernel refuses these values", lvs.ErrInvalid
	case syscall.EPERM, syscall.EACCES:
		return "", "IPVS needs the capability CAP_NET_ADMIN: run as root or grant it", lvs.ErrUnavailable
	case syscall.ENOMEM, syscall.ENOBUFS:
		return "", "the kernel is short of memory: try again", lvs.ErrUnavailable
	}
	return "", "the kernel's IPVS failed", lvs.ErrUnavailable
}
