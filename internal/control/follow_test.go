package control_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/lvs"
)

func (r *rig) lastRequests(n int) []*control.Request {
	all := r.Snapshot().Requests
	return all[max(0, len(all)-n):]
}

func TestFollow(t *testing.T) {
	for _, policy := range []lvs.DriftPolicy{lvs.DriftEnforce, lvs.DriftAlert, lvs.DriftAdopt} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			r, b := newBookRig(t, func(o *control.Options) { o.Drift = policy })
			b.edit(t, cluster(t))
			r.follow(b)
			if got := r.kernelText(); got != clusterText {
				t.Errorf("at once the kernel holds\n%s", got)
			}
			r.agree(b, clusterText)
			b.edit(t, bigChange(t))
			r.follow(b)
			if got := r.kernelText(); got != bigText {
				t.Errorf("at once the kernel holds\n%s", got)
			}
			texts := make(map[string]bool)
			for _, q := range r.lastRequests(7) {
				if q.Source != lvs.SourceDirectory || q.Outcome != control.Accepted {
					t.Errorf("recorded %+v", q)
				}
				texts[fmt.Sprintf("%s %s: %s -> %s", q.Service, q.Server, q.OldValue, q.NewValue)] = true
			}
			for _, want := range []string{
				"tcp:10.0.0.1:80 : scheduler wlc -> scheduler rr",
				"tcp:10.0.0.1:80 10.0.0.11:80: weight 1 -> weight 9",
				"tcp:10.0.0.1:80 10.0.0.12:80: masquerade, weight 2 -> absent",
				"tcp:10.0.0.1:80 10.0.0.13:80: absent -> masquerade, weight 3",
				"udp:10.0.0.1:53 : absent -> scheduler wlc",
			} {
				if !texts[want] {
					t.Errorf("not recorded: %s; but %v", want, texts)
				}
			}
			r.agree(b, bigText)
			b.edit(t, lvs.Change{DeleteServices: []lvs.ServiceKey{service(t, "tcp:10.0.0.1:80").Key}})
			r.follow(b)
			r.agree(b, "udp:10.0.0.1:53 10.0.0.11:53 masquerade 1\nudp:10.0.0.1:53 wlc 0")
		})
	}
}

func TestFollowOfNothingDoesNothing(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	before := r.Snapshot()
	r.follow(b)
	after := r.Snapshot()
	if after.Director.Generation != before.Director.Generation || len(after.Requests) != len(before.Requests) || !after.Director.ChangedAt.Equal(before.Director.ChangedAt) {
		t.Errorf("before %+v, after %+v", before.Director, after.Director)
	}
}

// TestFollowIsolatesARefusal: one row fails, all others follow, and nobody else
// waits for it.
func TestFollowIsolatesARefusal(t *testing.T) {
	r, b := newBookRig(t)
	r.kernel.FailNext(lvs.AddServer, fmt.Errorf("%w: not me", lvs.ErrInvalid))
	b.edit(t, cluster(t))
	r.follow(b)
	if got := r.kernelText(); strings.Count(got, "\n") != 1 {
		t.Errorf("the kernel holds\n%s", got)
	}
	failed := 0
	for _, s := range []string{"10.0.0.11:80", "10.0.0.12:80"} {
		if strings.Contains(row(r, "tcp:10.0.0.1:80", s).LastError, "not me") {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d rows show the refusal", failed)
	}
	dns := service(t, "udp:10.0.0.1:53")
	r.change(lvs.Change{PutServices: []lvs.Service{dns}})
	r.agree(b, slicesSorted(clusterText+"\nudp:10.0.0.1:53 wlc 0"))
}

func TestFollowWithTheKernelAway(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	r.eventually("the kernel is lost", func() bool {
		r.kernel.FailRead(fmt.Errorf("%w: no answer", lvs.ErrUnavailable))
		return r.Snapshot().Director.Kernel == control.KernelFailed
	})
	b.edit(t, bigChange(t))
	r.follow(b)
	if d := lvs.Between(r.Kept(), b.Holds()); !d.IsEmpty() {
		t.Errorf("kept differs by %+v", d)
	}
	r.kernel.FailRead(nil)
	r.eventually("the kernel is back", func() bool { return r.Snapshot().Director.Kernel == control.KernelOK })
	r.agree(b, bigText)
}

// TestBootWithTheDirectoryAway: the director runs on what it has, and leaves
// alone what it does not know.
func TestBootWithTheDirectoryAway(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	away(b)
	r.stop()
	r.kernel.Flush()
	r.foreign(lvs.Op{Do: lvs.AddService, Service: new(service(t, "tcp:10.0.0.9:80").ServiceSpec)})
	r.start()
	r.holds(slicesSorted(clusterText + "\ntcp:10.0.0.9:80 wlc 0"))
}

func TestFollowKeepsWhatIsOnlyHere(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	web, own := service(t, "tcp:10.0.0.1:80"), service(t, "tcp:10.0.0.9:80")
	own.Storage = lvs.Volatile
	passing, inOwn := server(t, web, "10.0.0.19:80", 1), server(t, own, "10.0.0.11:80", 1)
	passing.Server.Storage, inOwn.Server.Storage = lvs.Volatile, lvs.Volatile
	r.change(lvs.Change{PutServices: []lvs.Service{own}, PutServers: []lvs.ServerAt{passing, inOwn}})
	b.edit(t, lvs.Change{PutServers: []lvs.ServerAt{server(t, web, "10.0.0.11:80", 5)}})
	r.follow(b)
	r.holds(slicesSorted(strings.Replace(clusterText, "masquerade 1", "masquerade 5", 1) +
		"\ntcp:10.0.0.1:80 10.0.0.19:80 masquerade 1\ntcp:10.0.0.9:80 10.0.0.11:80 masquerade 1\ntcp:10.0.0.9:80 wlc 0"))
	b.edit(t, lvs.Change{DeleteServices: []lvs.ServiceKey{web.Key}})
	r.follow(b)
	r.holds("tcp:10.0.0.9:80 10.0.0.11:80 masquerade 1\ntcp:10.0.0.9:80 wlc 0")
}

func TestFollowRepeatsADelete(t *testing.T) {
	r, b := newBookRig(t)
	r.change(cluster(t))
	r.kernel.FailNext(lvs.DeleteService, fmt.Errorf("%w: busy", lvs.ErrUnavailable))
	b.edit(t, lvs.Change{DeleteServices: []lvs.ServiceKey{service(t, "tcp:10.0.0.1:80").Key}})
	r.follow(b)
	if got := r.kernelText(); !strings.Contains(got, "tcp:10.0.0.1:80 wlc") {
		t.Errorf("the kernel holds\n%s", got)
	}
	r.agree(b, "")
}

// TestLargeFollow records some lines and one event of it.
func TestLargeFollow(t *testing.T) {
	r, b := newBookRig(t)
	var c lvs.Change
	for i := range 300 {
		c.PutServices = append(c.PutServices, service(t, fmt.Sprintf("tcp:10.1.%d.%d:80", i/250, 1+i%250)))
	}
	b.edit(t, c)
	r.follow(b)
	if n := len(r.Snapshot().Requests); n != 20 {
		t.Errorf("%d requests", n)
	}
	r.mu.Lock()
	var told []control.Event
	for _, e := range r.events {
		if e.Kind == control.ConfigChange {
			told = append(told, e)
		}
	}
	r.mu.Unlock()
	if len(told) != 1 || told[0].More != 299 || told[0].Source != lvs.SourceDirectory {
		t.Errorf("told %+v", told)
	}
}
