package ipvs

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"

	"github.com/mdlayher/netlink"

	"github.com/lcms-project/lcms/internal/lvs"
)

// counters returns the fields in the order of the kernel's attributes from
// IPVS_STATS_ATTR_CONNS, which is 1, and of the columns of ip_vs_stats.
func counters(s *lvs.Stats) [10]*uint64 {
	return [10]*uint64{
		&s.Connections, &s.InPackets, &s.OutPackets, &s.InBytes, &s.OutBytes,
		&s.ConnectionRate, &s.InPacketRate, &s.OutPacketRate, &s.InByteRate, &s.OutByteRate,
	}
}

func decodeStats(s *lvs.Stats) func(*netlink.AttributeDecoder) error {
	return func(d *netlink.AttributeDecoder) error {
		fields := counters(s)
		for d.Next() {
			if i := int(d.Type()) - 1; i >= 0 && i < len(fields) {
				*fields[i] = d.Uint64()
			}
		}
		return nil
	}
}

// readTotals reads the counters of the whole namespace.
func (c *conn) readTotals() (lvs.Stats, error) {
	b := make([]byte, 4096)
	n, err := c.totals.ReadAt(b, 0)
	if n == 0 {
		return lvs.Stats{}, fmt.Errorf("read %s: %w", c.totals.Name(), err)
	}
	return parseTotals(b[:n])
}

// parseTotals reads /proc/net/ip_vs_stats: five hexadecimal numbers in the third
// line and the rates in the sixth; the others are headings.
func parseTotals(b []byte) (lvs.Stats, error) {
	var s lvs.Stats
	fields := counters(&s)
	lines := bufio.NewScanner(bytes.NewReader(b))
	i := 0
	for line := 0; lines.Scan(); line++ {
		if line != 2 && line != 5 {
			continue
		}
		for _, word := range bytes.Fields(lines.Bytes()) {
			if i == len(fields) {
				break
			}
			v, err := strconv.ParseUint(string(word), 16, 64)
			if err != nil {
				return lvs.Stats{}, fmt.Errorf("totals of IPVS: %w", err)
			}
			*fields[i] = v
			i++
		}
	}
	if i != len(fields) {
		return lvs.Stats{}, fmt.Errorf("totals of IPVS: %d numbers instead of %d", i, len(fields))
	}
	return s, nil
}
