package lcmsmib

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/mibs"
)

// benchmarkModule is the MIB over 50 services of 10 servers, all volatile, and
// the names of all weights.
func benchmarkModule(b *testing.B) (*Module, []smi.OID) {
	b.Helper()
	store, err := localstore.Open(filepath.Join(b.TempDir(), "store.db"))
	if err != nil {
		b.Fatal(err)
	}
	ctl := control.New(control.Options{Kernel: memory.New(memory.Options{}), Store: store, Log: slog.New(slog.DiscardHandler)})
	m, err := New(Options{Root: mibs.DefaultRoot(), Control: ctl, Agent: func() Agent { return Agent{} }})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ctl.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-done
		store.Close()
	})
	<-ctl.Ready()
	var weights []smi.OID
	name := func(entry smi.OID, column uint32, keys ...string) smi.OID {
		oid := mibs.DefaultRoot().Child(entry...).Child(column)
		for _, k := range keys {
			oid = smi.AppendIndexString(oid, k)
		}
		return oid
	}
	for i := range 50 {
		service := fmt.Sprintf("tcp:10.0.%d.1:80", i)
		vbs := []smi.Varbind{
			{Name: name(serviceEntry, 36, service), Value: smi.Integer(4)},
			{Name: name(serviceEntry, 35, service), Value: smi.Integer(2)},
		}
		for j := range 10 {
			server := fmt.Sprintf("10.1.%d.%d:80", i, j+1)
			vbs = append(vbs,
				smi.Varbind{Name: name(serverEntry, 27, service, server), Value: smi.Integer(4)},
				smi.Varbind{Name: name(serverEntry, 26, service, server), Value: smi.Integer(2)})
			weights = append(weights, name(serverEntry, 7, service, server))
		}
		set(b, m, vbs)
	}
	return m, weights
}

func set(b *testing.B, m *Module, vbs []smi.Varbind) {
	b.Helper()
	p, err := m.Prepare("", vbs)
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		b.Fatal(err)
	}
	p.Done()
}

func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, weights := benchmarkModule(b)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				vbs := make([]smi.Varbind, n)
				for j := range vbs {
					vbs[j] = smi.Varbind{Name: weights[(i*n+j)%len(weights)], Value: smi.Unsigned32(uint32(i % 65536))}
				}
				set(b, m, vbs)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	m, weights := benchmarkModule(b)
	b.ReportAllocs()
	b.ResetTimer()
	var vb smi.Varbind
	for i := range b.N {
		view, _ := m.View("")
		if !view.Next(&vb, weights[i%len(weights)], false, nil) {
			b.Fatal("nothing follows")
		}
	}
}
