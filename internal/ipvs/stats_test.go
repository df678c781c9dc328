package ipvs

import (
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// As Linux 6.1 writes it.
const totals = `   Total Incoming Outgoing         Incoming         Outgoing
   Conns  Packets  Packets            Bytes            Bytes
      1A       2B       3C       1FFFFFFFFF              100

 Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
       1        2        3                A                B
`

func TestParseTotals(t *testing.T) {
	got, err := parseTotals([]byte(totals))
	want := lvs.Stats{
		Connections: 0x1a, InPackets: 0x2b, OutPackets: 0x3c, InBytes: 0x1fffffffff, OutBytes: 0x100,
		ConnectionRate: 1, InPacketRate: 2, OutPacketRate: 3, InByteRate: 10, OutByteRate: 11,
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", totals[:200], strings.Replace(totals, "2B", "2Z", 1)} {
		if s, err := parseTotals([]byte(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, s)
		}
	}
}
