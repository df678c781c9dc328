package snmp

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gosnmp/gosnmp"
)

// Credentials say as whom an agent is asked. They hold secrets: they are not
// to be printed, and do not print them. They are comparable.
type Credentials struct {
	Community string // of SNMPv2c

	User        string // of SNMPv3; "" = SNMPv2c
	Auth        string // its authentication: "" = none, else one of Auths
	AuthPass    string
	Privacy     string // its encryption: "" = none, else one of Privacies
	PrivacyPass string
	Context     string
}

var (
	auths = map[string]gosnmp.SnmpV3AuthProtocol{
		"": gosnmp.NoAuth, "MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA-224": gosnmp.SHA224,
		"SHA-256": gosnmp.SHA256, "SHA-384": gosnmp.SHA384, "SHA-512": gosnmp.SHA512,
	}
	privacies = map[string]gosnmp.SnmpV3PrivProtocol{
		"": gosnmp.NoPriv, "DES": gosnmp.DES, "AES": gosnmp.AES, "AES-192": gosnmp.AES192, "AES-256": gosnmp.AES256,
	}
)

// Auths and Privacies are the names of the protocols, as net-snmp has them.
var (
	Auths     = []string{"MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"}
	Privacies = []string{"DES", "AES", "AES-192", "AES-256"}
)

// V3 reports whether they are of SNMPv3.
func (c Credentials) V3() bool { return c.User != "" }

// Check says what is missing or wrong.
func (c Credentials) Check() error {
	_, auth := auths[c.Auth]
	_, privacy := privacies[c.Privacy]
	switch {
	case !c.V3() && c.Community == "":
		return fmt.Errorf("the community is empty")
	case !c.V3():
		return nil
	case !auth:
		return fmt.Errorf("authentication %q: use %s", c.Auth, strings.Join(Auths, ", "))
	case !privacy:
		return fmt.Errorf("privacy %q: use %s", c.Privacy, strings.Join(Privacies, ", "))
	case c.Auth == "" && c.Privacy != "":
		return fmt.Errorf("SNMPv3 has no privacy without authentication: name both")
	case c.Auth != "" && len(c.AuthPass) < 8, c.Privacy != "" && len(c.PrivacyPass) < 8:
		return fmt.Errorf("a pass phrase of SNMPv3 has at least 8 characters (RFC 3414 section 11.2)")
	}
	return nil
}

// String names who it is and no secret.
func (c Credentials) String() string {
	if !c.V3() {
		return "SNMPv2c"
	}
	return "SNMPv3 user " + c.User
}

// GoString is String, so that %#v shows no secret either.
func (c Credentials) GoString() string { return c.String() }

// Agent is whom to ask, and as whom. It is comparable.
type Agent struct {
	Address     netip.AddrPort
	Credentials *Credentials
}
