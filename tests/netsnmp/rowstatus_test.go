package netsnmp

import (
	"errors"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// The states of a row, as RowStatus shows them.
const (
	absent       = director.NoSuchInstance
	active       = "1"
	notInService = "2"
	notReady     = "3"
)

// kind is a table whose rows go through all states.
type kind struct {
	name  string
	row   row
	lack  string // to create the row with, so that it is notReady
	mend  string // what it needs to be active
	unset string // takes away again what mend gave; "" if nothing can
}

var kinds = []kind{
	{
		name: "service", row: row{service: "tcp:192.0.2.7:0"},
		lack: "Name s lacking", mend: "PersistenceTimeout u 300", unset: "PersistenceTimeout u 0",
	},
	{
		name: "server", row: row{service: "tcp:192.0.2.8:80", server: "10.0.0.11:80"},
		lack: "TunnelType i gue", mend: "TunnelPort u 6080", unset: "TunnelPort u 0",
	},
	{
		name: "sync daemon", row: row{daemon: "backup"},
		lack: "SyncId u 7", mend: "Interface s " + director.Interface,
	},
}

// transitions are the cells of the table under RowStatus in RFC 2579. In a SET
// "lack", "mend" and "unset" stand for what the kind says.
var transitions = []struct {
	state  string
	set    []string
	status string // of the refusal, "" = accepted
	at     int    // the varbind that the refusal names, from 0
	next   string // state afterwards
}{
	{absent, []string{"RowStatus i active"}, "inconsistentValue", 0, absent},
	{absent, []string{"RowStatus i notInService"}, "inconsistentValue", 0, absent},
	{absent, []string{"RowStatus i notReady"}, "wrongValue", 0, absent},
	{absent, []string{"RowStatus i destroy"}, "", 0, absent},
	{absent, []string{"mend"}, "inconsistentName", 0, absent},
	{absent, []string{"lack", "RowStatus i createAndGo"}, "inconsistentValue", 1, absent},
	{absent, []string{"lack", "RowStatus i createAndWait"}, "", 0, notReady},

	{notReady, []string{"RowStatus i createAndGo"}, "inconsistentValue", 0, notReady},
	{notReady, []string{"RowStatus i createAndWait"}, "inconsistentValue", 0, notReady},
	{notReady, []string{"RowStatus i active"}, "inconsistentValue", 0, notReady},
	{notReady, []string{"RowStatus i notInService"}, "inconsistentValue", 0, notReady},
	{notReady, []string{"RowStatus i notReady"}, "wrongValue", 0, notReady},
	{notReady, []string{"lack"}, "", 0, notReady},
	{notReady, []string{"mend"}, "", 0, notInService},

	{notInService, []string{"RowStatus i createAndGo"}, "inconsistentValue", 0, notInService},
	{notInService, []string{"RowStatus i createAndWait"}, "inconsistentValue", 0, notInService},
	{notInService, []string{"RowStatus i notInService"}, "", 0, notInService},
	{notInService, []string{"RowStatus i notReady"}, "wrongValue", 0, notInService},
	{notInService, []string{"mend"}, "", 0, notInService},
	{notInService, []string{"unset"}, "", 0, notReady},
	{notInService, []string{"RowStatus i active"}, "", 0, active},

	{active, []string{"RowStatus i createAndGo"}, "inconsistentValue", 0, active},
	{active, []string{"RowStatus i createAndWait"}, "inconsistentValue", 0, active},
	{active, []string{"RowStatus i notReady"}, "wrongValue", 0, active},
	{active, []string{"RowStatus i active"}, "", 0, active},
	{active, []string{"mend"}, "", 0, active},
	{active, []string{"unset"}, "inconsistentValue", 0, active},
	{active, []string{"RowStatus i notInService"}, "", 0, notInService},

	{notReady, []string{"RowStatus i notInService", "mend"}, "", 0, notInService},
	{notReady, []string{"RowStatus i active", "mend"}, "", 0, active},
	{active, []string{"RowStatus i destroy"}, "", 0, absent},
	{notReady, []string{"RowStatus i destroy"}, "", 0, absent},
	{notInService, []string{"RowStatus i destroy"}, "", 0, absent},
	{absent, []string{"mend", "RowStatus i createAndWait", "lack"}, "", 0, notInService},
	{active, []string{"RowStatus i destroy", "mend"}, "inconsistentValue", 1, active},
	{absent, []string{"mend", "lack", "RowStatus i createAndGo"}, "", 0, active},
}

func TestRowStatus(t *testing.T) {
	d := director.Start(t, director.Options{})
	mustSet(t, d, `lcmsServiceRowStatus."tcp:192.0.2.8:80" i createAndGo`)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			state := absent
			for _, tc := range transitions {
				vbs, ok := k.varbinds(tc.set)
				if !ok {
					continue
				}
				k.enter(t, d, state, tc.state)
				_, err := d.Set(vbs...)
				var refusal *director.Refusal
				switch {
				case tc.status == "" && err != nil:
					t.Errorf("in state %s, %q is refused: %v", tc.state, vbs, err)
				case tc.status != "" && (!errors.As(err, &refusal) || refusal.Status != tc.status || refusal.Object != objectOf(vbs[tc.at])):
					t.Errorf("in state %s, %q gives %v, want %s of varbind %d", tc.state, vbs, err, tc.status, tc.at+1)
				}
				state = k.state(t, d)
				if state != tc.next {
					t.Errorf("in state %s, %q leads to state %s, want %s", tc.state, vbs, state, tc.next)
				}
			}
			k.enter(t, d, state, absent)
		})
	}
	mustSet(t, d, `lcmsServiceRowStatus."tcp:192.0.2.8:80" i destroy`)
	gone(t, d)
}

// varbinds spells out a SET; ok is false if the kind has no such case.
func (k kind) varbinds(set []string) (vbs []string, ok bool) {
	for _, text := range set {
		switch text {
		case "lack":
			text = k.lack
		case "mend":
			text = k.mend
		case "unset":
			text = k.unset
		}
		if text == "" {
			return nil, false
		}
		vbs = append(vbs, k.row.varbind(text))
	}
	return vbs, true
}

// state reads the state of the row.
func (k kind) state(t *testing.T, d *director.Director) string {
	t.Helper()
	v, err := d.Get(k.row.object("RowStatus"))
	if err != nil {
		t.Fatal(err)
	}
	if v[0].Value == "" {
		return v[0].Type
	}
	return v[0].Value
}

// enter brings the row from one state to another.
func (k kind) enter(t *testing.T, d *director.Director, from, to string) {
	t.Helper()
	if from == to {
		return
	}
	if from != absent {
		mustSet(t, d, k.row.varbind("RowStatus i destroy"))
	}
	switch to {
	case notReady:
		mustSet(t, d, k.row.varbind("RowStatus i createAndWait"), k.row.varbind(k.lack))
	case notInService:
		mustSet(t, d, k.row.varbind("RowStatus i createAndWait"), k.row.varbind(k.lack), k.row.varbind(k.mend))
	case active:
		mustSet(t, d, k.row.varbind("RowStatus i createAndGo"), k.row.varbind(k.lack), k.row.varbind(k.mend))
	}
	if got := k.state(t, d); got != to {
		t.Fatalf("the row is in state %s, want %s", got, to)
	}
}

// TestRowStatusAndKernel follows rows from createAndWait to destroy: only what
// is active is in the kernel.
func TestRowStatusAndKernel(t *testing.T) {
	d := director.Start(t, director.Options{})
	service := row{service: "tcp:192.0.2.1:80"}
	server := row{service: "tcp:192.0.2.1:80", server: "10.0.0.11:80"}
	const (
		serviceRule = "-A -t 192.0.2.1:80 -s wlc"
		serverRule  = "-a -t 192.0.2.1:80 -r 10.0.0.11:80 -i -w 5 --tun-type gue --tun-port 6080 --tun-nocsum"
	)
	for _, step := range []struct {
		name            string
		service, server string // what is set
		wantService     string
		wantServer      string
		rules           []string
	}{
		{"created to wait", "RowStatus i createAndWait", "RowStatus i createAndWait; Weight u 5; Forwarding i tunnel; TunnelType i gue",
			"RowStatus 2; OperStatus 6; Servers 1", "RowStatus 3; OperStatus 6; OperWeight 0", nil},
		{"the service alone becomes active", "RowStatus i active", "", "RowStatus 1; OperStatus 2", "RowStatus 3; OperStatus 6; OperWeight 0", []string{serviceRule}},
		{"the server has all it needs", "", "TunnelPort u 6080", "OperStatus 2", "RowStatus 2; OperStatus 6; OperWeight 0", []string{serviceRule}},
		{"the server becomes active", "", "RowStatus i active", "OperStatus 1; ServersUp 1", "RowStatus 1; OperStatus 1; OperWeight 5", []string{serviceRule, serverRule}},
		{"the service is taken out of service", "RowStatus i notInService", "", "RowStatus 2; OperStatus 6; ServersUp 0", "RowStatus 1; OperStatus 6; OperWeight 0; Weight 5", nil},
		{"and changed there", "Scheduler s rr", "Weight u 300", "RowStatus 2; Scheduler rr", "OperWeight 0; Weight 300", nil},
		{"and comes back", "Scheduler s wlc; RowStatus i active", "Weight u 5", "RowStatus 1; OperStatus 1", "RowStatus 1; OperStatus 1; OperWeight 5", []string{serviceRule, serverRule}},
		{"the server is taken out of service", "", "RowStatus i notInService", "OperStatus 2; Servers 1", "RowStatus 2; OperStatus 6; OperWeight 0; Weight 5", []string{serviceRule}},
		{"and is destroyed", "", "RowStatus i destroy", "Servers 0", "RowStatus noSuchInstance", []string{serviceRule}},
		{"and the service too", "RowStatus i destroy", "", "RowStatus noSuchInstance", "", nil},
	} {
		t.Run(step.name, func(t *testing.T) {
			service.set, service.want = step.service, step.wantService
			server.set, server.want = step.server, step.wantServer
			mustSet(t, d, varbinds([]row{server, service})...)
			expect(t, d, service, server)
			expectRules(t, d, step.rules...)
		})
	}
}
