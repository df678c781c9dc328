package ldapsync

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"pgregory.net/rapid"

	"github.com/lcms-project/lcms/internal/lvs"
)

// entryOf makes of a request the entry that it adds.
func entryOf(r *ldap.AddRequest) *ldap.Entry {
	e := &ldap.Entry{DN: r.DN}
	for _, a := range r.Attributes {
		e.Attributes = append(e.Attributes, ldap.NewEntryAttribute(a.Type, a.Vals))
	}
	return e
}

// modify makes the changes of a request in an entry.
func modify(t *rapid.T, e *ldap.Entry, r *ldap.ModifyRequest) *ldap.Entry {
	if r == nil {
		return e
	}
	if r.DN != e.DN {
		t.Fatalf("modifies %s in place of %s", r.DN, e.DN)
	}
	values := make(map[string][]string)
	for _, a := range e.Attributes {
		values[a.Name] = a.Values
	}
	for _, c := range r.Changes {
		name := c.Modification.Type
		switch c.Operation {
		case ldap.AddAttribute:
			values[name] = append(values[name], c.Modification.Vals...)
		case ldap.DeleteAttribute:
			values[name] = without(values[name], c.Modification.Vals)
		case ldap.ReplaceAttribute:
			values[name] = c.Modification.Vals
		}
	}
	after := &ldap.Entry{DN: e.DN}
	for name, v := range values {
		if len(v) > 0 {
			after.Attributes = append(after.Attributes, ldap.NewEntryAttribute(name, v))
		}
	}
	return after
}

func TestObjectsSurviveTheirEntries(t *testing.T) {
	b := mustBase(t, testBase)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlace(t)
		before, after := drawObject(t, p), drawObject(t, p)
		e := entryOf(b.Add(before))
		if got, err := b.Read(e); err != nil || got != before {
			t.Fatalf("%s: read %+v, %v; written %+v", e.DN, got, err, before)
		}
		if r := b.Modify(before, before); r != nil {
			t.Fatalf("nothing to do is %+v", r)
		}
		e = modify(t, e, b.Modify(before, after))
		if got, err := b.Read(e); err != nil || got != after {
			t.Fatalf("%s: read %+v, %v; modified to %+v", e.DN, got, err, after)
		}
	})
}

// entry makes an entry of lines NAME: VALUE below the base.
func entry(dn string, lines ...string) *ldap.Entry {
	values := make(map[string][]string)
	for _, l := range lines {
		name, v, _ := strings.Cut(l, ": ")
		values[name] = append(values[name], v)
	}
	return ldap.NewEntry(dn+","+testBase, values)
}

func TestEntriesAreReadGenerously(t *testing.T) {
	b := mustBase(t, testBase)
	k, _ := lvs.ParseServiceKey("tcp:[2001:db8::1]:80")
	want := lvs.NewService(k)
	want.AdminStatus, want.SchedulerFlags = lvs.AdminDrain, lvs.SchedulerFlag1|lvs.SchedulerFlag3
	o, err := b.Read(entry("lcmskey=TCP:[2001:DB8::1]:80,ou=virtual_service",
		"objectclass: top", "objectclass: LCMSVirtualService", "lcmskey: tcp:[2001:db8::1]:80", "description: not ours",
		"LCMSADMINSTATUS: Drain", "lcmsSchedulerFlag: FLAG3", "lcmsSchedulerFlag: flag1", "lcmsAddress: 2001:DB8:0::1", "lcmsProtocol: TCP"))
	if err != nil || o.Value != want {
		t.Errorf("read %+v, %v; want %+v", o, err, want)
	}
	for _, e := range []*ldap.Entry{
		entry("uid=alice,ou=manager", "objectClass: inetOrgPerson"),
		entry("cn=printer,ou=host", "objectClass: device"),
		entry("cn=x+serialNumber=7,ou=host", "objectClass: device"),
	} {
		if o, err := b.Read(e); err != nil || o != (Object{}) {
			t.Errorf("%s: read %+v, %v; want Elsewhere", e.DN, o, err)
		}
	}
}

func TestHostsAreReadGenerously(t *testing.T) {
	b := mustBase(t, testBase)
	want := Machine{Host: lvs.NewHost("lb1"), IsDirector: true, Director: Director{RoleStatus: lvs.LoadBalancer.Bit()}}
	want.Address = netip.MustParseAddr("192.0.2.2")
	o, err := b.Read(entry("CN=LB1,ou=host", "cn: LB1", "cn: the big one", "objectClass: ieee802Device", "objectClass: LcmsDirector", "objectClass: lcmshost",
		"ipHostNumber: ::ffff:192.0.2.2", "macAddress: 02:00:00:00:00:01", "lcmsRoleStatus: LOADBALANCER"))
	if err != nil || o.Value != want {
		t.Errorf("read %+v, %v; want %+v", o, err, want)
	}
	o, err = b.Read(entry("cn=rs1,ou=real_server,lcmsClusterId=web,ou=load_cluster", "objectClass: lcmsClusterMember",
		"lcmsHostRef: CN=RS1, OU=Host, "+strings.ToUpper(testBase)))
	if member := lvs.NewMember(lvs.MemberID{Cluster: "web", Host: "rs1"}); err != nil || o.Value != member {
		t.Errorf("read %+v, %v; want %+v", o, err, member)
	}
	o, err = b.Read(entry("lcmsClusterId=web,ou=load_cluster", "objectClass: lcmsCluster",
		"lcmsVirtualAddress: 2001:db8::1", "lcmsVirtualAddress: 192.0.2.1", "lcmsVirtualAddress: 2001:DB8:0::1"))
	cluster := lvs.NewCluster("web")
	if cluster.VirtualAddresses = "192.0.2.1 2001:db8::1"; err != nil || o.Value != cluster {
		t.Errorf("read %+v, %v; want %+v", o, err, cluster)
	}
}

// What somebody else keeps in the entry of a host stays: only what differs is
// written, and classes come and go with what they are for.
func TestModifyTouchesNothingElse(t *testing.T) {
	b := mustBase(t, testBase)
	p := Place{Kind: Host, Host: "lb1"}
	bare := Machine{Host: lvs.NewHost("lb1")}
	full := bare
	full.Address, full.IsDirector, full.RequestID, full.MemorySize = netip.MustParseAddr("192.0.2.2"), true, "42", 1024
	changes := func(before, after Machine) (list []string) {
		r := b.Modify(Object{p, before}, Object{p, after})
		for _, c := range r.Changes {
			list = append(list, fmt.Sprintf("%d %s %s", c.Operation, c.Modification.Type, strings.Join(c.Modification.Vals, ",")))
		}
		return list
	}
	if got, want := changes(bare, full), []string{"0 objectClass ipHost,lcmsDirector", "2 ipHostNumber 192.0.2.2", "2 lcmsMemorySize 1024", "2 lcmsRequestId 42"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := changes(full, bare), []string{"2 ipHostNumber ", "2 lcmsMemorySize ", "2 lcmsRequestId ", "1 objectClass ipHost,lcmsDirector"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFaultsNameTheMend(t *testing.T) {
	b := mustBase(t, testBase)
	const (
		service = "lcmsKey=tcp:192.0.2.1:80,ou=virtual_service"
		server  = "lcmsKey=10.0.0.11:80," + service
		daemon  = "lcmsSyncState=master,cn=lb1,ou=host"
		host    = "cn=lb1,ou=host"
		cluster = "lcmsClusterId=web,ou=load_cluster"
		member  = "cn=rs1,ou=real_server,lcmsClusterId=web,ou=load_cluster"
	)
	for _, c := range []struct {
		dn    string
		lines []string
		words string
	}{
		{service, []string{"objectClass: lcmsVirtualService", "lcmsAddress: 192.0.2.2"}, `lcmsAddress "192.0.2.2": the key says 192.0.2.1: delete the attribute, or rename the entry`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsProtocol: udp"}, `lcmsProtocol "udp": the key says tcp`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsFwmark: 7"}, `lcmsFwmark "7": the key tells of none`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsPersistenceTimeout: 2147484"}, `lcmsPersistenceTimeout "2147484": use a number from 0 to 2147483`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsAdminStatus: off"}, `lcmsAdminStatus "off": use up, drain or down`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsAdminStatus: up", "lcmsAdminStatus: down"}, `lcmsAdminStatus "up, down": there are 2 values: leave one`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsSchedulerFlag: flag1", "lcmsSchedulerFlag: flag4"}, `"flag4" is none of them: use flag1, flag2 or flag3`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsOnePacket: yes"}, `lcmsOnePacket "yes": use TRUE or FALSE`},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsOnePacket: TRUE"}, "lcmsOnePacket: one-packet scheduling is for udp"},
		{service, []string{"objectClass: lcmsVirtualService", "lcmsPersistenceNetmask: 64"}, "lcmsPersistenceNetmask: persistence netmask /64"},
		{service, []string{"objectClass: lcmsRealServer"}, `objectClass "lcmsRealServer": it does not stand here: move the entry below its lcmsVirtualService`},
		{"ou=x", []string{"objectClass: lcmsVirtualService"}, "below ou=virtual_service"},
		{"lcmsKey=tcp:192.0.2.1:080,ou=virtual_service", []string{"objectClass: lcmsVirtualService"}, `lcmsKey "tcp:192.0.2.1:080"`},
		{server, []string{"objectClass: lcmsRealServer", "lcmsWeight: 65536"}, `lcmsWeight "65536": use a number from 0 to 65535`},
		{server, []string{"objectClass: lcmsRealServer", "lcmsWeight: -1"}, "use a number"},
		{server, []string{"objectClass: lcmsRealServer", "lcmsForwarding: bypass"}, "use masquerade, local, tunnel or directRoute"},
		{server, []string{"objectClass: lcmsRealServer", "lcmsPort: 81"}, "the key says 80"},
		{daemon, []string{"objectClass: lcmsSyncDaemon"}, "lcmsSyncInterface: the network interface of the multicast is missing"},
		{daemon, []string{"objectClass: lcmsSyncDaemon", "lcmsSyncInterface: eth0", "lcmsSyncGroup: all"}, `lcmsSyncGroup "all": it is no IP address`},
		{daemon, []string{"objectClass: lcmsSyncDaemon", "lcmsSyncInterface: eth0", "lcmsSyncGroup: fe80::1%eth0"}, "leave out %eth0"},
		{host, []string{"objectClass: lcmsHost", "ipHostNumber: 192.0.2.2", "ipHostNumber: 2001:db8::2"}, `ipHostNumber "192.0.2.2, 2001:db8::2": there are 2 values: leave one`},
		{host, []string{"objectClass: lcmsHost", "ipHostNumber: lb1"}, `ipHostNumber "lb1": it is no IP address: write it like 192.0.2.1 or 2001:db8::1`},
		{host, []string{"objectClass: lcmsHost", "lcmsSnmpUri: http://lb1"}, `lcmsSnmpUri: "http://lb1" is no SNMP URI`},
		{host, []string{"objectClass: lcmsHost", "lcmsRolePotential: master"}, `"master" is none of them: use loadBalancer, backup or realServer`},
		{host, []string{"objectClass: lcmsCluster"}, `objectClass "lcmsCluster": it does not stand here: move the entry below ou=load_cluster`},
		{cluster, []string{"objectClass: lcmsCluster", "lcmsVirtualAddress: www"}, `lcmsVirtualAddress "www": it is no IP address`},
		{cluster, []string{"objectClass: lcmsCluster", "description: " + strings.Repeat("x", 256)}, "it has 256 octets: at most 255"},
		{member, []string{"objectClass: lcmsClusterMember", "lcmsHostRef: cn=rs2,ou=host," + testBase}, "the key says rs1: delete the attribute, or rename the entry"},
		{member, []string{"objectClass: lcmsClusterMember", "lcmsHostRef: cn=rs1,dc=example"}, "it names no host: write it like cn=lb1,ou=host," + testBase},
		{member, []string{"objectClass: lcmsClusterMember", "lcmsPriority: 256"}, "use a number from 0 to 255"},
		{"cn=rs1,lcmsClusterId=web,ou=load_cluster", []string{"objectClass: lcmsClusterMember"}, "move the entry below ou=load_balancer, ou=backup_server or ou=real_server of its cluster"},
		{"cn=two words,ou=real_server,lcmsClusterId=web,ou=load_cluster", []string{"objectClass: lcmsClusterMember"}, `cn "two words": host "two words": use a-z`},
		{server, []string{"objectClass: lcmsRealServer", "lcmsHostRef: " + testBase}, "it names no host"},
	} {
		_, err := b.Read(entry(c.dn, c.lines...))
		var f *Fault
		if !errors.As(err, &f) || f.DN != c.dn+","+testBase || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s %v: %v\nwant %s", c.dn, c.lines, err, c.words)
		}
	}
}

func TestRefusedNamesTheAttribute(t *testing.T) {
	b := mustBase(t, testBase)
	k, _ := lvs.ParseServiceKey("tcp:192.0.2.1:80")
	sk, _ := lvs.ParseServerKey("10.0.0.11:8080")
	server := lvs.NewServer(sk)
	server.Forwarding = lvs.DirectRoute
	f := b.Refused(Object{Place{Kind: Server, Service: k, Server: sk}, server}, server.Check(new(lvs.NewService(k))))
	if f.Attribute != "lcmsForwarding" || !strings.HasPrefix(f.Error(), "lcmsKey=10.0.0.11:8080,lcmsKey=tcp:192.0.2.1:80,ou=virtual_service,"+testBase+": lcmsForwarding: forwarding directRoute leaves") {
		t.Errorf("%v", f)
	}
}
