package director

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Refusal is what a tool of net-snmp prints when the answer is an error.
type Refusal struct {
	Status string // as in RFC 3416: wrongValue; "timeout" when there is no answer
	Object string // the object that failed, "" if none is named
	Output string // all that was printed
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s %s: %s", r.Status, r.Object, strings.TrimSpace(r.Output))
}

// Set sends one SET. Each varbind is OBJECT TYPE VALUE as in snmpset(1); the
// value goes on to the end of the text and may be empty. The tool's own checks
// are off.
func (d *Director) Set(varbinds ...string) ([]Varbind, error) {
	args := []string{"-Ir"}
	for _, v := range varbinds {
		fields := strings.SplitN(v, " ", 3)
		if len(fields) < 2 {
			return nil, fmt.Errorf("varbind %q is not OBJECT TYPE VALUE", v)
		}
		if len(fields) == 2 {
			fields = append(fields, "")
		}
		args = append(args, fields...)
	}
	return d.query("snmpset", args)
}

// Get sends one GET. Objects that are not there come back with the Type of the
// exception.
func (d *Director) Get(objects ...string) ([]Varbind, error) { return d.query("snmpget", objects) }

// Next sends one GETNEXT.
func (d *Director) Next(objects ...string) ([]Varbind, error) {
	return d.query("snmpgetnext", objects)
}

// Walk sends GETNEXTs for all below an object.
func (d *Director) Walk(object string, options ...string) ([]Varbind, error) {
	return d.query("snmpwalk", append(options, object))
}

// BulkWalk sends GETBULKs for all below an object. Options are those of
// snmpbulkwalk(1), such as -On for numbers in place of names.
func (d *Director) BulkWalk(object string, options ...string) ([]Varbind, error) {
	return d.query("snmpbulkwalk", append(options, object))
}

// Bulk sends one GETBULK for some rows of columns, which come row by row.
func (d *Director) Bulk(rows int, columns ...string) ([]Varbind, error) {
	return d.query("snmpbulkget", append([]string{fmt.Sprintf("-Cr%d", rows)}, columns...))
}

func (d *Director) query(tool string, args []string) ([]Varbind, error) {
	out, err := d.Tool(tool, args...)
	if err != nil {
		return nil, err
	}
	return Parse(out)
}

// Tool runs a tool of net-snmp against the director. Leading arguments with a
// dash are options, which stand before the address.
func (d *Director) Tool(name string, args ...string) (string, error) {
	n := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if n < 0 {
		n = len(args)
	}
	limit := d.Limit()
	// Names without the module, enumerations as numbers, no units. Retries
	// would hide what happens.
	all := []string{"-v2c", "-c", d.Community(), "-OseU", "-r0", fmt.Sprintf("-t%d", limit/time.Second)}
	all = append(append(append(all, args[:n]...), "udp:"+d.Address()), args[n:]...)
	// A walk is many requests.
	ctx, cancel := context.WithTimeout(context.Background(), 5*limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(name), all...)
	cmd.Env = d.env("LCMS-MIB")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not end within %s", name, 5*limit)
	case err == nil:
		return stdout.String(), nil
	case errors.As(err, &exit):
		return "", refusal(stdout.String() + stderr.String())
	}
	return "", err
}

// refusal makes an error of what a tool has printed: a *Refusal if that was an
// answer of the agent or none at all, else one about the call.
func refusal(out string) error {
	r := &Refusal{Output: out}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if reason, ok := strings.CutPrefix(line, "Reason: "); ok {
			word, _, _ := strings.Cut(reason, " ")
			r.Status = strings.Trim(word, "()")
		}
		if object, ok := strings.CutPrefix(line, "Failed object: "); ok {
			r.Object = object
		}
		if strings.HasPrefix(line, "Timeout: No Response") {
			r.Status = "timeout"
		}
	}
	if r.Status == "" {
		return fmt.Errorf("net-snmp: %s", strings.TrimSpace(out))
	}
	return r
}

// env keeps net-snmp away from the state and the modules of the machine. mibs
// names the modules to load, "" for none.
func (d *Director) env(mibs string) []string {
	return append(os.Environ(), "MIBS="+mibs, "MIBDIRS="+d.Modules(), "SNMPCONFPATH="+d.path("none"), "SNMP_PERSISTENT_DIR="+d.path("state"))
}
