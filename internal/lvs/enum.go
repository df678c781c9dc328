package lvs

import (
	"fmt"
	"slices"
	"strings"
)

// AdminStatus is what the administrator wants of a service or server.
type AdminStatus uint8

// The administrative states.
const (
	AdminUp    AdminStatus = 1
	AdminDrain AdminStatus = 2 // weight 0: existing connections end by themselves
	AdminDown  AdminStatus = 3 // taken out of the kernel at once
)

// DrainAction is what follows when a server has been drained.
type DrainAction uint8

// The actions.
const (
	DrainKeep    DrainAction = 1 // it stays in the kernel with weight 0
	DrainDown    DrainAction = 2 // its administrative status becomes down
	DrainDestroy DrainAction = 3 // its row is destroyed
)

// DriftPolicy says what is done about drift, numbered as lcmsDriftPolicy of
// LCMS-MIB.
type DriftPolicy uint8

// The policies.
const (
	DriftEnforce DriftPolicy = 1 // mend the kernel
	DriftAlert   DriftPolicy = 2 // only tell
	DriftAdopt   DriftPolicy = 3 // make it the desired state
)

// WeightPolicy says what the weights of the servers of a service follow,
// numbered as lcmsServiceWeightPolicy of LCMS-MIB.
type WeightPolicy uint8

// The policies.
const (
	WeightStatic   WeightPolicy = 1 // the administrator
	WeightCapacity WeightPolicy = 2 // what each server has been seen to bear
	WeightFeedback WeightPolicy = 3 // how loaded each server is
)

// Health is what a monitor has found of a server, numbered as lcmsServerHealth of
// LCMS-MIB.
type Health uint8

// The states of health.
const (
	HealthUnknown Health = 1
	HealthUp      Health = 2
	HealthDown    Health = 3
)

// Status is the state of a row, numbered as RowStatus of RFC 2579.
type Status uint8

// The row states. Only an active row is in the kernel.
const (
	Active       Status = 1
	NotInService Status = 2
	NotReady     Status = 3
)

// Storage says where a row is kept, numbered as StorageType of RFC 2579.
type Storage uint8

// The kinds of storage. Other is shown for what somebody else put into the
// kernel; it cannot be asked for.
const (
	Other       Storage = 1
	Volatile    Storage = 2 // gone with the agent
	NonVolatile Storage = 3 // in the store
)

// Texts of the enumerations as the store and the directory have them. Element
// i is the text of value i; an empty text is no value.
var (
	forwardingTexts  = []string{"masquerade", "local", "tunnel", "directRoute", "bypass"}
	tunnelTypeTexts  = []string{"ipip", "gue", "gre"}
	daemonStateTexts = []string{"", "master", "backup"}
	adminStatusTexts = []string{"", "up", "drain", "down"}
	drainActionTexts = []string{"", "keep", "down", "destroy"}
	roleTexts        = []string{"", "loadBalancer", "backup", "realServer"}
	driftPolicyTexts = []string{"", "enforce", "alert", "adopt"}
	weightTexts      = []string{"", "static", "capacity", "feedback"}
	checkTypeTexts   = []string{"", "none", "tcp", "http", "https", "dns", "smtp", "ping", "udp", "snmp", "script"}
	healthTexts      = []string{"", "unknown", "up", "down"}
	statusTexts      = []string{"", "active", "notInService", "notReady"}
	storageTexts     = []string{"", "other", "volatile", "nonVolatile"}
)

// String returns the text of the value.
func (f Forwarding) String() string { return enumText(forwardingTexts, f) }

// String returns the text of the value.
func (t TunnelType) String() string { return enumText(tunnelTypeTexts, t) }

// String returns the text of the value.
func (s DaemonState) String() string { return enumText(daemonStateTexts, s) }

// String returns the text of the value.
func (s AdminStatus) String() string { return enumText(adminStatusTexts, s) }

// String returns the text of the value.
func (a DrainAction) String() string { return enumText(drainActionTexts, a) }

// String returns the text of the value.
func (r Role) String() string { return enumText(roleTexts, r) }

// String returns the text of the value.
func (p DriftPolicy) String() string { return enumText(driftPolicyTexts, p) }

// String returns the text of the value.
func (p WeightPolicy) String() string { return enumText(weightTexts, p) }

// String returns the text of the value.
func (t CheckType) String() string { return enumText(checkTypeTexts, t) }

// String returns the text of the value.
func (h Health) String() string { return enumText(healthTexts, h) }

// String returns the text of the value.
func (s Status) String() string { return enumText(statusTexts, s) }

// String returns the text of the value.
func (s Storage) String() string { return enumText(storageTexts, s) }

// MarshalText renders the value for the store.
func (f Forwarding) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// MarshalText renders the value for the store.
func (t TunnelType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText renders the value for the store.
func (s DaemonState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText renders the value for the store.
func (s AdminStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText renders the value for the store.
func (a DrainAction) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// MarshalText renders the value for the store.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText renders the value for the store.
func (p DriftPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// MarshalText renders the value for the store.
func (p WeightPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// MarshalText renders the value for the store.
func (t CheckType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText renders the value for the store.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText renders the value for the store.
func (s Storage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text of a value.
func (f *Forwarding) UnmarshalText(b []byte) error { return parseEnum(f, forwardingTexts, b) }

// UnmarshalText reads the text of a value.
func (t *TunnelType) UnmarshalText(b []byte) error { return parseEnum(t, tunnelTypeTexts, b) }

// UnmarshalText reads the text of a value.
func (s *DaemonState) UnmarshalText(b []byte) error { return parseEnum(s, daemonStateTexts, b) }

// UnmarshalText reads the text of a value.
func (s *AdminStatus) UnmarshalText(b []byte) error { return parseEnum(s, adminStatusTexts, b) }

// UnmarshalText reads the text of a value.
func (a *DrainAction) UnmarshalText(b []byte) error { return parseEnum(a, drainActionTexts, b) }

// UnmarshalText reads the text of a value.
func (r *Role) UnmarshalText(b []byte) error { return parseEnum(r, roleTexts, b) }

// UnmarshalText reads the text of a value.
func (p *DriftPolicy) UnmarshalText(b []byte) error { return parseEnum(p, driftPolicyTexts, b) }

// UnmarshalText reads the text of a value.
func (p *WeightPolicy) UnmarshalText(b []byte) error { return parseEnum(p, weightTexts, b) }

// UnmarshalText reads the text of a value.
func (t *CheckType) UnmarshalText(b []byte) error { return parseEnum(t, checkTypeTexts, b) }

// UnmarshalText reads the text of a value.
func (s *Status) UnmarshalText(b []byte) error { return parseEnum(s, statusTexts, b) }

// UnmarshalText reads the text of a value.
func (s *Storage) UnmarshalText(b []byte) error { return parseEnum(s, storageTexts, b) }

func enumText[E ~uint8](texts []string, v E) string {
	if int(v) < len(texts) && texts[v] != "" {
		return texts[v]
	}
	return fmt.Sprintf("value %d", v)
}

func parseEnum[E ~uint8](v *E, texts []string, b []byte) error {
	i := slices.Index(texts, string(b))
	if i < 0 || len(b) == 0 {
		known := slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return s == "" })
		return fmt.Errorf("%w: %q is none of %s", ErrInvalid, b, strings.Join(known, ", "))
	}
	*v = E(i)
	return nil
}
