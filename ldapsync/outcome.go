package ldapsync

import (
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// ErrOutcomeUnknown is lvs.ErrOutcomeUnknown.
var ErrOutcomeUnknown = lvs.ErrOutcomeUnknown

// refusal translates why a write was not made into the errors of lvs. uri is
// the server and who we are there.
func refusal(uri, who string, op operation, err error) *lvs.Refusal {
	code, words := answer(err)
	var s stale
	if errors.As(err, &s) {
		code, words = uint16(s), s.Error()
	}
	r := &lvs.Refusal{Kind: lvs.ErrUnavailable, Service: op.place.Service, Server: op.place.Server, Daemon: op.place.Daemon, Cause: err}
	var mend string
	switch code {
	case 0:
		r.Reason = fmt.Sprintf("directory %s: %s: nothing was changed: try again", uri, words)
		return r
	case ldap.LDAPResultAssertionFailed, ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists:
		r.Kind, mend = lvs.ErrConflict, "somebody else has just changed it: look again, and repeat what is still wanted"
	case ldap.LDAPResultNoSuchObject:
		r.Kind, mend = lvs.ErrConflict, "somebody else has deleted it, or what is above it: look again, and repeat what is still wanted"
	case ldap.LDAPResultEntryAlreadyExists:
		r.Kind, mend = lvs.ErrConflict, "somebody else has created it: look again, and change it instead"
	case ldap.LDAPResultNotAllowedOnNonLeaf:
		r.Kind, mend = lvs.ErrConflict, "there is something below it that LCMS does not know: delete that first"
	case ldap.LDAPResultUndefinedAttributeType, ldap.LDAPResultObjectClassViolation:
		r.Kind, mend = lvs.ErrInvalid, "load the schema of LCMS into the directory"
	case ldap.LDAPResultConstraintViolation, ldap.LDAPResultInvalidAttributeSyntax, ldap.LDAPResultInappropriateMatching,
		ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultNamingViolation, ldap.LDAPResultNotAllowedOnRDN, ldap.LDAPResultObjectClassModsProhibited:
		r.Kind, mend = lvs.ErrInvalid, "use another value, or correct the schema and the constraints of the directory"
	case ldap.LDAPResultInsufficientAccessRights:
		mend = fmt.Sprintf("give %s write access to it in the access rules of the directory", who)
	case ldap.LDAPResultReferral:
		mend = "this server is a copy that takes no writes: name the one that does first in directory.uris"
	case ldap.LDAPResultConfidentialityRequired, ldap.LDAPResultStrongAuthRequired:
		mend = "set directory.start-tls, or use ldaps"
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded:
		mend = "try again later"
	default:
		mend = "see what the server logs"
	}
	r.Reason = fmt.Sprintf("directory %s refuses a write of %s (%s): %s", uri, op.dn(), words, mend)
	return r
}

// unknown is a write without an answer.
func unknown(uri, id string, cause error) *lvs.Refusal {
	return &lvs.Refusal{
		Kind: lvs.ErrUnavailable, Cause: fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause),
		Reason: fmt.Sprintf("directory %s has not answered: whether request %s was made is not known yet: look at what the directory holds before repeating it", uri, id),
	}
}
