package director

import "github.com/lcms-project/lcms/internal/poller/snmp"

// The tables of LCMS-MIB below its root, each with .1 for its entry.
var (
	generationObject = snmp.OID{1, 1, 11, 0} // lcmsDirectorConfigGeneration
	hostTable        = snmp.OID{1, 3, 1, 1}
	serviceTable     = snmp.OID{1, 4, 1, 1}
	serverTable      = snmp.OID{1, 5, 1, 1}
	serverStatsTable = snmp.OID{1, 5, 2, 1}
)

// Columns of lcmsServiceTable.
const (
	serviceAdminStatus   = 15
	serviceWeightPolicy  = 21
	serviceSlowStart     = 22
	serviceCheckType     = 23
	serviceCheckTarget   = 24
	serviceCheckInterval = 25
	serviceCheckTimeout  = 26
	serviceCheckRise     = 27
	serviceCheckFall     = 28
	serviceOwner         = 29
	serviceRowStatus     = 36
)

// Columns of lcmsServerTable and lcmsServerStatsTable.
const (
	serverHost          = 5
	serverWeight        = 7
	serverAdvisedWeight = 8
	serverOperWeight    = 9
	serverWeightReason  = 10
	serverAdminStatus   = 16
	serverHealth        = 18
	serverHealthDetail  = 20
	serverOperStatus    = 21
	serverRowStatus     = 27

	serverStatsConnections = 1
)

// Columns of lcmsHostTable.
const (
	hostAddress         = 3
	hostCPUType         = 4
	hostMemorySize      = 5
	hostInterfaceType   = 6
	hostSnmpURI         = 9
	hostCPULoad         = 10
	hostMemoryAvailable = 11
	hostLoadAverage     = 12
	hostRowStatus       = 16
)

// Values of enumerations.
const (
	rowActive     = 1 // RowStatus
	adminDown     = 3 // LcmsAdminStatus
	ownerExternal = 2 // lcmsServiceOwner
)

// appendText appends a text as an index: its length, then its octets.
func appendText(oid snmp.OID, s string) snmp.OID {
	oid = append(oid, uint32(len(s)))
	for i := range len(s) {
		oid = append(oid, uint32(s[i]))
	}
	return oid
}

// cutText takes a text off the front of an index.
func cutText(index snmp.OID) (s string, rest snmp.OID, ok bool) {
	if len(index) == 0 || uint64(index[0]) > uint64(len(index)-1) {
		return "", nil, false
	}
	b := make([]byte, index[0])
	for i, sub := range index[1 : 1+len(b)] {
		if sub > 255 {
			return "", nil, false
		}
		b[i] = byte(sub)
	}
	return string(b), index[1+len(b):], true
}
