package control_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"weak"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

// readings is a kernel that knows which of its readings are still in memory.
type readings struct {
	control.Kernel

	mu   sync.Mutex
	made []weak.Pointer[lvs.ActualServer] // the first server of each
}

func (r *readings) Read(ctx context.Context) (*lvs.Actual, error) {
	a, err := r.Kernel.Read(ctx)
	if err == nil && len(a.Services) > 0 && len(a.Services[0].Servers) > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.made = append(r.made, weak.Make(&a.Services[0].Servers[0]))
	}
	return a, err
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
