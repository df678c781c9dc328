package agentx

import (
	"errors"
	"strconv"

	"github.com/lcms-project/lcms/agentx/smi"
)

// ErrorCode is the error of a Response: one of the codes below, or of those of
// RFC 3416 that a smi.ErrorStatus names (RFC 2741 section 5.4 and 6.2.16).
type ErrorCode uint16

// The error codes that only AgentX has.
const (
	OpenFailed            ErrorCode = 256
	NotOpen               ErrorCode = 257
	IndexWrongType        ErrorCode = 258
	IndexAlreadyAllocated ErrorCode = 259
	IndexNoneAvailable    ErrorCode = 260
	IndexNotAllocated     ErrorCode = 261
	UnsupportedContext    ErrorCode = 262
	DuplicateRegistration ErrorCode = 263
	UnknownRegistration   ErrorCode = 264
	UnknownAgentCaps      ErrorCode = 265
	ParseError            ErrorCode = 266
	RequestDenied         ErrorCode = 267
	ProcessingError       ErrorCode = 268
)

var codeNames = [...]string{
	"openFailed", "notOpen", "indexWrongType", "indexAlreadyAllocated", "indexNoneAvailable", "indexNotAllocated",
	"unsupportedContext", "duplicateRegistration", "unknownRegistration", "unknownAgentCaps", "parseError",
	"requestDenied", "processingError",
}

// String returns the name of the code as RFC 2741 or RFC 3416 writes it.
func (c ErrorCode) String() string {
	if i := int(c) - int(OpenFailed); i >= 0 && i < len(codeNames) {
		return codeNames[i]
	}
	return smi.ErrorStatus(c).String()
}

// Failures of a Session and of the codec.
var (
	// ErrMalformed is wrapped by every failure to read a PDU.
	ErrMalformed = errors.New("malformed AgentX PDU")
	// ErrNotConnected: no session with the master is open at the moment. Run
	// is trying to open one.
	ErrNotConnected = errors.New("no AgentX session with the master is open")
	// ErrTimeout: the master did not answer in Options.RequestTimeout.
	ErrTimeout = errors.New("the AgentX master does not answer")
)

// ResponseError is the refusal of one of our requests by the master.
type ResponseError struct {
	Request Type
	Code    ErrorCode
	Index   int // of the varbind at fault, from 1; 0 when none is meant
}

// Error says which request was refused and why.
func (e *ResponseError) Error() string {
	s := "AgentX master refuses " + e.Request.String() + ": " + e.Code.String()
	if e.Index != 0 {
		s += " (varbind " + strconv.Itoa(e.Index) + ")"
	}
	return s
}

// CloseReason is why a session is closed (RFC 2741 section 6.2.2).
type CloseReason uint8

// The reasons.
const (
	ReasonOther         CloseReason = 1
	ReasonParseError    CloseReason = 2
	ReasonProtocolError CloseReason = 3
	ReasonTimeouts      CloseReason = 4
	ReasonShutdown      CloseReason = 5
	ReasonByManager     CloseReason = 6
)

// String returns the name of the reason as RFC 2741 writes it.
func (r CloseReason) String() string {
	names := [...]string{"", "reasonOther", "reasonParseError", "reasonProtocolError", "reasonTimeouts", "reasonShutdown", "reasonByManager"}
	if r > 0 && int(r) < len(names) {
		return names[r]
	}
	return "reason " + strconv.Itoa(int(r))
}
