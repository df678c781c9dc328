package lcmsmib

import (
	"errors"
	"strings"
	"time"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// Options are what the MIB is served from.
type Options struct {
	Root     smi.OID // of lcmsMIB
	Control  *control.Control
	Version  string // of the program
	HostName string // of the director
	Agent    func() Agent
}

// Agent is what the agent says of itself.
type Agent struct {
	Requests    uint64 // PDUs from the master
	Varbinds    uint64
	Sets        uint64
	SetFailures uint64
	CPU         time.Duration // user and system
	Memory      uint64        // octets resident
	Reconnects  uint32        // sessions with the master after the first

	Notifications Notifications
}

// Notifications count what became of the events that were to be told.
type Notifications struct {
	Sent       uint64 // accepted by the master
	Dropped    uint64 // lost: too many waited, or the master refused
	Suppressed uint64 // not sent for the limit of the rate
	Coalesced  uint64 // replaced by a newer one of the same row while the master was away or slow
	Queued     int    // that wait now
}

// Module is LCMS-MIB. It implements agentx.Handler and agentx.Writer.
type Module struct {
	*mib.Module[*control.Snapshot, *lvs.Change]
	control *control.Control
}

// New returns the MIB over a control.
func New(o Options) (*Module, error) {
	m := &Module{control: o.Control}
	inner, err := mib.New(mib.Options[*control.Snapshot, *lvs.Change]{
		Root:     o.Root,
		Snapshot: o.Control.Look,
		Begin:    func(s *control.Snapshot) *lvs.Change { return &lvs.Change{Source: lvs.SourceSNMP, Base: s.Desired} },
		Prepare:  m.prepare,
	}, director(o), cluster(), member(), host(), directory(), directoryFault(), service(), serviceStats(), server(), serverStats(), syncDaemon(),
		drift(), driftTotals(), alarm(o.Root), alarmTotals(), request(o.Root), agent(o.Agent))
	if err != nil {
		return nil, err
	}
	m.Module = inner
	return m, nil
}

// Prepare implements agentx.Writer. Whatever becomes of the request is shown in
// lcmsRequestTable.
func (m *Module) Prepare(context string, vbs []smi.Varbind) (agentx.Pending, error) {
	pending, err := m.Module.Prepare(context, vbs)
	if err == nil {
		return pending, nil
	}
	refused := &smi.SetError{Status: smi.GenErr, Index: 1, Reason: err.Error()}
	errors.As(err, &refused)
	if at := max(refused.Index, 1) - 1; at < len(vbs) {
		vb, old := &vbs[at], smi.NoSuchInstance()
		if view, ok := m.View(""); ok {
			old = view.Get(vb.Name)
		}
		line := describe(vb, old, func(v smi.Value) string { return m.Format(vb.Name, v) })
		line.Context, line.Outcome, line.Reason = context, control.Refused, refused.Status.String()+": "+refused.Reason
		m.control.Record(line)
	}
	return nil, err
}

// describe makes a line of the record of a varbind and what stood there before.
func describe(vb *smi.Varbind, old smi.Value, format func(smi.Value) string) control.Request {
	line := control.Request{Source: lvs.SourceSNMP, Object: vb.Name, NewValue: mib.AdminString(format(vb.Value))}
	if !old.IsException() {
		line.OldValue = format(old)
	}
	return line
}

// recorded is a transaction whose end is recorded.
type recorded struct {
	agentx.Pending
	control *control.Control
	lines   []control.Request
}

// Commit implements agentx.Pending.
func (r *recorded) Commit() error {
	err := r.Pending.Commit()
	if err != nil {
		r.record(control.Failed, err.Error())
	}
	return err
}

// Undo implements agentx.Pending.
func (r *recorded) Undo() error {
	err := r.Pending.Undo()
	reason := "somebody else refused another part of the same request"
	if tx, ok := r.Pending.(*control.Transaction); ok {
		if gone := tx.GivenUp(); gone != nil {
			reason = gone.Error()
		}
	}
	if err != nil {
		reason += "; taking it back failed: " + err.Error()
	}
	r.record(control.Undone, reason)
	return err
}

// Done implements agentx.Pending.
func (r *recorded) Done() {
	if tx, ok := r.Pending.(*control.Transaction); ok {
		tx.Finish(r.lines)
		r.lines = nil
		return
	}
	r.Pending.Done()
	r.record(control.Accepted, "")
}

// record adds the lines once.
func (r *recorded) record(outcome control.Outcome, reason string) {
	for i := range r.lines {
		r.lines[i].Outcome, r.lines[i].Reason = outcome, reason
	}
	r.control.Record(r.lines...)
	r.lines = nil
}

// prepare hands a change to control and translates its refusal. But for what a
// monitor reports, what becomes of it is recorded.
func (m *Module) prepare(change *lvs.Change, set *mib.Set[*control.Snapshot, *lvs.Change]) (agentx.Pending, error) {
	var pending agentx.Pending = nothing{}
	if !change.IsEmpty() {
		tx, err := m.control.Prepare(*change)
		if err != nil {
			return nil, translate(err, set)
		}
		if change.IsReport() { // it changes nothing that anybody asked for
			return tx, nil
		}
		pending = tx
	}
	lines := make([]control.Request, set.Len())
	set.Each(func(w *mib.Write) { lines[w.Number-1] = describe(w.Varbind, w.Old, w.Format) })
	return &recorded{pending, m.control, lines}, nil
}

// nothing is a SET that changes nothing, as destroying what is not there.
type nothing struct{}

func (nothing) Commit() error { return nil }
func (nothing) Undo() error   { return nil }
func (nothing) Done()         {}

// locator finds the varbind that is at fault.
type locator interface {
	Locate(table, index smi.OID, column string) int
}

// translate is the one place where an error of the domain becomes one of SNMP.
func translate(err error, set locator) error {
	var r *lvs.Refusal
	if !errors.As(err, &r) {
		return &smi.SetError{Status: smi.GenErr, Index: 1, Reason: err.Error()}
	}
	out := &smi.SetError{Index: 1, Reason: r.Error()}
	switch {
	case r.Value:
		out.Status = smi.WrongValue
	case errors.Is(err, lvs.ErrNotFound):
		out.Status = smi.InconsistentName
	case errors.Is(err, lvs.ErrUnavailable):
		out.Status = smi.ResourceUnavailable
	default:
		out.Status = smi.InconsistentValue
	}
	switch {
	case !r.Server.IsZero():
		out.Index = set.Locate(serverEntry, serverIndex(nil, r.Service.String(), r.Server.String()), columnOf("lcmsServer", r.Field))
	case !r.Service.IsZero():
		out.Index = set.Locate(serviceEntry, serviceIndex(nil, r.Service.String()), columnOf("lcmsService", r.Field))
	case r.Cluster != "" && r.Host != "":
		out.Index = set.Locate(memberEntry, memberIndex(nil, lvs.MemberID{Cluster: r.Cluster, Host: r.Host}), columnOf("lcmsMember", r.Field))
	case r.Cluster != "":
		out.Index = set.Locate(clusterEntry, smi.AppendIndexString(nil, string(r.Cluster)), columnOf("lcmsCluster", r.Field))
	case r.Host != "":
		out.Index = set.Locate(hostEntry, smi.AppendIndexString(nil, string(r.Host)), columnOf("lcmsHost", r.Field))
	case r.Daemon != 0:
		out.Index = set.Locate(syncDaemonEntry, smi.OID{uint32(r.Daemon)}, columnOf("lcmsSyncDaemon", r.Field))
	case r.Field == "HoldRelease" || r.Field == "SyncNow":
		out.Index = set.Locate(directoryGroup, smi.OID{0}, columnOf("lcmsDirectory", r.Field))
	case r.Field == "NotificationRate":
		out.Index = set.Locate(agentGroup, smi.OID{0}, columnOf("lcmsAgent", r.Field))
	case r.Field != "":
		out.Index = set.Locate(directorGroup, smi.OID{0}, columnOf("lcmsDirector", r.Field))
	}
	return out
}

// columnOf names the column that a field of the model is shown in.
func columnOf(prefix, field string) string {
	switch field {
	case "Storage":
		field = "StorageType"
	case "Status":
		field = "RowStatus"
	case "Lock":
		field = "ConfigLock"
	case "TTL":
		field = "Ttl"
	case "SyncID":
		field = "SyncId"
	case "SnmpURI":
		field = "SnmpUri"
	case "TCP", "TCPFin", "UDP":
		field = strings.NewReplacer("TCP", "Tcp", "UDP", "Udp").Replace(field) + "Timeout"
	}
	return prefix + field
}

// refuse is a refusal of a row by the tables themselves.
func refuse(status smi.ErrorStatus, reason string) error {
	return &smi.SetError{Status: status, Reason: reason}
}

const adoptFirst = "somebody else put it into the kernel: set its RowStatus to active(1) to take it over"

var operLabels = []string{"up", "down", "draining", "drained", "overloaded", "absent", "failed"}

var adminLabels = []string{"up", "drain", "down"}

// kilobits turns octets per second into kilobits per second.
func kilobits(octets uint64) uint64 { return octets * 8 / 1000 }
