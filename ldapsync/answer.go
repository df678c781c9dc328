package ldapsync

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// resultNames are the results that a server may answer with, as RFC 4511
// appendix A, RFC 4528 and RFC 5805 name them.
var resultNames = map[uint16]string{
	1: "operationsError", 2: "protocolError", 3: "timeLimitExceeded", 4: "sizeLimitExceeded",
	7: "authMethodNotSupported", 8: "strongerAuthRequired", 10: "referral", 11: "adminLimitExceeded",
	12: "unavailableCriticalExtension", 13: "confidentialityRequired",
	16: "noSuchAttribute", 17: "undefinedAttributeType", 18: "inappropriateMatching",
	19: "constraintViolation", 20: "attributeOrValueExists", 21: "invalidAttributeSyntax",
	32: "noSuchObject", 33: "aliasProblem", 34: "invalidDNSyntax", 36: "aliasDereferencingProblem",
	48: "inappropriateAuthentication", 49: "invalidCredentials", 50: "insufficientAccessRights",
	51: "busy", 52: "unavailable", 53: "unwillingToPerform", 54: "loopDetect",
	64: "namingViolation", 65: "objectClassViolation", 66: "notAllowedOnNonLeaf", 67: "notAllowedOnRDN",
	68: "entryAlreadyExists", 69: "objectClassModsProhibited", 71: "affectsMultipleDSAs", 80: "other",
	118: "canceled", 122: "assertionFailed", 4096: "syncRefreshRequired",
}

// answer returns the result code of what a server answered, and it in words,
// with what the server says itself. The code is 0 if there was no answer.
func answer(err error) (code uint16, words string) {
	var e *ldap.Error
	switch {
	case err == nil:
		return 0, ""
	case !errors.As(err, &e):
		return 0, err.Error()
	case e.Packet == nil: // go-ldap's own finding
		return 0, strings.TrimPrefix(e.Err.Error(), "ldap: ")
	}
	words = fmt.Sprintf("result %d", e.ResultCode)
	if name, ok := resultNames[e.ResultCode]; ok {
		words = fmt.Sprintf("%s %d", name, e.ResultCode)
	}
	if said := strings.TrimSpace(e.Err.Error()); said != "" {
		words += ": " + said
	}
	return e.ResultCode, words
}
