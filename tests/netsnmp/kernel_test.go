package netsnmp

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

func TestTimeouts(t *testing.T) {
	d := director.Start(t, director.Options{})
	expect(t, d, row{want: "TcpTimeout 900; TcpFinTimeout 120; UdpTimeout 300"})
	mustSet(t, d, `lcmsDirectorUdpTimeout.0 u 1`, `lcmsDirectorTcpTimeout.0 u 2147483`)
	want := row{want: "TcpTimeout 2147483; TcpFinTimeout 120; UdpTimeout 1"}
	expect(t, d, want)
	if d.Kernel() == director.Real {
		out, err := d.Ipvsadm("-L", "--timeout")
		if err != nil || !strings.Contains(out, "2147483 120 1") {
			t.Errorf("ipvsadm -L --timeout: %v: %s", err, out)
		}
	}
	d.KillSubagent()
	d.StartSubagent()
	d.WaitReady()
	eventually(t, d, want)
}

func TestSyncDaemon(t *testing.T) {
	d := director.Start(t, director.Options{})
	master := row{
		daemon: "master",
		set:    "RowStatus i createAndGo; Interface s " + director.Interface + "; SyncId u 42; MaxLength u 1400; GroupType i ipv4; Group x E0000055; Port u 8850; Ttl u 3",
		want:   "RowStatus 1; StorageType 3; Interface " + director.Interface + "; SyncId 42; MaxLength 1400; GroupType 1; Group E0 00 00 55; Port 8850; Ttl 3",
	}
	backup := row{
		daemon: "backup",
		set:    "Interface s " + director.Interface + "; RowStatus i createAndGo",
		want:   "RowStatus 1; StorageType 3; Interface " + director.Interface + "; SyncId 0; MaxLength 0; GroupType 0; Group ; Port 0; Ttl 0",
	}
	running := func(want ...string) {
		t.Helper()
		if d.Kernel() != director.Real {
			return
		}
		out, err := d.Ipvsadm("-L", "--daemon")
		if err != nil || strings.Count(out, "sync daemon") != len(want) {
			t.Errorf("ipvsadm -L --daemon: %v: %s, want %q", err, out, want)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("ipvsadm -L --daemon: %s, want %q", out, w)
			}
		}
	}
	const (
		asMaster = "master sync daemon (mcast=" + director.Interface + ", syncid=42, maxlen=1400, group=224.0.0.85, port=8850, ttl=3)"
		asBackup = "backup sync daemon (mcast=" + director.Interface + ", syncid=0, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"
	)
	mustSet(t, d, varbinds([]row{backup, master})...)
	expect(t, d, master, backup)
	running(asMaster, asBackup)

	mustSet(t, d, master.varbind("SyncId u 43"), master.varbind("GroupType i ipv6"), master.varbind("Group x FF020000000000000000000000000081"), backup.varbind("RowStatus i notInService"))
	master.want = "RowStatus 1; SyncId 43; MaxLength 1400; GroupType 2; Group FF 02 00 00 00 00 00 00 00 00 00 00 00 00 00 81"
	backup.want = "RowStatus 2; Interface " + director.Interface
	expect(t, d, master, backup)
	running("master sync daemon (mcast=" + director.Interface + ", syncid=43, maxlen=1400, group=ff02::81, port=8850, ttl=3)")

	mustSet(t, d, backup.varbind("RowStatus i active"), master.varbind("RowStatus i destroy"))
	expect(t, d, row{daemon: "master", want: "RowStatus " + absent}, row{daemon: "backup", want: "RowStatus 1"})
	running(asBackup)
}

// awaitState waits until the MIB tells a state of the kernel and an error.
func awaitState(t *testing.T, d *director.Director, right func(state, lastError string) bool) {
	t.Helper()
	err := director.Poll(d.Limit(), func() error {
		v, err := d.Get("lcmsDirectorKernelState.0", "lcmsDirectorKernelLastError.0")
		if err == nil && !right(v[0].Value, v[1].Value) {
			err = fmt.Errorf("lcmsDirectorKernelState is %s, the error is %q", v[0].Value, v[1].Value)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKernelAway manages a network namespace that is not there: the MIB is
// served and says so, and nothing can be changed.
func TestKernelAway(t *testing.T) {
	d := director.New(t, director.Options{Kernel: director.Real, Netns: "/run/netns/lcms-test-missing"})
	d.StartSnmpd()
	d.StartSubagent()
	awaitState(t, d, func(state, lastError string) bool {
		return state != "1" && state != "2" && strings.Contains(lastError, "/run/netns/lcms-test-missing")
	})
	_, err := d.Set(`lcmsServiceRowStatus.` + web + ` i createAndGo`)
	var refusal *director.Refusal
	if !errors.As(err, &refusal) || refusal.Status != "resourceUnavailable" {
		t.Fatalf("%v, want resourceUnavailable", err)
	}
	explained(t, d, lastRequest(t, d), refusal, "the kernel cannot be changed now")
	if said := strings.Count(d.Said(), "cannot read the kernel"); said != 1 {
		t.Errorf("the error is logged %d times, want once:\n%s", said, d.Said())
	}
}

// TestThisKernel reads the kernel of whatever machine this is. Without IPVS the
// MIB says what to do about it; with it, it is read, by root only.
func TestThisKernel(t *testing.T) {
	d := director.New(t, director.Options{Kernel: director.Real, Netns: "/proc/self/ns/net"})
	d.StartSnmpd()
	d.StartSubagent()
	awaitState(t, d, func(state, lastError string) bool {
		// The kernel may have loaded the module because it was asked for.
		_, err := os.Stat("/proc/net/ip_vs")
		switch {
		case err != nil:
			return state == "4" && strings.Contains(lastError, "modprobe ip_vs")
		case os.Getuid() != 0:
			return state == "5" && strings.Contains(lastError, "CAP_NET_ADMIN")
		}
		return state == "2" && lastError == ""
	})
}
