package lcmsmib

import (
	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var agentGroup = smi.OID{1, 11}

// agentRow is the only row of the group lcmsAgent. Its own fields are those
// that can be written; enabled is the reverse of lvs.Settings.Muted.
type agentRow struct {
	Agent
	enabled uint32
	rate    uint32
}

// allNotifications has the bit of every notification.
var allNotifications = uint32(1)<<len(notificationLabels) - 1

func agent(figures func() Agent) *mib.Table[*control.Snapshot, *agentRow, *lvs.Change] {
	type row = *agentRow
	get := func(s *control.Snapshot) row {
		settings := s.Director.Settings
		return &agentRow{figures(), allNotifications &^ settings.Muted, settings.NotificationRate}
	}
	t := mib.Scalars[*control.Snapshot, row, *lvs.Change]("lcmsAgent", agentGroup, get,
		mib.Counter64(1, "lcmsAgentRequests", func(r row) uint64 { return r.Requests }),
		mib.Counter64(2, "lcmsAgentVarbinds", func(r row) uint64 { return r.Varbinds }),
		mib.Counter64(3, "lcmsAgentSets", func(r row) uint64 { return r.Sets }),
		mib.Counter64(4, "lcmsAgentSetFailures", func(r row) uint64 { return r.SetFailures }),
		mib.Counter64(5, "lcmsAgentCpuTime", func(r row) uint64 { return uint64(r.CPU.Milliseconds()) }),
		mib.Gauge32(6, "lcmsAgentMemory", func(r row) uint64 { return r.Memory / 1024 }),
		mib.Counter32(7, "lcmsAgentReconnects", func(r row) uint32 { return r.Reconnects }),
		mib.Counter64(8, "lcmsAgentNotificationsSent", func(r row) uint64 { return r.Notifications.Sent }),
		mib.Counter64(9, "lcmsAgentNotificationsDropped", func(r row) uint64 { return r.Notifications.Dropped }),
		mib.Counter64(10, "lcmsAgentNotificationsSuppressed", func(r row) uint64 { return r.Notifications.Suppressed }),
		mib.Gauge32(11, "lcmsAgentNotificationsQueued", func(r row) uint64 { return uint64(r.Notifications.Queued) }),
		mib.Bits(12, "lcmsAgentNotificationEnable", func(r row) *uint32 { return &r.enabled }, notificationLabels, mib.Writable),
		mib.Unsigned32(13, "lcmsAgentNotificationRate", func(r row) *uint32 { return &r.rate }, mib.Writable, mib.Range(0, lvs.MaxNotificationRate)),
		mib.Counter64(14, "lcmsAgentNotificationsCoalesced", func(r row) uint64 { return r.Notifications.Coalesced }),
	)
	t.Clone = func(r row) row { clone := *r; return &clone }
	t.Put = func(c *lvs.Change, e mib.Edit[row]) error {
		if e.New.enabled != e.Old.enabled || e.New.rate != e.Old.rate {
			c.Settings = &lvs.Settings{Muted: allNotifications &^ e.New.enabled, NotificationRate: e.New.rate}
		}
		return nil
	}
	return t
}
