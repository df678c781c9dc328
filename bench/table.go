package main

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
)

// root is lcmsMIB.
var root = oid{1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 5267}

var (
	serverEntry  = root.child(1, 5, 1, 1) // lcmsServerEntry
	statsEntry   = root.child(1, 5, 2, 1) // lcmsServerStatsEntry
	serviceEntry = root.child(1, 4, 1, 1) // lcmsServiceEntry
)

// columns are the ten that every provider serves, in the order of their OIDs.
// peers/table.h has the same.
var columns = []oid{
	serverEntry.child(3),  // lcmsServerAddress, OCTET STRING of 4
	serverEntry.child(6),  // lcmsServerForwarding, INTEGER
	weight,                // lcmsServerWeight, Unsigned32
	serverEntry.child(9),  // lcmsServerOperWeight, Gauge32
	serverEntry.child(21), // lcmsServerOperStatus, INTEGER
	lastChange,            // lcmsServerLastChange, OCTET STRING of 11
	statsEntry.child(1),   // lcmsServerStatsConnections, Counter64
	statsEntry.child(4),   // lcmsServerStatsInBytes, Counter64
	statsEntry.child(5),   // lcmsServerStatsOutBytes, Counter64
	statsEntry.child(11),  // lcmsServerStatsActiveConnections, Gauge32
}

var (
	weight     = serverEntry.child(7)  // the column that SETs change
	lastChange = serverEntry.child(23) // the column whose values depend on the time

	adminStatus = serverEntry.child(16) // the column whose changes are told

	notificationsSent   = root.child(1, 11, 8, 0)
	notificationsQueued = root.child(1, 11, 11, 0)
	notificationEnable  = root.child(1, 11, 12, 0)
	notificationRate    = root.child(1, 11, 13, 0)
	// In an inform: the name of lcmsNotificationSequence.0, and a value of
	// snmpTrapOID.0.
	notificationSequence = root.child(1, 12, 1, 0).ber()
	serverStateChange    = root.child(0, 1).ber()
	// trigger makes the C peer send notifications.
	trigger = oid{1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 5268, 1, 0}

	serverStorage    = serverEntry.child(26)
	serverRowStatus  = serverEntry.child(27)
	serviceStorage   = serviceEntry.child(35)
	serviceRowStatus = serviceEntry.child(36)
)

// Values of LCMS-MIB and of the textual conventions of RFC 2579.
const (
	defaultWeight = uint32(1)
	maxWeight     = uint32(65535)
	adminUp       = int32(1)
	adminDown     = int32(3)
	volatile      = int32(2)
	nonVolatile   = int32(3)
	createAndGo   = int32(4)
)

const serversPerService = 10

// row is one server of one service.
type row struct {
	service string // lcmsServiceKey
	server  string // lcmsServerKey
	address netip.Addr
}

// index returns lcmsServiceKey and lcmsServerKey as the end of an OID.
func (r row) index() oid { return indexOf(r.service, r.server) }

func indexOf(texts ...string) oid {
	var o oid
	for _, t := range texts {
		o = append(o, uint32(len(t)))
		for _, c := range []byte(t) {
			o = append(o, uint32(c))
		}
	}
	return o
}

// makeRows returns n rows in the order of the table, so many to a service.
func makeRows(n, perService int) []row {
	rows := make([]row, n)
	for i := range rows {
		address := after(netip.AddrFrom4([4]byte{172, 16}), i+1)
		rows[i] = row{
			service: fmt.Sprintf("tcp:%s:80", after(netip.AddrFrom4([4]byte{10}), i/perService+1)),
			server:  fmt.Sprintf("%s:8080", address),
			address: address,
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(len(a.service), len(b.service)), cmp.Compare(a.service, b.service),
			cmp.Compare(len(a.server), len(b.server)), cmp.Compare(a.server, b.server),
		)
	})
	return rows
}

// after returns the IPv4 address n after a.
func after(a netip.Addr, n int) netip.Addr {
	b := a.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
	return netip.AddrFrom4(b)
}

// writeRows makes the file that the peers load: service, server, address and
// weight of one row on each line.
func writeRows(path string, rows []row) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, r := range rows {
		fmt.Fprintln(w, r.service, r.server, r.address, defaultWeight)
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
