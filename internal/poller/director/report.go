package director

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// A report stands for 30 s at least; it is given again when a third of that is
// over.
const (
	refreshServer = 10 * time.Second
	refreshHost   = time.Minute // stands for five minutes
	// A SET has at most so many objects and octets: snmpd is not held up for long,
	// and the message passes where large fragments do not.
	maxObjects = 60
	maxOctets  = 4000
)

// ServerReport is what is found of a server. It is comparable.
type ServerReport struct {
	Health  uint8  // as lcmsServerHealth
	Detail  string // in words
	Advised uint32 // 0: none
}

// HostReport is what is measured of a host. It is comparable.
type HostReport struct {
	CPULoad         uint32 // percent
	MemoryAvailable uint32 // MiB
	LoadAverage     uint32 // hundredths
	Known           HostKnown
}

// HostKnown says which of the measures of a HostReport are known.
type HostKnown struct{ CPU, Memory, Average bool }

// Inventory is what an empty row of a host lacks; zero values are not known.
type Inventory struct {
	CPUType       string
	InterfaceType string
	MemorySize    uint32
}

// told is what was reported, and when.
type told[R any] struct {
	report R
	at     time.Time
}

// part is what one SET has of one row.
type part struct {
	vbs  []snmp.Varbind
	done func(now time.Time) // the director has taken it
	gone func()              // the director has no such row
}

// ReportServer says what is found of a server. It is sent soon if it is new.
func (d *Director) ReportServer(id lvs.ServerID, r ServerReport) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, had := d.servers[id]
	d.servers[id] = r
	if !had || old.Health != r.Health || old.Advised != r.Advised {
		d.nudge()
	}
}

// ReportHost says what is measured of a host. It is sent soon if it is news.
func (d *Director) ReportHost(name string, r HostReport) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts[name] = r
	if far(r, d.toldHosts[name].report) {
		d.nudge()
	}
}

// Fill says what is known of the machine of a host. What its row says already
// stays.
func (d *Director) Fill(name string, inv Inventory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inventory[name] = inv
	d.nudge()
}

// Forget withdraws the report of a server that is not watched any more.
func (d *Director) Forget(id lvs.ServerID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.servers, id)
	delete(d.toldServers, id)
}

func (d *Director) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// due returns what has to be told now, of rows that the director has.
func (d *Director) due(now time.Time) []part {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		return nil
	}
	var parts []part
	for _, service := range d.seen.Services {
		for _, s := range service.Servers {
			r, ok := d.servers[s.ID]
			if last := d.toldServers[s.ID]; ok && !d.goneServers[s.ID] {
				if p := d.serverPart(s.ID, r, last, now); len(p.vbs) > 0 {
					parts = append(parts, p)
				}
			}
		}
	}
	for name, host := range d.seen.Hosts {
		last := d.toldHosts[name]
		if r, ok := d.hosts[name]; ok && (now.Sub(last.at) >= refreshHost || far(r, last.report)) {
			parts = append(parts, d.hostPart(name, r))
		}
		if inv, ok := d.inventory[name]; ok {
			delete(d.inventory, name) // once, whatever comes of it
			if p := d.inventoryPart(host, inv); len(p.vbs) > 0 {
				parts = append(parts, p)
			}
		}
	}
	return parts
}

// serverPart makes the varbinds of a report: all that changed, and what has to
// be said again.
func (d *Director) serverPart(id lvs.ServerID, r ServerReport, last told[ServerReport], now time.Time) part {
	again := now.Sub(last.at) >= refreshServer
	if !again && r.Health == last.report.Health && r.Advised == last.report.Advised {
		return part{} // nearly always: no name is made
	}
	p := part{
		done: func(now time.Time) {
			d.toldServers[id] = told[ServerReport]{r, now}
		},
		gone: func() { d.goneServers[id] = true },
	}
	index := appendText(appendText(nil, id.Service.String()), id.Server.String())
	name := func(column uint32) snmp.OID { return d.root.Child(serverTable...).Child(column).Child(index...) }
	if r.Health != 0 && (again || r.Health != last.report.Health) {
		p.vbs = append(p.vbs, snmp.Varbind{Name: name(serverHealth), Value: snmp.Integer(int32(r.Health))})
	}
	// A time in the detail differs with every check and is no news.
	if r.Health != last.report.Health || r.Advised != last.report.Advised || again && words(r.Detail) != words(last.report.Detail) {
		p.vbs = append(p.vbs, snmp.Varbind{Name: name(serverHealthDetail), Value: snmp.Text(r.Detail)})
	}
	if r.Advised != last.report.Advised || again && r.Advised != 0 {
		p.vbs = append(p.vbs, snmp.Varbind{Name: name(serverAdvisedWeight), Value: snmp.Unsigned(r.Advised)})
	}
	return p
}

// words leaves the digits out of a text.
func words(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return -1
		}
		return r
	}, s)
}

// far reports whether two measures differ by more than the noise.
func far(a, b HostReport) bool {
	differ := func(x, y, most uint32) bool { return max(x, y)-min(x, y) > most }
	return a.Known != b.Known || differ(a.CPULoad, b.CPULoad, 5) ||
		differ(a.MemoryAvailable, b.MemoryAvailable, max(a.MemoryAvailable, b.MemoryAvailable)/20) || differ(a.LoadAverage, b.LoadAverage, 50)
}

func (d *Director) hostPart(name string, r HostReport) part {
	p := part{
		done: func(now time.Time) { d.toldHosts[name] = told[HostReport]{r, now} },
		gone: func() { delete(d.hosts, name) },
	}
	add := func(column, n uint32, known bool) {
		if known {
			p.vbs = append(p.vbs, snmp.Varbind{Name: d.hostName(name, column), Value: snmp.Unsigned(n)})
		}
	}
	add(hostCPULoad, r.CPULoad, r.Known.CPU)
	add(hostMemoryAvailable, r.MemoryAvailable, r.Known.Memory)
	add(hostLoadAverage, r.LoadAverage, r.Known.Average)
	return p
}

func (d *Director) inventoryPart(host *Host, inv Inventory) part {
	p := part{done: func(time.Time) {}, gone: func() {}}
	if host.CPUType == "" && inv.CPUType != "" {
		p.vbs = append(p.vbs, snmp.Varbind{Name: d.hostName(host.Name, hostCPUType), Value: snmp.Text(inv.CPUType)})
	}
	if host.InterfaceType == "" && inv.InterfaceType != "" {
		p.vbs = append(p.vbs, snmp.Varbind{Name: d.hostName(host.Name, hostInterfaceType), Value: snmp.Text(inv.InterfaceType)})
	}
	if host.MemorySize == 0 && inv.MemorySize != 0 {
		p.vbs = append(p.vbs, snmp.Varbind{Name: d.hostName(host.Name, hostMemorySize), Value: snmp.Unsigned(inv.MemorySize)})
	}
	return p
}

func (d *Director) hostName(name string, column uint32) snmp.OID {
	return appendText(d.root.Child(hostTable...).Child(column), name)
}

// send tells parts, as many in one SET as fit. A row that the director does not
// have any more is left out, and the others are told without it.
func (d *Director) send(ctx context.Context, parts []part) error {
	for len(parts) > 0 && ctx.Err() == nil {
		var vbs []snmp.Varbind
		n, octets := 0, 0
		for n < len(parts) {
			size := snmp.Set(parts[n].vbs...).Size()
			if n > 0 && (len(vbs)+len(parts[n].vbs) > maxObjects || octets+size > maxOctets) {
				break
			}
			vbs, octets = append(vbs, parts[n].vbs...), octets+size
			n++
		}
		_, err := d.opts.Via.Do(ctx, d.agent, snmp.Set(vbs...))
		var refusal *snmp.StatusError
		switch {
		case err == nil:
			d.mu.Lock()
			now := time.Now()
			for _, p := range parts[:n] {
				p.done(now)
			}
			d.sets++
			d.mu.Unlock()
			parts = parts[n:]
		case errors.As(err, &refusal) && refusal.Index > 0 && rowGone(refusal.Status):
			at := whose(parts[:n], refusal.Index)
			d.mu.Lock()
			parts[at].gone()
			d.refused++
			d.mu.Unlock()
			parts = slices.Delete(parts, at, at+1)
		case errors.As(err, &refusal) && mayNot(refusal.Status):
			return fmt.Errorf("it may not be told: %w: give the monitor write access to lcmsServerHealth, lcmsServerHealthDetail, lcmsServerAdvisedWeight and the load of hosts in snmpd's views", err)
		default:
			return err
		}
	}
	return ctx.Err()
}

// rowGone reports whether a refusal means that there is no such row.
func rowGone(status int) bool {
	return status == snmp.NoCreation || status == snmp.InconsistentName || status == snmp.NotWritable
}

// mayNot reports whether a refusal means that nothing may be written.
func mayNot(status int) bool { return status == snmp.NoAccess || status == snmp.AuthorizationError }

// whose returns the part to which the varbind of an index belongs, from 1.
func whose(parts []part, index int) int {
	for i, p := range parts {
		if index -= len(p.vbs); index <= 0 {
			return i
		}
	}
	return len(parts) - 1
}
