package memory

import (
	"slices"
	"syscall"

	"github.com/lcms-project/lcms/internal/ipvs/rules"
	"github.com/lcms-project/lcms/internal/lvs"
)

// apply checks in the order of ip_vs_genl_set_cmd: whether the object is there
// comes before what is wrong with its values.
func (k *Kernel) apply(op lvs.Op) syscall.Errno {
	switch op.Do {
	case lvs.AddService, lvs.EditService, lvs.DeleteService:
		return k.applyService(op)
	case lvs.AddServer, lvs.EditServer, lvs.DeleteServer:
		return k.applyServer(op)
	case lvs.StartDaemon, lvs.StopDaemon:
		return k.applyDaemon(op)
	case lvs.SetTimeouts:
		if errno := rules.Check(op); errno != 0 {
			return errno
		}
		k.setTimeouts(op.Timeouts)
		return 0
	}
	return syscall.EINVAL
}

func (k *Kernel) applyService(op lvs.Op) syscall.Errno {
	s := k.index[op.Service.Key]
	switch {
	case op.Do != lvs.AddService && s == nil:
		return syscall.ESRCH
	case op.Do == lvs.AddService && s != nil:
		return syscall.EEXIST
	case op.Do == lvs.DeleteService:
		k.deleteService(s)
		return 0
	}
	if errno := rules.Check(op); errno != 0 {
		return errno
	}
	if k.Supports(op.Service.Scheduler, op.Service.PersistenceEngine) != nil {
		return syscall.ENOENT
	}
	if op.Do == lvs.EditService {
		s.ServiceSpec = rules.Normal(*op.Service)
		return 0
	}
	s = &service{ServiceSpec: rules.Normal(*op.Service)}
	k.services = append(k.services, s)
	k.index[s.Key] = s
	return 0
}

func (k *Kernel) deleteService(s *service) {
	for _, d := range s.servers {
		k.forget(s, d)
	}
	delete(k.index, s.Key)
	k.services = remove(k.services, s)
}

func (k *Kernel) applyServer(op lvs.Op) syscall.Errno {
	s := k.index[op.Service.Key]
	if s == nil {
		return syscall.ESRCH
	}
	d := s.server(op.Server.Key)
	if op.Do == lvs.DeleteServer {
		if d == nil {
			return syscall.ENOENT
		}
		k.forget(s, d)
		s.remove(d)
		return 0
	}
	mixed := op.Server.Key.Family() != s.Key.Family()
	if mixed && len(k.daemons) > 0 {
		return syscall.EINVAL
	}
	if errno := rules.Check(op); errno != 0 {
		return errno
	}
	switch {
	case op.Do == lvs.AddServer && d != nil:
		return syscall.EEXIST
	case op.Do == lvs.EditServer && d == nil:
		return syscall.ENOENT
	case op.Do == lvs.EditServer:
		d.ServerSpec = *op.Server
		return 0
	}
	d = &server{ServerSpec: *op.Server}
	s.add(d)
	if mixed {
		k.mixed++
	}
	return 0
}

// forget takes a server out of the sums over all services.
func (k *Kernel) forget(s *service, d *server) {
	if d.Key.Family() != s.Key.Family() {
		k.mixed--
	}
}

func (k *Kernel) setTimeouts(t lvs.Timeouts) {
	if t.TCP != 0 {
		k.timeouts.TCP = t.TCP
	}
	if t.TCPFin != 0 {
		k.timeouts.TCPFin = t.TCPFin
	}
	if t.UDP != 0 {
		k.timeouts.UDP = t.UDP
	}
}

func (k *Kernel) applyDaemon(op lvs.Op) syscall.Errno {
	running := slices.IndexFunc(k.daemons, func(d lvs.Daemon) bool { return d.State == op.Daemon.State })
	if op.Do == lvs.StopDaemon {
		if running < 0 {
			return syscall.ESRCH
		}
		k.daemons = slices.Delete(k.daemons, running, running+1)
		return 0
	}
	if k.mixed > 0 {
		return syscall.EINVAL
	}
	if errno := rules.Check(op); errno != 0 {
		return errno
	}
	if k.interfaces != nil && !slices.Contains(k.interfaces, op.Daemon.Interface) {
		return syscall.ENODEV
	}
	if running >= 0 {
		return syscall.EEXIST
	}
	const mtu = 1500
	k.daemons = append(k.daemons, rules.InForce(*op.Daemon, mtu))
	return 0
}

// remove takes v out of s without keeping the order: nobody may rely on the
// place of an object in a reading.
func remove[T comparable](s []T, v T) []T {
	i := slices.Index(s, v)
	last := len(s) - 1
	s[i] = s[last]
	return slices.Delete(s, last, last+1)
}
