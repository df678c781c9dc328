package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/lcms-project/lcms/"

// A rule says what a package of this module may import. Packages of this
// module are written without the module's path. A name that ends in /... means
// the package and all below it.
type rule struct {
	pkg string
	// ours are the packages of this module that it may import directly.
	ours []string
	// others are the modules and packages from outside that it may import
	// directly, the standard library apart.
	others []string
	reason string
}

// rules covers every package of the module; the first rule that matches a
// package is the one for it.
var rules = []rule{
	{"agentx/smi", nil, nil,
		"OIDs, values and error codes are for everybody: they need nothing but the standard library"},
	{"agentx/mib", []string{"agentx", "agentx/smi"}, nil,
		"tables are of use to any agent: they know the protocol and not LCMS"},
	{"agentx/agentxtest", []string{"agentx", "agentx/smi"}, nil,
		"the master agent for tests is of use to any agent: it knows the protocol and not LCMS"},
	{"agentx", []string{"agentx/smi"}, []string{"golang.org/x/sys"},
		"the subagent library can be imported by anyone: it knows RFC 2741 and not LCMS"},
	{"mibs", []string{"agentx/smi"}, nil,
		"the MIB is text: who binds it to Go depends on it, not the other way round"},
	{"internal/lvs", nil, nil,
		"the domain depends on no protocol, no kernel and no store, so that all of them can depend on it"},
	{"internal/claim", nil, []string{"golang.org/x/sys"},
		"what belongs to whom among tests is known to nobody else"},
	{"internal/freeport", []string{"internal/claim"}, nil,
		"a port for a daemon of a test is the same for all of them"},
	{"internal/failpoint", nil, nil,
		"a point at which a test may stop the program is nothing in a normal build"},
	{"internal/control", []string{"internal/lvs", "internal/failpoint"}, []string{"golang.org/x/sync"},
		"the single writer declares the small interfaces that it needs; adapters satisfy them"},
	{"internal/control/controltest", []string{"internal/lvs"}, nil,
		"the directory for tests knows the domain only"},
	{"internal/ipvs/...", []string{"internal/lvs", "internal/ipvs/..."},
		[]string{"github.com/cloudflare/ipvs", "github.com/mdlayher/genetlink", "github.com/mdlayher/netlink", "golang.org/x/sys"},
		"the kernel's adapter knows the domain and no other adapter; netlink is only here"},
	{"internal/localstore", []string{"internal/lvs"}, []string{"go.etcd.io/bbolt"},
		"the store's adapter knows the domain and no other adapter"},
	{"ldapsync/ldaptest", []string{"internal/lvs", "internal/freeport", "ldapsync/..."}, []string{"github.com/go-ldap/ldap", "github.com/go-asn1-ber/asn1-ber", "golang.org/x/sys"},
		"a slapd for the tests of the adapter is a process: it waits for it as only the kernel lets it"},
	{"ldapsync/...", []string{"internal/lvs", "ldapsync/..."}, []string{"github.com/go-ldap/ldap", "github.com/go-asn1-ber/asn1-ber"},
		"the directory's adapter knows the domain and no other adapter"},
	{"internal/lcmsmib", []string{"agentx", "agentx/mib", "agentx/smi", "internal/lvs", "internal/control", "mibs"}, nil,
		"our MIB binds the domain and the single writer to tables; it reaches kernel and store through control only"},
	{"internal/notify", []string{"agentx", "internal/lvs", "internal/control"}, nil,
		"the queue knows events and the answers of the master; what a notification looks like is the MIB's matter"},
	{"internal/poller/...", []string{"internal/lvs", "internal/poller/...", "internal/config/strict"}, []string{"github.com/gosnmp/gosnmp", "golang.org/x/..."},
		"the monitor speaks SNMP to the director like any manager: it has no way past it"},
	{"internal/console/...", []string{"internal/lvs", "internal/console/..."},
		[]string{"github.com/gosnmp/gosnmp", "github.com/go-ldap/ldap", "github.com/alexedwards/scs"},
		"the console speaks SNMP to the director like any manager: it has no way past it"},
	{"internal/config/strict", nil, []string{"go.yaml.in/yaml"},
		"how a file is read is the same for all commands, whatever they have to configure"},
	{"internal/config", []string{"internal/config/strict", "agentx/smi", "internal/lvs", "mibs"}, nil,
		"the configuration is values; who needs one is given it"},
	{"internal/commandline", nil, nil,
		"how arguments are read is the same for all commands"},
	{"internal/systemd", nil, []string{"github.com/coreos/go-systemd"},
		"what a daemon tells the service manager is the same for all of them"},
	{"cmd/...", []string{"..."}, []string{"..."},
		"commands wire everything together"},
	{"tests/...", []string{"..."}, []string{"..."},
		"black-box tests may use everything"},
}

// owners says which packages alone may import something from outside. It
// repeats what rules allow in the other direction, so that a new rule cannot
// open a second door unnoticed. Tests count too, except those below tests/.
var owners = []struct {
	outside string
	ours    []string
	reason  string
}{
	{"github.com/cloudflare/ipvs", []string{"internal/ipvs/..."}, "one package alone talks to the kernel"},
	{"github.com/mdlayher/netlink", []string{"internal/ipvs/..."}, "one package alone talks to the kernel"},
	{"github.com/mdlayher/genetlink", []string{"internal/ipvs/..."}, "one package alone talks to the kernel"},
	{"github.com/go-ldap/ldap", []string{"ldapsync/...", "internal/console/..."}, "LDAP is for the directory's adapter and the console's login"},
	{"github.com/gosnmp/gosnmp", []string{"internal/poller/...", "internal/console/..."}, "only managers speak SNMP; the agent speaks AgentX"},
	{"go.etcd.io/bbolt", []string{"internal/localstore"}, "one package alone knows how things are stored"},
}

// pkg is what go list tells about a package.
type pkg struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, modulePath) }

func TestEveryPackageKeepsItsRule(t *testing.T) {
	packages, standard := list(t)
	for _, p := range packages {
		r, ok := ruleFor(p.name())
		if !ok {
			t.Errorf("%s has no rule: say in tests/imports what it may import, and why", p.name())
			continue
		}
		for _, breach := range r.breaches(p, standard) {
			t.Error(breach)
		}
	}
}

func TestOutsidePackagesHaveOneOwner(t *testing.T) {
	packages, _ := list(t)
	for _, p := range packages {
		if matches("tests/...", p.name()) || matches("cmd/...", p.name()) {
			continue
		}
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, o := range owners {
				if matches(o.outside+"/...", path) && !matchesAny(o.ours, p.name()) {
					t.Errorf("%s imports %s, which is for %s only: %s", p.name(), path, strings.Join(o.ours, ", "), o.reason)
				}
			}
		}
	}
}

// TestLibraryIsFreeOfTheProject looks at everything that a user of agentx gets
// with it, not only at direct imports.
func TestLibraryIsFreeOfTheProject(t *testing.T) {
	packages, standard := list(t)
	for _, p := range packages {
		if !matches("agentx/...", p.name()) {
			continue
		}
		for _, path := range p.Deps {
			if !standard[path] && !matches(modulePath+"agentx/...", path) && !matches("golang.org/x/sys/...", path) {
				t.Errorf("%s depends on %s: agentx is a library for everybody and brings nothing but system calls", p.name(), path)
			}
		}
	}
}

func TestNobodyImportsCommands(t *testing.T) {
	packages, _ := list(t)
	for _, p := range packages {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if name, ours := strings.CutPrefix(path, modulePath); ours && matches("cmd/...", name) && path != p.ImportPath {
				t.Errorf("%s imports %s: a command is the end of the chain", p.name(), name)
			}
		}
	}
}

// TestRulesCatchBreaches shows that the rules are not satisfied by anything.
func TestRulesCatchBreaches(t *testing.T) {
	standard := map[string]bool{"fmt": true, "net/netip": true}
	for _, tc := range []struct {
		importer, imported string
		allowed            bool
	}{
		{"agentx/smi", "fmt", true},
		{"agentx/smi", modulePath + "agentx", false},
		{"agentx", modulePath + "agentx/smi", true},
		{"agentx", modulePath + "internal/lvs", false},
		{"agentx", "golang.org/x/sys/unix", true},
		{"agentx", "golang.org/x/sync/errgroup", false},
		{"agentx/smi", "golang.org/x/sys/unix", false},
		{"agentx/mib", modulePath + "internal/lvs", false},
		{"internal/lvs", modulePath + "agentx/smi", false},
		{"internal/lvs", "github.com/mdlayher/netlink", false},
		{"internal/control", modulePath + "internal/lvs", true},
		{"internal/control", modulePath + "internal/ipvs", false},
		{"internal/control", modulePath + "internal/localstore", false},
		{"internal/ipvs/memory", modulePath + "internal/lvs", true},
		{"internal/ipvs", "github.com/mdlayher/netlink/nlenc", true},
		{"internal/ipvs", modulePath + "internal/localstore", false},
		{"internal/localstore", "github.com/mdlayher/netlink", false},
		{"internal/lcmsmib", modulePath + "internal/ipvs", false},
		{"internal/poller", modulePath + "internal/control", false},
		{"internal/lvs", modulePath + "cmd/lcms-subagent", false},
		{"cmd/lcms-subagent", modulePath + "internal/control", true},
	} {
		r, ok := ruleFor(tc.importer)
		if !ok {
			t.Errorf("%s has no rule", tc.importer)
			continue
		}
		breaches := r.breaches(pkg{ImportPath: modulePath + tc.importer, Imports: []string{tc.imported}}, standard)
		if allowed := len(breaches) == 0; allowed != tc.allowed {
			t.Errorf("%s -> %s: allowed %t, want %t", tc.importer, tc.imported, allowed, tc.allowed)
		}
		for _, breach := range breaches {
			if !strings.Contains(breach, r.reason) {
				t.Errorf("the report %q lacks the reason", breach)
			}
		}
	}
	if _, ok := ruleFor("internal/newcomer"); ok {
		t.Error("a package without a rule is found to have one")
	}
}

func ruleFor(name string) (rule, bool) {
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, name) })
	if i < 0 {
		return rule{}, false
	}
	return rules[i], true
}

// breaches describes the imports of p that r forbids. Tests of a package may
// import more than the package itself; they are not looked at here.
func (r rule) breaches(p pkg, standard map[string]bool) []string {
	var found []string
	for _, path := range p.Imports {
		name, ours := strings.CutPrefix(path, modulePath)
		switch {
		case ours && matchesAny(r.ours, name):
		case !ours && (standard[path] || path == "C" || slices.ContainsFunc(r.others, func(o string) bool {
			return matches(o, path) || matches(o+"/...", path)
		})):
		default:
			found = append(found, fmt.Sprintf("%s may not import %s: %s", p.name(), name, r.reason))
		}
	}
	return found
}

func matches(pattern, name string) bool {
	prefix, all := strings.CutSuffix(pattern, "...")
	if !all {
		return pattern == name
	}
	return strings.HasPrefix(name+"/", prefix)
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// list returns the packages of this module with every build tag that the
// project uses, and which of all packages that they need are in the standard
// library.
func list(t *testing.T) ([]pkg, map[string]bool) {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-tags", "lab", "-json=ImportPath,Standard,Imports,TestImports,XTestImports,Deps", modulePath+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var ours []pkg
	standard := map[string]bool{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if p.Standard {
			standard[p.ImportPath] = true
		}
		if strings.HasPrefix(p.ImportPath, modulePath) {
			ours = append(ours, p)
		}
	}
	// These exist from the first day on; without them the list is not ours.
	for _, name := range []string{"agentx/smi", "internal/lvs", "mibs"} {
		if !slices.ContainsFunc(ours, func(p pkg) bool { return p.name() == name }) {
			t.Fatalf("go list does not know %s%s\n%s", modulePath, name, stderr.String())
		}
	}
	return ours, standard
}
