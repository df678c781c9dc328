package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// TestAccessOfTheExample has the users of the example meet a real subagent: who
// reads changes nothing, and who may change weights nothing but weights,
// whatever object there is.
func TestAccessOfTheExample(t *testing.T) {
	example, err := os.ReadFile("../../deploy/snmpd.conf.d/lcms.conf")
	if err != nil {
		t.Fatal(err)
	}
	var conf []string
	for line := range strings.Lines(string(example)) {
		switch word, _, _ := strings.Cut(line, " "); word {
		case "view", "group", "access":
			conf = append(conf, strings.TrimSpace(line))
		}
	}
	users := []string{"lcms-read", "lcms-weight", "lcms-admin", "lcms-monitor"}
	for _, name := range users {
		conf = append(conf, fmt.Sprintf("createUser %s SHA-256 %q AES %q", name, passphrase(name), passphrase(name)))
	}
	d := director.Start(t, director.Options{Snmpd: conf})
	state := t.TempDir()
	as := func(name, tool string, args ...string) string {
		cmd := exec.Command(tool, append([]string{"-v3", "-l", "authPriv", "-u", name, "-a", "SHA-256", "-A", passphrase(name),
			"-x", "AES", "-X", passphrase(name), "-OseU", "-Ir", "-r0", "-t60", "udp:" + d.Address()}, args...)...)
		cmd.Env = append(os.Environ(), "MIBS=LCMS-MIB", "MIBDIRS="+d.Modules(), "SNMP_PERSISTENT_DIR="+state)
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Fatal(err)
		}
		return string(out)
	}
	const (
		service = `"tcp:192.0.2.1:80"`
		server  = service + `."10.0.0.11:80"`
		first   = "lcmsServerWeight." + server
	)
	if out := as("lcms-admin", "snmpset", "lcmsServiceRowStatus."+service, "i", "createAndGo", "lcmsServerRowStatus."+server, "i", "createAndGo",
		"lcmsSyncDaemonRowStatus.master", "i", "createAndWait", `lcmsHostRowStatus."rs1"`, "i", "createAndGo"); !strings.Contains(out, "lcmsServerRowStatus.") {
		t.Fatalf("an administrator creates nothing: %s", out)
	}

	// All see the same.
	walks := make(map[string]string)
	for _, name := range users {
		out := as(name, "snmpbulkwalk", "lcmsServerTable")
		if walks[out] = name; len(walks) > 1 || !strings.Contains(out, first+" = ") {
			t.Fatalf("%s sees other things than the others: %s", name, out)
		}
	}

	// One instance of each object. Access is checked before the type.
	all, err := director.Parse(as("lcms-read", "snmpbulkwalk", "lcmsObjects"))
	if err != nil {
		t.Fatal(err)
	}
	instances := make(map[string]string)
	for _, v := range all {
		object, _, _ := strings.Cut(v.Name, ".")
		instances[object] = v.Name
	}
	if len(instances) < 100 {
		t.Fatalf("%d objects", len(instances))
	}
	for _, instance := range instances {
		name := "lcms-weight"
		if instance == first {
			name = "lcms-read"
		}
		if out := as(name, "snmpset", instance, "s", "x"); !strings.Contains(out, "noAccess") {
			t.Errorf("%s sets %s: %s", name, instance, out)
		}
	}
	// A monitor writes what it reports, and nothing else.
	reports := []string{
		"lcmsServerAdvisedWeight", "lcmsServerHealth", "lcmsServerHealthDetail", "lcmsHostCpuType", "lcmsHostMemorySize", "lcmsHostInterfaceType",
		"lcmsHostCpuLoad", "lcmsHostMemoryAvailable", "lcmsHostLoadAverage",
	}
	for object, instance := range instances {
		out := as("lcms-monitor", "snmpset", instance, "a", "192.0.2.1") // of a type that no object has
		if refused := strings.Contains(out, "noAccess"); refused == slices.Contains(reports, object) {
			t.Errorf("lcms-monitor sets %s: %s", instance, out)
		}
	}
	for _, object := range reports {
		if instances[object] == "" {
			t.Errorf("there is no instance of %s", object)
		}
	}
	if out := as("lcms-weight", "snmpset", first, "u", "7", "lcmsServerAdminStatus."+server, "i", "down"); !strings.Contains(out, "noAccess") {
		t.Errorf("the weight with something else: %s", out)
	}
	if out := as("lcms-weight", "snmpset", first, "u", "8"); !strings.Contains(out, first+" = Gauge32: 8") {
		t.Errorf("the weight alone: %s", out)
	}
	if out := as("lcms-weight", "snmpset", strings.Replace(first, "10.0.0.11", "10.0.0.12", 1), "u", "8"); !strings.Contains(out, "inconsistentName") && !strings.Contains(out, "noCreation") {
		t.Errorf("the weight of a server that is not there: %s", out)
	}
	got, err := d.Get("lcmsServerOperWeight."+server, "lcmsServerAdminStatus."+server)
	if err != nil || got[0].Value != "8" || got[1].Value != "1" {
		t.Errorf("%v, %v, want weight 8, and up", got, err)
	}
}
