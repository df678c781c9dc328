package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
)

// follows is a Target that keeps what it is given, and makes changes of its own
// as package control does: while it does, it takes nothing.
type follows struct {
	set sync.Mutex // held by a change

	mu     sync.Mutex
	kept   *lvs.Config
	open   bool
	refuse error // of Follow
	status lvs.DirectoryStatus
	states []lvs.DirectoryState // that there were
	lost   []row                // that went because of the directory
}

func (d *follows) Kept() *lvs.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept
}

func (d *follows) Follow(kept, next *lvs.Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open || d.kept != kept {
		return &lvs.Refusal{Kind: lvs.ErrUnavailable, Reason: "another change is being made"}
	}
	if d.refuse != nil {
		return d.refuse
	}
	delta := lvs.Between(d.kept, next)
	d.lost = append(d.lost, (&judgement{kept: d.kept, delta: &delta}).deletions()...)
	d.kept = next
	return nil
}

func (d *follows) SetDirectory(s lvs.DirectoryStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.State != d.status.State {
		d.states = append(d.states, s.State)
	}
	d.status = s
}

func (d *follows) Status() lvs.DirectoryStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// lostRows returns the rows that went because of the directory.
func (d *follows) lostRows() []row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lost)
}

// change makes a change through the directory.
func (d *follows) change(ctx context.Context, dir *Directory, c lvs.Change) error {
	d.set.Lock()
	defer d.set.Unlock()
	d.mu.Lock()
	before := d.kept
	d.open = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.open = false
		d.mu.Unlock()
	}()
	next, err := before.Apply(&c)
	if err == nil {
		if err = dir.Writable(); err == nil {
			err = dir.Write(ctx, &c, before, asker)
		}
	}
	if err == nil {
		d.mu.Lock()
		d.kept = next
		d.mu.Unlock()
	}
	return err
}

// pursuit is a director that follows a directory.
type pursuit struct {
	*testing.T
	*Follower
	director *follows
	dir      *Directory
	end      func() // of Run; it waits for it
}

// pursue starts one that has something already. With quick, what takes its time
// is quick.
func pursue(t *testing.T, own string, kept *lvs.Config, prepare func(*Following, *times), servers ...*ldaptest.Server) *pursuit {
	t.Helper()
	s := servers[0]
	o := optionsFor(s)
	for _, other := range servers[1:] {
		o.URIs = append(o.URIs, other.URI())
	}
	if len(servers) > 1 {
		o.PasswordFile = samePassword(t, servers)
	}
	d := &follows{kept: kept}
	following := Following{Options: o, Base: mustBase(t, s.Base()), Own: lvs.HostName(own), Target: d, Log: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	quick := usualTimes
	quick.beat, quick.beatLimit, quick.stale, quick.minBackoff, quick.maxBackoff = 200*time.Millisecond, 2*time.Second, time.Second, 20*time.Millisecond, 200*time.Millisecond
	quick.calm = 500 * time.Millisecond
	if prepare != nil {
		prepare(&following, &quick)
	}
	w, err := NewWriter(following.Options, following.Base, own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	following.Writer = w
	f, err := NewFollower(following)
	if err != nil {
		t.Fatal(err)
	}
	f.times = quick
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	p := &pursuit{T: t, Follower: f, director: d, dir: NewDirectory(f)}
	var once sync.Once
	p.end = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(patience):
				buf := make([]byte, 1<<20)
				t.Errorf("Run does not end:\n%s", buf[:runtime.Stack(buf, true)])
			}
		})
	}
	t.Cleanup(p.end)
	return p
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// samePassword gives all servers the password of the first for the director, and
// returns the file with it.
func samePassword(t *testing.T, servers []*ldaptest.Server) string {
	t.Helper()
	s := servers[0]
	dn := s.DN(ldaptest.Director)
	if err := s.Modify("dn: " + dn + "\nreplace: userPassword\nuserPassword: " + s.Password() + "\n"); err != nil {
		t.Fatal(err)
	}
	s.WaitInSync()
	return s.PasswordFile()
}

// patience is how long a test waits at most for what has to come.
const patience = 30 * time.Second

// wait polls until check returns "".
func (p *pursuit) wait(check func() string) {
	p.Helper()
	deadline := time.Now().Add(patience)
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("after %s: %s; status %+v, %+v", patience, wrong, p.director.Status(), p.Stats())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// waitState waits for a state, and returns the status.
func (p *pursuit) waitState(want lvs.DirectoryState) (s lvs.DirectoryStatus) {
	p.Helper()
	p.wait(func() string {
		if s = p.director.Status(); s.State != want {
			return fmt.Sprintf("state %d, want %d", s.State, want)
		}
		return ""
	})
	return s
}

// waitFor waits until the director has what it should.
func (p *pursuit) waitFor(want *lvs.Config) {
	p.Helper()
	p.wait(func() string {
		if delta := lvs.Between(p.director.Kept(), want); !delta.IsEmpty() {
			first := ""
			for _, row := range delta.PutServices {
				had, _ := p.director.Kept().Service(row.Key)
				first = fmt.Sprintf("%+v in place of %+v", had, row)
			}
			return fmt.Sprintf("%d services, %d servers and %d clusters to put, %d services and %d servers to delete; %s",
				len(delta.PutServices), len(delta.PutServers), len(delta.PutClusters), len(delta.DeleteServices), len(delta.DeleteServers), first)
		}
		return ""
	})
}

// ldif writes rows as a tree of LDIF, with what is above them.
func ldif(t testing.TB, base string, c lvs.Change) string {
	t.Helper()
	b := mustBase(t, base)
	var list []Object
	seen := make(map[Place]bool)
	var add func(o Object)
	add = func(o Object) {
		if seen[o.Place] || o.Place.Kind == Root {
			return
		}
		if above := o.Place.Parent(); classes[above.Kind] == nil {
			add(Object{Place: above})
		}
		seen[o.Place] = true
		list = append(list, o)
	}
	for _, row := range c.PutHosts {
		add(Object{Place{Kind: Host, Host: row.Name}, Machine{Host: row}})
	}
	for _, row := range c.PutClusters {
		add(Object{Place{Kind: Cluster, Cluster: row.ID}, row})
	}
	for _, row := range c.PutMembers {
		add(Object{Place{Kind: Member, Cluster: row.Cluster, Role: row.Role, Host: row.Host}, row})
	}
	services := make(map[lvs.ServiceKey]Place)
	for _, row := range c.PutServices {
		at := Place{Kind: Service, Cluster: row.Cluster, Service: row.Key}
		services[row.Key] = at
		add(Object{at, row})
	}
	for _, row := range c.PutServers {
		add(serverObject(services[row.Service], row.Server))
	}
	skeleton := map[Place]bool{{Kind: Hosts}: true, {Kind: Clusters}: true, {Kind: Services}: true}
	var text strings.Builder
	for _, o := range list {
		if skeleton[o.Place] {
			continue
		}
		text.WriteString(entryText(b.Add(o)))
	}
	return text.String()
}

func entryText(r *ldap.AddRequest) string {
	var text strings.Builder
	fmt.Fprintf(&text, "dn: %s\n", r.DN)
	for _, a := range r.Attributes {
		for _, v := range a.Vals {
			fmt.Fprintf(&text, "%s: %s\n", a.Type, v)
		}
	}
	text.WriteString("\n")
	return text.String()
}

// stocked starts a server with a farm in it, and returns what that makes.
func stocked(t *testing.T, f farm, o ldaptest.Options) (*ldaptest.Server, *lvs.Config) {
	t.Helper()
	o.Tree = ldif(t, "dc=lcms,dc=dpnm,dc=postech,dc=edu", f.change())
	return ldaptest.Start(t, o), assembled(t, f.change())
}

// serverDN returns the DN of a server of the nth service, as the server has it.
func serverDN(s *ldaptest.Server, service, n int) (string, error) {
	found, err := s.Search(fmt.Sprintf("(&(objectClass=lcmsRealServer)(lcmsKey=%s))", serverKey(n)), "1.1")
	for _, e := range found {
		if strings.Contains(e.DN, "lcmsKey="+nth(service).String()+",") {
			return e.DN, nil
		}
	}
	return "", errors.Join(errors.New("there is no such server"), err)
}

// setWeight has an administrator set the weight of a server.
func setWeight(s *ldaptest.Server, service, n int, weight uint32) error {
	dn, err := serverDN(s, service, n)
	if err != nil {
		return err
	}
	return s.Modify(fmt.Sprintf("dn: %s\nreplace: lcmsWeight\nlcmsWeight: %d\n", dn, weight))
}

func weightOf(c *lvs.Config, service, n int) uint32 {
	s, _ := c.Server(nth(service), serverKey(n))
	return s.Weight
}

func (p *pursuit) waitWeight(service, n int, weight uint32) {
	p.Helper()
	p.wait(func() string {
		if got := weightOf(p.director.Kept(), service, n); got != weight {
			return fmt.Sprintf("weight %d, want %d", got, weight)
		}
		return ""
	})
}

// A service whose entry is left aside stays as it was. Its servers are followed, what
// is wrong with them is told, and too many deletions of them are held.
func TestFollowerFollowsServersOfWhatIsLeftAside(t *testing.T) {
	s, all := stocked(t, farm{"web": {2, 12}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	firstDN, err := serverDN(s, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	service := parentDN(firstDN)
	modify := func(dn, attribute, value string) {
		t.Helper()
		if err := s.Modify("dn: " + dn + "\nreplace: " + attribute + "\n" + attribute + ": " + value + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	dnOf := func(n int) string { return "lcmsKey=" + serverKey(n).String() + "," + service }
	faults := func(words ...string) {
		t.Helper()
		p.wait(func() string {
			f := p.director.Status().Faults
			for i, word := range words {
				if len(f) != len(words) || !strings.Contains(f[i], word) {
					return fmt.Sprintf("faults %q, not of %q", f, words)
				}
			}
			return ""
		})
	}
	modify(service, "lcmsPort", "81")
	faults("lcmsPort")
	modify(dnOf(1), "lcmsAdminStatus", "drain")
	modify(dnOf(3), "lcmsTunnelType", "gue")
	if err := s.Delete(dnOf(2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("dn: " + dnOf(99) + "\nobjectClass: lcmsRealServer\nlcmsKey: " + serverKey(99).String() + "\n"); err != nil {
		t.Fatal(err)
	}
	drained, _ := all.Server(nth(0), serverKey(1))
	drained.AdminStatus = lvs.AdminDrain
	want := changed(t, all, lvs.Change{
		DeleteServers: []lvs.ServerID{{Service: nth(0), Server: serverKey(2)}},
		PutServers:    []lvs.ServerAt{{Service: nth(0), Server: drained}, {Service: nth(0), Server: server(99)}},
	})
	p.waitFor(want)
	faults("lcmsTunnelPort", "lcmsPort")
	if err := s.Delete(dnOf(4), dnOf(5), dnOf(6), dnOf(7), dnOf(8), dnOf(9)); err != nil {
		t.Fatal(err)
	}
	p.waitState(lvs.DirectoryHeld)
	if !sameConfig(p.director.Kept(), want) {
		t.Error("servers have gone that are held")
	}
}

// An entry that is left aside because of its name or its place was not deleted either:
// what it made stays, and goes when the entry does.
func TestFollowerKeepsWhatIsMisplaced(t *testing.T) {
	const cluster = "lcmsClusterId=web,ou=load_cluster," + schema.Base
	const places = "ou=virtual_service," + cluster
	for name, c := range map[string]struct {
		dn, rdn, above string
		faults         int
	}{
		"server in another spelling":      {"lcmsKey=10.0.0.1:80,lcmsKey=tcp:10.0.0.0:80," + places, "lcmsKey=10.0.0.01:80", "lcmsKey=tcp:10.0.0.0:80," + places, 1},
		"service in another spelling":     {"lcmsKey=tcp:10.0.0.0:80," + places, "lcmsKey=tcp:10.0.0.0:080", places, 1},
		"service at the place of members": {"lcmsKey=tcp:10.0.0.0:80," + places, "lcmsKey=tcp:10.0.0.0:80", "ou=real_server," + cluster, 1},
		"place of services renamed":       {places, "ou=old", cluster, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, all := stocked(t, farm{"web": {3, 2}}, ldaptest.Options{})
			must(t, s.Add("dn: ou=real_server,"+cluster+"\nobjectClass: organizationalUnit\n"))
			p := pursue(t, "lb1", &lvs.Config{}, nil, s)
			p.waitFor(all)
			must(t, s.Modify("dn: "+c.dn+"\nchangetype: modrdn\nnewrdn: "+c.rdn+"\ndeleteoldrdn: 1\nnewsuperior: "+c.above+"\n"))
			p.wait(func() string {
				if f := p.director.Status().Faults; len(f) != c.faults {
					return fmt.Sprintf("faults %q", f)
				}
				return ""
			})
			// All is read anew, and something else changes.
			p.Resync()
			must(t, setWeight(s, 2, 2, 77))
			server, _ := all.Server(nth(2), serverKey(2))
			if server.Weight = 77; c.faults == 1 {
				all = changed(t, all, lvs.Change{PutServers: []lvs.ServerAt{{Service: nth(2), Server: server}}})
			}
			p.waitFor(all)
			p.waitState(lvs.DirectoryInSync)
			if lost := p.director.lostRows(); len(lost) != 0 {
				t.Errorf("lost %v", lost)
			}
			must(t, s.DeleteTree(c.rdn+","+c.above))
			p.wait(func() string {
				if len(p.director.lostRows()) == 0 && p.director.Status().State != lvs.DirectoryHeld {
					return "it is deleted and still there"
				}
				return ""
			})
		})
	}
}

func TestFollowerFollows(t *testing.T) {
	s, all := stocked(t, farm{"web": {10, 3}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	status := p.waitState(lvs.DirectoryInSync)
	if status.Provider != s.URI() || status.LastError != "" || status.Entries == 0 || time.Since(status.LastSync) > time.Minute {
		t.Errorf("status %+v", status)
	}
	if err := p.dir.Writable(); err != nil {
		t.Errorf("Writable: %v", err)
	}
	var took []time.Duration
	for n := range 20 {
		if err := setWeight(s, n%10, 1, uint32(100+n)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p.waitWeight(n%10, 1, uint32(100+n))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("from the end of ldapmodify to the director: median %s, most %s", took[10], took[19])
	dn, err := serverDN(s, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Modify("dn: " + dn + "\nreplace: lcmsTunnelType\nlcmsTunnelType: gue\n"); err != nil {
		t.Fatal(err)
	}
	p.wait(func() string {
		if f := p.director.Status().Faults; len(f) != 1 || !strings.Contains(f[0], "lcmsTunnelPort") {
			return fmt.Sprintf("faults %q", f)
		}
		return ""
	})
	if _, ok := p.director.Kept().Server(nth(0), serverKey(2)); !ok {
		t.Error("an entry that cannot be was taken for one that is not there")
	}
	if lost := p.director.lostRows(); len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}
}

// Whatever happens to a server, the director keeps what it has, says what is the
// matter, and goes on when the server does.
func TestFollowerOutlivesTheServer(t *testing.T) {
	s, all := stocked(t, farm{"web": {10, 3}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	for n, test := range []struct {
		name       string
		away, back func()
	}{
		{"restarted", s.Stop, s.Start},
		{"killed", s.Kill, s.Start},
		{"hung", s.Hang, s.Continue},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.waitState(lvs.DirectoryInSync)
			began := time.Now()
			test.away()
			status := p.waitState(lvs.DirectoryDisconnected)
			t.Logf("noticed after %s: %s", time.Since(began).Round(time.Millisecond), status.LastError)
			if !strings.Contains(status.LastError, s.URI()) || status.Provider != "" {
				t.Errorf("status %+v", status)
			}
			if err := p.dir.Writable(); !errors.Is(err, lvs.ErrUnavailable) || !strings.Contains(err.Error(), s.URI()) {
				t.Errorf("Writable: %v", err)
			}
			if !sameConfig(p.director.Kept(), all) {
				t.Error("the director has lost something")
			}
			began = time.Now()
			test.back()
			status = p.waitState(lvs.DirectoryInSync)
			t.Logf("back after %s", time.Since(began).Round(time.Millisecond))
			if status.LastError != "" {
				t.Errorf("status %+v", status)
			}
			if err := setWeight(s, 1, 1, uint32(200+n)); err != nil {
				t.Fatal(err)
			}
			p.waitWeight(1, 1, uint32(200+n))
			all = p.director.Kept()
		})
	}
	if lost := p.director.lostRows(); len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}
}

// A hung server is noticed with the times as they are shipped.
func TestFollowerNoticesAHungServerWithinSeconds(t *testing.T) {
	s, all := stocked(t, farm{"web": {2, 1}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, func(_ *Following, q *times) { *q = usualTimes }, s)
	p.waitFor(all)
	s.Hang()
	defer s.Continue()
	began := time.Now()
	p.waitState(lvs.DirectoryDisconnected)
	t.Logf("noticed after %s", time.Since(began).Round(time.Millisecond))
}

func TestFollowerHoldsWhatAWipedDirectoryLacks(t *testing.T) {
	s, all := stocked(t, farm{"web": {3, 2}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	backup := s.Backup()
	s.Wipe()
	status := p.waitState(lvs.DirectoryHeld)
	t.Logf("held: %s", status.HeldText)
	if status.Held != 10 || status.HoldID == 0 || !strings.Contains(status.HeldText, "no service would be left of 3") {
		t.Errorf("status %+v", status)
	}
	if !sameConfig(p.director.Kept(), all) {
		t.Error("the director has lost something")
	}
	if err := p.dir.Release(status.HoldID + 1); !errors.Is(err, lvs.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprint(status.HoldID)) {
		t.Errorf("release of another hold: %v", err)
	}
	s.Restore(backup)
	p.waitState(lvs.DirectoryInSync)
	if !sameConfig(p.director.Kept(), all) || len(p.director.lostRows()) != 0 {
		t.Errorf("the director has lost %v", p.director.lostRows())
	}
	if err := p.dir.Release(status.HoldID); !errors.Is(err, lvs.ErrConflict) {
		t.Errorf("release of what is not held: %v", err)
	}

	// Restored by hand, entry by entry, with a pause of what is on the way.
	s.Wipe()
	again := p.waitState(lvs.DirectoryHeld)
	if again.HoldID == status.HoldID {
		t.Errorf("two holds have the id %d", again.HoldID)
	}
	for entry := range strings.SplitSeq(strings.TrimSpace(ldif(t, s.Base(), farm{"web": {3, 2}}.change())), "\n\n") {
		if err := s.Add(entry); err != nil {
			t.Fatal(err)
		}
	}
	p.waitState(lvs.DirectoryInSync)
	if lost := p.director.lostRows(); len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}

	// Now it is meant.
	s.Wipe()
	last := p.waitState(lvs.DirectoryHeld)
	if err := p.dir.Release(last.HoldID); err != nil {
		t.Fatal(err)
	}
	p.waitFor(&lvs.Config{})
	p.waitState(lvs.DirectoryInSync)
}

// A director that comes up with its last-known-good copy meets an empty
// directory.
func TestFollowerHoldsAtFirstContact(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	kept := assembled(t, farm{"web": {1, 2}}.change())
	p := pursue(t, "lb1", kept, nil, s)
	p.waitState(lvs.DirectoryHeld)
	if !sameConfig(p.director.Kept(), kept) {
		t.Error("the director has lost something")
	}
}

// A backup brings back what was, and the director follows: that was all it has
// ever lost.
func TestFollowerFollowsAnOldBackup(t *testing.T) {
	s, all := stocked(t, farm{"web": {10, 3}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	backup := s.Backup()
	if err := setWeight(s, 1, 1, 77); err != nil {
		t.Fatal(err)
	}
	extra := farm{"web": {12, 1}}.change()
	extra.PutClusters, extra.PutServices, extra.PutServers = nil, extra.PutServices[10:], extra.PutServers[10:]
	if err := s.Add(strings.Join(strings.Split(ldif(t, s.Base(), extra), "\n\n")[1:], "\n\n")); err != nil {
		t.Fatal(err)
	}
	p.waitWeight(1, 1, 77)
	p.waitFor(changed(t, p.director.Kept(), extra))
	s.Restore(backup)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)
}

// An identity that does not see everything sees too little to follow.
func TestFollowerDoesNotFollowAPart(t *testing.T) {
	f := farm{"web": {60, 9}}
	s, all := stocked(t, f, ldaptest.Options{SizeLimit: 500})
	p := pursue(t, "lb1", all, nil, s)
	status := p.waitState(lvs.DirectoryFailed)
	t.Logf("%s", status.LastError)
	if !strings.Contains(status.LastError, "sizeLimitExceeded") && !strings.Contains(status.LastError, "limits") {
		t.Errorf("status %+v", status)
	}
	if !sameConfig(p.director.Kept(), all) {
		t.Error("the director has lost something")
	}
}

// Whoever renames the base, or takes it away, deletes nothing.
func TestFollowerOutlivesTheBase(t *testing.T) {
	s := ldaptest.Start(t, ldaptest.Options{})
	site := "ou=site," + s.Base()
	container := func(dn, ou string) string {
		return "dn: " + dn + "\nobjectClass: organizationalUnit\nou: " + ou + "\n\n"
	}
	text := container(site, "site")
	for _, ou := range []string{"host", "load_cluster", "virtual_service"} {
		text += container("ou="+ou+","+site, ou)
	}
	if err := s.Add(text + ldif(t, site, farm{"web": {8, 2}}.change())); err != nil {
		t.Fatal(err)
	}
	all := assembled(t, farm{"web": {8, 2}}.change())
	p := pursue(t, "lb1", &lvs.Config{}, func(f *Following, _ *times) {
		f.BindDN, f.Base = "cn=admin,"+s.Base(), mustBase(t, site)
	}, s)
	p.waitFor(all)
	if err := s.Modify("dn: " + site + "\nchangetype: modrdn\nnewrdn: ou=elsewhere\ndeleteoldrdn: 1\n"); err != nil {
		t.Fatal(err)
	}
	p.wait(func() string {
		if st := p.director.Status(); st.State != lvs.DirectoryFailed && st.State != lvs.DirectoryHeld {
			return fmt.Sprintf("state %d", st.State)
		}
		return ""
	})
	t.Logf("%+v", p.director.Status().LastError)
	if err := s.Modify("dn: ou=elsewhere," + s.Base() + "\nchangetype: modrdn\nnewrdn: ou=site\ndeleteoldrdn: 1\n"); err != nil {
		t.Fatal(err)
	}
	p.waitState(lvs.DirectoryInSync)
	if !sameConfig(p.director.Kept(), all) || len(p.director.lostRows()) != 0 {
		t.Errorf("the director has lost %v", p.director.lostRows())
	}
}

// The server knows nothing of what the cookie says.
func TestFollowerOutlivesItsCookie(t *testing.T) {
	s, all := stocked(t, farm{"web": {10, 3}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	for n, cookie := range []string{"garbage", "rid=000,csn=20990101000000.000000Z#000000#000#000000", "rid=000,sid=077,csn=20200101000000.000000Z#000000#077#000000"} {
		s.Stop()
		p.waitState(lvs.DirectoryDisconnected)
		p.tree.mu.Lock()
		p.tree.cookie = []byte(cookie)
		p.tree.mu.Unlock()
		s.Start()
		if err := setWeight(s, 2, 1, uint32(300+n)); err != nil {
			t.Fatal(err)
		}
		p.waitWeight(2, 1, uint32(300+n))
		p.waitState(lvs.DirectoryInSync)
	}
	if lost := p.director.lostRows(); len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}
}

// All is read anew when somebody asks for it.
func TestFollowerResyncs(t *testing.T) {
	s, all := stocked(t, farm{"web": {10, 3}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	before := p.Stats()
	p.dir.Resync()
	p.wait(func() string {
		if p.Stats().Refreshes == before.Refreshes {
			return "no refresh"
		}
		return ""
	})
	p.waitState(lvs.DirectoryInSync)
	if after := p.Stats(); after.Audits != before.Audits+1 || after.Lost != before.Lost {
		t.Errorf("stats %+v, were %+v", after, before)
	}
	p.director.mu.Lock()
	defer p.director.mu.Unlock()
	if slices.Contains(p.director.states, lvs.DirectoryDisconnected) {
		t.Errorf("states %v", p.director.states)
	}
}

// One of two providers is killed while writes go on. Every write that was
// accepted is there at the end, on both, and nothing was loaded anew.
func TestFollowerGoesOnAtAnotherProvider(t *testing.T) {
	f := farm{"": {10, 3}}
	a, b := ldaptest.StartPair(t, ldaptest.Options{Tree: ldif(t, "dc=lcms,dc=dpnm,dc=postech,dc=edu", f.change())})
	all := assembled(t, f.change())
	nurse(t, b)
	p := pursue(t, "lb1", &lvs.Config{}, func(_ *Following, q *times) { q.move = 2 * time.Second }, a, b)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)

	var stop atomic.Bool
	var writes sync.WaitGroup
	defer writes.Wait()
	defer stop.Store(true)
	accepted, refused := 0, 0
	writes.Go(func() {
		for n := uint32(1); !stop.Load() && pause(t.Context(), 20*time.Millisecond); n++ {
			row, _ := p.director.Kept().Server(nth(int(n)%10), serverKey(1))
			row.Weight = 1000 + n
			err := p.director.change(t.Context(), p.dir, lvs.Change{PutServers: []lvs.ServerAt{{Service: nth(int(n) % 10), Server: row}}})
			switch {
			case err == nil:
				accepted++
			case errors.Is(err, lvs.ErrUnavailable):
				refused++
			case errors.Is(err, lvs.ErrConflict): // with what the killed one told and nobody else has
				refused++
			default:
				t.Errorf("write: %v", err)
				return
			}
		}
	})
	for range 3 {
		p.waitHandedOver(20)
		refreshes := p.Stats().Refreshes
		a.Kill()
		began := time.Now()
		p.wait(func() string {
			if st := p.director.Status(); st.Provider != b.URI() || p.dir.Writable() != nil {
				return fmt.Sprintf("provider %s, %v", st.Provider, p.dir.Writable())
			}
			return ""
		})
		t.Logf("writes went on at the other after %s", time.Since(began).Round(time.Millisecond))
		p.waitHandedOver(20)
		a.Start()
		began = time.Now()
		p.wait(func() string {
			if !a.Running() {
				a.Start()
			}
			if st := p.director.Status(); st.Provider != a.URI() || p.dir.Writable() != nil {
				return fmt.Sprintf("provider %s, %v", st.Provider, p.dir.Writable())
			}
			return ""
		})
		t.Logf("and at the first again %s after its start; %d refreshes", time.Since(began).Round(time.Millisecond), p.Stats().Refreshes-refreshes)
	}
	stop.Store(true)
	writes.Wait()
	a.WaitInSync()
	t.Logf("%d writes accepted, %d refused; %+v", accepted, refused, p.Stats())
	p.waitState(lvs.DirectoryInSync)
	if lost := p.director.lostRows(); len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}
	for _, s := range []*ldaptest.Server{a, b} {
		for n := range 10 {
			dn, err := serverDN(s, n, 1)
			if err != nil {
				t.Fatal(err)
			}
			e, err := s.Read(dn)
			if want := fmt.Sprint(weightOf(p.director.Kept(), n, 1)); err != nil || e.Value("lcmsWeight") != want {
				t.Errorf("%s has weight %s of service %d, the director has %s; %v", s.URI(), e.Value("lcmsWeight"), n, want, err)
			}
		}
	}
}

// nurse starts a server again that has died by itself, until the test ends:
// OpenLDAP now and then does so after a transaction, on a busy machine (see
// settlePause).
func nurse(t *testing.T, s *ldaptest.Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for pause(ctx, 10*time.Millisecond) {
			if !s.Running() {
				t.Logf("slapd has died by itself and is started again")
				s.Start()
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

// mustChange makes a change through the directory, as soon as that takes it.
func (p *pursuit) mustChange(c lvs.Change) {
	p.Helper()
	p.wait(func() string {
		if err := p.director.change(p.Context(), p.dir, c); err != nil {
			return err.Error()
		}
		return ""
	})
}

// waitHandedOver waits until so many more changes have come from the directory.
func (p *pursuit) waitHandedOver(n uint64) {
	p.Helper()
	before := p.Stats().Changes
	p.wait(func() string {
		if now := p.Stats().Changes; now < before+n {
			return fmt.Sprintf("%d changes", now-before)
		}
		return ""
	})
}

func TestTwoFollowersConverge(t *testing.T) {
	s, all := stocked(t, farm{"": {10, 3}}, ldaptest.Options{})
	nurse(t, s)
	one := pursue(t, "lb1", &lvs.Config{}, nil, s)
	two := pursue(t, "lb2", &lvs.Config{}, nil, s)
	one.waitFor(all)
	two.waitFor(all)
	one.waitState(lvs.DirectoryInSync)
	two.waitState(lvs.DirectoryInSync)
	var took []time.Duration
	for n := range 30 {
		from, to := one, two
		if n%2 == 1 {
			from, to = two, one
		}
		row := server(1)
		row.Weight = uint32(500 + n)
		from.mustChange(lvs.Change{PutServers: []lvs.ServerAt{{Service: nth(n % 10), Server: row}}})
		began := time.Now()
		to.waitWeight(n%10, 1, row.Weight)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("from the answer of one director to the other: median %s, most %s", took[15], took[29])

	// What one deletes by request, the other deletes without asking.
	gone := fewer(0, 9)
	one.mustChange(gone)
	two.waitFor(one.director.Kept())
	if n := two.director.Kept().Len(); n != 1 {
		t.Errorf("%d services are left", n)
	}
	one.waitState(lvs.DirectoryInSync)
	two.waitState(lvs.DirectoryInSync)
	if lost := one.director.lostRows(); len(lost) != 0 {
		t.Errorf("what the director itself has deleted came as a deletion: %v", lost)
	}
}

// Directors and administrators write at once. Each change is accepted or refused,
// nobody's accepted change is lost, and at the end all have what the directory has.
func TestRacingWritersConverge(t *testing.T) {
	s, all := stocked(t, farm{"": {4, 3}}, ldaptest.Options{})
	nurse(t, s)
	one := pursue(t, "lb1", &lvs.Config{}, nil, s)
	two := pursue(t, "lb2", &lvs.Config{}, nil, s)
	one.waitFor(all)
	two.waitFor(all)
	one.waitState(lvs.DirectoryInSync)
	two.waitState(lvs.DirectoryInSync)
	const writers, each = 8, 50
	var accepted, conflicts, unavailable atomic.Int64
	var all8 sync.WaitGroup
	for n := range writers {
		all8.Go(func() {
			for k := range each {
				weight := uint32(1 + n*1000 + k)
				service, sv := k%4, 1+k%3
				var err error
				switch n % 3 {
				case 0, 1:
					p := one
					if n%3 == 1 {
						p = two
					}
					row := lvs.NewServer(serverKey(sv))
					row.Weight = weight
					err = p.director.change(t.Context(), p.dir, lvs.Change{PutServers: []lvs.ServerAt{{Service: nth(service), Server: row}}})
				default:
					err = setWeight(s, service, sv, weight)
				}
				var refusal *ldaptest.Refusal
				switch {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, lvs.ErrConflict):
					conflicts.Add(1)
				case errors.Is(err, lvs.ErrUnavailable), errors.As(err, &refusal):
					unavailable.Add(1)
				default:
					t.Errorf("neither accepted nor refused: %v", err)
				}
			}
		})
	}
	all8.Wait()
	t.Logf("%d accepted, %d refused because of another's, %d because of the server", accepted.Load(), conflicts.Load(), unavailable.Load())
	if n := accepted.Load() + conflicts.Load() + unavailable.Load(); n != writers*each {
		t.Errorf("%d of %d are accounted for", n, writers*each)
	}
	if accepted.Load() < each {
		t.Errorf("only %d were accepted", accepted.Load())
	}
	want := make(map[string]string)
	var found []ldaptest.Entry
	s.Wait(func() (err error) {
		found, err = s.Search("(objectClass=lcmsRealServer)")
		return err
	})
	for _, e := range found {
		want[e.DN] = e.Value("lcmsWeight")
	}
	for _, p := range []*pursuit{one, two} {
		p.wait(func() string {
			have := make(map[string]string)
			for service, servers := range p.director.Kept().Services {
				for _, row := range servers {
					o := serverObject(serviceObject(*service).Place, *row)
					have[p.Base.DN(o.Place)] = fmt.Sprint(row.Weight)
				}
			}
			if !maps.Equal(have, want) {
				return fmt.Sprintf("has %v, the directory %v", have, want)
			}
			return ""
		})
		p.waitState(lvs.DirectoryInSync)
		t.Logf("%+v", p.Stats())
		if n := p.Stats().GaveUp; n != 0 {
			t.Errorf("%d writes did not come back", n)
		}
	}
}

// The follower never hands over what is older than a change of the director.
func TestFollowerNeverTakesBackAWrite(t *testing.T) {
	s, all := stocked(t, farm{"": {4, 3}}, ldaptest.Options{})
	nurse(t, s)
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)
	var stop atomic.Bool
	var others sync.WaitGroup
	defer others.Wait()
	defer stop.Store(true)
	others.Go(func() {
		for n := uint32(0); !stop.Load(); n++ {
			_ = setWeight(s, 3, 1, n%1000) // whatever comes of it
		}
	})
	for n := range uint32(100) {
		row := server(1)
		row.Weight = 2000 + n
		set := lvs.Change{PutServers: []lvs.ServerAt{{Service: nth(0), Server: row}}}
		p.mustChange(set)
		for deadline := time.Now().Add(60 * time.Millisecond); time.Now().Before(deadline); {
			if got := weightOf(p.director.Kept(), 0, 1); got != row.Weight {
				t.Fatalf("weight %d, was set to %d", got, row.Weight)
			}
			runtime.Gosched()
		}
	}
	if st := p.Stats(); st.GaveUp != 0 {
		t.Errorf("%+v", st)
	}
}

// A server that tells nothing of a change, though it has it, is asked anew.
func TestFollowerNoticesThatChangesDoNotCome(t *testing.T) {
	s, all := stocked(t, farm{"web": {4, 1}}, ldaptest.Options{})
	r := newRelay(t, s)
	p := pursue(t, "lb1", &lvs.Config{}, func(f *Following, _ *times) { f.URIs = []string{r.URI()} }, s)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)
	var swallowed atomic.Int32
	r.hook(nil, func(m *ber.Packet) []byte {
		const searchResultEntry, withControls = 4, 3
		if len(m.Children) == withControls && m.Children[1].Tag == searchResultEntry && swallowed.Add(1) == 1 {
			return []byte{}
		}
		return m.Bytes()
	})
	if err := setWeight(s, 1, 1, 88); err != nil {
		t.Fatal(err)
	}
	p.waitWeight(1, 1, 88)
	p.waitState(lvs.DirectoryInSync)
	if st := p.Stats(); st.Stale != 1 || swallowed.Load() == 0 {
		t.Errorf("%+v", st)
	}
	p.director.mu.Lock()
	defer p.director.mu.Unlock()
	if !slices.Contains(p.director.states, lvs.DirectoryStale) || slices.Contains(p.director.states, lvs.DirectoryDisconnected) {
		t.Errorf("states %v", p.director.states)
	}
}

// A write that never comes back does not block for ever.
func TestFollowerDoesNotWaitForEver(t *testing.T) {
	s, all := stocked(t, farm{"web": {4, 1}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, func(_ *Following, q *times) { q.own = time.Second }, s)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)
	p.announce("lost", &lvs.Change{})(true)
	if err := setWeight(s, 1, 1, 99); err != nil {
		t.Fatal(err)
	}
	p.waitWeight(1, 1, 99)
	if st := p.Stats(); st.GaveUp != 1 || st.Audits != 1 {
		t.Errorf("%+v", st)
	}
}

// What the director does not take is told, and offered again.
func TestFollowerTellsWhatIsRefused(t *testing.T) {
	s, all := stocked(t, farm{"web": {4, 1}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)
	p.director.mu.Lock()
	p.director.refuse = &lvs.Refusal{Kind: lvs.ErrInvalid, Reason: "the disk is full"}
	p.director.mu.Unlock()
	if err := setWeight(s, 1, 1, 55); err != nil {
		t.Fatal(err)
	}
	if status := p.waitState(lvs.DirectoryStale); !strings.Contains(status.LastError, "the disk is full") {
		t.Errorf("status %+v", status)
	}
	p.director.mu.Lock()
	p.director.refuse = nil
	p.director.mu.Unlock()
	p.waitWeight(1, 1, 55)
	if status := p.waitState(lvs.DirectoryInSync); status.LastError != "" {
		t.Errorf("status %+v", status)
	}
}

func TestFollowerLeavesNothingBehind(t *testing.T) {
	s, all := stocked(t, farm{"web": {2, 1}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, nil, s)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	reconnect := func() {
		sessions := p.Stats().Sessions
		p.cut(errAnew)
		p.wait(func() string {
			if p.Stats().Sessions == sessions {
				return "the same session"
			}
			return ""
		})
		p.waitState(lvs.DirectoryInSync)
	}
	reconnect()
	goroutines, descriptors := runtime.NumGoroutine(), open()
	for range 50 {
		reconnect()
	}
	p.wait(func() string {
		if g, d := runtime.NumGoroutine(), open(); g > goroutines+2 || d > descriptors+2 {
			return fmt.Sprintf("%d goroutines, were %d; %d descriptors, were %d", g, goroutines, d, descriptors)
		}
		return ""
	})
}
