package netsnmp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// row is one row of lcmsServiceTable; with a server, of lcmsServerTable; with
// a daemon alone, of lcmsSyncDaemonTable; with nothing, the scalars of
// lcmsDirector. Columns are named without the name of the table before them.
type row struct {
	service string
	server  string
	daemon  string // master or backup
	set     string // COLUMN TYPE VALUE; COLUMN TYPE VALUE, as snmpset has it
	want    string // COLUMN VALUE; COLUMN VALUE, as snmpget prints it
	later   string // as want, as soon as the kernel has been read again
}

// object names an instance of a column of the row.
func (r row) object(column string) string {
	switch {
	case r.daemon != "":
		return "lcmsSyncDaemon" + column + "." + r.daemon
	case r.server != "":
		return fmt.Sprintf("lcmsServer%s.%q.%q", column, r.service, r.server)
	case r.service != "":
		return fmt.Sprintf("lcmsService%s.%q", column, r.service)
	}
	return "lcmsDirector" + column + ".0"
}

// varbind makes a varbind of COLUMN TYPE VALUE.
func (r row) varbind(text string) string {
	column, value, _ := strings.Cut(text, " ")
	return r.object(column) + " " + value
}

// varbinds returns all that is set of the row.
func (r row) varbinds() []string {
	var vbs []string
	for _, text := range list(r.set) {
		vbs = append(vbs, r.varbind(text))
	}
	return vbs
}

// list splits a list of columns.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "; ")
}

func varbinds(rows []row) []string {
	var vbs []string
	for _, r := range rows {
		vbs = append(vbs, r.varbinds()...)
	}
	return vbs
}

// objectOf returns the object that a varbind is about.
func objectOf(varbind string) string {
	object, _, _ := strings.Cut(varbind, " ")
	return object
}

// mustSet sends a SET that has to succeed.
func mustSet(t *testing.T, d *director.Director, varbinds ...string) {
	t.Helper()
	if _, err := d.Set(varbinds...); err != nil {
		t.Fatalf("snmpset %s: %v", strings.Join(varbinds, " "), err)
	}
}

// expect compares columns of rows with what is read.
func expect(t *testing.T, d *director.Director, rows ...row) {
	t.Helper()
	for _, difference := range differences(t, d, rows) {
		t.Error(difference)
	}
}

func differences(t *testing.T, d *director.Director, rows []row) []string {
	t.Helper()
	var objects, want []string
	for _, r := range rows {
		for _, text := range list(r.want) {
			column, value, _ := strings.Cut(text, " ")
			objects = append(objects, r.object(column))
			want = append(want, value)
		}
	}
	if len(objects) == 0 {
		return nil
	}
	got, err := d.Get(objects...)
	if err != nil || len(got) != len(objects) {
		t.Fatalf("snmpget %s: %d varbinds, %v", strings.Join(objects, " "), len(got), err)
	}
	var different []string
	for i, v := range got {
		value := v.Value
		if value == "" && v.Type != "STRING" {
			value = v.Type // an exception
		}
		if v.Name != objects[i] || value != want[i] {
			different = append(different, fmt.Sprintf("%s is %q (%s), want %q", objects[i], value, v.Type, want[i]))
		}
	}
	return different
}

// expectLater waits for what is not known at once.
func expectLater(t *testing.T, d *director.Director, rows ...row) {
	t.Helper()
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].want = rows[i].later
	}
	eventually(t, d, rows...)
}

// eventually waits until columns of rows are as they should be.
func eventually(t *testing.T, d *director.Director, rows ...row) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		if different := differences(t, d, rows); len(different) > 0 {
			return fmt.Errorf("%s", strings.Join(different, "\n"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// expectRules compares what the real kernel holds with lines of ipvsadm -Sn.
func expectRules(t *testing.T, d *director.Director, want ...string) {
	t.Helper()
	if d.Kernel() != director.Real {
		return
	}
	want = slices.Sorted(slices.Values(want))
	if got := d.Rules(); !slices.Equal(got, want) {
		t.Errorf("the kernel holds\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// gone fails if anything is left of the tables.
func gone(t *testing.T, d *director.Director) {
	t.Helper()
	expect(t, d, row{want: "Services 0; Servers 0"})
	expectRules(t, d)
}
