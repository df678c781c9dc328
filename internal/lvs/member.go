package lvs

import "fmt"

// MaxPriority is the highest rank of a member.
const MaxPriority = 255

// Role is what a host does in a cluster.
type Role uint8

// The roles. A loadBalancer and a backup are directors of the cluster.
const (
	LoadBalancer Role = 1
	Backup       Role = 2
	RealServer   Role = 3
)

// Directs reports whether a host in this role is a director.
func (r Role) Directs() bool { return r == LoadBalancer || r == Backup }

// Roles is a set of roles: bit n-1 is the role n.
type Roles uint8

// Bit returns the set of this role alone.
func (r Role) Bit() Roles { return 1 << (r - 1) }

// AllRoles is the set of every role.
const AllRoles = Roles(1<<RealServer - 1)

// Member is a host in a cluster as an administrator asks for it. It is
// comparable.
type Member struct {
	Cluster  ClusterID
	Host     HostName
	Role     Role
	Priority uint32 // rank among the members of the role, 0 to 255, the highest first
	Status   Status
	Storage  Storage
}

// NewMember returns the member that a bare create makes: a real server, active,
// kept in the store.
func NewMember(id MemberID) Member {
	return Member{Cluster: id.Cluster, Host: id.Host, Role: RealServer, Priority: 100, Status: Active, Storage: NonVolatile}
}

// ID returns what names the member.
func (m *Member) ID() MemberID { return MemberID{m.Cluster, m.Host} }

func (m *Member) compare(other *Member) int { return m.ID().Compare(other.ID()) }

// Check says why the member cannot be as it is, nil if it can. The refusal
// names the field at fault.
func (m Member) Check() *Refusal {
	refuse := func(field, format string, args ...any) *Refusal {
		return &Refusal{Kind: ErrInvalid, Cluster: m.Cluster, Host: m.Host, Field: field, Value: true, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case m.Role < LoadBalancer || m.Role > RealServer:
		return refuse("Role", "role %s: use loadBalancer, backup or realServer", m.Role)
	case m.Priority > MaxPriority:
		return refuse("Priority", "priority %d: use 0 to %d", m.Priority, MaxPriority)
	}
	return nil
}
