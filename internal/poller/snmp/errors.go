package snmp

import (
	"errors"
	"fmt"
)

// ErrNoAnswer says that nothing came back in time.
var ErrNoAnswer = errors.New("no answer")

// StatusError is the refusal of a request by an agent.
type StatusError struct {
	Status int // as in RFC 3416
	Index  int // of the varbind at fault, from 1; 0 = none is named
	Object OID // at fault
}

// The statuses that callers look at (RFC 3416 section 3).
const (
	TooBig              = 1
	NoAccess            = 6
	NoCreation          = 11
	ResourceUnavailable = 13
	AuthorizationError  = 16
	NotWritable         = 17
	InconsistentName    = 18
)

var statusNames = []string{
	"noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType", "wrongLength", "wrongEncoding", "wrongValue",
	"noCreation", "inconsistentValue", "resourceUnavailable", "commitFailed", "undoFailed", "authorizationError", "notWritable", "inconsistentName",
}

func newStatusError(r *Request, status, index int) *StatusError {
	e := &StatusError{Status: status, Index: index}
	if index >= 1 && index <= len(r.vbs) {
		e.Object = r.vbs[index-1].Name
	}
	return e
}

// Error names the status as RFC 3416 does.
func (e *StatusError) Error() string {
	name := fmt.Sprintf("error %d", e.Status)
	if e.Status >= 0 && e.Status < len(statusNames) {
		name = statusNames[e.Status]
	}
	if e.Object == nil {
		return name
	}
	return fmt.Sprintf("%s at %s", name, e.Object)
}
