package ldapsync

import (
	"context"
	"net/netip"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
)

// A database of OpenLDAP (back-mdb, 2.5.13 and later) numbers the attribute types
// that its entries have used. A transaction that fails at its end takes back the
// number that it gave to a new one from the file and not from memory: entries
// that get that attribute afterwards cannot be read any more once slapd has been
// started again (other 80, internal error in mdb_entry_decode). Therefore, before
// the first transaction over a connection, an entry that has every attribute that
// is ever written is added and deleted, without a transaction.
//
// It is of no class of ours: nobody who follows the directory looks at it.

// vocabulary returns the request to add that entry.
func vocabulary(b Base, own Place) *ldap.AddRequest {
	hosts := Place{Kind: Hosts}
	cn := "attributes of " + string(own.Host)
	r := ldap.NewAddRequest("cn="+ldap.EscapeDN(cn)+","+b.DN(hosts), nil)
	r.Attribute("objectClass", []string{"applicationProcess", "extensibleObject"})
	r.Attribute("cn", []string{cn})
	seen := map[string]bool{"objectclass": true, "cn": true}
	add := func(name string, values []string) {
		if key := strings.ToLower(name); !seen[key] {
			seen[key] = true
			r.Attribute(name, values)
		}
	}
	for _, o := range samples {
		name, value := o.Place.name()
		add(name, []string{value})
		for _, a := range classes[o.Place.Kind].encode(b, o) {
			add(a.Type, a.Vals)
		}
	}
	name, value := hosts.name()
	add(name, []string{value})
	return r
}

// samples have, together, every attribute that is ever written: what is not the
// default is.
var samples = []Object{
	{Place{Kind: Host, Host: "x"}, Machine{
		Host: lvs.Host{
			Name: "x", Address: netip.AddrFrom4([4]byte{192, 0, 2, 1}), CpuType: "x", InterfaceType: "x", MemorySize: 1, SnmpURI: "snmp://192.0.2.1",
			RolePotential: 1, Status: lvs.NotInService,
		},
		IsDirector: true,
		Director:   Director{Timeouts: lvs.Timeouts{TCP: 1, TCPFin: 1, UDP: 1}, RoleStatus: 1, RequestID: "x", DeleteCount: 1, LastWriter: "x"},
	}},
	{Place{Kind: SyncDaemon, Daemon: lvs.DaemonMaster}, lvs.SyncDaemon{
		Daemon: lvs.Daemon{State: lvs.DaemonMaster, Interface: "x", SyncID: 1, MaxLength: 1, Group: netip.AddrFrom4([4]byte{224, 0, 0, 1}), Port: 1, TTL: 2},
		Status: lvs.NotInService,
	}},
	{Place{Kind: Cluster, Cluster: "x"}, lvs.Cluster{
		ID: "x", Description: "x", ServiceType: "x", VirtualAddresses: "192.0.2.1", AdminStatus: lvs.AdminDown, DriftPolicy: lvs.DriftAlert,
		ExpectedServices: 1, Status: lvs.NotInService,
	}},
	{Place{Kind: Member, Host: "x"}, lvs.Member{Host: "x", Priority: 1, Status: lvs.NotInService}},
	{Place{Kind: Service, Service: sampleService}, lvs.Service{
		ServiceSpec: lvs.ServiceSpec{
			Key: sampleService, Scheduler: "x", SchedulerFlags: 1, OnePacket: true, PersistenceTimeout: 1, PersistenceNetmask: 1, PersistenceEngine: "x",
		},
		Name: "x", AdminStatus: lvs.AdminDown, Quorum: 2, SorryServer: "192.0.2.1:80", WeightPolicy: lvs.WeightCapacity, SlowStart: 1,
		HealthCheck: lvs.HealthCheck{CheckType: lvs.CheckTCP, CheckTarget: "x", CheckInterval: 100, CheckTimeout: 10, CheckRise: 100, CheckFall: 100},
		Status:      lvs.NotInService,
	}},
	{Place{Kind: Service, Service: sampleMark}, lvs.NewService(sampleMark)},
	{Place{Kind: Server, Server: sampleServer}, lvs.Server{
		Host: "x", AdminStatus: lvs.AdminDown, DrainTimeout: 1, DrainAction: lvs.DrainDown, Status: lvs.NotInService,
		ServerSpec: lvs.ServerSpec{
			Key: sampleServer, Forwarding: lvs.Tunnel, Weight: 2, UpperThreshold: 1, LowerThreshold: 1, TunnelType: lvs.GUE, TunnelPort: 1, TunnelFlags: 1,
		},
	}},
}

// sure is for the keys of the samples.
func sure[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	sampleService = sure(lvs.ParseServiceKey("tcp:192.0.2.1:80"))
	sampleMark    = sure(lvs.ParseServiceKey("fwm4:1"))
	sampleServer  = sure(lvs.ParseServerKey("192.0.2.1:80"))
)

// learnVocabulary has the server number all attributes. Where the director may
// not do that, there are no transactions.
func (w *Writer) learnVocabulary(ctx context.Context) error {
	if w.plain || w.learned {
		return nil
	}
	r := vocabulary(w.base, w.own)
	err := w.conn.Do(ctx, func() error {
		err := w.conn.Add(r)
		switch code, _ := answer(err); code {
		case ldap.LDAPResultNoSuchObject: // on an empty directory
			if err := w.conn.Add(w.base.Add(Object{Place: Place{Kind: Hosts}})); err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultEntryAlreadyExists) {
				return err
			}
			err = w.conn.Add(r)
		case ldap.LDAPResultEntryAlreadyExists: // from somebody who died here: it may lack some
			if err := w.conn.Del(ldap.NewDelRequest(r.DN, nil)); err != nil {
				return err
			}
			err = w.conn.Add(r)
		}
		if err != nil {
			return err
		}
		return w.conn.Del(ldap.NewDelRequest(r.DN, nil))
	})
	code, _ := answer(err)
	if err != nil && code == 0 {
		return w.failed(operation{place: w.own, request: r}, err)
	}
	w.learned, w.plain = true, err != nil
	return nil
}
