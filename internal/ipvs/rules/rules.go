package rules

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"syscall"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Limits of the kernel's fields.
const (
	// MaxWeight is the largest weight: the kernel's is signed.
	MaxWeight = math.MaxInt32
	// MaxPersistenceTimeout in seconds. The kernel multiplies by its tick
	// frequency, at most 1000, and would silently keep the low 32 bits.
	MaxPersistenceTimeout = math.MaxUint32 / 1000
)

// fault is a rule that an operation breaks whatever the kernel holds.
type fault struct {
	errno   syscall.Errno
	field   string
	reason  string
	ignored bool
}

// answered is a fault that the kernel answers with errno.
func answered(errno syscall.Errno, field, format string, args ...any) *fault {
	return &fault{errno: errno, field: field, reason: fmt.Sprintf(format, args...)}
}

// ignored is a fault that the kernel does not see, or not on every machine: it
// takes the value and makes another of it.
func ignored(errno syscall.Errno, field, format string, args ...any) *fault {
	f := answered(errno, field, format, args...)
	f.ignored = true
	return f
}

// Check returns the kernel's error number for the first rule that op breaks by
// itself, 0 if there is none. Rules that depend on what the kernel holds are
// not among them.
func Check(op lvs.Op) syscall.Errno {
	if f := check(op); f != nil {
		return f.errno
	}
	return 0
}

// Ignored is Check for the rules that the real kernel leaves to its callers.
func Ignored(op lvs.Op) syscall.Errno {
	if f := check(op); f != nil && f.ignored {
		return f.errno
	}
	return 0
}

func check(op lvs.Op) *fault {
	switch op.Do {
	case lvs.AddService, lvs.EditService:
		return checkService(*op.Service)
	case lvs.AddServer, lvs.EditServer:
		return checkServer(op.Service.Key, *op.Server)
	case lvs.SetTimeouts:
		return checkTimeouts(op.Timeouts)
	case lvs.StartDaemon:
		return checkDaemon(*op.Daemon)
	}
	return nil
}

func checkService(s lvs.ServiceSpec) *fault {
	switch bits := s.Key.Family().Bits(); {
	case s.Key.IsZero():
		return ignored(syscall.EINVAL, "Key", "it has no key: give protocol, address and port, or a firewall mark")
	case s.Scheduler == "":
		return answered(syscall.ENOENT, "Scheduler", "it has no scheduler: name one, such as wlc")
	case len(s.Scheduler) > lvs.MaxModuleName:
		return answered(syscall.EINVAL, "Scheduler", "scheduler name %q is longer than %d octets", s.Scheduler, lvs.MaxModuleName)
	case len(s.PersistenceEngine) > lvs.MaxModuleName:
		return answered(syscall.ENOENT, "PersistenceEngine", "persistence engine name %q is longer than %d octets", s.PersistenceEngine, lvs.MaxModuleName)
	case int(s.PersistenceNetmask) > bits:
		return ignored(syscall.EINVAL, "PersistenceNetmask", "netmask /%d is longer than an IPv%d address: use 1 to %d", s.PersistenceNetmask, s.Key.Family(), bits)
	case s.PersistenceTimeout > MaxPersistenceTimeout:
		return ignored(syscall.ERANGE, "PersistenceTimeout", "persistence timeout %d s overflows in the kernel: use at most %d", s.PersistenceTimeout, MaxPersistenceTimeout)
	case s.SchedulerFlags > lvs.SchedulerFlag1|lvs.SchedulerFlag2|lvs.SchedulerFlag3:
		return ignored(syscall.EINVAL, "SchedulerFlags", "scheduler flags %#x are unknown: there are flags 1, 2 and 3", uint8(s.SchedulerFlags))
	}
	return nil
}

func checkServer(service lvs.ServiceKey, s lvs.ServerSpec) *fault {
	switch {
	case s.Key.IsZero():
		return ignored(syscall.EINVAL, "Key", "it has no key: give address and port")
	case s.Weight > MaxWeight:
		return answered(syscall.ERANGE, "Weight", "weight %d is above the kernel's largest: use 0 to %d", s.Weight, MaxWeight)
	case s.LowerThreshold > s.UpperThreshold:
		return answered(syscall.ERANGE, "LowerThreshold", "lower threshold %d is above the upper threshold %d: raise the upper or lower the lower", s.LowerThreshold, s.UpperThreshold)
	case s.TunnelType == lvs.GUE && s.TunnelPort == 0:
		return answered(syscall.EINVAL, "TunnelPort", "a GUE tunnel needs its UDP port: set the tunnel port")
	case s.Key.Family() != service.Family() && s.Forwarding != lvs.Tunnel:
		return answered(syscall.EINVAL, "Forwarding", "an IPv%d server of an IPv%d service is reached by tunnel only: set forwarding tunnel", s.Key.Family(), service.Family())
	case !unicast(s.Key.Addr()):
		return answered(syscall.EINVAL, "Key", "address %s is not that of one host", s.Key.Addr())
	}
	return nil
}

// unicast tells whether the kernel takes a for a server's address. It also
// refuses broadcast addresses of its own links, which only it knows.
func unicast(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) &&
		!(a.Is6() && a.IsLinkLocalUnicast())
}

// Missing returns the refusal of a scheduler or persistence engine that the
// kernel has neither built in nor as a module.
func Missing(field, name string) error {
	what, module := "scheduler", "ip_vs_"+name
	if field == "PersistenceEngine" {
		what, module = "persistence engine", "ip_vs_pe_"+name
	}
	return &lvs.Refusal{Kind: lvs.ErrInvalid, Field: field, Reason: fmt.Sprintf("the kernel has no %s %q: %sinstall the module %s or choose another", what, name, lowerCase(name), module)}
}

// lowerCase suggests the name in lower case, as all that the kernel brings have it.
func lowerCase(name string) string {
	lower := strings.ToLower(name)
	if lower == name {
		return ""
	}
	return fmt.Sprintf("names are in lower case, write %q; or ", lower)
}

func checkTimeouts(t lvs.Timeouts) *fault {
	for _, v := range []struct {
		field   string
		seconds uint32
	}{{"TCP", t.TCP}, {"TCPFin", t.TCPFin}, {"UDP", t.UDP}} {
		if v.seconds > lvs.MaxTimeout {
			return ignored(syscall.EINVAL, v.field, "timeout %s of %d s overflows in the kernel: use at most %d", v.field, v.seconds, lvs.MaxTimeout)
		}
	}
	return nil
}

func checkDaemon(d lvs.Daemon) *fault {
	switch {
	case d.State != lvs.DaemonMaster && d.State != lvs.DaemonBackup:
		return answered(syscall.EINVAL, "State", "state %d: use master or backup", d.State)
	case d.Interface == "":
		return answered(syscall.ENODEV, "Interface", "it has no network interface: name one")
	case len(d.Interface) > lvs.MaxInterface:
		return answered(syscall.EINVAL, "Interface", "interface name %q is longer than %d octets", d.Interface, lvs.MaxInterface)
	case d.Group.IsValid() && !d.Group.IsMulticast():
		return answered(syscall.EINVAL, "Group", "group %s is no multicast address", d.Group)
	}
	return nil
}
