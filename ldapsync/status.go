package ldapsync

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// condition is how a follower stands to the directory.
type condition struct {
	provider  string // that is followed, or was until just now; "" = none
	last      string // that was followed last
	writer    string // that writes go to
	cut       context.CancelCauseFunc
	live      bool // the session goes on
	refreshed bool // the server has told all that it has
	reached   bool // once a server had
	complete  bool // the tree is what a server holds, or held
	stale     bool // the server has changes that do not come
	doubtful  bool // something may have been missed that only reading all shows
	pending   bool // the tree has something that the director has not
	handed    bool // the director has once had what the tree has

	begun    time.Time        // when the server last began to tell all, or what has changed
	changed  time.Time        // when the tree last did
	behind   time.Time        // since when the server has had something that did not come
	lastSync time.Time        // when the director last had all that the server had
	doubted  time.Time        // when all was last read because something may have been missed
	longest  time.Duration    // that it took to read
	checked  []string         // contextCSN for which nothing comes
	known    []string         // contextCSN that a server must have before it is written to
	faults   map[string]error // why a server is not followed
	refusal  error            // why the director does not take what the tree says

	entries int
	aside   []string        // entries that are
	odd     map[string]bool // what the log has of them, and of remarks
}

// tell tells the director the status whenever it has changed, until ctx ends.
func (f *Follower) tell(ctx context.Context) {
	var told lvs.DirectoryStatus
	for {
		if s := f.Status(); !reflect.DeepEqual(s, told) {
			f.Target.SetDirectory(s)
			told = s
		}
		select {
		case <-f.say:
		case <-ctx.Done():
			return
		}
	}
}

// Status returns how the directory is.
func (f *Follower) Status() lvs.DirectoryStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := lvs.DirectoryStatus{
		State:     f.state(),
		Provider:  f.at.provider,
		LastSync:  f.at.lastSync,
		LastError: f.trouble(),
		Entries:   uint32(f.at.entries),
		Faults:    f.at.aside,
	}
	if n := len(f.memory.held); n > 0 {
		s.Held, s.HoldID = uint32(n), f.memory.id
		s.HeldText = fmt.Sprintf("%s: bring it back in the directory, or release %d", f.memory.text, f.memory.id)
	}
	return s
}

func (f *Follower) state() lvs.DirectoryState {
	switch {
	case f.at.provider == "" && f.useless():
		return lvs.DirectoryFailed
	case f.at.provider == "" && !f.at.reached:
		return lvs.DirectoryConnecting
	case f.at.provider == "":
		return lvs.DirectoryDisconnected
	case f.at.stale, f.at.refusal != nil:
		return lvs.DirectoryStale
	case !f.at.refreshed, !f.at.handed:
		return lvs.DirectoryRefreshing
	case len(f.memory.held) > 0:
		return lvs.DirectoryHeld
	}
	return lvs.DirectoryInSync
}

// useless reports whether no server can be followed until somebody mends
// something.
func (f *Follower) useless() bool {
	for _, uri := range f.URIs {
		if !needsMend(f.at.faults[uri]) {
			return false
		}
	}
	return true
}

// needsMend reports whether waiting does not help.
func needsMend(err error) bool {
	var (
		untrusted *tls.CertificateVerificationError
		noTLS     tls.RecordHeaderError
	)
	if errors.Is(err, lvs.ErrInvalid) || errors.As(err, &untrusted) || errors.As(err, &noTLS) {
		return true
	}
	switch code, _ := answer(err); code {
	case ldap.LDAPResultNoSuchObject, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded,
		ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultAuthMethodNotSupported,
		ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultConfidentialityRequired,
		ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultReferral:
		return true
	}
	return false
}

// trouble says all that is wrong.
func (f *Follower) trouble() string {
	var parts []string
	for _, uri := range f.URIs {
		if err := f.at.faults[uri]; err != nil {
			parts = append(parts, err.Error())
		}
	}
	if f.at.refusal != nil {
		parts = append(parts, f.at.refusal.Error())
	}
	if f.at.live && f.Writer != nil && f.at.refreshed && f.at.writer != f.at.provider {
		parts = append(parts, f.moving())
	}
	return strings.Join(parts, "; ")
}

func (f *Follower) moving() string {
	return fmt.Sprintf("directory %s takes no writes of ours until it has what %s had: see to it that the servers reach each other", f.at.provider, f.at.writer)
}

// Writable says why nothing can be written at the moment, nil if it can. It
// does not wait.
func (f *Follower) Writable() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	refuse := func(format string, args ...any) error {
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case !f.at.live && f.trouble() != "":
		return refuse("the directory is not reached, and the configuration cannot be changed without it: %s", f.trouble())
	case !f.at.live:
		return refuse("the directory is just being reached: try again in a moment")
	case !f.at.complete || !f.at.handed:
		return refuse("the directory is being read for the first time: try again when it is in sync")
	case f.Writer != nil && f.at.writer != f.at.provider:
		return refuse("%s", f.moving())
	}
	return nil
}
