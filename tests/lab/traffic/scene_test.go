//go:build lab

package traffic

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
	"github.com/lcms-project/lcms/tests/lab"
)

// Values of LcmsOperStatus.
const (
	up         = "1"
	draining   = "3"
	drained    = "4"
	overloaded = "5"
)

func TestMain(m *testing.M) {
	if lab.Inside() {
		_ = os.Setenv("LCMS_SUBAGENT_BIN", lab.Program("lcms-subagent"))
	}
	os.Exit(lab.Main(m, "traffic.sh", "./cmd/lcms-subagent", "./tests/lab/webserver", "./tests/lab/webclient"))
}

// begin returns a director that manages the kernel of director1, which is empty
// then, and empties it when the test ends.
func begin(t *testing.T) *director.Director {
	t.Helper()
	d := prepare(t)
	d.StartSnmpd()
	d.StartSubagent()
	d.WaitReady()
	return d
}

// prepare is begin with nothing started.
func prepare(t *testing.T) *director.Director {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("ipvsadm", "-L", "-n", "--stats").CombinedOutput()
			t.Logf("the kernel holds\n%s", out)
		}
		run(t, "ipvsadm", "-C")
	})
	return director.New(t, director.Options{Kernel: director.Real, Netns: director.Own})
}

// service returns the varbinds that make a service; its columns are written
// COLUMN TYPE VALUE, without the name of the table before them.
func service(key string, columns ...string) []string {
	varbinds := []string{fmt.Sprintf("lcmsServiceRowStatus.%q i createAndGo", key)}
	for _, c := range columns {
		varbinds = append(varbinds, ofService(key, c))
	}
	return varbinds
}

// server is service for a server.
func server(service, key string, columns ...string) []string {
	varbinds := []string{fmt.Sprintf("lcmsServerRowStatus.%q.%q i createAndGo", service, key)}
	for _, c := range columns {
		varbinds = append(varbinds, ofServer(service, key, c))
	}
	return varbinds
}

// ofService returns the object or the varbind of a service that begins with
// a column.
func ofService(key, column string) string {
	name, rest, _ := strings.Cut(column, " ")
	return strings.TrimRight(fmt.Sprintf("lcmsService%s.%q %s", name, key, rest), " ")
}

func ofServer(service, key, column string) string {
	name, rest, _ := strings.Cut(column, " ")
	return strings.TrimRight(fmt.Sprintf("lcmsServer%s.%q.%q %s", name, service, key, rest), " ")
}

// set sends one SET that has to succeed.
func set(t *testing.T, d *director.Director, varbinds ...string) {
	t.Helper()
	if _, err := d.Set(varbinds...); err != nil {
		t.Fatalf("snmpset %s: %v", strings.Join(varbinds, " "), err)
	}
}

// get returns the value of an object.
func get(t *testing.T, d *director.Director, object string) string {
	t.Helper()
	v, err := d.Get(object)
	if err != nil || len(v) != 1 {
		t.Fatalf("snmpget %s: %v %v", object, v, err)
	}
	return v[0].Value
}

// becomes waits until an object has a value.
func becomes(t *testing.T, d *director.Director, object, want string) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		if got := get(t, d, object); got != want {
			return fmt.Errorf("%s is %s, not %s", object, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// holds compares the whole kernel with lines of ipvsadm -Sn.
func holds(t *testing.T, d *director.Director, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := d.Rules(); !slices.Equal(got, want) {
		t.Fatalf("the kernel holds\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// destroy removes a service, after which the kernel is empty.
func destroy(t *testing.T, d *director.Director, key string) {
	t.Helper()
	set(t, d, ofService(key, "RowStatus i destroy"))
	holds(t, d)
	if n := get(t, d, "lcmsDirectorServers.0"); n != "0" {
		t.Errorf("%s servers are left", n)
	}
}

// run runs a command that has to succeed and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// shares is how often each server has answered.
type shares map[string]int

// among tells servers that may answer from those that must not.
func (s shares) among(names ...string) bool {
	for name := range s {
		if !slices.Contains(names, name) {
			return false
		}
	}
	return len(s) > 0
}

// only returns the name of the one server that has answered.
func (s shares) only(t *testing.T) string {
	t.Helper()
	if len(s) != 1 {
		t.Fatalf("%v answer, and it should be one", s)
	}
	for name := range s {
		return name
	}
	return ""
}

// ask has the client ask an address n times, over a new connection each: http
// by curl, udp by the lab's own client.
func ask(t *testing.T, url string, n int, options ...string) shares {
	t.Helper()
	s, err := tryAsk(url, n, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryAsk(url string, n int, options ...string) (shares, error) {
	s := make(shares)
	args := []string{"netns", "exec", "client"}
	if strings.HasPrefix(url, "udp:") {
		args = append(append(args, lab.Program("webclient"), "-timeout", "1m", "-n", strconv.Itoa(n)), append(options, url)...)
	} else {
		args = append(args, "curl", "--silent", "--show-error", "--fail", "--fail-early", "--max-time", "60", "--header", "Connection: close", "--write-out", `\n`)
		args = append(append(args, options...), fmt.Sprintf("%s/[1-%d]", url, n))
	}
	cmd := exec.Command("ip", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ip %s: %w: %s\nafter the answers\n%s", strings.Join(args, " "), err, stderr.String(), out)
	}
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		times := 1
		if count, of, ok := strings.Cut(name, " "); ok {
			if times, err = strconv.Atoi(count); err != nil {
				return nil, err
			}
			name = of
		}
		s[name] += times
	}
	return s, nil
}

// expectShares asks and compares.
func expectShares(t *testing.T, url string, want shares, options ...string) {
	t.Helper()
	n := 0
	for _, times := range want {
		n += times
	}
	if got := ask(t, url, n, options...); !maps.Equal(got, want) {
		t.Errorf("%s is answered by %v, want %v", url, got, want)
	}
}
