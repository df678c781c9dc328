package lvs

import (
	"cmp"
	"strings"
)

// Limits of names.
const (
	MaxClusterID = 32
	MaxHostName  = 64
)

// ClusterID names a load cluster: 1 to 32 of a-z, 0-9, dot, underscore and
// hyphen, the first a letter or a digit. The empty one names none.
type ClusterID string

// HostName names a machine: 1 to 64 of a-z, 0-9, dot, underscore and hyphen,
// the first a letter or a digit. The empty one names none.
type HostName string

// ParseClusterID reads the name of a cluster.
func ParseClusterID(s string) (ClusterID, error) {
	if err := checkName(s, MaxClusterID); err != nil {
		return "", invalid("cluster %q: %v", s, err)
	}
	return ClusterID(s), nil
}

// ParseHostName reads the name of a host.
func ParseHostName(s string) (HostName, error) {
	if err := checkName(s, MaxHostName); err != nil {
		return "", invalid("host %q: %v", s, err)
	}
	return HostName(s), nil
}

func checkName(s string, most int) error {
	other := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	}
	switch lower := strings.ToLower(s); {
	case s == "" || len(s) > most:
		return invalid("it has %d octets: use 1 to %d", len(s), most)
	case s != lower && checkName(lower, most) == nil:
		return invalid("names are in lower case: write %q", lower)
	case strings.ContainsFunc(s, other) || strings.ContainsAny(s[:1], "._-"):
		return invalid("use a-z, 0-9, dot, underscore and hyphen, and begin with a letter or a digit")
	}
	return nil
}

// Compare orders names as the rows of a table with this index are ordered: by
// length, then by bytes.
func (id ClusterID) Compare(other ClusterID) int { return CompareTexts(id, other) }

// Compare orders names as the rows of a table with this index are ordered: by
// length, then by bytes.
func (n HostName) Compare(other HostName) int { return CompareTexts(n, other) }

// MemberID names a member: a host in a cluster.
type MemberID struct {
	Cluster ClusterID
	Host    HostName
}

// Compare orders members as the rows of their table are ordered.
func (m MemberID) Compare(other MemberID) int {
	return cmp.Or(m.Cluster.Compare(other.Cluster), m.Host.Compare(other.Host))
}

// IsZero reports whether m names nothing.
func (m MemberID) IsZero() bool { return m == MemberID{} }
