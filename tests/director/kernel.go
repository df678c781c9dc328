package director

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Interface is the network interface of a namespace that a director has made,
// for sync daemons.
const Interface = "sync0"

// Own, as Netns of Options, is the namespace that the test itself is in: the
// configuration of the subagent names none.
const Own = "/proc/self/ns/net"

// namespace makes a network namespace of its own for a director, with a
// multicast interface, and returns its path.
func namespace(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "the real kernel needs root: run it in the lab with `make lab-test`")
	}
	Need(t, "ip", "ipvsadm", "modprobe")
	if err := LoadIPVS(); err != nil {
		missing(t, "this kernel has no IPVS (%v): run it in the lab with `make lab-test`", err)
	}
	dir, err := os.MkdirTemp("", "lcms-netns")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(dir)
	path := "/run/netns/" + name
	if err := ip("netns add " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ip("netns del " + name); err != nil {
			t.Error(err)
		}
	})
	err = Within(path, func() error {
		return ip("link set lo up",
			"link add "+Interface+" mtu 1500 type dummy",
			"addr add 198.51.100.1/24 dev "+Interface,
			"addr add 2001:db8:51::1/64 dev "+Interface+" nodad",
			"link set "+Interface+" up")
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// LoadIPVS loads IPVS and its schedulers. Otherwise the first SET with a scheduler
// would wait for its module, which takes seconds in a guest that is busy.
func LoadIPVS() error {
	if out, err := exec.Command("modprobe", "ip_vs").CombinedOutput(); err != nil {
		return fmt.Errorf("modprobe ip_vs: %w: %s", err, out)
	}
	// A kernel that lacks one says so when it is asked for.
	_ = exec.Command("modprobe", "--all", "--quiet", "ip_vs_rr", "ip_vs_wrr", "ip_vs_wlc", "ip_vs_sh", "ip_vs_mh").Run()
	return nil
}

// Ipvsadm runs ipvsadm on the real kernel that is managed, behind the back of
// the subagent.
func (d *Director) Ipvsadm(args ...string) (string, error) {
	if d.opts.Kernel != Real {
		return "", fmt.Errorf("ipvsadm cannot see the kernel %s", d.opts.Kernel)
	}
	var out []byte
	err := Within(d.opts.Netns, func() (err error) {
		out, err = exec.Command(tool("ipvsadm"), args...).CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("ipvsadm %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// ip has one ip(8) carry out commands of its.
func ip(commands ...string) error {
	cmd := exec.Command(tool("ip"), "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(commands, "; "), err, out)
	}
	return nil
}

// Rules returns what the real kernel holds as ipvsadm -Sn writes it, sorted,
// with what that leaves out: thresholds as options -x and -y, and -l for the
// forwarding method local, which it writes as -g. The in-memory kernel shows
// itself in the MIB only: there it returns nil.
func (d *Director) Rules() []string {
	d.t.Helper()
	if d.opts.Kernel != Real {
		return nil
	}
	saved, err := d.Ipvsadm("-S", "-n")
	if err != nil {
		d.t.Fatal(err)
	}
	forwards, err := d.Ipvsadm("-L", "-n")
	if err != nil {
		d.t.Fatal(err)
	}
	thresholds, err := d.Ipvsadm("-L", "-n", "--thresholds")
	if err != nil {
		d.t.Fatal(err)
	}
	rules := complete(saved, forwards, thresholds)
	slices.Sort(rules)
	return rules
}

// complete adds to the lines of ipvsadm -Sn what only its listings show: that
// with the forwarding methods and that with the thresholds.
func complete(saved, forwards, thresholds string) []string {
	methods, limits := servers(forwards), servers(thresholds)
	var rules []string
	for rule := range strings.Lines(saved) {
		rule = strings.TrimSpace(rule)
		if service, server, ok := strings.Cut(rule, " -r "); ok {
			key, _, _ := strings.Cut(server, " ")
			key = strings.TrimPrefix(service, "-a ") + " " + key
			if m := methods[key]; len(m) > 0 && m[0] == "Local" {
				rule = strings.Replace(rule, " -g ", " -l ", 1)
			}
			if l := limits[key]; len(l) > 1 {
				if l[0] != "0" {
					rule += " -x " + l[0]
				}
				if l[1] != "0" {
					rule += " -y " + l[1]
				}
			}
		}
		rules = append(rules, rule)
	}
	return rules
}

// servers reads a listing of ipvsadm: the columns of each server, by the
// options that name its service, and its address.
func servers(listing string) map[string][]string {
	options := map[string]string{"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service", "FWM": "-f"}
	found := make(map[string][]string)
	service := ""
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 2 && options[fields[0]] != "":
			service = options[fields[0]] + " " + fields[1]
			if len(fields) > 2 && fields[0] == "FWM" && fields[2] == "IPv6" {
				service += " -6"
			}
		case len(fields) > 2 && fields[0] == "->" && service != "":
			found[service+" "+fields[1]] = fields[2:]
		}
	}
	return found
}
