package kill

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lcms-project/lcms/internal/lvs"
)

func serviceKey(text string) lvs.ServiceKey {
	k, err := lvs.ParseServiceKey(text)
	if err != nil {
		panic(err) // a mistake in this file
	}
	return k
}

func serverKey(text string) lvs.ServerKey {
	k, err := lvs.ParseServerKey(text)
	if err != nil {
		panic(err) // a mistake in this file
	}
	return k
}

func service(text string) lvs.Service { return lvs.NewService(serviceKey(text)) }

func server(at, text string, weight uint32) lvs.ServerAt {
	s := lvs.NewServer(serverKey(text))
	s.Weight = weight
	return lvs.ServerAt{Service: serviceKey(at), Server: s}
}

func id(service, server string) lvs.ServerID {
	return lvs.ServerID{Service: serviceKey(service), Server: serverKey(server)}
}

func daemon(state lvs.DaemonState, sync uint8) lvs.SyncDaemon {
	d := lvs.NewSyncDaemon(state)
	d.Interface, d.SyncID, d.Group = "eth0", sync, netip.MustParseAddr("224.0.0.81")
	return d
}

// The services before the change. The last one belongs to somebody else.
const (
	edited  = "tcp:192.0.2.1:80"
	grown   = "udp:192.0.2.1:53"
	deleted = "tcp:192.0.2.1:8080"
	downed  = "tcp:192.0.2.1:8443"
	calm    = "tcp:192.0.2.1:9000"
	added   = "fwm4:7"
	foreign = "tcp:198.51.100.9:80"
)

// before is what a director holds before the change.
func before() lvs.Change {
	return lvs.Change{
		PutServices: []lvs.Service{service(edited), service(grown), service(deleted), service(downed), service(calm)},
		PutServers: []lvs.ServerAt{
			server(edited, "10.0.0.11:80", 1), server(edited, "10.0.0.12:80", 2), server(edited, "10.0.0.13:80", 3),
			server(grown, "10.0.0.11:53", 4),
			server(deleted, "10.0.0.11:80", 5), server(deleted, "10.0.0.12:80", 0),
			server(downed, "10.0.0.11:443", 6),
			server(calm, "10.0.0.11:9000", 7),
		},
		PutDaemons: []lvs.SyncDaemon{daemon(lvs.DaemonMaster, 1)},
		Timeouts:   &lvs.Timeouts{TCP: 100},
	}
}

// large is a change with everything that a change can have.
func large() lvs.Change {
	web, down := service(edited), service(downed)
	web.Scheduler, web.Name = "rr", "edited"
	down.AdminStatus = lvs.AdminDown
	return lvs.Change{
		PutServices: []lvs.Service{web, service(added), down},
		PutServers: []lvs.ServerAt{
			server(edited, "10.0.0.11:80", 9), server(edited, "10.0.0.14:80", 4),
			server(grown, "10.0.0.12:53", 5),
			server(added, "10.0.0.11:0", 1), server(added, "10.0.0.12:0", 2),
		},
		DeleteServers:  []lvs.ServerID{id(edited, "10.0.0.12:80")},
		DeleteServices: []lvs.ServiceKey{serviceKey(deleted)},
		PutDaemons:     []lvs.SyncDaemon{daemon(lvs.DaemonBackup, 3)},
		DeleteDaemons:  []lvs.DaemonState{lvs.DaemonMaster},
		Timeouts:       &lvs.Timeouts{TCP: 77, UDP: 88},
	}
}

// settings is a change of nothing but the daemon, which is stopped and started
// anew, and the timeouts.
func settings() lvs.Change {
	return lvs.Change{
		PutDaemons: []lvs.SyncDaemon{daemon(lvs.DaemonMaster, 2)},
		Timeouts:   &lvs.Timeouts{TCP: 77, UDP: 88},
	}
}

// kernelTimeouts are those of a kernel that nobody has asked for others.
var kernelTimeouts = lvs.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}

// wanted renders what the kernel should hold for a desired state, with the
// service of somebody else.
func wanted(c *lvs.Config) string {
	var lines []string
	for s, servers := range c.Services {
		around := c.Circumstances(s)
		target := lvs.Effective(s, servers, &around)
		if target.Service == nil {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %+v", target.Service.Key, *target.Service))
		for _, d := range target.Servers {
			lines = append(lines, serverLine(target.Service.Key, d))
		}
	}
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		if d, ok := c.Daemon(state); ok {
			lines = append(lines, daemonLine(d.Daemon))
		}
	}
	timeouts := kernelTimeouts
	for _, op := range lvs.DiffTimeouts(c.Timeouts(), timeouts) {
		timeouts = op.Timeouts
	}
	return sorted(append(lines, fmt.Sprintf("timeouts %+v", timeouts)))
}

// held renders what the kernel holds, and apart from it what belongs to
// somebody else, with counters.
func held(a *lvs.Actual) (ours, others string) {
	var lines, foreigns []string
	for _, s := range a.Services {
		if s.Key == serviceKey(foreign) {
			foreigns = append(foreigns, fmt.Sprintf("%+v", s))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %+v", s.Key, s.ServiceSpec))
		for _, d := range s.Servers {
			lines = append(lines, serverLine(s.Key, d.ServerSpec))
		}
	}
	for _, d := range a.Daemons {
		lines = append(lines, daemonLine(d))
	}
	return sorted(append(lines, fmt.Sprintf("timeouts %+v", a.Timeouts))), sorted(foreigns)
}

func serverLine(k lvs.ServiceKey, s lvs.ServerSpec) string {
	return fmt.Sprintf("%s %s %+v", k, s.Key, s)
}

func daemonLine(d lvs.Daemon) string {
	return fmt.Sprintf("daemon %s %s %d", d.State, d.Interface, d.SyncID)
}

// described renders a desired state.
func described(c *lvs.Config) string {
	var lines []string
	for s, servers := range c.Services {
		lines = append(lines, fmt.Sprintf("%+v", *s))
		for _, d := range servers {
			lines = append(lines, fmt.Sprintf("%s %+v", s.Key, *d))
		}
	}
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		if d, ok := c.Daemon(state); ok {
			lines = append(lines, fmt.Sprintf("%+v", d))
		}
	}
	return sorted(append(lines, fmt.Sprintf("timeouts %+v", c.Timeouts())))
}

func sorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// counters lists the connections counted by service and server.
func counters(a *lvs.Actual) map[string]uint64 {
	out := make(map[string]uint64)
	for _, s := range a.Services {
		out[s.Key.String()] = s.Connections
		for _, d := range s.Servers {
			out[s.Key.String()+" "+d.Key.String()] = d.Connections
		}
	}
	return out
}
