package lvs

import (
	"errors"
	"fmt"
)

// The five kinds of failure. Every edge (kernel, store, SNMP, HTTP) translates
// from and to these in one function.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("already exists")
	ErrInvalid     = errors.New("invalid")
	ErrConflict    = errors.New("conflict")
	ErrUnavailable = errors.New("unavailable")
)

// ErrOutcomeUnknown is a write to the directory of which nobody can tell yet
// whether it was made. It comes with ErrUnavailable. The directory has the
// answer; what it holds is what follows.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// Refusal says why a change cannot be made: which object and which of its
// fields is at fault, of what kind the fault is, and how to mend it.
type Refusal struct {
	Kind    error // one of the five kinds
	Service ServiceKey
	Server  ServerKey // zero when the service itself is meant
	Daemon  DaemonState
	Cluster ClusterID // together with Host: the member
	Host    HostName
	Field   string // the Go name of the field at fault, "" for the object as a whole
	Value   bool   // the value of Field can never be right, whatever the other fields are
	Reason  string
	Cause   error // what it was translated from, nil if it is our own finding
}

// Error renders the object, the reason and nothing else.
func (r *Refusal) Error() string {
	switch {
	case !r.Server.IsZero():
		return fmt.Sprintf("server %s of service %s: %s", r.Server, r.Service, r.Reason)
	case !r.Service.IsZero():
		return fmt.Sprintf("service %s: %s", r.Service, r.Reason)
	case r.Cluster != "" && r.Host != "":
		return fmt.Sprintf("member %s of cluster %s: %s", r.Host, r.Cluster, r.Reason)
	case r.Cluster != "":
		return fmt.Sprintf("cluster %s: %s", r.Cluster, r.Reason)
	case r.Host != "":
		return fmt.Sprintf("host %s: %s", r.Host, r.Reason)
	case r.Daemon != 0:
		return fmt.Sprintf("sync daemon %s: %s", r.Daemon, r.Reason)
	default:
		return r.Reason
	}
}

// Unwrap returns the kind and the cause, for errors.Is.
func (r *Refusal) Unwrap() []error {
	if r.Cause == nil {
		return []error{r.Kind}
	}
	return []error{r.Kind, r.Cause}
}
