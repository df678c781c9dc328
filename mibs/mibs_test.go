package mibs_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/mibs"
)

var roots = []string{
	"1.3.6.1.4.1.8072.9999.9999.5267",
	"1.3.6.1.4.1.8072.9999.9999.1.2.3",
	"1.3.6.1.4.1.8072.9999.9999",
	"1.3.6.1.4.1.12345.1",
	"1.3.6.1.4.1.12345",
	"1.3.6.1.4.1.65535.7.9.1",
}

func TestTextOfTheDefaultRootIsTheFile(t *testing.T) {
	file, err := os.ReadFile("LCMS-MIB.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, err := mibs.Text(mibs.DefaultRoot())
	if err != nil {
		t.Fatal(err)
	}
	if text != string(file) {
		t.Error("Text(DefaultRoot()) differs from LCMS-MIB.txt")
	}
}

func TestTextMovesTheRootOnly(t *testing.T) {
	original, err := mibs.Text(mibs.DefaultRoot())
	if err != nil {
		t.Fatal(err)
	}
	moved, err := mibs.Text(smi.MustParseOID("1.3.6.1.4.1.12345.1"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(original, "    netSnmpPlaypen\n        FROM NET-SNMP-MIB\n", "", 1)
	want = strings.Replace(want, "{ netSnmpPlaypen 5267 }",
		"{ iso org(3) dod(6) internet(1) private(4) enterprises(1) lcmsParent1(12345) 1 }", 1)
	if moved != want {
		t.Error("more than the root and the import for it has changed")
	}
}

func TestTextRefusesRoots(t *testing.T) {
	tooLong := smi.MustParseOID("1.3.6.1.4.1.12345")
	for len(tooLong)+mibs.MaxIndex <= smi.MaxOIDLen {
		tooLong = tooLong.Child(1)
	}
	if _, err := mibs.Text(tooLong[:len(tooLong)-1]); err != nil {
		t.Errorf("the longest root is refused: %v", err)
	}
	for _, tc := range []struct {
		root smi.OID
		want string
	}{
		{nil, "not below an enterprise"},
		{smi.MustParseOID("1.3.6.1.4.1"), "not below an enterprise"},
		{smi.MustParseOID("1.3.6.1.4.1.8072.4294967295"), "at most 2147483647"},
		{smi.MustParseOID("1.3.6.1.2.1.99"), "not below an enterprise"},
		{tooLong, "leave room"},
	} {
		if _, err := mibs.Text(tc.root); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Text(%s) = %v, want an error with %q", tc.root, err, tc.want)
		}
	}
}

// TestKeysFitTheirSizes compares the longest and the shortest keys that there
// are with the sizes in the module and with MaxIndex.
func TestKeysFitTheirSizes(t *testing.T) {
	addr := netip.MustParseAddrPort("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")
	service, err := lvs.AddressKey(lvs.SCTP, addr)
	if err != nil {
		t.Fatal(err)
	}
	server, err := lvs.NewServerKey(addr)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(server.String()); n != lvs.MaxServerKey {
		t.Errorf("the longest server key has %d octets", n)
	}
	mark, err := lvs.FwmarkKey(lvs.IPv4, 1)
	if err != nil {
		t.Fatal(err)
	}
	text, err := mibs.Text(mibs.DefaultRoot())
	if err != nil {
		t.Fatal(err)
	}
	for name, syntax := range map[string]string{
		"LcmsServiceIdentity":    fmt.Sprintf("OCTET STRING (SIZE (%d..%d))", len(mark.String()), len(service.String())),
		"lcmsServiceSorryServer": fmt.Sprintf("SnmpAdminString (SIZE (0..%d))", lvs.MaxServerKey),
		"LcmsServerIdentity":     fmt.Sprintf("OCTET STRING (SIZE (3..%d))", len(server.String())),
		"lcmsDriftServiceKey":    fmt.Sprintf("SnmpAdminString (SIZE (0..%d))", len(service.String())),
		"lcmsDriftServerKey":     fmt.Sprintf("SnmpAdminString (SIZE (0..%d))", len(server.String())),
		"LcmsClusterIdentity":    fmt.Sprintf("OCTET STRING (SIZE (1..%d))", lvs.MaxClusterID),
		"LcmsHostIdentity":       fmt.Sprintf("OCTET STRING (SIZE (1..%d))", lvs.MaxHostName),
		"LcmsAddressList":        fmt.Sprintf("OCTET STRING (SIZE (0..%d))", lvs.MaxAddresses),
		"lcmsServiceCluster":     fmt.Sprintf("SnmpAdminString (SIZE (0..%d))", lvs.MaxClusterID),
		"lcmsServerHost":         fmt.Sprintf("SnmpAdminString (SIZE (0..%d))", lvs.MaxHostName),
	} {
		_, definition, found := strings.Cut(text, name+" OBJECT-TYPE")
		if !found {
			_, definition, _ = strings.Cut(text, name+" ::=")
		}
		definition, _, _ = strings.Cut(definition, "::=")
		if !strings.Contains(definition, syntax) {
			t.Errorf("%s is not %s", name, syntax)
		}
	}
	index := smi.AppendIndexString(smi.AppendIndexString(smi.OID{1, 8, 1, 1, 4, 1}, service.String()), server.String())
	if len(index) != mibs.MaxIndex {
		t.Errorf("the longest instance has %d sub-identifiers after the root, MaxIndex is %d", len(index), mibs.MaxIndex)
	}
}

// TestSmilint lints the modules with every root; they are clean only if
// smilint prints nothing, for it exits with 0 in spite of warnings.
func TestSmilint(t *testing.T) {
	path := tools(t, "smilint")
	for _, root := range roots {
		dir := moved(t, root)
		for _, name := range []string{"LCMS-MIB.txt", "LCMS-AGENT-CAP-MIB.txt"} {
			cmd := exec.Command("smilint", "-l", "6", filepath.Join(dir, name))
			cmd.Env = append(os.Environ(), "SMIPATH="+dir+":"+path)
			out, err := cmd.CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("smilint -l 6 %s with root %s: %v\n%s", name, root, err, out)
			}
		}
	}
}

// TestSnmptranslate loads the modules with net-snmp and has names translated
// both ways.
func TestSnmptranslate(t *testing.T) {
	path := tools(t, "snmptranslate")
	for _, root := range roots {
		dir := moved(t, root)
		translate := func(args ...string) string {
			t.Helper()
			args = append([]string{"-M", dir + ":" + path, "-m", "LCMS-AGENT-CAP-MIB"}, args...)
			cmd := exec.Command("snmptranslate", args...)
			// On a machine where net-snmp never ran it first says that it makes its folder.
			cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+t.TempDir())
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("snmptranslate %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
			}
			return strings.TrimSpace(string(out))
		}
		const name = `LCMS-MIB::lcmsServerWeight."fwm4:7"."[::1]:80"`
		const index = ".1.5.1.1.7.6.102.119.109.52.58.55.8.91.58.58.49.93.58.56.48"
		if got := translate("-On", name); got != "."+root+index {
			t.Errorf("%s is %s, want .%s%s", name, got, root, index)
		}
		if got := translate("." + root + index); got != name {
			t.Errorf(".%s%s is %s, want %s", root, index, got, name)
		}
		if got := translate("-On", "LCMS-AGENT-CAP-MIB::lcmsSubagent"); got != "."+root+".2.3.1.1" {
			t.Errorf("lcmsSubagent is %s", got)
		}
		tree := translate("-Tp", "LCMS-MIB::lcmsMIB")
		for _, node := range []string{"lcmsNotifications(0)", "lcmsDirectorOutBytes(24)", "lcmsServiceRowStatus(36)",
			"lcmsServiceStatsDiscontinuityTime(15)", "lcmsServerDrainAction(28)", "lcmsServerStatsDiscontinuityTime(15)",
			"lcmsSyncDaemonRowStatus(10)", "lcmsRequestReason(9)", "lcmsDriftRepairs(3)", "lcmsAlarmLastChange(3)",
			"lcmsAgentNotificationsCoalesced(14)", "lcmsKernelRestored(10)",
			"lcmsClusterRowStatus(18)", "lcmsMemberRowStatus(8)", "lcmsHostRowStatus(16)", "lcmsDirectorySyncNow(15)", "lcmsMemberStateChange(15)"} {
			if !strings.Contains(tree, node) {
				t.Errorf("the tree of snmptranslate -Tp lacks %s", node)
			}
		}
	}
}

// moved writes the modules with another root into a folder.
func moved(t *testing.T, root string) string {
	t.Helper()
	text, err := mibs.Text(smi.MustParseOID(root))
	if err != nil {
		t.Fatal(err)
	}
	capabilities, err := os.ReadFile("LCMS-AGENT-CAP-MIB.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"LCMS-MIB.txt": text, "LCMS-AGENT-CAP-MIB.txt": string(capabilities)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tools returns the search path of the modules that LCMS-MIB imports from. A
// machine without them, or without the tool, skips the test; CI may not.
func tools(t *testing.T, tool string) string {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	if _, err := exec.LookPath(tool); err != nil {
		missing("%s is not installed: run `make deps`", tool)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	ietf := filepath.Join(cache, "lcms", "mibs") // where scripts/base-mibs puts them
	netSNMP := "/usr/share/snmp/mibs"
	for _, file := range []string{filepath.Join(ietf, "SNMPv2-SMI.txt"), filepath.Join(netSNMP, "NET-SNMP-MIB.txt")} {
		if _, err := os.Stat(file); err != nil {
			missing("%v: run `make deps`", err)
		}
	}
	return ietf + ":" + netSNMP
}
