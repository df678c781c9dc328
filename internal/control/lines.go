package control

import (
	"fmt"

	"github.com/lcms-project/lcms/internal/lvs"
)

const fromDirectory = "changed in the directory"

// linesOf says what a change that came from the directory makes of what before
// is, one line for each object.
func linesOf(change *lvs.Change, before *lvs.Config) []Request {
	var lines []Request
	line := func(service lvs.ServiceKey, server lvs.ServerKey, old, new string) {
		lines = append(lines, Request{
			Source: lvs.SourceDirectory, Service: service, Server: server,
			OldValue: old, NewValue: new, Outcome: Accepted, Reason: fromDirectory,
		})
	}
	for _, k := range change.DeleteServices {
		old, _ := before.Service(k)
		line(k, lvs.ServerKey{}, serviceText(&old.ServiceSpec), "absent")
	}
	for i := range change.PutServices {
		s := &change.PutServices[i]
		old, had := before.Service(s.Key)
		was, is := edited(had, serviceText(&s.ServiceSpec), serviceFields(&old), serviceFields(s))
		line(s.Key, lvs.ServerKey{}, was, is)
	}
	for _, id := range change.DeleteServers {
		old, _ := before.Server(id.Service, id.Server)
		line(id.Service, id.Server, serverText(&old.ServerSpec), "absent")
	}
	for i := range change.PutServers {
		s := &change.PutServers[i]
		old, had := before.Server(s.Service, s.Server.Key)
		was, is := edited(had, serverText(&s.Server.ServerSpec), serverFields(&old), serverFields(&s.Server))
		line(s.Service, s.Server.Key, was, is)
	}
	return append(lines, settingLines(change, before)...)
}

// settingLines is the part of linesOf that concerns no service: each value names
// what it is about.
func settingLines(change *lvs.Change, before *lvs.Config) []Request {
	var lines []Request
	line := func(what, old, new string) {
		lines = append(lines, Request{
			Source: lvs.SourceDirectory, OldValue: what + ": " + old, NewValue: what + ": " + new, Outcome: Accepted, Reason: fromDirectory,
		})
	}
	for _, id := range change.DeleteClusters {
		line("cluster "+string(id), "present", "absent")
	}
	for i := range change.PutClusters {
		row := &change.PutClusters[i]
		old, had := before.Cluster(row.ID)
		was, is := edited(had, "present", clusterFields(&old), clusterFields(row))
		line("cluster "+string(row.ID), was, is)
	}
	member := func(id lvs.MemberID) string { return fmt.Sprintf("member %s of cluster %s", id.Host, id.Cluster) }
	for _, id := range change.DeleteMembers {
		line(member(id), "present", "absent")
	}
	for i := range change.PutMembers {
		row := &change.PutMembers[i]
		old, had := before.Member(row.ID())
		was, is := edited(had, row.Role.String(), memberFields(&old), memberFields(row))
		line(member(row.ID()), was, is)
	}
	for _, n := range change.DeleteHosts {
		line("host "+string(n), "present", "absent")
	}
	for i := range change.PutHosts {
		row := &change.PutHosts[i]
		old, had := before.Host(row.Name)
		was, is := edited(had, "present", hostFields(&old), hostFields(row))
		line("host "+string(row.Name), was, is)
	}
	for _, state := range change.DeleteDaemons {
		old, _ := before.Daemon(state)
		line("sync daemon", daemonText(old.Daemon), "absent")
	}
	for _, d := range change.PutDaemons {
		old, had := before.Daemon(d.State)
		was := "absent"
		if had {
			was = daemonText(old.Daemon)
		}
		line("sync daemon", was, daemonText(d.Daemon))
	}
	if t := change.Timeouts; t != nil {
		line("timeouts", timeoutsText(before.Timeouts()), timeoutsText(*t))
	}
	return lines
}

// edited returns the old and the new value of a row: what differs, or the whole
// of one that was not there.
func edited(had bool, whole string, before, after []lvs.Field) (was, is string) {
	if !had {
		return "absent", whole
	}
	_, was, is = lvs.Contrast(before, after)
	return was, is
}

// fields makes attributes of names and values in turn.
func fields(pairs ...any) []lvs.Field {
	list := make([]lvs.Field, len(pairs)/2)
	for i := range list {
		list[i] = lvs.Field{Name: pairs[2*i].(string), Value: fmt.Sprint(pairs[2*i+1])}
	}
	return list
}

func serviceFields(s *lvs.Service) []lvs.Field {
	return append(s.ServiceSpec.Fields(), fields("name", s.Name, "cluster", s.Cluster, "adminStatus", s.AdminStatus, "status", s.Status)...)
}

func serverFields(s *lvs.Server) []lvs.Field {
	return append(s.ServerSpec.Fields(), fields(
		"host", s.Host, "adminStatus", s.AdminStatus, "drainTimeout", s.DrainTimeout, "drainAction", s.DrainAction, "status", s.Status)...)
}

func clusterFields(c *lvs.Cluster) []lvs.Field {
	return fields("description", c.Description, "serviceType", c.ServiceType, "virtualAddresses", c.VirtualAddresses,
		"adminStatus", c.AdminStatus, "driftPolicy", c.DriftPolicy, "expectedServices", c.ExpectedServices,
		"autoReconfigure", c.AutoReconfigure, "status", c.Status)
}

func memberFields(m *lvs.Member) []lvs.Field {
	return fields("role", m.Role, "priority", m.Priority, "status", m.Status)
}

func hostFields(h *lvs.Host) []lvs.Field {
	return fields("address", h.Address, "cpuType", h.CpuType, "interfaceType", h.InterfaceType, "snmpUri", h.SnmpURI,
		"memorySize", h.MemorySize, "rolePotential", h.RolePotential, "status", h.Status)
}
