package director

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// table reads columns of a table side by side.
func (d *Director) table(ctx context.Context, entry snmp.OID, columns ...uint32) ([]snmp.Row, error) {
	names := make([]snmp.OID, len(columns))
	for i, c := range columns {
		names[i] = d.root.Child(entry...).Child(c)
	}
	return snmp.Table(ctx, d.opts.Via, d.agent, 0, names...)
}

// generation asks how often the configuration was changed.
func (d *Director) generation(ctx context.Context) (uint64, error) {
	vbs, err := d.opts.Via.Do(ctx, d.agent, snmp.Get(d.root.Child(generationObject...)))
	if err != nil {
		return 0, err
	}
	if !vbs[0].Value.IsNumber() {
		return 0, fmt.Errorf("it shows no LCMS-MIB (%s at %s): lcms-subagent is not connected, its root is another one, or the view of snmpd hides it", vbs[0].Value, vbs[0].Name)
	}
	return vbs[0].Value.Num, nil
}

// view reads the configuration.
func (d *Director) view(ctx context.Context) (*View, error) {
	v := &View{Services: make(map[lvs.ServiceKey]*Service), Hosts: make(map[string]*Host)}
	services, err := d.table(ctx, serviceTable, serviceRowStatus, serviceAdminStatus, serviceOwner, serviceWeightPolicy, serviceSlowStart,
		serviceCheckType, serviceCheckTarget, serviceCheckInterval, serviceCheckTimeout, serviceCheckRise, serviceCheckFall)
	if err != nil {
		return nil, err
	}
	for i := range services {
		if s, ok := readService(&services[i]); ok {
			v.Services[s.Key] = s
		}
	}
	servers, err := d.table(ctx, serverTable, serverRowStatus, serverAdminStatus, serverHost, serverWeight, serverHealth, serverAdvisedWeight)
	if err != nil {
		return nil, err
	}
	for i := range servers {
		r := &servers[i]
		id, ok := readServerID(r.Index)
		service := v.Services[id.Service]
		if !ok || service == nil || r.Number(0) != rowActive || r.Number(1) == adminDown {
			continue
		}
		service.Servers = append(service.Servers, &Server{ID: id, Host: r.Text(2), Weight: uint32(r.Number(3)), Health: uint8(r.Number(4)), Advised: uint32(r.Number(5))})
	}
	hosts, err := d.table(ctx, hostTable, hostRowStatus, hostAddress, hostSnmpURI, hostCPUType, hostMemorySize, hostInterfaceType)
	if err != nil {
		return nil, err
	}
	for i := range hosts {
		r := &hosts[i]
		name, rest, ok := cutText(r.Index)
		if !ok || len(rest) > 0 || r.Number(0) != rowActive {
			continue
		}
		h := &Host{Name: name, SnmpURI: r.Text(2), CPUType: r.Text(3), MemorySize: uint32(r.Number(4)), InterfaceType: r.Text(5)}
		h.Address, _ = netip.AddrFromSlice(r.Values[1].Bytes)
		v.Hosts[name] = h
	}
	return v, nil
}

// readService reads a row of lcmsServiceTable; false if there is nothing to
// watch.
func readService(r *snmp.Row) (*Service, bool) {
	text, rest, ok := cutText(r.Index)
	if !ok || len(rest) > 0 || r.Number(0) != rowActive || r.Number(1) == adminDown || r.Number(2) == ownerExternal {
		return nil, false
	}
	key, err := lvs.ParseServiceKey(text)
	if err != nil {
		return nil, false
	}
	s := &Service{
		Key: key, Policy: lvs.WeightPolicy(r.Number(3)), SlowStart: time.Duration(r.Number(4)) * time.Second,
		Check: lvs.HealthCheck{
			CheckType: lvs.CheckType(r.Number(5)), CheckTarget: r.Text(6), CheckInterval: uint32(r.Number(7)),
			CheckTimeout: uint32(r.Number(8)), CheckRise: uint32(r.Number(9)), CheckFall: uint32(r.Number(10)),
		},
	}
	// An agent that is older or broken must not make the monitor run wild.
	s.Check.CheckInterval = min(max(s.Check.CheckInterval, lvs.MinCheckInterval), lvs.MaxCheckInterval)
	s.Check.CheckTimeout = min(max(s.Check.CheckTimeout, lvs.MinCheckTimeout), s.Check.CheckInterval)
	if s.Check.CheckType == 0 {
		s.Check.CheckType = lvs.CheckNone
	}
	return s, true
}

func readServerID(index snmp.OID) (id lvs.ServerID, ok bool) {
	service, rest, ok1 := cutText(index)
	server, rest, ok2 := cutText(rest)
	if !ok1 || !ok2 || len(rest) > 0 {
		return id, false
	}
	var err1, err2 error
	id.Service, err1 = lvs.ParseServiceKey(service)
	id.Server, err2 = lvs.ParseServerKey(server)
	return id, err1 == nil && err2 == nil
}

// Advised asks for the advised weights, and returns for each server that the director
// has what somebody else has advised since this monitor did; 0: nobody has. While the
// director is away it returns nothing.
func (d *Director) Advised(ctx context.Context) (map[lvs.ServerID]uint32, error) {
	if !d.there() {
		return nil, nil
	}
	began := time.Now()
	rows, err := d.table(ctx, serverTable, serverAdvisedWeight)
	if err != nil {
		return nil, err
	}
	others := make(map[lvs.ServerID]uint32, len(rows))
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range rows {
		id, ok := readServerID(rows[i].Index)
		if !ok {
			continue
		}
		advised := uint32(rows[i].Number(0))
		if own := d.toldServers[id]; own.report.Advised == advised || own.at.After(began) {
			advised = 0
		}
		others[id] = advised
	}
	return others, nil
}

// traffic reads what changes all the time.
func (d *Director) traffic(ctx context.Context) (map[lvs.ServerID]Traffic, error) {
	counters, err := d.table(ctx, serverStatsTable, serverStatsConnections)
	if err != nil {
		return nil, err
	}
	weights, err := d.table(ctx, serverTable, serverOperWeight, serverOperStatus, serverWeightReason)
	if err != nil {
		return nil, err
	}
	all := make(map[lvs.ServerID]Traffic, len(counters))
	for i := range counters {
		if id, ok := readServerID(counters[i].Index); ok {
			all[id] = Traffic{Connections: counters[i].Number(0)}
		}
	}
	for i := range weights {
		if id, ok := readServerID(weights[i].Index); ok {
			t := all[id]
			t.OperWeight, t.OperStatus, t.Reason = uint32(weights[i].Number(0)), uint8(weights[i].Number(1)), weights[i].Text(2)
			all[id] = t
		}
	}
	return all, nil
}
