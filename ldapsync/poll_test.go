package ldapsync

import (
	"fmt"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// quick is a poll for those who do not want to wait.
var quick = poll{interval: 20 * time.Millisecond, every: 2, skew: 2 * time.Second, page: 7, limit: 20 * time.Second}

func TestPollSeesWhatChanges(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{NoSyncrepl: true, Tree: schema.Demo})
	tree := newTree(t, s)
	on := follow(t, quick, optionsFor(s), tree).refreshed()
	v := tree.View()
	if v.Config.Len() != 5 || len(v.Faults) != 0 || v.Entries != 10+2+10+5+13 {
		t.Errorf("%d services, %d entries, faults %v", v.Config.Len(), v.Entries, v.Faults)
	}
	services := func(n int) {
		t.Helper()
		s.Wait(func() error {
			if got := tree.View().Config.Len(); got != n {
				return fmt.Errorf("%d services, want %d", got, n)
			}
			return nil
		})
	}
	must(t, s.Add(servicesLDIF(1, 30, freeServices)))
	services(35)
	must(t, s.Modify("dn: "+freeDN(1)+"\nchangetype: modify\nreplace: lcmsScheduler\nlcmsScheduler: rr\n"))
	s.Wait(func() error {
		if v, _ := tree.View().Config.Service(serviceKey("fwm4:1")); v.Scheduler != "rr" {
			return fmt.Errorf("scheduler %q", v.Scheduler)
		}
		return nil
	})
	must(t, s.Delete(freeDN(1), freeDN(30)))
	services(33)
	must(t, s.Modify("dn: lcmsClusterId=web,ou=load_cluster,"+s.Base()+"\nchangetype: modrdn\nnewrdn: lcmsClusterId=renamed\ndeleteoldrdn: 1\n"))
	s.Wait(func() error {
		for service := range tree.View().Config.Services {
			if service.Cluster == "renamed" {
				return nil
			}
		}
		return fmt.Errorf("no service has moved with its cluster")
	})
	on.stop()
	// What was deleted while nobody looked.
	must(t, s.Delete(freeDN(2)))
	follow(t, quick, optionsFor(s), tree).refreshed()
	services(32)
	fresh := newTree(t, s)
	follow(t, quick, optionsFor(s), fresh).refreshed()
	if change := lvs.Between(fresh.View().Config, tree.View().Config); !change.IsEmpty() {
		t.Errorf("what was read at once differs by %+v", change)
	}
}

// A server that knows the control, and has no overlay for the base, is polled.
func TestPollInWantOfSync(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{NoSyncrepl: true, Tree: servicesLDIF(1, 3, freeServices)})
	c, err := optionsFor(s).Dial(t.Context(), s.URI(), ForHeartbeat)
	must(t, err)
	defer c.Close()
	can, err := readAbilities(c.Conn)
	must(t, err)
	if source, ok := sourceFor(can).(syncrepl); ok && source.otherwise != usualPoll {
		t.Errorf("%+v is followed by %+v", can, source)
	}
	if _, ok := sourceFor(Abilities{}).(poll); !ok {
		t.Error("a server that knows no syncrepl is not polled")
	}
	tree := newTree(t, s)
	follow(t, syncrepl{otherwise: quick}, optionsFor(s), tree).refreshed()
	must(t, s.Delete(freeDN(1)))
	until(t, s, tree, "fwm4:2", "fwm4:3")
}

// An entry is gone when two complete looks have not found it, and not before.
func TestPollLooksTwice(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{NoSyncrepl: true, Tree: servicesLDIF(1, 20, freeServices)})
	tree := newTree(t, s)
	c, err := optionsFor(s).Dial(t.Context(), s.URI(), ForSync)
	must(t, err)
	defer c.Close()
	on := polling{poll: quick, ctx: t.Context(), conn: c, tree: tree}
	must(t, on.refresh())
	must(t, s.Delete(freeDN(1)))
	for look, want := range []int{20, 19, 19} {
		if _, err := on.look(); err != nil {
			t.Fatal(err)
		}
		if got := tree.View().Config.Len(); got != want {
			t.Errorf("after look %d: %d services, want %d", look+1, got, want)
		}
	}
	// A look that does not come to its end says nothing.
	must(t, s.Delete(freeDN(2)))
	if _, err := on.look(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := on.look(); err == nil {
		t.Error("there was an answer")
	}
	if got := tree.View().Config.Len(); got != 19 {
		t.Errorf("%d services", got)
	}
}

func TestPollFailsLikeSync(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{NoSyncrepl: true, Tree: servicesLDIF(1, 20, freeServices), SizeLimit: 10})
	tree := newTree(t, s)
	on := follow(t, quick, asRoot(s), tree).refreshed()
	o := optionsFor(s)
	kindOf(t, follow(t, quick, o, tree).end(), lvs.ErrUnavailable, "sizeLimitExceeded 4", "size=unlimited")
	o.BindDN = s.DN(ldaptest.Stranger)
	kindOf(t, follow(t, quick, o, tree).end(), lvs.ErrUnavailable, "noSuchObject 32", "read access")
	s.Stop()
	kindOf(t, on.end(), lvs.ErrUnavailable, "see whether")
	if got := tree.View().Config.Len(); got != 20 {
		t.Errorf("%d services", got)
	}
}
