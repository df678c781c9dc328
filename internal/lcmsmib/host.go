package lcmsmib

import (
	"net/netip"
	"time"

	"github.com/lcms-project/lcms/agentx/mib"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

var hostEntry = smi.OID{1, 3, 1, 1}

// hostRow is a host, with what can be written of it. The type of its address is
// written apart from the address and must fit it in the end.
type hostRow struct {
	*control.HostRow
	host        lvs.Host
	addressType int32
	report      control.HostReport // in a draft: what is written, unsaid where nothing is
}

// unsaid stands for what a report says nothing of. It is beyond what can be
// reported: a value that is reported again is written too.
const unsaid = 1<<32 - 1

// mostReported bounds what is reported, below unsaid.
const mostReported = 1<<31 - 1

func host() *mib.Table[*control.Snapshot, *hostRow, *lvs.Change] {
	type row = *hostRow
	return rowsOf(mib.Table[*control.Snapshot, row, *lvs.Change]{
		Name: "lcmsHostTable",
		OID:  hostEntry,
		Columns: []mib.Column[row]{
			mib.InetAddressType(2, "lcmsHostAddressType", func(r row) *int32 { return &r.addressType }, mib.Creatable),
			mib.Address(3, "lcmsHostAddress", func(r row) *netip.Addr { return &r.host.Address }, mib.Creatable),
			mib.Text(4, "lcmsHostCpuType", func(r row) *string { return &r.host.CpuType }, mib.Creatable, mib.Range(0, lvs.MaxType)),
			mib.Unsigned32(5, "lcmsHostMemorySize", func(r row) *uint32 { return &r.host.MemorySize }, mib.Creatable),
			mib.Text(6, "lcmsHostInterfaceType", func(r row) *string { return &r.host.InterfaceType }, mib.Creatable, mib.Range(0, lvs.MaxType)),
			mib.Bits(7, "lcmsHostRoleStatus", func(r row) *lvs.Roles { return &r.RoleStatus }, roleLabels),
			mib.Bits(8, "lcmsHostRolePotential", func(r row) *lvs.Roles { return &r.host.RolePotential }, roleLabels, mib.Creatable),
			mib.Text(9, "lcmsHostSnmpUri", func(r row) *string { return &r.host.SnmpURI }, mib.Creatable, mib.Range(0, lvs.MaxURI)),
			mib.Unsigned32(10, "lcmsHostCpuLoad", func(r row) *uint32 { return &r.report.CpuLoad }, mib.Creatable, mib.Range(0, 100)),
			mib.Unsigned32(11, "lcmsHostMemoryAvailable", func(r row) *uint32 { return &r.report.MemoryAvailable }, mib.Creatable, mib.Range(0, mostReported)),
			mib.Unsigned32(12, "lcmsHostLoadAverage", func(r row) *uint32 { return &r.report.LoadAverage }, mib.Creatable, mib.Range(0, mostReported)),
			mib.Gauge32(13, "lcmsHostReportAge", func(r row) uint64 { return age(r.report.At.Time()) }),
			mib.Time(14, "lcmsHostLastChange", func(r row) time.Time { return r.LastChange.Time() }),
			mib.StorageType(15, "lcmsHostStorageType", func(r row) *lvs.Storage { return &r.host.Storage }),
			mib.RowStatus(16, "lcmsHostRowStatus", func(r row) *lvs.Status { return &r.host.Status }),
		},
		Index: func(dst smi.OID, r row) smi.OID { return smi.AppendIndexString(dst, string(r.host.Name)) },
		Clone: func(r row) row {
			clone := *r
			clone.report = nothingReported
			return &clone
		},
		New: func(_ *control.Snapshot, index smi.OID) (row, error) {
			name, err := oneName(index, "host", lvs.ParseHostName)
			if err != nil {
				return nil, err
			}
			r := newHostRow(&control.HostRow{Host: lvs.NewHost(name)})
			r.report = nothingReported
			return r, nil
		},
		Ready: func(r row) error {
			if refusal := r.host.Check(); refusal != nil {
				return refusal
			}
			return nil
		},
		Status: func(r row) *uint8 { return (*uint8)(&r.host.Status) },
		Put:    putHost,
	}, func(s *control.Snapshot) []*control.HostRow { return s.Hosts },
		func(r *control.HostRow) [2]string { return [2]string{string(r.Host.Name)} }, newHostRow)
}

var nothingReported = control.HostReport{CpuLoad: unsaid, MemoryAvailable: unsaid, LoadAverage: unsaid}

func newHostRow(r *control.HostRow) *hostRow {
	return &hostRow{r, r.Host, mib.AddressType(r.Host.Address), r.Report(time.Now())}
}

// putHost adds the edit of a host to the change, and what was reported of it.
func putHost(c *lvs.Change, e mib.Edit[*hostRow]) error {
	if e.Destroyed {
		c.DeleteHosts = append(c.DeleteHosts, e.Old.host.Name)
		return nil
	}
	if e.New.addressType != mib.AddressType(e.New.host.Address) {
		return refuse(smi.InconsistentValue, "the address and its type do not fit: write lcmsHostAddressType and lcmsHostAddress together")
	}
	if !e.Existed || e.New.host != e.Old.host {
		c.PutHosts = append(c.PutHosts, e.New.host)
	}
	report := lvs.HostReport{Host: e.New.host.Name}
	for _, f := range []struct {
		to   **uint32
		from *uint32
	}{
		{&report.CpuLoad, &e.New.report.CpuLoad},
		{&report.MemoryAvailable, &e.New.report.MemoryAvailable},
		{&report.LoadAverage, &e.New.report.LoadAverage},
	} {
		if *f.from != unsaid {
			*f.to = f.from
		}
	}
	if report != (lvs.HostReport{Host: report.Host}) {
		c.HostReports = append(c.HostReports, report)
	}
	return nil
}

// age returns how long ago something was in seconds, the largest number if it
// never was.
func age(at time.Time) uint64 {
	if at.IsZero() {
		return 1<<32 - 1
	}
	return uint64(max(0, time.Since(at)/time.Second))
}
