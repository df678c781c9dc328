package control_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/lvs"
)

// readings is a kernel of which every reading is new, and that knows which of them are
// still in memory.
type readings struct {
	control.Kernel

	mu   sync.Mutex
	made []weak.Pointer[lvs.ActualServer] // the first server of each
}

func (r *readings) Read(ctx context.Context) (*lvs.Actual, error) {
	a, err := r.Kernel.Read(ctx)
	if err != nil {
		return nil, err
	}
	for i, s := range a.Services {
		copied := *s
		copied.Servers = slices.Clone(s.Servers)
		a.Services[i] = &copied
	}
	if len(a.Services) > 0 && len(a.Services[0].Servers) > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.made = append(r.made, weak.Make(&a.Services[0].Servers[0]))
	}
	return a, nil
}

// kept returns how many were made, and how many of them are kept that newer ones
// have replaced, but for the last few.
func (r *readings) kept() (made, kept int) {
	runtime.GC()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.made {
		if p.Value() != nil && i < len(r.made)-5 {
			kept++
		}
	}
	return len(r.made), kept
}

// TestOldReadingsAreForgotten looks for readings of the kernel that stay in memory
// when newer ones have replaced them: each is as large as the table.
func TestOldReadingsAreForgotten(t *testing.T) {
	var kernel *readings
	r := newRigOptions(t, func(o *control.Options) {
		kernel = &readings{Kernel: o.Kernel}
		o.Kernel = kernel
	})
	change, _ := inCluster(t)
	r.change(change)
	for name, change := range map[string]func() lvs.Change{
		"nothing": nil,
		"weight": func() lvs.Change {
			server := change.PutServers[0]
			server.Server.Weight = 9
			return lvs.Change{PutServers: []lvs.ServerAt{server}}
		},
	} {
		if change != nil {
			r.change(change())
		}
		before, _ := kernel.kept()
		r.eventually("old readings are forgotten after "+name, func() bool {
			r.Look()
			made, kept := kernel.kept()
			return made > before+10 && kept == 0
		})
	}
}

// TestRowsStayUntilSomethingChanges has the kernel read again and again: a row is made
// anew when the kernel or time has something new to say of it, and only then.
func TestRowsStayUntilSomethingChanges(t *testing.T) {
	r := newRig(t)
	r.change(cluster(t))
	row := func() *control.ServiceRow { return r.Look().Services[0] }
	readings := func(n int) {
		for range n {
			at := r.Look().Director.ReadAt
			r.eventually("the kernel is read again", func() bool { return r.Look().Director.ReadAt.After(at) })
		}
	}
	readings(3)
	settled := row()
	readings(5)
	if row() != settled {
		t.Error("a row is made anew though nothing has changed")
	}
	r.kernel.SetTraffic(settled.Service.Key, memory.Traffic{Connections: 100, Duration: time.Second})
	r.kernel.Advance(3 * time.Second)
	r.eventually("counters grow", func() bool { return row() != settled && row().Connections > 0 })

	// A weight that LCMS sets and somebody sets back before the next reading is as
	// the reading before had it.
	r.kernel.SetTraffic(settled.Service.Key, memory.Traffic{})
	readings(3)
	server := cluster(t).PutServers[0]
	old := server.Server.Weight
	server.Server.Weight = 77
	r.change(lvs.Change{PutServers: []lvs.ServerAt{server}})
	back := lvs.Op{Do: lvs.EditServer, Service: new(settled.Service.ServiceSpec), Server: new(server.Server.ServerSpec)}
	back.Server.Weight = old
	if err := r.kernel.Apply(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	r.eventually("the weight is mended", func() bool { return r.Look().Director.DriftRepairs > 0 && row().Servers[0].Actual.Weight == 77 })
}
