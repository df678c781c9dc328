package control

import (
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// reportLife is how long what a monitor has reported of a host stands. A monitor
// reports at least once a minute: five that are missed in a row are no accident,
// and what is older says nothing of now.
const reportLife = 5 * time.Minute

// HostRow is a host with all that is known of it.
type HostRow struct {
	Host       lvs.Host
	RoleStatus lvs.Roles // what it does at the moment
	LastChange Moment    // of RoleStatus or of the configuration

	report HostReport
}

// HostReport is what a monitor has reported of a host.
type HostReport struct {
	CpuLoad         uint32 // percent
	MemoryAvailable uint32 // MiB
	LoadAverage     uint32 // hundredths
	At              Moment // when it was reported; zero: there is none
}

// Report returns what was last reported of the host; it is zero when that has
// become too old to be worth anything at the time now.
func (r *HostRow) Report(now time.Time) HostReport {
	if r.report.expired(now) {
		return HostReport{}
	}
	return r.report
}

func (r *HostReport) expired(now time.Time) bool {
	return r.At == 0 || now.Sub(r.At.Time()) >= reportLife
}

// hostRows makes the rows of hosts, which have these roles.
func (c *Control) hostRows(roles map[lvs.HostName]lvs.Roles, now time.Time) []*HostRow {
	rows := make([]*HostRow, 0, len(c.groupRows.hosts))
	i := 0
	for h := range c.desired.Hosts {
		row := HostRow{Host: *h, RoleStatus: roles[h.Name], LastChange: momentOf(now)}
		old := previous(c.groupRows.hosts, &i, func(r *HostRow) int { return r.Host.Name.Compare(h.Name) }, nil)
		if old != nil {
			row.report = old.report
			if old.Host == row.Host && old.RoleStatus == row.RoleStatus {
				row.LastChange = old.LastChange
			}
			if *old == row {
				rows = append(rows, old)
				continue
			}
		}
		rows = append(rows, &row)
	}
	return rows
}

// report notes what a monitor has reported. Hosts that are not there are left
// out: Prepare has looked.
func (c *Control) report(reports []lvs.HostReport, now time.Time) {
	if len(reports) == 0 {
		return
	}
	rows := slices.Clone(c.groupRows.hosts)
	for _, r := range reports {
		i, ok := slices.BinarySearchFunc(rows, r.Host, func(row *HostRow, n lvs.HostName) int { return row.Host.Name.Compare(n) })
		if !ok {
			continue
		}
		row := *rows[i]
		row.report = row.Report(now)
		for _, f := range []struct{ to, from *uint32 }{
			{&row.report.CpuLoad, r.CpuLoad}, {&row.report.MemoryAvailable, r.MemoryAvailable}, {&row.report.LoadAverage, r.LoadAverage},
		} {
			if f.from != nil {
				*f.to = *f.from
			}
		}
		row.report.At = momentOf(now)
		rows[i] = &row
	}
	c.groupRows.hosts = rows
}

// checkMoment checks what a change says or asks of the moment, when it makes
// next.
func (c *Control) checkMoment(change *lvs.Change, next *lvs.Config) error {
	for _, r := range change.HostReports {
		if _, ok := next.Host(r.Host); !ok {
			return &lvs.Refusal{Kind: lvs.ErrNotFound, Host: r.Host, Reason: "there is no such host: create it first"}
		}
	}
	if err := checkReports(change, next); err != nil {
		return err
	}
	return c.checkDirectory(change)
}
