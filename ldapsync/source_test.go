package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// session is a Source that follows a server.
type session struct {
	t       *testing.T
	tree    *Tree
	conn    *Conn
	cancel  context.CancelCauseFunc
	ended   chan struct{}
	err     error // once ended
	mu      sync.Mutex
	told    []Progress
	refresh chan struct{} // closed when the tree is what the server holds
}

var errEnough = errors.New("the test has seen enough")

func follow(t *testing.T, source Source, o Options, tree *Tree) *session {
	t.Helper()
	c, err := o.Dial(t.Context(), o.URIs[0], ForSync)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &session{t: t, tree: tree, conn: c, cancel: cancel, ended: make(chan struct{}), refresh: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.err = source.Follow(ctx, c, tree, func(p Progress) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, p)
			if p == Refreshed {
				close(s.refresh)
			}
		})
	}()
	t.Cleanup(func() { cancel(errEnough); <-s.ended; _ = c.Close() })
	return s
}

// refreshed waits until the tree is what the server holds.
func (s *session) refreshed() *session {
	s.t.Helper()
	select {
	case <-s.refresh:
	case <-s.ended:
		s.t.Fatalf("ended before the refresh was: %v", s.err)
	case <-time.After(20 * time.Second):
		s.t.Fatal("no refresh within 20 s")
	}
	return s
}

// stop ends the session from our side.
func (s *session) stop() {
	s.t.Helper()
	s.cancel(errEnough)
	if err := s.end(); !errors.Is(err, errEnough) {
		s.t.Errorf("ended with %v", err)
	}
}

// end waits for the end and closes the connection.
func (s *session) end() error {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		s.t.Fatal("did not end within 20 s")
	}
	closed := make(chan struct{})
	go func() { _ = s.conn.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		s.t.Fatal("the connection did not close within 20 s")
	}
	return s.err
}

// services returns the keys of the services that a tree has.
func services(tree *Tree) []string {
	list := []string{}
	for s := range tree.View().Config.Services {
		list = append(list, s.Key.String())
	}
	return list
}

// until waits until a tree has exactly some services.
func until(t *testing.T, s *ldaptest.Server, tree *Tree, want ...string) {
	t.Helper()
	slices.SortFunc(want, func(a, b string) int { return serviceKey(a).Compare(serviceKey(b)) })
	s.Wait(func() error {
		if got := services(tree); !slices.Equal(got, want) {
			return fmt.Errorf("the tree has %q, want %q", got, want)
		}
		return nil
	})
}

// holding checks that a tree has exactly some services.
func holding(t *testing.T, tree *Tree, want ...string) {
	t.Helper()
	slices.SortFunc(want, func(a, b string) int { return serviceKey(a).Compare(serviceKey(b)) })
	if got := services(tree); !slices.Equal(got, want) {
		t.Errorf("the tree has %q, want %q", got, want)
	}
}

// same checks that a tree says what one does that has read all at once.
func same(t *testing.T, s *ldaptest.Server, tree *Tree) {
	t.Helper()
	s.Wait(func() error {
		other := NewTree(tree.base, tree.own)
		o := optionsFor(s)
		if tree.base.String() != s.Base() {
			o.BindDN = "cn=admin," + s.Base()
		}
		follow(t, syncrepl{}, o, other).refreshed().stop()
		if diff := cmp.Diff(told(other.View()), told(tree.View())); diff != "" {
			return fmt.Errorf("-read at once +tree:\n%s", diff)
		}
		return nil
	})
}

// servicesLDIF returns LDIF of services fwm4:from to fwm4:to below an entry.
func servicesLDIF(from, to int, above string) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "dn: lcmsKey=fwm4:%[1]d,%[2]s\nobjectClass: lcmsVirtualService\nlcmsKey: fwm4:%[1]d\n\n", i, above)
	}
	return b.String()
}

const freeServices = "ou=virtual_service," + schema.Base

func freeDN(n int) string { return fmt.Sprintf("lcmsKey=fwm4:%d,%s", n, freeServices) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newTree(t *testing.T, s *ldaptest.Server) *Tree {
	t.Helper()
	return NewTree(mustBase(t, s.Base()), "lb1")
}

// counted returns options that lead to a server past somebody who counts the
// entries that it tells: those with a control.
func counted(t *testing.T, s *ldaptest.Server) (Options, func() int) {
	t.Helper()
	var mu sync.Mutex
	entries := 0
	r := newRelay(t, s)
	r.hook(nil, func(p *ber.Packet) []byte {
		if len(p.Children) > 2 && p.Children[1].Tag == ldap.ApplicationSearchResultEntry {
			mu.Lock()
			entries++
			mu.Unlock()
		}
		return p.Bytes()
	})
	o := optionsFor(s)
	o.URIs = []string{r.URI()}
	return o, func() int {
		mu.Lock()
		defer mu.Unlock()
		n := entries
		entries = 0
		return n
	}
}

// What slapd 2.5 was seen to do in each situation, and what the tree has at the end.

func TestSyncFirstLoad(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo})
	tree := newTree(t, s)
	on := follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
	v := tree.View()
	if v.Config.Len() != 5 || len(v.Faults) != 0 || v.Entries != 10+2+10+5+13 {
		t.Errorf("%d services, %d entries, faults %v", v.Config.Len(), v.Entries, v.Faults)
	}
	if tree.known() == nil {
		t.Error("there is no cookie")
	}
	on.stop()
	if want := []Progress{Refreshing, Refreshed}; !slices.Equal(on.told, want) {
		t.Errorf("told %v, want %v", on.told, want)
	}
}

func TestSyncLiveChanges(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 2, freeServices)})
	tree := newTree(t, s)
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
	must(t, s.Add(servicesLDIF(3, 3, freeServices)))
	until(t, s, tree, "fwm4:1", "fwm4:2", "fwm4:3")
	must(t, s.Delete(freeDN(1)))
	until(t, s, tree, "fwm4:2", "fwm4:3")
	must(t, s.Modify("dn: "+freeDN(2)+"\nchangetype: modify\nreplace: lcmsScheduler\nlcmsScheduler: rr\n"))
	s.Wait(func() error {
		if v, _ := tree.View().Config.Service(serviceKey("fwm4:2")); v.Scheduler != "rr" {
			return fmt.Errorf("scheduler %q", v.Scheduler)
		}
		return nil
	})
	must(t, s.Modify("dn: "+freeDN(2)+"\nchangetype: modrdn\nnewrdn: lcmsKey=fwm4:9\ndeleteoldrdn: 1\n"))
	until(t, s, tree, "fwm4:3", "fwm4:9")
	same(t, s, tree)
}

// site is a part of the directory as a base of its own, which the shipped access
// rules do not know: the rootdn follows it.
const siteLDIF = `dn: ou=site,` + schema.Base + `
objectClass: organizationalUnit

dn: ou=virtual_service,ou=site,` + schema.Base + `
objectClass: organizationalUnit

`

const siteBase = "ou=site," + schema.Base

func asRoot(s *ldaptest.Server) Options {
	o := optionsFor(s)
	o.BindDN = "cn=admin," + s.Base()
	return o
}

func TestSyncLeavesAndEntersTheBase(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: siteLDIF + servicesLDIF(1, 2, "ou=virtual_service,"+siteBase)})
	tree := NewTree(mustBase(t, siteBase), "lb1")
	follow(t, syncrepl{}, asRoot(s), tree).refreshed()
	move := func(from, to string) {
		must(t, s.Modify("dn: lcmsKey=fwm4:2,"+from+"\nchangetype: modrdn\nnewrdn: lcmsKey=fwm4:2\ndeleteoldrdn: 1\nnewsuperior: "+to+"\n"))
	}
	move("ou=virtual_service,"+siteBase, freeServices)
	until(t, s, tree, "fwm4:1")
	move(freeServices, "ou=virtual_service,"+siteBase)
	until(t, s, tree, "fwm4:1", "fwm4:2")
	same(t, s, tree)
}

// What changes outside the base is told by a new cookie alone, which go-ldap
// decodes as empty: it must not end, or empty, anything.
func TestSyncChangeOutsideTheBase(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: siteLDIF + servicesLDIF(1, 2, "ou=virtual_service,"+siteBase)})
	tree := NewTree(mustBase(t, siteBase), "lb1")
	on := follow(t, syncrepl{}, asRoot(s), tree).refreshed()
	before := tree.known()
	must(t, s.Add(servicesLDIF(5, 9, freeServices)))
	must(t, s.Add(servicesLDIF(3, 3, "ou=virtual_service,"+siteBase)))
	until(t, s, tree, "fwm4:1", "fwm4:2", "fwm4:3")
	must(t, s.Add(servicesLDIF(10, 10, freeServices)))
	on.stop()
	if now := tree.known(); now == nil || string(now) == string(before) {
		t.Errorf("cookie %q after %q", now, before)
	}
	follow(t, syncrepl{}, asRoot(s), tree).refreshed()
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
}

func TestSyncParentRenamed(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo})
	o, entries := counted(t, s)
	tree := newTree(t, s)
	follow(t, syncrepl{}, o, tree).refreshed()
	entries()
	clusters := func() (list []string) {
		tree.View().Config.Clusters(func(c *lvs.Cluster) bool { list = append(list, string(c.ID)); return true })
		return list
	}
	before := clusters()
	must(t, s.Modify("dn: lcmsClusterId="+before[0]+",ou=load_cluster,"+s.Base()+"\nchangetype: modrdn\nnewrdn: lcmsClusterId=renamed\ndeleteoldrdn: 1\n"))
	s.Wait(func() error {
		if got := clusters(); !slices.Contains(got, "renamed") {
			return fmt.Errorf("clusters %q", got)
		}
		return nil
	})
	if n := entries(); n != 1 {
		t.Errorf("%d entries were told, want the parent alone", n)
	}
	found := 0
	for service := range tree.View().Config.Services {
		if service.Cluster == lvs.ClusterID(before[0]) {
			t.Errorf("%s is still of cluster %s", service.Key, before[0])
		}
		if service.Cluster == "renamed" {
			found++
		}
	}
	if found == 0 {
		t.Error("no service has moved with its cluster")
	}
	same(t, s, tree)
}

func TestSyncResumesBySessionLog(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 20, freeServices)})
	o, entries := counted(t, s)
	tree := newTree(t, s)
	follow(t, syncrepl{}, o, tree).refreshed().stop()
	all := entries()
	must(t, s.Delete(freeDN(1), freeDN(2)))
	must(t, s.Add(servicesLDIF(21, 21, freeServices)))
	must(t, s.Modify("dn: "+freeDN(3)+"\nchangetype: modify\nreplace: lcmsScheduler\nlcmsScheduler: rr\n"))
	// Made and deleted while nobody looked: its entryUUID was never seen.
	must(t, s.Add(servicesLDIF(30, 30, freeServices)))
	must(t, s.Delete(freeDN(30)))
	follow(t, syncrepl{}, o, tree).refreshed()
	if n := entries(); n != 2 {
		t.Errorf("%d entries were told, %d at first, want 2", n, all)
	}
	if got := tree.View().Config.Len(); got != 19 {
		t.Errorf("%d services", got)
	}
	same(t, s, tree)
}

func TestSyncCookieIsCurrent(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
	o, entries := counted(t, s)
	tree := newTree(t, s)
	follow(t, syncrepl{}, o, tree).refreshed().stop()
	cookie := tree.known()
	for range 2 {
		entries()
		follow(t, syncrepl{}, o, tree).refreshed().stop()
		if n := entries(); n != 0 {
			t.Errorf("%d entries were told", n)
		}
		if string(tree.known()) != string(cookie) {
			t.Errorf("cookie %q, was %q", tree.known(), cookie)
		}
		holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
	}
}

// presentPhase checks that a server that has no session log tells what there is by
// entryUUIDs alone, and that they arrive: go-ldap before v3.4.15 drops them.
func presentPhase(t *testing.T, s *ldaptest.Server, forget func()) {
	t.Helper()
	o, entries := counted(t, s)
	tree := newTree(t, s)
	follow(t, syncrepl{}, o, tree).refreshed().stop()
	all := entries()
	must(t, s.Delete(freeDN(1)))
	must(t, s.Add(servicesLDIF(21, 21, freeServices)))
	forget()
	follow(t, syncrepl{}, o, tree).refreshed()
	if n := entries(); n < 1 || n >= all {
		t.Errorf("%d entries were told, want less than the %d at first", n, all)
	}
	var want []string
	for i := 2; i <= 21; i++ {
		want = append(want, fmt.Sprintf("fwm4:%d", i))
	}
	holding(t, tree, want...)
	same(t, s, tree)
}

func TestSyncResumesAfterRestart(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 20, freeServices)})
	presentPhase(t, s, s.Restart)
}

func TestSyncSessionLogOverflows(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 20, freeServices), SessionLog: 4})
	presentPhase(t, s, func() {
		for i := range 10 {
			must(t, s.Modify(fmt.Sprintf("dn: ou=host,%s\nchangetype: modify\nreplace: description\ndescription: %d\n", s.Base(), i)))
		}
	})
}

// A server that cannot read our cookie tells all as if it were what has changed.
func TestSyncCookieIsGarbage(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
	tree := newTree(t, s)
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
	must(t, s.Delete(freeDN(1)))
	tree.cookie = []byte("rubbish")
	on := follow(t, syncrepl{}, optionsFor(s), tree)
	if err := on.end(); !errors.Is(err, errNoCookie) || !errors.Is(err, lvs.ErrUnavailable) {
		t.Fatalf("ended with %v", err)
	}
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
	holding(t, tree, "fwm4:2", "fwm4:3") // and no ghost
}

func TestSyncCookieIsOfAnotherServer(t *testing.T) {
	for name, cookie := range map[string]string{
		"unknown server ID": "rid=000,csn=20200101000000.000000Z#000000#0aa#000000",
		"too old":           "rid=000,csn=20200101000000.000000Z#000000#000#000000",
	} {
		t.Run(name, func(t *testing.T) {
			s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
			tree := newTree(t, s)
			follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
			must(t, s.Delete(freeDN(1)))
			tree.cookie = []byte(cookie)
			follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
			holding(t, tree, "fwm4:2", "fwm4:3")
			same(t, s, tree)
		})
	}
}

// A server that was restored from a backup does not get what it lacks, also if it
// is waited for.
func TestSyncServerIsRestored(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
	backup := s.Backup()
	must(t, s.Add(servicesLDIF(4, 4, freeServices)))
	tree := newTree(t, s)
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
	s.Restore(backup)
	err := follow(t, syncrepl{patience: time.Hour}, optionsFor(s), tree).end()
	kindOf(t, err, lvs.ErrUnavailable, "lacks changes", "reach each other", "53")
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3", "fwm4:4")
	err = follow(t, syncrepl{}, optionsFor(s), tree).end()
	kindOf(t, err, lvs.ErrUnavailable, "restore", "53")
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3", "fwm4:4")
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
}

// One that was restored goes on as if nothing had been when it has a newer contextCSN
// than what was told before: because something was written to it since, or because
// it made one itself. It tells then of most entries only that they are there.
func TestSyncServerIsRestoredAndGoesOn(t *testing.T) {
	modify := func(s *ldaptest.Server, n int, scheduler string) {
		must(t, s.Modify("dn: "+freeDN(n)+"\nchangetype: modify\nreplace: lcmsScheduler\nlcmsScheduler: "+scheduler+"\n"))
	}
	for name, restore := range map[string]func(*ldaptest.Server, string){
		"one write since":    func(s *ldaptest.Server, backup string) { s.Restore(backup); modify(s, 5, "sh") },
		"contextCSN made up": func(s *ldaptest.Server, backup string) { s.RestoreBare(backup) },
		"writes and a deletion since": func(s *ldaptest.Server, backup string) {
			s.RestoreBare(backup)
			modify(s, 5, "sh")
			must(t, s.Delete(freeDN(6)))
			must(t, s.Add(servicesLDIF(9, 9, freeServices)))
		},
	} {
		for what, change := range map[string]func(*ldaptest.Server){
			"changed": func(s *ldaptest.Server) { modify(s, 1, "rr") },
			"deleted": func(s *ldaptest.Server) { must(t, s.Delete(freeDN(2))) },
			"all made anew": func(s *ldaptest.Server) {
				for n := 1; n <= 6; n++ {
					must(t, s.Delete(freeDN(n)))
				}
				must(t, s.Add(servicesLDIF(1, 6, freeServices)))
			},
		} {
			t.Run(name+", "+what+" before", func(t *testing.T) {
				t.Parallel()
				// What slapadd loads has the server ID 0 all the same.
				s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 6, freeServices), Global: []string{"serverID 1"}})
				backup := s.Backup()
				change(s)
				tree := newTree(t, s)
				follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
				restore(s, backup)
				on := follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
				same(t, s, tree)
				on.stop()
				if want := []Progress{Refreshing, Differed, Refreshed}; !slices.Equal(on.told, want) {
					t.Errorf("told %v, want %v", on.told, want)
				}
			})
		}
	}
}

// One that has crashed has an old contextCSN, from which it thinks that its session
// log goes on. It does not tell of a deletion from before the crash then.
func TestSyncServerHasCrashed(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
	s.Restart()
	must(t, s.Add(servicesLDIF(4, 4, freeServices)))
	tree := newTree(t, s)
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
	must(t, s.Delete(freeDN(1)))
	s.Kill()
	s.Start()
	must(t, s.Add(servicesLDIF(5, 5, freeServices)))
	err := follow(t, syncrepl{}, optionsFor(s), tree).end()
	kindOf(t, err, lvs.ErrUnavailable, "deleted", "anew")
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
	holding(t, tree, "fwm4:2", "fwm4:3", "fwm4:4", "fwm4:5")
	same(t, s, tree)
}

func TestSyncBaseIsRenamed(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: siteLDIF + servicesLDIF(1, 2, "ou=virtual_service,"+siteBase)})
	tree := NewTree(mustBase(t, siteBase), "lb1")
	on := follow(t, syncrepl{}, asRoot(s), tree).refreshed()
	must(t, s.Modify("dn: "+siteBase+"\nchangetype: modrdn\nnewrdn: ou=elsewhere\ndeleteoldrdn: 1\n"))
	kindOf(t, on.end(), lvs.ErrUnavailable, "renamed", "directory.base")
	holding(t, tree, "fwm4:1", "fwm4:2")
	err := follow(t, syncrepl{}, asRoot(s), tree).end()
	kindOf(t, err, lvs.ErrUnavailable, "noSuchObject 32", "directory.base")
	if code, _ := answer(err); code != ldap.LDAPResultNoSuchObject {
		t.Errorf("code %d", code)
	}
	holding(t, tree, "fwm4:1", "fwm4:2")
	must(t, s.Modify("dn: ou=elsewhere,"+schema.Base+"\nchangetype: modrdn\nnewrdn: ou=site\ndeleteoldrdn: 1\n"))
	follow(t, syncrepl{}, asRoot(s), tree).refreshed()
	holding(t, tree, "fwm4:1", "fwm4:2")
}

// A server that honours the reload hint, and finds nothing as old as our cookie, asks
// for a reload, and does not pass all off as what has changed.
func TestSyncCookieIsStale(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices), Database: []string{"syncprov-reloadhint TRUE"}})
	tree := newTree(t, s)
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
	must(t, s.Delete(freeDN(1)))
	tree.cookie = []byte("rid=000,csn=20200101000000.000000Z#000000#000#000000")
	kindOf(t, follow(t, syncrepl{}, optionsFor(s), tree).end(), lvs.ErrUnavailable, "4096", "anew")
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
	holding(t, tree, "fwm4:2", "fwm4:3")
}

func TestSyncSizeLimit(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 20, freeServices), SizeLimit: 10})
	full := newTree(t, s)
	follow(t, syncrepl{}, asRoot(s), full).refreshed().stop()
	full.Forget()
	for _, tree := range []*Tree{newTree(t, s), full} {
		before := services(tree)
		kindOf(t, follow(t, syncrepl{}, optionsFor(s), tree).end(), lvs.ErrUnavailable, "sizeLimitExceeded 4", "limits", "size=unlimited")
		holding(t, tree, before...)
	}
}

func TestSyncMustNotRead(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
	tree := newTree(t, s)
	follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
	tree.Forget()
	o := optionsFor(s)
	o.BindDN = s.DN(ldaptest.Stranger)
	kindOf(t, follow(t, syncrepl{}, o, tree).end(), lvs.ErrUnavailable, "noSuchObject 32", "dave", "read access")
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
}

func TestSyncServerStops(t *testing.T) {
	for name, stop := range map[string]func(*ldaptest.Server){"stopped": (*ldaptest.Server).Stop, "killed": (*ldaptest.Server).Kill} {
		t.Run(name, func(t *testing.T) {
			s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
			tree := newTree(t, s)
			on := follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
			stop(s)
			kindOf(t, on.end(), lvs.ErrUnavailable, "see whether")
			holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
			s.Start()
			must(t, s.Delete(freeDN(2)))
			follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
			holding(t, tree, "fwm4:1", "fwm4:3")
		})
	}
}

// Nobody notices a server that hangs here: that is what the heartbeat is for. Then
// the session ends at once.
func TestSyncServerHangs(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
	tree := newTree(t, s)
	on := follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
	s.Hang()
	defer s.Continue()
	begin := time.Now()
	on.stop()
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
	holding(t, tree, "fwm4:1", "fwm4:2", "fwm4:3")
}

// A directory that was emptied looks like one that is read with success. The tree
// says so: to doubt it is the business of who follows the tree.
func TestSyncServerIsWiped(t *testing.T) {
	for name, forget := range map[string]bool{"with a cookie": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			s := ldaptest.Start(t, ldaptest.Options{Tree: servicesLDIF(1, 3, freeServices)})
			tree := newTree(t, s)
			follow(t, syncrepl{}, optionsFor(s), tree).refreshed().stop()
			s.Wipe()
			if forget {
				tree.Forget()
			}
			follow(t, syncrepl{}, optionsFor(s), tree).refreshed()
			holding(t, tree)
			same(t, s, tree)
		})
	}
}

func TestSyncTransaction(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	tree := newTree(t, s.Server)
	follow(t, syncrepl{}, optionsFor(s.Server), tree).refreshed()
	s.mustWrite(twenty(web))
	s.Wait(func() error {
		v := tree.View()
		if n := len(v.Config.Servers(web)); n != 20 {
			return fmt.Errorf("%d servers", n)
		}
		if v.Marks["lb1"].RequestID == "" {
			return errors.New("there is no mark yet")
		}
		return nil
	})
	same(t, s.Server, tree)
}
