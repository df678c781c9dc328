package lab

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/tests/director"
)

// ban keeps ip_vs from being loaded by anybody.
const ban = "/etc/modprobe.d/lcms-lab.conf"

// TakeIPVS takes IPVS away from the kernel of the lab, in all its namespaces, so
// that nobody can load it again. empty clears the tables that would keep it in
// use; it may fail, and is called again when somebody fills them meanwhile. What
// is returned gives IPVS back, as the end of the test does.
func TakeIPVS(t testing.TB, empty func()) (giveBack func()) {
	t.Helper()
	if cpu, err := os.ReadFile("/proc/cpuinfo"); err != nil || !strings.Contains(string(cpu), "User Mode Linux") {
		t.Fatalf("this would take IPVS away from a machine that is not the lab (%v)", err)
	}
	if err := os.WriteFile(ban, []byte("install ip_vs /bin/false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	giveBack = func() {
		t.Helper()
		if err := os.Remove(ban); errors.Is(err, os.ErrNotExist) {
			return
		} else if err != nil {
			t.Error(err)
		}
		if err := director.LoadIPVS(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(giveBack)
	modules, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	err = director.Poll(3*time.Minute, func() error {
		empty()
		for line := range strings.Lines(string(modules)) {
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "ip_vs") {
				_ = exec.Command("modprobe", "-r", name).Run() // one that is in use goes in a later round
			}
		}
		if _, err := os.Stat("/sys/module/ip_vs"); err == nil {
			return errors.New("ip_vs is in use")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return giveBack
}
