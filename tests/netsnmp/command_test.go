package netsnmp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// subagent runs the program to its end.
func subagent(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(director.Binary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestBadConfig has each fault of a configuration told with file, line and
// reason, by check-config and at the start alike.
func TestBadConfig(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "lcms.db")
	for _, tc := range []struct {
		name, text string
		want       []string // LINE: a part of the reason
	}{
		{"an unknown key", "ipvs: memory\ncolour: red\n", []string{`2: unknown key "colour": the keys are agentx.address`}},
		{"an unknown key within another", "agentx:\n  adress: unix:/x\n", []string{`2: unknown key "adress"`}},
		{"an address without a network", "agentx: {address: /var/agentx/master}", []string{"1: agentx.address"}},
		{"a relative socket", "\nagentx: {address: \"unix:master\"}", []string{"2: agentx.address \"unix:master\": after unix: comes the absolute path"}},
		{"a TCP address without a port", "agentx: {address: \"tcp:localhost\"}", []string{"1: agentx.address"}},
		{"a port that is none", "agentx: {address: \"tcp:localhost:99999\"}", []string{"1: agentx.address"}},
		{"a root that is no OID", "root-oid: 1.3.six", []string{"1: root-oid"}},
		{"a kernel that does not exist", "ipvs: maybe", []string{`1: ipvs "maybe": use kernel or memory`}},
		{"traffic that is no number", "ipvs: memory\nmemory: {traffic: much}", []string{"2: memory.traffic"}},
		{"traffic of the real kernel", "ipvs: kernel\nmemory: {traffic: 5}", []string{"2: memory.traffic is for ipvs: memory only"}},
		{"a namespace of the in-memory kernel", "ipvs: memory\nnetns: /run/netns/lb", []string{"2: netns is for ipvs: kernel only"}},
		{"a namespace that is no path", "netns: lb", []string{"1: netns"}},
		{"a relative store", "store:\n  path: lcms.db", []string{"2: store.path"}},
		{"an unknown level", "log:\n  level: loud", []string{`2: log.level "loud": use debug, info, warn or error`}},
		{"a list for a value", "store:\n  path: [a, b]", []string{"2: store.path: a single value belongs here: not a list"}},
		{"a value for a group", "agentx: 5", []string{"1: "}},
		{"a key twice", "ipvs: memory\nipvs: kernel", []string{"2: "}},
		{"no YAML", "ipvs: [memory\nlog: {", []string{"1: did not find"}},
		{"several faults", "ipvs: maybe\nstore:\n  path: lcms.db\nlog:\n  level: loud\n", []string{"1: ipvs", "3: store.path", "5: log.level"}},
		{"a root beside enterprises", "ipvs: memory\nroot-oid: 1.3.6.1.2.1.99", []string{"2: root-oid: root .1.3.6.1.2.1.99 is not below an enterprise"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(dir, "lcms-subagent.yaml")
			text := tc.text
			if !strings.Contains(text, "store:") {
				text += "\nstore: {path: " + store + "}\n"
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"check-config", "--config", file}, {"--config", file}} {
				status, stdout, stderr := subagent(t, args...)
				if status != 1 || stdout != "" {
					t.Errorf("%v ends with status %d and prints %q, want status 1 and nothing", args, status, stdout)
				}
				for _, want := range tc.want {
					if !strings.Contains(stderr, file+":"+want) {
						t.Errorf("%v says %q, want %q", args, stderr, file+":"+want)
					}
				}
			}
			if _, err := os.Stat(store); err == nil {
				t.Error("a store has been made in spite of the fault")
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	noStore := filepath.Join(dir, "no-store.yaml")
	for file, text := range map[string]string{
		good:                             "ipvs: memory\nstore: {path: " + dir + "/lcms.db}\n",
		noStore:                          "ipvs: memory\nstore: {path: " + dir + "/rubbish.db}\n",
		filepath.Join(dir, "rubbish.db"): strings.Repeat("this is no store\n", 1000),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		args           []string
		status         int
		stdout, stderr string // a part of it
	}{
		{[]string{"check-config", "--config", good}, 0, "no fault found", ""},
		{[]string{"check-config", "--config", "/dev/null"}, 0, "no fault found", ""},
		{[]string{"check-config", "--config", dir + "/missing.yaml"}, 1, "", "missing.yaml: no such file"},
		{[]string{"check-config"}, 1, "", "--config is missing"},
		{nil, 1, "", "--config is missing"},
		{[]string{"--config", noStore}, 1, "", "rubbish.db cannot be opened"},
		{[]string{"--colour"}, 1, "", "colour"},
		{[]string{"dance"}, 1, "", `there is no command "dance"`},
		{[]string{"version", "5"}, 1, "", "one argument too many"},
		{[]string{"version"}, 0, "\n", ""},
		{[]string{"mib", "--root-oid", "1.3.6.1.2.1.99"}, 1, "", "not below an enterprise"},
		{[]string{"mib", "--root-oid", "x"}, 1, "", "--root-oid"},
		{[]string{"--help"}, 0, "usage:", ""},
		{[]string{"mib", "-h"}, 0, "usage:", ""},
		{[]string{"diff", "--config", good}, 2, "", "no directory is configured"},
	} {
		status, stdout, stderr := subagent(t, tc.args...)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%q ends with status %d, prints %q and says %q; want %d, %q, %q", tc.args, status, stdout, stderr, tc.status, tc.stdout, tc.stderr)
		}
	}
}

// TestStoreInUse starts a second subagent on the same store.
func TestStoreInUse(t *testing.T) {
	d := director.Start(t, director.Options{})
	file := filepath.Join(t.TempDir(), "second.yaml")
	text := fmt.Sprintf("ipvs: memory\nagentx: {address: \"unix:%s\"}\nstore: {path: %s}\n", d.Socket(), d.StorePath())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := subagent(t, "--config", file)
	if status != 1 || !strings.Contains(stderr, "is in use by another process") {
		t.Errorf("it ends with status %d and says %q", status, stderr)
	}
	expect(t, d, row{want: "KernelState 2"})
}

// TestMovedRoot serves the MIB below another enterprise, and has smilint look
// at the module that goes with it, and at the published one.
func TestMovedRoot(t *testing.T) {
	director.Need(t, "smilint")
	const moved = ".1.3.6.1.4.1.12345.1"
	for _, oid := range []string{"", moved[1:]} {
		d := director.Start(t, director.Options{RootOID: oid})
		cmd := exec.Command("smilint", "-l", "6", filepath.Join(d.Modules(), "LCMS-MIB.txt"))
		cmd.Env = append(os.Environ(), "SMIPATH="+d.Modules())
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("smilint on the module with root %q: %v\n%s", oid, err, out)
		}
		if oid == "" {
			continue
		}
		mustSet(t, d, cluster...)
		expect(t, d, row2(first, "Weight 11; OperWeight 11"))
		w := walk(t, d, moved)
		if len(w.vbs) < 200 || !strings.HasPrefix(w.vbs[0].Name, moved+".1.1.1.0") {
			t.Errorf("%d objects below %s, the first is %s", len(w.vbs), moved, w.vbs[0])
		}
		if vbs, err := d.BulkWalk(root); err != nil || len(vbs) != 1 || vbs[0].Type != director.NoSuchObject {
			t.Errorf("below the published root there is %v (%v)", vbs, err)
		}
		mustRefuse(t, d, "exists already", `lcmsServiceRowStatus.`+web+` i createAndGo`)
	}
}
