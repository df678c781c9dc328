package control

import (
	"fmt"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// group is one service in memory: what the kernel was last read to hold, the
// published row, and how the two got apart.
type group struct {
	row     *ServiceRow
	at      int                // position in table order
	shown   bool               // the row is in the snapshot
	reading *lvs.ActualService // the last reading that the row is made of
	order   []int32            // by row: the position in reading, -1 if absent; nil when they no longer match
	wanted  []*lvs.Server      // the desired servers that the row is made of
	touched uint64             // operation count when it was last changed by us
	around  lvs.Circumstances  // under which was decided what the kernel should hold
	owed    bool               // and of which the kernel has not taken all
	drift   bool               // the kernel holds something else than it should
	seen    int                // readings in a row with drift
	retry   backoff
	noted   bool // annotate has written into the row
	settled bool // the row is as rebuild made it of reading, and would be the same at any time
}

// shows reports whether the row is what rebuild would make of a reading.
func (g *group) shows(reading *lvs.ActualService) bool {
	return g != nil && g.settled && g.reading == reading
}

// rebuild makes the row of a service anew from the desired state and a reading
// of the kernel (nil: the kernel does not hold it). It keeps every ServerState
// that stays the same. It returns nil when there is no such service left.
func (c *Control) rebuild(g *group, key lvs.ServiceKey, reading *lvs.ActualService, now time.Time) *ServiceRow {
	desired, ours := c.desired.Service(key)
	if !ours && reading == nil {
		c.stale(g.row, nil)
		return nil
	}
	old := g.row
	row := &ServiceRow{Service: desired, External: !ours, starting: !c.reconciled}
	if old != nil {
		row.Text = old.Text
	} else {
		row.Text = key.String()
	}
	if !ours {
		row.Service = reading.Desired()
		row.Service.Storage = lvs.Other
	}
	if reading != nil {
		row.inKernel = &reading.ServiceSpec
		row.Stats = reading.Stats
	}
	var wanted []*lvs.Server
	if ours {
		wanted = c.desired.Servers(key)
		row.around = g.circumstances(c.desired, &desired, wanted)
	}
	if g.order != nil && sameServers(wanted, g.wanted) && sameKeys(reading, g.reading) {
		row.Servers = make([]ServerRow, len(old.Servers))
		for i, at := range g.order {
			actual := absent
			if at >= 0 {
				actual = &reading.Servers[at]
			}
			row.Servers[i] = nextServer(row, old.Servers[i].ServerState, old.Servers[i], actual, now)
		}
	} else {
		row.Servers, g.order = joinServers(row, old, wanted, reading, now)
	}
	g.reading, g.wanted, g.around = reading, wanted, row.around
	c.show(g, row)
	finish(row, old, now)
	c.annotate(g, key)
	g.drift = !row.External && row.drifted()
	g.settled = !row.starting && !g.drift && !g.noted && !slices.ContainsFunc(row.Servers, func(s ServerRow) bool { return s.Oper.Status == OperDraining })
	c.stale(old, row)
	return row
}

// sameServers reports whether two lists of desired servers are the same list;
// a list never changes in place.
func sameServers(a, b []*lvs.Server) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// sameKeys reports whether two readings list the same servers in the same
// order.
func sameKeys(a, b *lvs.ActualService) bool {
	if a == nil || b == nil {
		return a == b
	}
	if len(a.Servers) != len(b.Servers) {
		return false
	}
	for i := range a.Servers {
		if a.Servers[i].Key != b.Servers[i].Key {
			return false
		}
	}
	return true
}

// joinServers joins the desired servers and those in the kernel to rows in
// table order.
func joinServers(row, old *ServiceRow, wanted []*lvs.Server, reading *lvs.ActualService, now time.Time) ([]ServerRow, []int32) {
	at := make(map[lvs.ServerKey]int32)
	if reading != nil {
		for i := range reading.Servers {
			at[reading.Servers[i].Key] = int32(i)
		}
	}
	states := make(map[lvs.ServerKey]ServerRow)
	if old != nil {
		for _, s := range old.Servers {
			states[s.Server.Key] = s
		}
	}
	rows := make([]ServerRow, 0, max(len(wanted), len(at)))
	add := func(server *lvs.Server, external bool, actual *lvs.ActualServer) {
		before := states[server.Key]
		state := before.ServerState
		if state == nil {
			state = &ServerState{Text: server.Key.String(), Server: server, External: external, Oper: Oper{LastChange: momentOf(now)}}
		} else if *state.Server != *server || state.External != external {
			next := *state
			next.Server, next.External, next.LastChange = server, external, momentOf(now)
			state = &next
		}
		rows = append(rows, nextServer(row, state, before, actual, now))
	}
	for _, s := range wanted {
		actual := absent
		if i, ok := at[s.Key]; ok {
			actual = &reading.Servers[i]
		}
		add(s, false, actual)
	}
	if reading != nil && len(reading.Servers) > 0 {
		ours := make(map[lvs.ServerKey]bool, len(wanted))
		for _, s := range wanted {
			ours[s.Key] = true
		}
		extra := false
		for i := range reading.Servers {
			if actual := &reading.Servers[i]; !ours[actual.Key] {
				server := foreign(actual)
				add(&server, true, actual)
				extra = true
			}
		}
		if extra {
			slices.SortFunc(rows, func(a, b ServerRow) int { return lvs.CompareTexts(a.Text, b.Text) })
		}
	}
	order := make([]int32, len(rows))
	for i := range rows {
		order[i] = -1
		if n, ok := at[rows[i].Server.Key]; ok {
			order[i] = n
		}
	}
	return rows, order
}

// foreign returns what somebody else's server would be if it were asked for.
func foreign(actual *lvs.ActualServer) lvs.Server {
	server := actual.Desired()
	server.Storage = lvs.Other
	return server
}

// nextServer makes the row of a server, and notes in that of its service if the
// kernel holds it otherwise than it should. state holds its configuration; before
// is the row as it was, zero if there was none.
func nextServer(row *ServiceRow, state *ServerState, before ServerRow, actual *lvs.ActualServer, now time.Time) ServerRow {
	next := *state
	if state.External {
		if server := foreign(actual); *next.Server != server {
			kept := server // not &server, which would put every server on the heap
			next.Server = &kept
		}
	}
	if !state.External {
		next.Told = row.around.Condition(next.Server.Key)
	}
	want, wanted := lvs.EffectiveServer(&row.Service, next.Server, &row.around)
	draining := wanted && actual != absent && (next.Server.AdminStatus == lvs.AdminDrain || row.drains())
	switch {
	case !draining:
		next.DrainSince = 0
	case next.DrainSince == 0:
		next.DrainSince = momentOf(now)
	}
	// The kernel forgets an overload when the upper threshold is raised.
	full := next.Oper.Status == OperOverloaded &&
		(before.ServerState == nil || !before.InKernel() || actual.UpperThreshold <= before.Actual.UpperThreshold)
	status, reason := operServer(row, &next, wanted, full, actual, now)
	if status == OperDrained && !row.starting && before.ServerState != nil && before.InKernel() && before.Actual.Weight != 0 {
		// The connections were counted before the weight became 0: the next
		// reading tells.
		status, reason = OperDraining, "weight 0 from now on"
	}
	if status != next.Oper.Status {
		if next.Oper.Status != 0 && !row.starting {
			next.Transitions++
		}
		next.Oper.Status, next.LastChange = status, momentOf(now)
	}
	next.Reason = reason
	if actual != absent {
		if before.ServerState == nil || !before.InKernel() || actual.Connections < before.Actual.Connections || actual.InPackets < before.Actual.InPackets {
			next.Discontinuity = momentOf(now)
		}
		next.PeakActive = max(next.PeakActive, actual.ActiveConnections)
	}
	asWanted := isAs(actual, want, wanted)
	if next.External || asWanted {
		next.LastError = "" // the kernel holds what it should
	}
	row.astray = row.astray || next.External || !asWanted
	if next != *state {
		kept := next // not &next, which would put every next on the heap
		state = &kept
	}
	return ServerRow{state, actual}
}

// QuorumLost reports whether fewer servers are usable than the service needs.
func (row *ServiceRow) QuorumLost() bool { return row.around.QuorumLost }

// WeightReason says in words where the weight of a server comes from.
func (row *ServiceRow) WeightReason(s *ServerState) string {
	if s.External {
		return "set by somebody else"
	}
	reason := lvs.WeightReason(&row.Service, s.Server, &row.around)
	if s.Note != "" {
		reason += "; " + s.Note
	}
	return reason
}

// operServer says how a server is, and why. wanted says whether the kernel
// should hold it, full whether it was overloaded before.
func operServer(row *ServiceRow, s *ServerState, wanted, full bool, actual *lvs.ActualServer, now time.Time) (OperStatus, string) {
	switch {
	case s.External:
	case !wanted && actual == absent && s.Server.Status == lvs.Active && s.Server.AdminStatus == lvs.AdminDrain && lvs.Wanted(&row.Service, &row.around):
		return OperDrained, "a sorry server that the kernel does not hold: it has no connection"
	case !wanted:
		return OperAbsent, lvs.WeightReason(&row.Service, s.Server, &row.around)
	case actual == absent:
		return OperFailed, "not in the kernel, where it should be"
	}
	takes := "takes new connections"
	if s.Told != nil && s.Told.Health == lvs.HealthDown && !s.External {
		switch v := lvs.Judge(&row.Service, s.Server, &row.around); {
		case v.IsDown():
			return OperDown, v.Reason()
		case v.Weight > 0:
			takes += ": " + v.Reason()
		}
	}
	if actual.Weight == 0 {
		return operDrain(row, s, actual, now)
	}
	if overloaded(actual, full) {
		return OperOverloaded, "at its upper connection threshold"
	}
	return OperUp, takes
}

// operDrain says how far a server is that takes no new connections. UDP knows
// no end of a connection: there the kernel's inactive ones count until they
// time out.
func operDrain(row *ServiceRow, s *ServerState, actual *lvs.ActualServer, now time.Time) (OperStatus, string) {
	left := uint64(actual.ActiveConnections)
	if row.Service.Key.Protocol() == lvs.UDP {
		left += uint64(actual.InactiveConnections)
	}
	deadline := time.Duration(s.Server.DrainTimeout) * time.Second
	switch {
	case left == 0:
		return OperDrained, "weight 0: no active connection is left"
	case s.DrainSince != 0 && deadline > 0 && now.Sub(s.DrainSince.Time()) >= deadline:
		return OperDrained, fmt.Sprintf("weight 0: the %s for draining are over, connections are left", deadline)
	}
	return OperDraining, "weight 0: connections are ending"
}

// overloaded follows the kernel (ip_vs_dest_update_overload in
// net/netfilter/ipvs/ip_vs_conn.c): from the upper threshold on, until below
// the lower one, or below three quarters of the upper if there is none.
func overloaded(a *lvs.ActualServer, already bool) bool {
	if a.UpperThreshold == 0 {
		return false
	}
	total := uint64(a.ActiveConnections) + uint64(a.InactiveConnections)
	switch {
	case total >= uint64(a.UpperThreshold):
		return true
	case !already:
		return false
	case a.LowerThreshold != 0:
		return total >= uint64(a.LowerThreshold)
	}
	return total*4 >= uint64(a.UpperThreshold)*3
}

// finish works out what of a service follows from its servers.
func finish(row, old *ServiceRow, now time.Time) {
	overloads := 0
	for i := range row.Servers {
		s := &row.Servers[i]
		row.ActiveConnections += uint64(s.Actual.ActiveConnections)
		row.InactiveConnections += uint64(s.Actual.InactiveConnections)
		row.PersistentConnections += uint64(s.Actual.PersistentConnections)
		if row.Service.IsSorry(s.Server) && !row.External {
			continue
		}
		switch s.Oper.Status {
		case OperUp:
			row.ServersUp++
		case OperOverloaded:
			overloads++
		}
	}
	row.PeakActive = row.ActiveConnections
	row.Oper = Oper{LastChange: momentOf(now)}
	if old != nil {
		row.Oper = old.Oper
		row.PeakActive = max(row.PeakActive, old.PeakActive)
		row.Discontinuity = old.Discontinuity
		if row.Service != old.Service || row.External != old.External {
			row.LastChange = momentOf(now)
		}
	}
	if row.inKernel != nil && (old == nil || old.inKernel == nil || row.Connections < old.Connections || row.InPackets < old.InPackets) {
		row.Discontinuity = momentOf(now)
	}
	status, reason := operService(row, overloads)
	if status != row.Oper.Status {
		if row.Oper.Status != 0 && !row.starting {
			row.Transitions++
		}
		row.Oper.Status, row.LastChange = status, momentOf(now)
	}
	row.Reason = reason
	if row.External || row.Oper.Status != OperFailed && (row.inKernel == nil || *row.inKernel == row.Service.ServiceSpec) {
		row.LastError = "" // the kernel holds what it should
	}
}

// operService says how a service is, and why.
func operService(row *ServiceRow, overloads int) (OperStatus, string) {
	s := &row.Service
	switch {
	case !row.External && s.Status != lvs.Active:
		return OperAbsent, "the row is " + s.Status.String()
	case !row.External && row.around.Cluster == lvs.AdminDown:
		return OperAbsent, "its cluster is down by its administrator"
	case !row.External && s.AdminStatus == lvs.AdminDown:
		return OperAbsent, "down by its administrator"
	case row.inKernel == nil:
		return OperFailed, "not in the kernel, where it should be"
	case row.drains() && row.ActiveConnections > 0:
		return OperDraining, "drained by its administrator: connections are ending"
	case row.drains():
		return OperDrained, "drained by its administrator: no active connection is left"
	case row.around.Sorry:
		return OperDown, row.around.QuorumText(s) + ": the sorry server serves"
	case row.ServersUp > 0 && row.around.QuorumLost:
		return OperUp, "takes new connections, but " + row.around.QuorumText(s)
	case row.ServersUp > 0:
		return OperUp, "takes new connections"
	case overloads > 0:
		return OperOverloaded, "every server that could take connections is at its threshold"
	case len(row.Servers) == 0:
		return OperDown, "it has no servers"
	}
	return OperDown, fmt.Sprintf("none of its %d servers takes new connections", len(row.Servers))
}

// drains reports whether all servers of the service are being drained.
func (row *ServiceRow) drains() bool {
	return row.Service.AdminStatus == lvs.AdminDrain || row.around.Cluster == lvs.AdminDrain
}

// drifted reports whether the kernel holds something else of our service than
// it should.
func (row *ServiceRow) drifted() bool {
	if !lvs.Wanted(&row.Service, &row.around) {
		return row.inKernel != nil
	}
	return row.inKernel == nil || *row.inKernel != row.Service.ServiceSpec || row.astray
}

// goesAstray is the same of a server of a service that the kernel should hold.
func (row *ServiceRow) goesAstray(s ServerRow) bool {
	want, ok := lvs.EffectiveServer(&row.Service, s.Server, &row.around)
	return s.External || !isAs(s.Actual, want, ok)
}

// isAs reports whether the kernel holds a server as it should, or does not where
// it should not.
func isAs(actual *lvs.ActualServer, want lvs.ServerSpec, wanted bool) bool {
	return wanted == (actual != absent) && (!wanted || want == actual.ServerSpec)
}

// held returns what the kernel holds of a row, nil if nothing.
func (row *ServiceRow) held() *lvs.ActualService {
	if row == nil || row.inKernel == nil {
		return nil
	}
	a := &lvs.ActualService{ServiceSpec: *row.inKernel, Stats: row.Stats}
	for i := range row.Servers {
		if row.Servers[i].InKernel() {
			a.Servers = append(a.Servers, *row.Servers[i].Actual)
		}
	}
	return a
}

// target is held for a comparison with what it should hold, of these servers
// only.
func (row *ServiceRow) target(only []lvs.ServerKey) lvs.Target {
	if row == nil || row.inKernel == nil {
		return lvs.Target{}
	}
	t := lvs.Target{Service: row.inKernel, Servers: make([]lvs.ServerSpec, 0, len(only))}
	next := 0
	for _, k := range only {
		i, ok := row.find(next, k)
		if ok && row.Servers[i].InKernel() {
			t.Servers = append(t.Servers, row.Servers[i].Actual.ServerSpec)
		}
		next = i + 1
	}
	return t
}

// find returns the position of a server, or where it would stand. It is quick
// where that is the likely one.
func (row *ServiceRow) find(likely int, k lvs.ServerKey) (int, bool) {
	if likely < len(row.Servers) && row.Servers[likely].Server.Key == k {
		return likely, true
	}
	return slices.BinarySearchFunc(row.Servers, k, func(s ServerRow, k lvs.ServerKey) int { return s.Server.Key.Compare(k) })
}
