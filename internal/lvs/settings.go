package lvs

import "fmt"

// MaxNotificationRate is the highest rate of notifications that can be asked
// for; net-snmp passes on no more.
const MaxNotificationRate = 10000

// Settings are what an operator may change of the agent itself. They are
// comparable.
type Settings struct {
	Muted            uint32 // bit n-1: notifications with the number n in LCMS-MIB are not sent
	NotificationRate uint32 // notifications per second; 0 = no limit
}

// DefaultSettings are those of a store that has none: every notification is
// sent, 50 in a second.
func DefaultSettings() Settings { return Settings{NotificationRate: 50} }

// Check says why the settings cannot be, nil if they can.
func (s Settings) Check() *Refusal {
	if s.NotificationRate > MaxNotificationRate {
		return &Refusal{
			Kind: ErrInvalid, Field: "NotificationRate", Value: true,
			Reason: fmt.Sprintf("%d notifications per second: use 1 to %d, or 0 for no limit", s.NotificationRate, MaxNotificationRate),
		}
	}
	return nil
}
