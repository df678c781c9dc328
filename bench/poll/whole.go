package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/lcms-project/lcms/internal/poller/load"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// Tables of LCMS-MIB and their columns, below its standard root.
var (
	root         = snmp.MustOID("1.3.6.1.4.1.8072.9999.9999.5267")
	hostEntry    = root.Child(1, 3, 1, 1)
	serviceEntry = root.Child(1, 4, 1, 1)
	serverEntry  = root.Child(1, 5, 1, 1)
)

const (
	hostSnmpURI         = 9
	hostCPULoad         = 10
	hostMemoryAvailable = 11
	hostLoadAverage     = 12
	hostRowStatus       = 16
	serviceWeightPolicy = 21
	serviceRowStatus    = 36
	serverHost          = 5
	serverRowStatus     = 27

	createAndGo = 4
	capacity    = 2
)

const (
	interval = 10 * time.Second // of lcms-poller
	servers  = 100              // of a service
)

// director is a real one: snmpd, and lcms-subagent with its kernel in memory.
type director struct {
	agent           snmp.Agent
	snmpd, subagent *process
	client          *snmp.Client
}

func startDirector(dir, subagent string) (*director, error) {
	free, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	at := free.LocalAddr().(*net.UDPAddr).AddrPort()
	free.Close()
	socket := filepath.Join(dir, "agentx")
	for name, text := range map[string]string{
		"snmpd.conf": fmt.Sprintf("rwcommunity %s 127.0.0.1\nmaster agentx\nagentXSocket %s\nagentXTimeout 60\nagentXRetries 0\n", community, socket),
		"lcms.yaml":  fmt.Sprintf("agentx: {address: \"unix:%s\"}\nipvs: memory\nstore: {path: %s}\nlog: {level: warn}\n", socket, filepath.Join(dir, "lcms.db")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	d := &director{agent: snmp.Agent{Address: at, Credentials: &snmp.Credentials{Community: community}}, client: snmp.NewClient(time.Minute, 1)}
	d.snmpd, err = start(filepath.Join(dir, "snmpd.log"), "/usr/sbin/snmpd", "-f", "-LE", "4", "-C", "-c", filepath.Join(dir, "snmpd.conf"),
		"-I", "-smux,mteTrigger,mteTriggerConf,mteEvent", "udp:"+at.String())
	if err != nil {
		return nil, err
	}
	if d.subagent, err = start(filepath.Join(dir, "subagent.log"), subagent, "--config", filepath.Join(dir, "lcms.yaml")); err != nil {
		d.snmpd.stop()
		return nil, err
	}
	impatient := snmp.NewClient(time.Second, 1)
	defer impatient.Close()
	if err := within(time.Minute, 20*time.Millisecond, func() error {
		vbs, err := impatient.Do(context.Background(), d.agent, snmp.Get(root.Child(1, 1, 1, 0)))
		if err == nil && !vbs[0].Value.Exists() {
			err = fmt.Errorf("there is no LCMS-MIB")
		}
		return err
	}); err != nil {
		d.stop()
		return nil, fmt.Errorf("director: %w: %s", err, d.subagent.said())
	}
	return d, nil
}

func (d *director) stop() {
	d.client.Close()
	d.subagent.stop()
	d.snmpd.stop()
}

// create makes a row for each host, and for a server on it.
func (d *director) create(hosts []netip.AddrPort) error {
	const most = 25 // hosts in a SET
	active := func(entry snmp.OID, column uint32, index snmp.OID) snmp.Varbind {
		return snmp.Varbind{Name: entry.Child(column).Child(index...), Value: snmp.Integer(createAndGo)}
	}
	for from := 0; from < len(hosts); from += most {
		var vbs []snmp.Varbind
		for i := from; i < min(from+most, len(hosts)); i++ {
			name, service := fmt.Sprintf("rs%d", i), text(fmt.Sprintf("tcp:192.0.2.1:%d", 1+i/servers))
			if i%servers == 0 {
				vbs = append(vbs, active(serviceEntry, serviceRowStatus, service),
					snmp.Varbind{Name: serviceEntry.Child(serviceWeightPolicy).Child(service...), Value: snmp.Integer(capacity)})
			}
			server := service.Child(text(netip.AddrPortFrom(hosts[i].Addr(), 80).String())...)
			vbs = append(vbs, active(hostEntry, hostRowStatus, text(name)),
				snmp.Varbind{Name: hostEntry.Child(hostSnmpURI).Child(text(name)...), Value: snmp.Text("snmp://" + hosts[i].String())},
				active(serverEntry, serverRowStatus, server),
				snmp.Varbind{Name: serverEntry.Child(serverHost).Child(server...), Value: snmp.Text(name)})
		}
		if _, err := d.client.Do(context.Background(), d.agent, snmp.Set(vbs...)); err != nil {
			return fmt.Errorf("making rows from host %d on: %w", from, err)
		}
	}
	return nil
}

// measureWhole runs the real lcms-poller at a real director and prints what its
// process uses, and what its reports save on the wire.
func measureWhole(hosts []netip.AddrPort, dir, programs string) error {
	dir, err := os.MkdirTemp(dir, "whole")
	if err != nil {
		return err
	}
	d, err := startDirector(dir, filepath.Join(programs, "lcms-subagent"))
	if err != nil {
		return err
	}
	defer d.stop()
	socket, secret, conf := filepath.Join(dir, "status"), filepath.Join(dir, "community"), filepath.Join(dir, "poller.yaml")
	if err := os.WriteFile(secret, []byte(community+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, "directors: [{address: %q, community-file: %s}]\nhosts: [{networks: 127.0.0.0/8, community-file: %s}]\nload: {interval: %s, timeout: 5s}\nstatus: {socket: %s}\n",
		d.agent.Address, secret, secret, interval, socket), 0o600); err != nil {
		return err
	}
	poller := filepath.Join(programs, "lcms-poller")
	p, err := start(filepath.Join(dir, "poller.log"), poller, "--config", conf)
	if err != nil {
		return err
	}
	defer p.stop()
	// polled waits until so many polls have been made, and returns how many.
	polled := func(n int) (done int, err error) {
		err = within(5*time.Minute, 2*time.Second, func() error {
			out, err := exec.Command(poller, "status", "--json", "--socket", socket).Output()
			if err != nil {
				return fmt.Errorf("lcms-poller status: %w: %s", err, p.said())
			}
			var s struct{ Loads struct{ Planned, Runs int } }
			if err := json.Unmarshal(out, &s); err != nil {
				return err
			}
			if done = s.Loads.Runs; done < n {
				return fmt.Errorf("%d of %d hosts are known, %d of %d polls made: %s", s.Loads.Planned, len(hosts), done, n, p.said())
			}
			return nil
		})
		return done, err
	}
	if _, err := polled(0); err != nil {
		return err
	}
	empty, err := p.anonymous()
	if err != nil {
		return err
	}
	if err := d.create(hosts); err != nil {
		return err
	}
	// The first polls find out what hosts are.
	first, err := polled(3 * len(hosts))
	if err != nil {
		return err
	}
	// Nobody looks at its status meanwhile.
	before := p.cpu()
	time.Sleep(3 * interval)
	spent := p.cpu() - before
	last, err := polled(first)
	if err != nil {
		return err
	}
	used := float64(spent.Nanoseconds()) / 1000 / float64(last-first)
	full, err := p.anonymous()
	if err != nil {
		return err
	}
	fmt.Printf("  lcms-poller as a process, with a server on each host, weights, and reports to a director: %.1f us of CPU for each host and poll, %.1f MB of memory, %.1f KiB for each host\n",
		used, float64(full)/1e6, float64(full-empty)/float64(len(hosts))/1024)

	table, err := d.walked(len(hosts))
	if err != nil {
		return err
	}
	direct, err := asked(hosts[0])
	if err != nil {
		return err
	}
	times := float64(time.Minute / interval)
	fmt.Printf("  on the wire, for each host and minute, at one poll in %s: %.0f octets by asking it, %.0f by a walk of lcmsHostTable: ratio %.2f\n",
		interval, direct*times, table*times, table/direct)
	return nil
}

// walked returns how many octets, for each host, a walk of their loads takes.
func (d *director) walked(hosts int) (float64, error) {
	r, err := newRelay(d.agent.Address)
	if err != nil {
		return 0, err
	}
	defer r.close()
	rows, err := snmp.Table(context.Background(), d.client, snmp.Agent{Address: r.address, Credentials: d.agent.Credentials}, 0,
		hostEntry.Child(hostCPULoad), hostEntry.Child(hostMemoryAvailable), hostEntry.Child(hostLoadAverage))
	if err == nil && len(rows) != hosts {
		err = fmt.Errorf("the table has %d hosts, not %d", len(rows), hosts)
	}
	return float64(r.octets.Load()) / float64(hosts), err
}

// asked returns how many octets it takes to ask one host.
func asked(host netip.AddrPort) (float64, error) {
	r, err := newRelay(host)
	if err != nil {
		return 0, err
	}
	defer r.close()
	client := snmp.NewClient(timeout, 1)
	defer client.Close()
	_, err = (&load.Host{}).Poll(context.Background(), client, snmp.Agent{Address: r.address, Credentials: &snmp.Credentials{Community: community}})
	return float64(r.octets.Load()), err
}

// text is a text as an index: its length, then its octets.
func text(s string) snmp.OID {
	oid := snmp.OID{uint32(len(s))}
	for i := range len(s) {
		oid = append(oid, uint32(s[i]))
	}
	return oid
}
