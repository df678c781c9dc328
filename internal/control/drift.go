package control

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// DriftKind says how the kernel differs from what it should hold, numbered as
// lcmsDriftKind of LCMS-MIB.
type DriftKind uint8

// The kinds of drift. Unwanted is what somebody put into a service of ours.
const (
	ServiceMissing  DriftKind = 1
	ServiceChanged  DriftKind = 2
	ServiceUnwanted DriftKind = 3
	ServerMissing   DriftKind = 4
	ServerChanged   DriftKind = 5
	ServerUnwanted  DriftKind = 6
	DaemonChanged   DriftKind = 7
	TimeoutsChanged DriftKind = 8
)

// policyOf returns what is done about drift of a service, or with the zero key of
// the settings of the director: what its cluster says, or else what the director
// is configured to do.
func (c *Control) policyOf(key lvs.ServiceKey) lvs.DriftPolicy {
	if c.passive {
		return lvs.DriftAlert
	}
	service, _ := c.desired.Service(key)
	if cluster, ok := c.desired.Cluster(service.Cluster); ok && cluster.Status == lvs.Active && cluster.DriftPolicy != 0 {
		return cluster.DriftPolicy
	}
	return c.policy
}

// Drift is one object that the kernel holds otherwise than it should.
type Drift struct {
	Kind      DriftKind
	Service   lvs.ServiceKey // zero for settings of the director
	Server    lvs.ServerKey  // zero for the service
	Attribute string         // which attributes differ, separated by commas
	Desired   string
	Actual    string
	FirstSeen time.Time
	Repairs   uint32 // of this object within the last minutes
	Policy    lvs.DriftPolicy
	Held      string // why the policy is not carried out, "" if it is
}

// driftKey tells drifts apart.
type driftKey struct {
	kind    DriftKind
	service lvs.ServiceKey
	server  lvs.ServerKey
}

// Somebody who changes the same object again and again is not fought: after so
// many repairs within the window the next one waits longer each time.
const (
	contestRepairs = 3
	contestWindow  = 5 * time.Minute
)

// repairs remembers how often an object was mended.
type repairs struct {
	times []time.Time
	retry backoff
}

// recent drops what has left the window.
func (r *repairs) recent(now time.Time) int {
	r.times = slices.DeleteFunc(r.times, func(t time.Time) bool { return now.Sub(t) > contestWindow })
	return len(r.times)
}

// differences lists how the kernel differs from what it should hold of one
// service. Of a service that is missing, its servers are not listed one by one.
func differences(key lvs.ServiceKey, row *ServiceRow) []Drift {
	service := &row.Service
	wanted := lvs.Wanted(service, &row.around)
	switch {
	case !wanted && row.inKernel == nil:
		return nil
	case !wanted:
		return []Drift{{Kind: ServiceUnwanted, Service: key, Attribute: "presence", Desired: "absent", Actual: serviceText(row.inKernel)}}
	case row.inKernel == nil:
		return []Drift{{Kind: ServiceMissing, Service: key, Attribute: "presence", Desired: serviceText(&service.ServiceSpec), Actual: "absent"}}
	}
	var out []Drift
	if *row.inKernel != service.ServiceSpec {
		d := Drift{Kind: ServiceChanged, Service: key}
		d.Attribute, d.Desired, d.Actual = lvs.Contrast(service.ServiceSpec.Fields(), row.inKernel.Fields())
		out = append(out, d)
	}
	for i := range row.Servers {
		s := &row.Servers[i]
		want, ok := lvs.EffectiveServer(service, s.Server, &row.around)
		d := Drift{Service: key, Server: s.Server.Key, Attribute: "presence", Desired: "absent", Actual: "absent"}
		switch {
		case s.External || !ok && s.InKernel():
			d.Kind, d.Actual = ServerUnwanted, serverText(&s.Actual.ServerSpec)
		case !ok:
			continue
		case !s.InKernel():
			d.Kind, d.Desired = ServerMissing, serverText(&want)
		case want != s.Actual.ServerSpec:
			d.Kind = ServerChanged
			d.Attribute, d.Desired, d.Actual = lvs.Contrast(want.Fields(), s.Actual.ServerSpec.Fields())
		default:
			continue
		}
		out = append(out, d)
	}
	return out
}

func serviceText(s *lvs.ServiceSpec) string { return "scheduler " + s.Scheduler }

func serverText(s *lvs.ServerSpec) string {
	return fmt.Sprintf("%s, weight %d", s.Forwarding, s.Weight)
}

// settingDifferences lists drift of sync daemons and timeouts.
func (c *Control) settingDifferences() []Drift {
	var out []Drift
	for _, op := range lvs.DiffDaemons(c.desired, c.daemons) {
		d := Drift{Kind: DaemonChanged, Attribute: op.Daemon.State.String(), Desired: "stopped", Actual: "stopped"}
		if op.Do == lvs.StartDaemon {
			d.Desired = daemonText(*op.Daemon)
		}
		if i := slices.IndexFunc(c.daemons, func(r lvs.Daemon) bool { return r.State == op.Daemon.State }); i >= 0 {
			d.Actual = daemonText(c.daemons[i])
		}
		out = slices.DeleteFunc(out, func(o Drift) bool { return o.Attribute == d.Attribute })
		out = append(out, d)
	}
	for _, op := range lvs.DiffTimeouts(c.desired.Timeouts(), c.director.Timeouts) {
		out = append(out, Drift{Kind: TimeoutsChanged, Attribute: "timeouts", Desired: timeoutsText(op.Timeouts), Actual: timeoutsText(op.OldTimeouts)})
	}
	return out
}

func daemonText(d lvs.Daemon) string {
	return fmt.Sprintf("%s on %s, sync id %d", d.State, d.Interface, d.SyncID)
}

func timeoutsText(t lvs.Timeouts) string {
	return fmt.Sprintf("tcp %d, tcp fin %d, udp %d", t.TCP, t.TCPFin, t.UDP)
}

// sight updates the list of drifts by what one reading shows of the services that
// are looked at, zero meaning the settings, and tells what is new and what is gone.
func (c *Control) sight(found []Drift, looksAt func(lvs.ServiceKey) bool, now time.Time) {
	present := make(map[driftKey]bool, len(found))
	for _, d := range found {
		present[c.sighted(d, now)] = true
	}
	for key, d := range c.drifts {
		if !present[key] && looksAt(key.service) {
			c.settled(key, d, now)
		}
	}
}

// sighted lists one drift, and tells it when it is new.
func (c *Control) sighted(d Drift, now time.Time) driftKey {
	key := driftKey{d.Kind, d.Service, d.Server}
	old := c.drifts[key]
	d.FirstSeen, d.Policy = now, c.policyOf(d.Service)
	if old != nil {
		d.FirstSeen = old.FirstSeen
		if d.Policy == lvs.DriftAdopt {
			d.Held = old.Held
		}
	}
	if r := c.repaired[key]; r != nil {
		d.Repairs = uint32(r.recent(now))
	}
	if old != nil && *old == d {
		return key
	}
	c.drifts[key], c.driftRows = &d, nil
	text := driftText(&d)
	if old == nil {
		c.emit(Event{Kind: DriftDetected, Time: now, Service: d.Service, Server: d.Server, Drift: d.Kind, Drifted: &d, Text: text})
	}
	severity := Minor
	if d.Repairs >= contestRepairs {
		severity = Major
	}
	c.raise(alarmKey{kind: DriftDetected, service: d.Service, server: d.Server, drift: d.Kind}, severity, text, now)
	return key
}

// settled notes that a drift is gone.
func (c *Control) settled(key driftKey, d *Drift, now time.Time) {
	delete(c.drifts, key)
	c.driftRows = nil
	c.emit(Event{Kind: DriftCleared, Time: now, Service: d.Service, Server: d.Server, Drift: d.Kind, Drifted: d, Text: driftText(d)})
	c.clear(alarmKey{kind: DriftDetected, service: d.Service, server: d.Server, drift: d.Kind}, now)
}

// driftText says a drift in words.
func driftText(d *Drift) string {
	text := fmt.Sprintf("the kernel has %s where %s should be", d.Actual, d.Desired)
	if d.Repairs >= contestRepairs {
		text += fmt.Sprintf("; mended %d times within %s: somebody else manages it too", d.Repairs, contestWindow)
	}
	if d.Held != "" {
		text += "; " + d.Held
	}
	return text
}

// driftTable returns the drifts in table order.
func (c *Control) driftTable() []*Drift {
	if c.driftRows == nil {
		c.driftRows = make([]*Drift, 0, len(c.drifts))
		for _, d := range c.drifts {
			c.driftRows = append(c.driftRows, d)
		}
		slices.SortFunc(c.driftRows, func(a, b *Drift) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Service.Compare(b.Service), a.Server.Compare(b.Server))
		})
	}
	return c.driftRows
}

// noteRepair counts a repair, and decides when the same object may be mended
// again.
func (c *Control) noteRepair(key driftKey, now time.Time) {
	r := c.repaired[key]
	if r == nil {
		r = new(repairs)
		c.repaired[key] = r
	}
	r.times = append(r.times, now)
	if r.recent(now) >= contestRepairs {
		r.retry.wait = max(r.retry.wait, 5*time.Second)
		r.retry.fail(now)
	}
	c.director.DriftRepairs++
}

// contested reports whether a repair has to wait because somebody else changes
// the object again and again.
func (c *Control) contested(key driftKey, now time.Time) bool {
	r := c.repaired[key]
	return r != nil && !r.retry.due(now)
}

// forgetRepairs drops what happened long ago.
func (c *Control) forgetRepairs(now time.Time) {
	for key, r := range c.repaired {
		if r.recent(now) == 0 && r.retry.due(now) {
			delete(c.repaired, key)
		}
	}
}

// adopt makes what the kernel holds the desired state of the services that
// drifted, in one transaction.
func (c *Control) adopt(drifted map[lvs.ServiceKey]*group, now time.Time) {
	if c.open != nil || c.recovering != nil || len(drifted) == 0 {
		return
	}
	change := lvs.Change{Source: lvs.SourceDrift}
	for key, g := range drifted {
		for _, d := range differences(key, g.row) {
			c.sighted(d, now)
		}
		adoptService(&change, key, g.row)
	}
	if why := c.massDelete(&change); why != "" {
		c.hold(why, now)
		return
	}
	if change.IsEmpty() {
		return
	}
	if err := c.away(); err != nil {
		c.hold("cannot be adopted yet: "+err.Error(), now)
		return
	}
	if err := c.perform(change); err != nil {
		c.hold("cannot be adopted: "+err.Error(), now)
		return
	}
	for key, g := range drifted {
		g.seen = 0
		c.director.DriftRepairs++
		c.log.Info("adopted what the kernel holds", "service", key.String())
		c.record(Request{Source: lvs.SourceDrift, Service: key, NewValue: "as in the kernel", Outcome: Accepted, Reason: "somebody else changed the kernel; drift policy adopt"})
	}
}

// adoptService adds to a change what makes a service as the kernel holds it.
func adoptService(change *lvs.Change, key lvs.ServiceKey, row *ServiceRow) {
	if row.inKernel == nil {
		change.DeleteServices = append(change.DeleteServices, key)
		return
	}
	service := row.Service
	service.ServiceSpec = *row.inKernel
	service.Status, service.AdminStatus = lvs.Active, lvs.AdminUp
	at := len(change.PutServices)
	change.PutServices = append(change.PutServices, service)
	for i := range row.Servers {
		s := &row.Servers[i]
		want, wanted := lvs.EffectiveServer(&row.Service, s.Server, &row.around)
		switch {
		case s.InKernel() && s.Actual.Forwarding == lvs.Bypass:
		case s.InKernel() && (s.External || !wanted || want != s.Actual.ServerSpec):
			server := *s.Server
			server.ServerSpec = s.Actual.ServerSpec
			if wanted && want.Weight == s.Actual.Weight {
				server.Weight = s.Server.Weight // it is not what somebody changed
			}
			server.Status, server.AdminStatus, server.Storage = lvs.Active, lvs.AdminUp, service.Storage
			change.PutServers = append(change.PutServers, lvs.ServerAt{Service: key, Server: server})
		case !s.InKernel() && wanted:
			change.DeleteServers = append(change.DeleteServers, lvs.ServerID{Service: key, Server: s.Server.Key})
			if service.IsSorry(s.Server) {
				change.PutServices[at].SorryServer = ""
			}
		}
	}
}

// massDelete says why a change is not adopted: it deletes so much of what the
// kernel should hold that it looks like an accident, such as a flush.
func (c *Control) massDelete(change *lvs.Change) string {
	gone, all := len(change.DeleteServices), 0
	for _, g := range c.groups {
		if !g.row.External && lvs.Wanted(&g.row.Service, &g.row.around) {
			all++
		}
	}
	if gone > 0 && (gone == all || gone > max(5, all/5)) {
		return fmt.Sprintf("held back: adopting it would delete %d of %d services; delete them through LCMS, or mend the kernel", gone, all)
	}
	return ""
}

// hold marks every drift that is to be adopted with why it is not.
func (c *Control) hold(why string, now time.Time) {
	for key, d := range c.drifts {
		if d.Held == why || d.Policy != lvs.DriftAdopt {
			continue
		}
		held := *d
		held.Held = why
		c.drifts[key], c.driftRows = &held, nil
		c.raise(alarmKey{kind: DriftDetected, service: d.Service, server: d.Server, drift: d.Kind}, Major, driftText(&held), now)
	}
}
