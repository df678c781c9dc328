package lcmsmib

import (
	"fmt"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
)

var (
	snmpTrapOID = smi.OID{1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0}
	notifyGroup = smi.OID{1, 12}
)

// notificationLabels name the kinds of events as lcmsAgentNotificationEnable
// does: element i is that of kind i+1.
var notificationLabels = []string{"serverStateChange", "serviceStateChange", "serverDrained", "serverOverload", "serverOverloadClear",
	"configChange", "driftDetected", "driftCleared", "kernelLost", "kernelRestored",
	"directoryLost", "directoryRestored", "directoryHold", "directoryHoldReleased", "memberStateChange",
	"monitorLost", "monitorRestored"}

// instance names an instance: a column of an entry, or a scalar of a group with
// the index 0.
func instance(root, entry smi.OID, column uint32, index smi.OID) smi.OID {
	oid := make(smi.OID, 0, len(root)+len(entry)+1+len(index))
	return append(append(append(append(oid, root...), entry...), column), index...)
}

// text is the value of an object for people.
func text(s string) smi.Value { return smi.Text(mib.AdminString(s)) }

// Notification returns the varbinds of the notification of an event, from
// snmpTrapOID.0 on, with the values of the time of the event.
func (m *Module) Notification(e control.Event, sequence uint32) []smi.Varbind {
	root := m.Root()
	scalar := func(n uint32, v smi.Value) smi.Varbind {
		return smi.Varbind{Name: instance(root, notifyGroup, n, smi.OID{0}), Value: v}
	}
	vbs := []smi.Varbind{
		{Name: snmpTrapOID, Value: smi.ObjectIdentifier(root.Child(0, uint32(e.Kind)))},
		scalar(1, smi.Unsigned32(sequence)),
		scalar(2, smi.OctetString(mib.DateAndTime(e.Time))),
		scalar(3, text(notificationText(e))),
	}
	add := func(entry smi.OID, index smi.OID, column uint32, v smi.Value) {
		vbs = append(vbs, smi.Varbind{Name: instance(root, entry, column, index), Value: v})
	}
	switch e.Kind {
	case control.ServiceStateChange:
		index := serviceIndex(nil, e.Service.String())
		add(serviceEntry, index, 16, smi.Integer(int32(e.State)))
		add(serviceEntry, index, 31, smi.Gauge32(e.Up))
		add(serviceEntry, index, 19, smi.Integer(quorumState(e.QuorumLost)))
	case control.ConfigChange:
		index := smi.OID{e.Request}
		add(requestEntry, index, 3, smi.Integer(int32(e.Source)))
		add(requestEntry, index, 5, smi.ObjectIdentifier(orZero(requestObject(root, e.Object, e.Service, e.Server))))
		add(requestEntry, index, 6, text(e.OldValue))
		add(requestEntry, index, 7, text(e.NewValue))
	case control.DriftDetected, control.DriftCleared:
		d := e.Drifted
		index := driftIndex(nil, d)
		add(driftEntry, index, 4, text(d.Attribute))
		add(driftEntry, index, 5, text(d.Desired))
		add(driftEntry, index, 6, text(d.Actual))
		add(driftEntry, index, 9, smi.Integer(int32(d.Policy)))
	case control.KernelLost, control.KernelRestored:
		add(directorGroup, smi.OID{0}, 18, smi.Integer(int32(e.Kernel)))
		lastError := ""
		if e.Kind == control.KernelLost {
			lastError = e.Text
		}
		add(directorGroup, smi.OID{0}, 19, text(lastError))
	case control.DirectoryLost, control.DirectoryRestored:
		add(directoryGroup, smi.OID{0}, 2, smi.Integer(int32(e.Directory.State)))
		add(directoryGroup, smi.OID{0}, 3, text(e.Directory.Provider))
		add(directoryGroup, smi.OID{0}, 6, text(e.Directory.LastError))
	case control.DirectoryHold, control.DirectoryHoldReleased:
		add(directoryGroup, smi.OID{0}, 2, smi.Integer(int32(e.Directory.State)))
		add(directoryGroup, smi.OID{0}, 3, text(e.Directory.Provider))
		add(directoryGroup, smi.OID{0}, 11, smi.Gauge32(e.Directory.Held))
		add(directoryGroup, smi.OID{0}, 12, smi.Unsigned32(e.Directory.HoldID))
	case control.MemberStateChange:
		index := memberIndex(nil, e.Member)
		add(memberEntry, index, 3, smi.Integer(int32(e.State)))
		add(memberEntry, index, 1, smi.Integer(int32(e.Role)))
	case control.MonitorLost, control.MonitorRestored: // of the director, with nothing but words
	default: // of a server
		index := serverIndex(nil, e.Service.String(), e.Server.String())
		add(serverEntry, index, 21, smi.Integer(int32(e.State)))
		add(serverEntry, index, 9, smi.Gauge32(e.Weight))
	}
	return vbs
}

// notificationText is the reason of an event; of a drift that is gone it says
// so, and of a change of several objects how many more there are.
func notificationText(e control.Event) string {
	text := e.Text
	if e.Kind == control.DriftCleared {
		text = "over: " + text
	}
	if e.More > 0 {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%d more objects in the same change", e.More)
	}
	return text
}

func orZero(oid smi.OID) smi.OID {
	if len(oid) < 2 {
		return smi.OID{0, 0}
	}
	return oid
}
