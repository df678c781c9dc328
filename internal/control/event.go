package control

import (
	"cmp"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// EventKind is what happened, numbered as the notifications of LCMS-MIB.
type EventKind uint8

// The kinds of events. A kind with a Clear is a condition that lasts until its
// clear; see Alarm.
const (
	ServerStateChange EventKind = iota + 1
	ServiceStateChange
	ServerDrained
	ServerOverload
	ServerOverloadClear
	ConfigChange
	DriftDetected
	DriftCleared
	KernelLost
	KernelRestored
	DirectoryLost
	DirectoryRestored
	DirectoryHold
	DirectoryHoldReleased
	MemberStateChange
	MonitorLost
	MonitorRestored
)

// Event is something that somebody may want to be told.
type Event struct {
	Kind       EventKind
	Time       time.Time
	Service    lvs.ServiceKey // zero: the director as a whole
	Server     lvs.ServerKey  // zero: the service
	Member     lvs.MemberID   // of MemberStateChange
	State      OperStatus     // of the row, after the event
	Kernel     KernelState    // of KernelLost and KernelRestored
	Drift      DriftKind      // of DriftDetected and DriftCleared
	Drifted    *Drift         // the same: the row of the table, as it was
	Weight     uint32         // of a server: its weight in the kernel
	Up         uint32         // of a service: how many of its servers take new connections
	Role       lvs.Role       // of a member
	QuorumLost bool           // by a service
	// Directory is what was known of it then, of the kinds about it.
	Directory *lvs.DirectoryStatus
	Text      string // the reason, in words

	// Of ConfigChange: the first object of the change, and how many more.
	Request  uint32 // its index
	Source   lvs.Source
	Object   []uint32
	OldValue string
	NewValue string
	More     int
}

// Severity of an alarm, numbered as lcmsAlarmSeverity of LCMS-MIB.
type Severity uint8

// The severities.
const (
	Critical Severity = 1 // clients are not served
	Major    Severity = 2 // something does not work, clients are served
	Minor    Severity = 3 // something needs attention
)

// Alarm is a condition that lasts: a manager that lost notifications learns
// from the alarms what is wrong at the moment.
type Alarm struct {
	Index    uint32 // counts from 1
	Kind     EventKind
	Service  lvs.ServiceKey
	Server   lvs.ServerKey
	Member   lvs.MemberID
	Drift    DriftKind
	Severity Severity
	Raised   time.Time
	Text     string
}

// alarmKey tells alarms apart.
type alarmKey struct {
	kind    EventKind
	service lvs.ServiceKey
	server  lvs.ServerKey
	drift   DriftKind
	member  lvs.MemberID
}

// emit keeps an event for the observer until what it tells of is published. It is
// called with the lock held.
func (c *Control) emit(e Event) {
	if c.observe != nil {
		c.events = append(c.events, e)
	}
}

// tell hands the events to the observer.
func (c *Control) tell() {
	for _, e := range c.events {
		c.observe(e)
	}
	clear(c.events)
	c.events = c.events[:0]
}

// raise notes that a condition holds, and how bad it is.
func (c *Control) raise(key alarmKey, severity Severity, text string, now time.Time) {
	if old := c.alarms[key]; old != nil {
		if old.Severity == severity && old.Text == text {
			return
		}
		changed := *old
		changed.Severity, changed.Text = severity, text
		c.alarms[key] = &changed
	} else {
		c.lastAlarm++
		c.alarms[key] = &Alarm{
			Index: c.lastAlarm, Kind: key.kind, Service: key.service, Server: key.server, Member: key.member, Drift: key.drift,
			Severity: severity, Raised: now, Text: text,
		}
	}
	c.director.AlarmsChangedAt = now
	c.alarmRows = nil
}

// clear notes that a condition no longer holds.
func (c *Control) clear(key alarmKey, now time.Time) {
	if c.alarms[key] == nil {
		return
	}
	delete(c.alarms, key)
	c.director.AlarmsChangedAt = now
	c.alarmRows = nil
}

// alarmTable returns the alarms by index.
func (c *Control) alarmTable() []*Alarm {
	if c.alarmRows == nil {
		c.alarmRows = make([]*Alarm, 0, len(c.alarms))
		for _, a := range c.alarms {
			c.alarmRows = append(c.alarmRows, a)
		}
		slices.SortFunc(c.alarmRows, func(a, b *Alarm) int { return cmp.Compare(a.Index, b.Index) })
	}
	return c.alarmRows
}

// compare tells what changed between two rows of a service, and keeps the
// alarms. A nil row is one that is not there.
func (c *Control) compare(key lvs.ServiceKey, old, row *ServiceRow, now time.Time) {
	if !c.reconciled { // at the start nothing has changed: it was never known
		c.forget(key, old, row, now)
		return
	}
	ours := row != nil && !row.External
	if ours && old != nil && !old.External && (old.Oper.Status != row.Oper.Status || old.QuorumLost() != row.QuorumLost()) {
		text := row.Reason
		if old.QuorumLost() && !row.QuorumLost() {
			text += "; the quorum is met again"
		}
		c.emit(Event{Kind: ServiceStateChange, Time: now, Service: key, State: row.Oper.Status, QuorumLost: row.QuorumLost(), Text: text, Up: row.ServersUp})
	}
	c.serviceAlarm(key, row, now)
	if row != nil && old != nil && sameNames(old, row) {
		for i, s := range row.Servers {
			if before := old.Servers[i].ServerState; before != s.ServerState {
				c.compareServer(key, before, s, ours, now)
			}
		}
		return
	}
	before := make(map[lvs.ServerKey]*ServerState)
	if old != nil {
		for _, s := range old.Servers {
			before[s.Server.Key] = s.ServerState
		}
	}
	if row != nil {
		for _, s := range row.Servers {
			c.compareServer(key, before[s.Server.Key], s, ours, now)
		}
	}
	c.forget(key, old, row, now)
}

// forget clears the alarms of what is not there any more.
func (c *Control) forget(key lvs.ServiceKey, old, row *ServiceRow, now time.Time) {
	if old == nil {
		return
	}
	var left []ServerRow
	if row != nil {
		if sameNames(old, row) {
			return
		}
		left = row.Servers
	} else {
		c.clear(alarmKey{kind: ServiceStateChange, service: key}, now)
	}
	there := make(map[lvs.ServerKey]bool, len(left))
	for _, s := range left {
		there[s.Server.Key] = true
	}
	for _, s := range old.Servers {
		if !there[s.Server.Key] {
			c.clear(alarmKey{kind: ServerStateChange, service: key, server: s.Server.Key}, now)
			c.clear(alarmKey{kind: ServerOverload, service: key, server: s.Server.Key}, now)
		}
	}
}

// sameNames reports whether two rows have the same servers, in the same order.
func sameNames(a, b *ServiceRow) bool {
	if len(a.Servers) != len(b.Servers) {
		return false
	}
	for i := range a.Servers {
		if x, y := a.Servers[i].ServerState, b.Servers[i].ServerState; x != y && x.Text != y.Text {
			return false
		}
	}
	return true
}

// assess keeps the alarms of a service of which nothing was known before.
func (c *Control) assess(key lvs.ServiceKey, row *ServiceRow, now time.Time) {
	c.serviceAlarm(key, row, now)
	for _, s := range row.Servers {
		c.compareServer(key, nil, s, !row.External, now)
	}
}

func (c *Control) compareServer(key lvs.ServiceKey, old *ServerState, s ServerRow, ours bool, now time.Time) {
	ours = ours && !s.External
	status := s.Oper.Status
	e := Event{Time: now, Service: key, Server: s.Server.Key, State: status, Text: s.Reason, Weight: s.Actual.Weight}
	tell := func(kind EventKind) {
		e.Kind = kind
		c.emit(e)
	}
	if ours && old != nil && old.Oper.Status != status {
		switch {
		case status == OperOverloaded:
			tell(ServerOverload)
		case old.Oper.Status == OperOverloaded:
			tell(ServerOverloadClear)
		}
		if status != OperOverloaded && old.Oper.Status != OperOverloaded {
			tell(ServerStateChange)
		}
		if status == OperDrained {
			tell(ServerDrained)
		}
	}
	was := OperStatus(0)
	if old != nil {
		was = old.Oper.Status
	}
	// Most have no alarm before and after, which is known without a look.
	if broken := status.broken(); broken || was.broken() || old == nil {
		c.alarm(alarmKey{kind: ServerStateChange, service: key, server: s.Server.Key}, ours && broken, Major, s.Reason, now)
	}
	if full := status == OperOverloaded; full || was == OperOverloaded || old == nil {
		c.alarm(alarmKey{kind: ServerOverload, service: key, server: s.Server.Key}, ours && full, Minor, s.Reason, now)
	}
}

// broken reports whether a server has an alarm in this state.
func (s OperStatus) broken() bool { return s == OperFailed || s == OperDown }

// serviceAlarm keeps the alarm of a service that serves nobody, or too few
// servers of which do.
func (c *Control) serviceAlarm(key lvs.ServiceKey, row *ServiceRow, now time.Time) {
	ours := row != nil && !row.External
	bad := ours && (row.Oper.Status == OperDown || row.Oper.Status == OperFailed || row.Oper.Status == OperOverloaded)
	severity, text := Major, ""
	if bad {
		severity = Critical
	}
	if ours {
		text = row.Reason
	}
	c.alarm(alarmKey{kind: ServiceStateChange, service: key}, bad || ours && row.QuorumLost() && !row.drains(), severity, text, now)
}

// alarm raises or clears.
func (c *Control) alarm(key alarmKey, holds bool, severity Severity, text string, now time.Time) {
	if holds {
		c.raise(key, severity, text, now)
	} else {
		c.clear(key, now)
	}
}
