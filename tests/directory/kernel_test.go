//go:build lab

package directory

import (
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/tests/director"
)

// What somebody made with ipvsadm is brought into the directory, looked at, and
// then managed: at no step anything changes in the kernel. diff says so, and shows
// what somebody changes there later.
func TestFirstContact(t *testing.T) {
	slapd := ldaptest.Start(t, ldaptest.Options{})
	servers := []*ldaptest.Server{slapd}
	s := &scene{T: t, slapd: slapd, Director: director.New(t, director.Options{Config: configured("lb1", servers, "mode: observe")})}
	for _, rule := range []string{
		"-A -t 192.0.2.10:80 -s wrr -p 300", "-a -t 192.0.2.10:80 -r 10.0.0.11:80 -m -w 5 -x 100 -y 50", "-a -t 192.0.2.10:80 -r 10.0.0.12:80 -m -w 0",
		"-A -u 192.0.2.10:53 -s rr -o", "-a -u 192.0.2.10:53 -r 10.0.0.13:53 -g -w 1",
		"-A -f 7 -6 -s wlc", "-a -f 7 -6 -r [2001:db8::11]:0 -i -w 300",
	} {
		s.ipvsadm(rule)
	}
	before := s.Rules()
	same := func(when string) {
		t.Helper()
		if now := s.Rules(); !slices.Equal(now, before) {
			t.Fatalf("%s the kernel holds\n%s\nand held\n%s", when, strings.Join(now, "\n"), strings.Join(before, "\n"))
		}
	}
	run := func(want int, words string, args ...string) string {
		t.Helper()
		out, said, status := commandWith(t, s.ConfigPath(), args...)
		if status != want || !strings.Contains(said, words) {
			t.Fatalf("%s ends with %d: %s%s", strings.Join(args, " "), status, out, said)
		}
		return out
	}

	run(1, "7 differ, 0 agree", "diff")
	run(0, "dry run: 3 services, 4 servers", "export")
	run(0, " added", "export", "--write")
	run(0, "dry run: 0 services, 0 servers", "export")
	run(0, "0 differ, 7 agree", "diff")
	same("after the export")

	s.StartSnmpd()
	start := func() {
		t.Helper()
		s.StartSubagent()
		s.WaitReady()
		s.waitState(inSync)
		s.must("lcmsDirectorServers.0", "4")
		s.steady(func() error { return is(s.Director, "lcmsDriftCount.0", "0") })
	}
	start()
	same("observed,")
	s.StopSubagent()

	s.Configure(configured("lb1", servers))
	start()
	same("managed,")
	if strings.Contains(s.Said(), "mended") {
		t.Errorf("the director has mended what was not broken: %s", s.Said())
	}
	run(0, "0 differ, 7 agree", "diff")
	s.StopSubagent()

	s.ipvsadm("-e -t 192.0.2.10:80 -r 10.0.0.11:80 -m -w 77 -x 100 -y 50")
	s.ipvsadm("-D -u 192.0.2.10:53")
	s.ipvsadm("-A -t 192.0.2.99:80 -s rr")
	s.modify("lcmsKey=10.0.0.12:80,lcmsKey=tcp:192.0.2.10:80,ou=virtual_service,"+slapd.Base(), "lcmsAdminStatus", "down")
	out := run(1, "5 differ, 3 agree", "diff")
	for _, want := range []string{
		"service tcp:192.0.2.10:80 server 10.0.0.11:80\n  directory  ", "weight 5", "weight 77",
		"service udp:192.0.2.10:53 server 10.0.0.13:53\n", "kernel     -\n", "adminStatus down\n  effective  -\n",
		"service tcp:192.0.2.99:80\n  directory  -\n  effective  -\n  kernel     ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("diff does not say %q:\n%s", want, out)
		}
	}
}

func (s *scene) ipvsadm(rule string) {
	s.Helper()
	if _, err := s.Ipvsadm(strings.Fields(rule)...); err != nil {
		s.Fatal(err)
	}
}
