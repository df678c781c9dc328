package smi

import "strconv"

// ErrorStatus is the error of a whole request (RFC 3416 section 3).
type ErrorStatus uint16

// The error codes of RFC 3416 section 3, those an agent may give with SNMPv2
// and later.
const (
	NoError             ErrorStatus = 0
	TooBig              ErrorStatus = 1
	GenErr              ErrorStatus = 5
	NoAccess            ErrorStatus = 6
	WrongType           ErrorStatus = 7
	WrongLength         ErrorStatus = 8
	WrongEncoding       ErrorStatus = 9
	WrongValue          ErrorStatus = 10
	NoCreation          ErrorStatus = 11
	InconsistentValue   ErrorStatus = 12
	ResourceUnavailable ErrorStatus = 13
	CommitFailed        ErrorStatus = 14
	UndoFailed          ErrorStatus = 15
	AuthorizationError  ErrorStatus = 16
	NotWritable         ErrorStatus = 17
	InconsistentName    ErrorStatus = 18
)

var statusNames = map[ErrorStatus]string{
	NoError:             "noError",
	TooBig:              "tooBig",
	GenErr:              "genErr",
	NoAccess:            "noAccess",
	WrongType:           "wrongType",
	WrongLength:         "wrongLength",
	WrongEncoding:       "wrongEncoding",
	WrongValue:          "wrongValue",
	NoCreation:          "noCreation",
	InconsistentValue:   "inconsistentValue",
	ResourceUnavailable: "resourceUnavailable",
	CommitFailed:        "commitFailed",
	UndoFailed:          "undoFailed",
	AuthorizationError:  "authorizationError",
	NotWritable:         "notWritable",
	InconsistentName:    "inconsistentName",
}

// String returns the name of the code as RFC 3416 writes it.
func (s ErrorStatus) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return "error status " + strconv.Itoa(int(s))
}

// SetError is the refusal of a SET: the code, which varbind it is about, and
// why in words.
type SetError struct {
	Status ErrorStatus
	Index  int // of the failing varbind, from 1; 0 means the first
	Reason string
}

// Error renders the refusal for logs and people.
func (e *SetError) Error() string {
	return e.Status.String() + " (varbind " + strconv.Itoa(max(e.Index, 1)) + "): " + e.Reason
}
