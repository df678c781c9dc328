package ipvs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/internal/ipvs/rules"
)

// modules are the folders that tell which kernel modules there are.
type modules struct {
	loaded    string // one entry for each module that is loaded
	installed string // modules.dep and modules.builtin of the running kernel
}

func systemModules() modules {
	m := modules{loaded: "/sys/module"}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.installed = filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]))
	}
	return m
}

// Supports returns nil if the kernel has the scheduler and the persistence
// engine, loaded, built in or to be loaded when needed, and also if that cannot
// be told, as in a container without the host's modules. "" stands for no
// engine. It loads nothing.
func (k *Kernel) Supports(scheduler, engine string) error {
	// The kernel has this one without a module; it drops new connections.
	if scheduler != "none" && !k.modules.have("ip_vs_"+scheduler) {
		return rules.Missing("Scheduler", scheduler)
	}
	if engine != "" && !k.modules.have("ip_vs_pe_"+engine) {
		return rules.Missing("PersistenceEngine", engine)
	}
	return nil
}

func (m modules) have(name string) bool {
	if strings.ContainsAny(name, "/\x00\n") {
		return false
	}
	if _, err := os.Stat(filepath.Join(m.loaded, name)); err == nil {
		return true
	}
	for _, list := range []string{"modules.dep", "modules.builtin"} {
		b, err := os.ReadFile(filepath.Join(m.installed, list))
		if err != nil || listed(b, name) {
			return true
		}
	}
	return false
}

// listed reports whether a list has the module: one path in each line, to the
// first colon, such as kernel/net/netfilter/ipvs/ip_vs_rr.ko.xz.
func listed(list []byte, name string) bool {
	for line := range bytes.Lines(list) {
		path, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		module, _, _ := strings.Cut(filepath.Base(string(path)), ".ko")
		if strings.ReplaceAll(module, "-", "_") == strings.ReplaceAll(name, "-", "_") {
			return true
		}
	}
	return false
}
