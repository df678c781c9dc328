package lvs

// Plan is what has to be done to the kernel, in two steps. What can be taken
// back without loss comes first; deletes, which lose counters and connections,
// come last, when the change is final. Until then what is to be deleted is
// held at weight 0.
type Plan struct {
	Ops     []Op
	Deletes []Op
}

// Diff adds to the plan how to get from what the kernel holds of one service to
// what it should hold. It adds nothing when both agree.
func (p *Plan) Diff(want, have Target) {
	switch {
	case want.Service == nil && have.Service == nil:
		return
	case want.Service == nil:
		for i := range have.Servers {
			p.quiesce(have.Service, &have.Servers[i])
		}
		p.Deletes = append(p.Deletes, Op{Do: DeleteService, Service: have.Service})
		return
	case have.Service == nil:
		p.Ops = append(p.Ops, Op{Do: AddService, Service: want.Service})
	case *have.Service != *want.Service:
		p.Ops = append(p.Ops, Op{Do: EditService, Service: want.Service, OldService: have.Service})
	}
	if sameNames(want.Servers, have.Servers) {
		for i := range want.Servers {
			p.edit(want.Service, &want.Servers[i], &have.Servers[i])
		}
		return
	}
	held := make(map[ServerKey]*ServerSpec, len(have.Servers))
	for i := range have.Servers {
		held[have.Servers[i].Key] = &have.Servers[i]
	}
	for i := range want.Servers {
		s := &want.Servers[i]
		if old := held[s.Key]; old != nil {
			delete(held, s.Key)
			p.edit(want.Service, s, old)
		} else {
			p.Ops = append(p.Ops, Op{Do: AddServer, Service: want.Service, Server: s})
		}
	}
	if len(held) == 0 {
		return
	}
	for i := range have.Servers { // in the kernel's order, so that a plan is reproducible
		if old := &have.Servers[i]; held[old.Key] == old {
			p.quiesce(want.Service, old)
			p.Deletes = append(p.Deletes, Op{Do: DeleteServer, Service: want.Service, Server: old})
		}
	}
}

// sameNames reports whether both have the same servers in the same order.
func sameNames(want, have []ServerSpec) bool {
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i].Key != have[i].Key {
			return false
		}
	}
	return true
}

// edit makes a server that the kernel holds what it should be.
func (p *Plan) edit(service *ServiceSpec, want, have *ServerSpec) {
	if *have != *want {
		p.Ops = append(p.Ops, Op{Do: EditServer, Service: service, Server: want, OldServer: have})
	}
}

// quiesce stops new connections to a server that is about to be deleted.
func (p *Plan) quiesce(service *ServiceSpec, server *ServerSpec) {
	if server.Weight == 0 || server.Forwarding == Bypass {
		return
	}
	still := *server
	still.Weight = 0
	p.edit(service, &still, server)
}

// DiffDaemons returns how to get from the daemons that run to those that
// should. The kernel cannot edit a daemon: it is stopped and started.
func DiffDaemons(c *Config, have []Daemon) []Op {
	var ops []Op
	for _, state := range []DaemonState{DaemonMaster, DaemonBackup} {
		var running *Daemon
		for i := range have {
			if have[i].State == state {
				running = &have[i]
			}
		}
		d, wanted := c.Daemon(state)
		if !wanted {
			continue // somebody else's, or none
		}
		wanted = d.Status == Active
		if wanted && running != nil && d.Daemon.matches(*running) {
			continue
		}
		if running != nil {
			ops = append(ops, Op{Do: StopDaemon, Daemon: running})
		}
		if wanted {
			ops = append(ops, Op{Do: StartDaemon, Daemon: &d.Daemon})
		}
	}
	return ops
}

// matches reports whether a running daemon is what was asked for; where the
// kernel's default was asked for, any value does.
func (d Daemon) matches(running Daemon) bool {
	return d.State == running.State && d.Interface == running.Interface && d.SyncID == running.SyncID &&
		(d.MaxLength == 0 || d.MaxLength == running.MaxLength) &&
		(!d.Group.IsValid() || d.Group == running.Group) &&
		(d.Port == 0 || d.Port == running.Port) &&
		(d.TTL == 0 || d.TTL == running.TTL)
}

// DiffTimeouts returns the operation that sets the timeouts that were asked
// for, none if the kernel has them.
func DiffTimeouts(want, have Timeouts) []Op {
	set := want.Or(have)
	if set == have {
		return nil
	}
	return []Op{{Do: SetTimeouts, Timeouts: set, OldTimeouts: have}}
}
