package schema_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// Entries of every class.
const (
	host    = "cn=rs1," + hosts
	daemon  = "lcmsSyncState=master," + host
	cluster = "lcmsClusterId=web," + clusters
	member  = "cn=rs1,ou=real_server," + cluster
	service = "lcmsKey=fwm4:7," + alone
	server  = "lcmsKey=10.0.0.11:80," + service
)

const lowest, highest32 = "0", "4294967295"

// values are, for the attributes that slapd checks, the entries they stand in,
// what it takes and what it refuses.
var values = []struct {
	attributes, entries []string
	good, bad           []string
}{
	{[]string{"lcmsAdminStatus"}, []string{cluster, service, server}, []string{"up", "drain", "down"}, []string{"UP", "on", "updown", "u p", "2"}},
	{[]string{"lcmsRowStatus"}, []string{host, daemon, cluster, member, service, server}, []string{"active", "notInService", "notReady"}, []string{"destroy", "1"}},
	{[]string{"lcmsProtocol"}, []string{service}, []string{"tcp", "udp", "sctp", "fwmark"}, []string{"icmp", "6"}},
	{[]string{"lcmsAddressType"}, []string{service, server}, []string{"ipv4", "ipv6"}, []string{"ipv5", "dns"}},
	{[]string{"lcmsAddress"}, []string{service, server}, []string{"192.0.2.1", "2001:db8::1", "::"}, []string{"www", "192.0.2", "192.0.2.1/24", "fe80::1%eth0", "2001:DB8::1"}},
	{[]string{"lcmsVirtualAddress"}, []string{cluster}, []string{"192.0.2.1", "2001:db8::1"}, []string{"www", "192.0.2.1 192.0.2.2"}},
	{[]string{"lcmsSyncGroup"}, []string{daemon}, []string{"224.0.0.81", "ff02::81"}, []string{"all"}},
	{[]string{"lcmsScheduler", "lcmsPersistenceEngine"}, []string{service}, []string{"wlc", "SIP", "a_b-c", strings.Repeat("x", 15)}, []string{"two words", strings.Repeat("x", 16), "a/b"}},
	{[]string{"lcmsSchedulerFlag"}, []string{service}, []string{"flag1", "flag2", "flag3"}, []string{"flag0", "flag4", "fallback"}},
	{[]string{"lcmsName"}, []string{service}, []string{"Web für alle", strings.Repeat("x", 64)}, []string{strings.Repeat("x", 65), strings.Repeat("ü", 33)}},
	{[]string{"lcmsOnePacket"}, []string{service}, []string{"TRUE", "FALSE"}, []string{"true", "yes", "1"}},
	{[]string{"lcmsAutoReconfigure"}, []string{cluster}, []string{"TRUE", "FALSE"}, []string{"true", "yes", "1"}},
	{[]string{"lcmsForwarding"}, []string{server}, []string{"masquerade", "local", "tunnel", "directRoute"}, []string{"bypass", "nat", "1"}},
	{[]string{"lcmsTunnelType"}, []string{server}, []string{"ipip", "gue", "gre"}, []string{"vxlan"}},
	{[]string{"lcmsTunnelFlag"}, []string{server}, []string{"checksum", "remoteChecksum"}, []string{"nochecksum"}},
	{[]string{"lcmsDrainAction"}, []string{server}, []string{"keep", "down", "destroy"}, []string{"delete"}},
	{[]string{"lcmsDriftPolicy"}, []string{cluster}, []string{"enforce", "alert", "adopt"}, []string{"ignore"}},
	{[]string{"lcmsRolePotential", "lcmsRoleStatus"}, []string{host}, []string{"loadBalancer", "backup", "realServer"}, []string{"master"}},
	{[]string{"lcmsPersistenceNetmask"}, []string{service}, []string{"1", "9", "10", "99", "100", "119", "120", "128"}, []string{lowest, "129", "200", "1000", "-1", "255.255.255.0"}},
	{[]string{"lcmsWeightPolicy"}, []string{service}, []string{"static", "capacity", "feedback"}, []string{"dynamic", "1"}},
	{[]string{"lcmsCheckType"}, []string{service}, []string{"none", "tcp", "http", "https", "dns", "smtp", "ping", "udp", "snmp", "script"}, []string{"icmp", "httpss"}},
	{[]string{"lcmsCheckTarget"}, []string{service}, []string{"GET /für host=www", strings.Repeat("x", 255)}, []string{strings.Repeat("x", 256)}},
	{[]string{"lcmsSorryServer"}, []string{service}, []string{"10.0.0.9:80", "[2001:db8::9]:80"}, []string{"sorry", "10.0.0.9", "tcp:10.0.0.9:80"}},
	{[]string{"lcmsQuorum"}, []string{service}, []string{"1", "9999", "10000", "65535"}, []string{lowest, "65536", "-1", "01"}},
	{[]string{"lcmsSlowStart"}, []string{service}, []string{lowest, "999", "2999", "3599", "3600"}, []string{"3601", "4000", "10000", "-1"}},
	{[]string{"lcmsCheckInterval"}, []string{service}, []string{"100", "5000", "999999", "2999999", "3599999", "3600000"}, []string{lowest, "99", "3600001", "4000000", "10000000", "5s"}},
	{[]string{"lcmsCheckTimeout"}, []string{service}, []string{"10", "9999", "59999", "60000"}, []string{lowest, "9", "60001", "70000", "100000"}},
	{[]string{"lcmsCheckRise", "lcmsCheckFall"}, []string{service}, []string{"1", "99", "100"}, []string{lowest, "101", "200", "-1"}},
	{[]string{"lcmsPriority"}, []string{member}, []string{lowest, "9", "99", "100", "199", "249", "255"}, []string{"256", "300", "1000", "-1", "01"}},
	{[]string{"lcmsSyncId", "lcmsSyncTtl"}, []string{daemon}, []string{lowest, "255"}, []string{"256", "-1"}},
	{[]string{"lcmsPort"}, []string{service, server}, []string{lowest, "65535"}, []string{"65536", "-1", "http"}},
	{[]string{"lcmsWeight", "lcmsTunnelPort"}, []string{server}, []string{lowest, "9999", "59999", "64999", "65499", "65529", "65535"}, []string{"65536", "65540", "65600", "66000", "70000", "100000", "-1", "1.5"}},
	{[]string{"lcmsSyncPort", "lcmsSyncMaxLength"}, []string{daemon}, []string{lowest, "65487"}, []string{"65536", "-1"}},
	{[]string{"lcmsPersistenceTimeout"}, []string{service}, []string{lowest, "999999", "2147483"}, []string{"2147484", "2147490", "2147500", "2148000", "2150000", "2200000", "3000000", "10000000", "-1"}},
	{[]string{"lcmsTcpTimeout", "lcmsTcpFinTimeout", "lcmsUdpTimeout"}, []string{host}, []string{lowest, "2147483"}, []string{"2147484", "-1", "15m"}},
	{[]string{"lcmsFwmark"}, []string{service}, []string{lowest, highest32}, []string{"4294967296", "-1", "0x7"}},
	{[]string{"lcmsUpperThreshold", "lcmsLowerThreshold", "lcmsDrainTimeout"}, []string{server},
		[]string{lowest, "999999999", "3999999999", "4199999999", "4289999999", "4293999999", "4294899999", "4294959999", "4294966999", "4294967199", "4294967289", highest32},
		[]string{"4294967296", "4294967300", "4294968000", "4294970000", "4295000000", "4300000000", "5000000000", "10000000000", "-1"}},
	{[]string{"lcmsExpectedServices"}, []string{cluster}, []string{lowest, highest32}, []string{"4294967296", "-1"}},
	{[]string{"lcmsMemorySize", "lcmsDeleteCount"}, []string{host}, []string{lowest, highest32}, []string{"4294967296", "-1", "4G"}},
}

// unchecked are the attributes for which there is nothing to check but the
// syntax.
var unchecked = map[string]string{
	"lcmsHostRef":       "a DN; the host may come later",
	"lcmsServiceType":   "free text",
	"lcmsCpuType":       "free text",
	"lcmsInterfaceType": "free text",
	"lcmsSnmpUri":       "free text for whoever monitors",
	"lcmsRequestId":     "written by directors only",
	"lcmsLastWriter":    "written by directors only",
	"lcmsSyncInterface": "the kernel has almost no rules for it",
}

func TestSlapdRefusesWhatCannotBeRight(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Tree: tree + `
dn: ` + daemon + `
objectClass: lcmsSyncDaemon
lcmsSyncState: master

dn: ` + server + `
objectClass: lcmsRealServer
lcmsKey: 10.0.0.11:80
`})
	c := s.As(ldaptest.Operator)
	if err := c.Modify("dn: " + host + "\nchangetype: modify\nadd: objectClass\nobjectClass: lcmsDirector\n"); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		for _, attribute := range v.attributes {
			for _, entry := range v.entries {
				// All at once; the tool stops at the first that is refused.
				var all strings.Builder
				for _, good := range v.good {
					all.WriteString(replace(entry, attribute, good) + "\n")
				}
				if err := c.Modify(all.String()); err != nil {
					t.Errorf("%s of %s refuses one of %q: %v", attribute, entry, v.good, err)
				}
				for _, bad := range v.bad {
					err := c.Modify(replace(entry, attribute, bad))
					if got := code(t, err); got != constraintViolation && got != invalidSyntax {
						t.Errorf("%s of %s takes %q: %v", attribute, entry, bad, err)
					}
				}
			}
		}
	}
}

func TestSlapdRefusesKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Tree: tree})
	c := s.As(ldaptest.Director)
	add := func(name, value, parent, class string) error {
		return c.Add("dn: " + name + "=" + value + "," + parent + "\nobjectClass: " + class + "\n" + name + ": " + value + "\n")
	}
	for _, k := range []struct {
		name, parent, class string
		good, bad           []string
	}{
		{"lcmsKey", alone, "lcmsVirtualService",
			[]string{"tcp:192.0.2.1:80", "udp:[2001:db8::1]:53", "sctp:192.0.2.1:0", "fwm4:1", "fwm6:4294967295"},
			[]string{"TCP:192.0.2.9:80", "icmp:192.0.2.1:0", "tcp:www:80", "tcp:192.0.2.1", "tcp:192.0.2.1:http", "fwm4:0", "fwm5:7", "tcp:[2001:DB8::1]:80", "fwm4:07"}},
		{"lcmsKey", service, "lcmsRealServer",
			[]string{"10.0.0.11:80", "[2001:db8::11]:443", "10.0.0.12:0"}, []string{"10.0.0.11", "rs1:80", "2001:db8::11:443"}},
		{"lcmsClusterId", clusters, "lcmsCluster",
			[]string{"streaming", "0", "a.b_c-d", strings.Repeat("x", 32)}, []string{"Web2", "-a", ".a", "two words", strings.Repeat("x", 33)}},
		{"lcmsSyncState", host, "lcmsSyncDaemon", []string{"master", "backup"}, []string{"both", "1", "Master"}},
	} {
		for _, good := range k.good {
			if err := add(k.name, good, k.parent, k.class); err != nil {
				t.Errorf("%s %q: %v", k.class, good, err)
			}
			// The tree itself is what keeps keys unique, however they are spelled.
			err := add(k.name, strings.ToUpper(good), k.parent, k.class)
			if got := code(t, err); got != alreadyExists && got != constraintViolation {
				t.Errorf("%s %q a second time: %v", k.class, good, err)
			}
		}
		for _, bad := range k.bad {
			if got := code(t, add(k.name, bad, k.parent, k.class)); got != constraintViolation {
				t.Errorf("%s %q: result %d", k.class, bad, got)
			}
		}
	}
}

func TestEveryAttributeIsChecked(t *testing.T) {
	var checked []string
	for _, v := range values {
		checked = append(checked, v.attributes...)
	}
	names := regexp.MustCompile(`attributetype \( \S+ NAME '(\w+)'`).FindAllStringSubmatch(schema.Schema, -1)
	if len(names) < 50 {
		t.Fatalf("found %d attribute types", len(names))
	}
	for _, m := range names {
		name := m[1]
		isKey := name == "lcmsKey" || name == "lcmsClusterId" || name == "lcmsSyncState"
		if !isKey && !slices.Contains(checked, name) && unchecked[name] == "" {
			t.Errorf("%s: say in values what slapd takes of it, or in unchecked why it is not checked", name)
		}
	}
}

// What a class must not have is refused too.
func TestClassesAreKept(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Tree: tree})
	for _, change := range []string{
		replace(service, "lcmsWeight", "1"),
		replace(member, "lcmsAdminStatus", "up"),
		replace(host, "lcmsTcpTimeout", "900"), // not yet a director
		replace(service, "lcmsNothing", "1"),
	} {
		if got := code(t, s.Modify(change)); got != objectClassFault && got != 17 {
			t.Errorf("result %d of\n%s", got, change)
		}
	}
}
