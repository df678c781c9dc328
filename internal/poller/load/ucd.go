package load

import (
	"errors"
	"math"
	"time"

	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// The objects of UCD-SNMP-MIB, in the order of the request.
const (
	ucdUptime = iota
	ucdUser
	ucdNice
	ucdSystem
	ucdIdle
	ucdWait
	ucdSteal
	ucdLoad
	ucdTotal
	ucdFree
	ucdBuffer
	ucdCached
	ucdAvailable
)

var ucdRequest = snmp.Get(
	snmp.MustOID("1.3.6.1.2.1.1.3.0"),         // sysUpTime
	snmp.MustOID("1.3.6.1.4.1.2021.11.50.0"),  // ssCpuRawUser
	snmp.MustOID("1.3.6.1.4.1.2021.11.51.0"),  // ssCpuRawNice
	snmp.MustOID("1.3.6.1.4.1.2021.11.52.0"),  // ssCpuRawSystem
	snmp.MustOID("1.3.6.1.4.1.2021.11.53.0"),  // ssCpuRawIdle
	snmp.MustOID("1.3.6.1.4.1.2021.11.54.0"),  // ssCpuRawWait
	snmp.MustOID("1.3.6.1.4.1.2021.11.64.0"),  // ssCpuRawSteal
	snmp.MustOID("1.3.6.1.4.1.2021.10.1.5.1"), // laLoadInt of one minute
	snmp.MustOID("1.3.6.1.4.1.2021.4.5.0"),    // memTotalReal
	snmp.MustOID("1.3.6.1.4.1.2021.4.6.0"),    // memAvailReal: only what is free
	snmp.MustOID("1.3.6.1.4.1.2021.4.14.0"),   // memBuffer
	snmp.MustOID("1.3.6.1.4.1.2021.4.15.0"),   // memCached
	snmp.MustOID("1.3.6.1.4.1.2021.4.27.0"),   // memSysAvail, since net-snmp 5.9
)

// still is how long counters may stay as they are: agents read them every few seconds
// only.
const still = time.Minute

var (
	errStill = errors.New("its processor counters (ssCpuRawUser and the like) stand still: restart its snmpd")
	errBack  = errors.New("its processor counters or its uptime went back: it has started anew, or if that stays, they are broken")
)

// counters are ticks of all processors since the host started.
type counters struct {
	uptime uint32
	parts  [6]uint32
	valid  bool
	cpu    float64   // what they last gave
	moved  time.Time // when they were first seen so
}

// ucd reads an answer to ucdRequest; false if the agent has no such objects.
func (h *Host) ucd(vbs []snmp.Varbind, now time.Time) (Load, bool) {
	number := func(i int) uint64 {
		if v := vbs[i].Value; v.IsNumber() && v.Int() > 0 {
			return v.Num
		}
		return 0
	}
	if !vbs[ucdIdle].Value.IsNumber() || !vbs[ucdUser].Value.IsNumber() {
		return Load{}, false
	}
	c := counters{uptime: uint32(number(ucdUptime)), valid: true, moved: now}
	for i := range c.parts {
		c.parts[i] = uint32(number(ucdUser + i))
	}
	if h.last.valid && c.parts == h.last.parts {
		c.moved = h.last.moved
	}
	var fault error
	c.cpu, fault = c.since(h.last, now)
	h.last = c
	l := Load{At: now, Source: "UCD-SNMP-MIB", CPU: c.cpu, Fault: fault, LoadAverage: math.NaN(), MemoryTotal: number(ucdTotal)}
	if vbs[ucdLoad].Value.IsNumber() {
		l.LoadAverage = float64(number(ucdLoad)) / 100
	}
	l.MemoryAvailable = number(ucdAvailable)
	if !vbs[ucdAvailable].Value.IsNumber() {
		l.MemoryAvailable = number(ucdFree) + number(ucdBuffer) + number(ucdCached)
	}
	return l, true
}

// since returns which part of the time since earlier counters the processors
// were busy; NaN if that cannot be known, and why, unless these are the first.
// Counters may wrap.
func (c counters) since(earlier counters, now time.Time) (float64, error) {
	switch {
	case !earlier.valid:
		return math.NaN(), nil
	case c.uptime < earlier.uptime:
		return math.NaN(), errBack
	case now.Sub(c.moved) > still:
		return math.NaN(), errStill
	}
	var total, idle uint64
	for i := range c.parts {
		d := c.parts[i] - earlier.parts[i]
		if d > 1<<31 { // went back
			return math.NaN(), errBack
		}
		total += uint64(d)
		if i == ucdIdle-ucdUser || i == ucdWait-ucdUser {
			idle += uint64(d)
		}
	}
	if total == 0 {
		return earlier.cpu, nil
	}
	return 1 - float64(idle)/float64(total), nil
}
