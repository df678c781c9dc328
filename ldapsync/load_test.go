package ldapsync

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// plantation is LDIF of n entries: services with nine servers each.
func plantation(n int) string {
	var b strings.Builder
	for i := range n / 10 {
		service := fmt.Sprintf("lcmsKey=tcp:192.%d.%d.%d:80,%s", 1+i>>16, i>>8&255, i&255, freeServices)
		fmt.Fprintf(&b, "dn: %s\nobjectClass: lcmsVirtualService\nlcmsScheduler: wlc\nlcmsName: service %d\n\n", service, i)
		for j := range 9 {
			fmt.Fprintf(&b, "dn: lcmsKey=10.%d.%d.%d:80,%s\nobjectClass: lcmsRealServer\nlcmsForwarding: tunnel\nlcmsWeight: %d\nlcmsUpperThreshold: 1000\n\n",
				j, i>>8&255, i&255, service, 1+i%100)
		}
	}
	return b.String()
}

// BenchmarkFirstLoad compares the first load of a directory with what ldapsearch
// takes to read the same tree and throw it away; they take turns. It reports the
// median of the ratios, and what the tree takes of memory for each entry, beyond the
// Config that comes of it.
//
//	go test -run - -bench FirstLoad -benchtime 5x ./ldapsync
func BenchmarkFirstLoad(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := ldaptest.Start(b, ldaptest.Options{Tree: plantation(n)})
			o := optionsFor(s)
			base := mustBase(b, s.Base())
			var ratios, memory []float64
			for b.Loop() {
				began := time.Now()
				readByTool(b, s)
				tool := time.Since(began)
				began = time.Now()
				tree := NewTree(base, "lb1")
				load(b, o, tree)
				v := tree.View()
				ratios = append(ratios, float64(time.Since(began))/float64(tool))
				if v.Config.Len() != n/10 || len(v.Faults) != 0 {
					b.Fatalf("%d services, faults %v", v.Config.Len(), v.Faults)
				}
				with := live()
				runtime.KeepAlive(tree)
				config := v.Config
				tree, v = nil, View{}
				without := live()
				runtime.KeepAlive(config)
				memory = append(memory, float64(with-without)/float64(n))
			}
			slices.Sort(ratios)
			slices.Sort(memory)
			b.ReportMetric(ratios[len(ratios)/2], "x-ldapsearch")
			b.ReportMetric(ratios[0], "x-least")
			b.ReportMetric(ratios[len(ratios)-1], "x-most")
			b.ReportMetric(memory[len(memory)/2], "tree-B/entry")
		})
	}
}

// live returns how much of the heap is in use.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func load(b *testing.B, o Options, tree *Tree) {
	c, err := o.Dial(b.Context(), o.URIs[0], ForSync)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	err = syncrepl{}.Follow(ctx, c, tree, func(p Progress) {
		if p == Refreshed {
			cancel()
		}
	})
	if ctx.Err() == nil {
		b.Fatal(err)
	}
}

func readByTool(b *testing.B, s *ldaptest.Server) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	password, err := readPassword(s.PasswordFile())
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("ldapsearch", "-LLL", "-x", "-H", s.URI(), "-D", s.DN(ldaptest.Director), "-w", password, "-b", s.Base(), "(objectClass=*)")
	cmd.Env = append(cmd.Environ(), "LDAPNOINIT=1") // not the machine's ldap.conf
	cmd.Stdout = null
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkView is what one change costs in a large tree.
func BenchmarkView(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tree := NewTree(mustBase(b, schema.Base), "lb1")
			all := tree.begin(true)
			id := 0
			for i := range n / 10 {
				service := fmt.Sprintf("lcmsKey=fwm4:%d,%s", i+1, freeServices)
				all.put(numbered(id), ldap.NewEntry(service, map[string][]string{"objectClass": {"lcmsVirtualService"}}))
				for j := range 9 {
					all.put(numbered(id+1+j), plantedServer(service, j, 1))
				}
				id += 10
			}
			all.commit(true, nil)
			before := tree.View().Config
			i := 0
			for b.Loop() {
				i++
				at := i % (n / 10)
				tree.live(at*10+1, plantedServer(fmt.Sprintf("lcmsKey=fwm4:%d,%s", at+1, freeServices), 0, 2+i%1000))
				after := tree.View().Config
				if change := lvs.Between(before, after); len(change.PutServers) != 1 {
					b.Fatalf("change %+v", change)
				}
				before = after
			}
		})
	}
}

func plantedServer(service string, n, weight int) *ldap.Entry {
	return ldap.NewEntry(fmt.Sprintf("lcmsKey=10.0.0.%d:80,%s", n, service), map[string][]string{
		"objectClass": {"lcmsRealServer"}, "lcmsWeight": {fmt.Sprint(weight)},
	})
}
