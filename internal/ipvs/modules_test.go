package ipvs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

func TestSupports(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("loaded/ip_vs_rr/refcnt", "0")
	k := New(Options{})
	k.modules = modules{loaded: filepath.Join(dir, "loaded"), installed: filepath.Join(dir, "installed")}
	if err := k.Supports("bogus", "bogus"); err != nil {
		t.Errorf("without lists of modules, which says nothing: %v", err)
	}
	write("installed/modules.dep", "kernel/net/netfilter/ipvs/ip_vs_wlc.ko.xz: kernel/net/netfilter/ipvs/ip_vs.ko.xz\nkernel/net/netfilter/ipvs/ip_vs_pe_sip.ko:\nextra/ip-vs-own.ko.zst:\n")
	write("installed/modules.builtin", "kernel/net/netfilter/ipvs/ip_vs_lc.ko\n")
	for _, s := range []string{"rr", "wlc", "lc", "own", "none"} {
		if err := k.Supports(s, "sip"); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, names := range [][2]string{{"wl", ""}, {"", ""}, {"../ip_vs_rr", ""}, {"rr", "rr"}, {"pe", ""}} {
		var r *lvs.Refusal
		if err := k.Supports(names[0], names[1]); !errors.Is(err, lvs.ErrInvalid) || !errors.As(err, &r) || r.Field == "" {
			t.Errorf("%q: %v", names, err)
		}
	}
}

func TestNamespaceThatIsMissing(t *testing.T) {
	k := New(Options{Netns: filepath.Join(t.TempDir(), "gone")})
	_, err := k.Read(t.Context())
	if !errors.Is(err, lvs.ErrUnavailable) {
		t.Errorf("Read: %v", err)
	}
	if err := k.Apply(t.Context(), lvs.Op{Do: lvs.StopDaemon, Daemon: new(lvs.Daemon)}); !errors.Is(err, lvs.ErrUnavailable) {
		t.Errorf("Apply: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}
