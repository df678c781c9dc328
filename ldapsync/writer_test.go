package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

var (
	web    = serviceKey("tcp:192.0.2.1:80")
	mail   = serviceKey("tcp:192.0.2.1:25")
	asker  = lvs.Requester{ID: "set-7", Who: "alice"}
	server = func(n int) lvs.Server { return lvs.NewServer(serverKey(n)) }
)

func serviceKey(s string) lvs.ServiceKey {
	k, err := lvs.ParseServiceKey(s)
	if err != nil {
		panic(err)
	}
	return k
}

// serverKey returns the nth of some servers.
func serverKey(n int) lvs.ServerKey {
	k, err := lvs.NewServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 80))
	if err != nil {
		panic(err)
	}
	return k
}

// site is a directory with a director that writes to it.
type site struct {
	*testing.T
	*ldaptest.Server
	*Writer
	config *lvs.Config
}

func newSite(t *testing.T, o ldaptest.Options) *site {
	t.Helper()
	s := ldaptest.Start(t, o)
	return &site{t, s, newWriter(t, s, optionsFor(s), "lb1"), &lvs.Config{}}
}

func newWriter(t *testing.T, s *ldaptest.Server, o Options, own string) *Writer {
	t.Helper()
	w, err := NewWriter(o, mustBase(t, s.Base()), own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// write makes a change and keeps what comes of it, if it is made.
func (s *site) write(c lvs.Change) error {
	s.Helper()
	next, err := s.config.Apply(&c)
	if err != nil {
		s.Fatal(err)
	}
	err = s.Write(s.Context(), &c, s.config, asker)
	if err == nil {
		s.config = next
	}
	return err
}

func (s *site) mustWrite(c lvs.Change) {
	s.Helper()
	if err := s.write(c); err != nil {
		s.Fatal(err)
	}
}

// allRows returns what the directory holds of what a writer writes, by DN, without
// the marks.
func allRows(t *testing.T, s *ldaptest.Server) map[string]map[string][]string {
	t.Helper()
	found, err := s.Search("(|(objectClass=lcmsVirtualService)(objectClass=lcmsRealServer)(objectClass=lcmsSyncDaemon)(objectClass=lcmsHost)(objectClass=lcmsCluster)(objectClass=lcmsClusterMember))")
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string]map[string][]string)
	for _, e := range found {
		maps.DeleteFunc(e.Attributes, func(name string, _ []string) bool {
			return name == requestID || name == deleteCount || name == lastWriter
		})
		list[e.DN] = e.Attributes
	}
	return list
}

// holds checks that the directory holds exactly a configuration.
func (s *site) holds(config *lvs.Config) {
	s.Helper()
	base := s.base
	want := make(map[string]Object)
	for service, servers := range config.Services {
		o := serviceObject(*service)
		want[base.DN(o.Place)] = o
		for _, server := range servers {
			o := serverObject(o.Place, *server)
			want[base.DN(o.Place)] = o
		}
	}
	for c := range config.Clusters {
		o := clusterObject(*c)
		want[base.DN(o.Place)] = o
	}
	for m := range config.Members {
		o := memberObject(*m)
		want[base.DN(o.Place)] = o
	}
	for h := range config.Hosts {
		at := Place{Kind: Host, Host: h.Name}
		want[base.DN(at)] = Object{at, *h}
	}
	for _, state := range []lvs.DaemonState{lvs.DaemonMaster, lvs.DaemonBackup} {
		if d, ok := config.Daemon(state); ok {
			o := daemonObject(s.own, d)
			want[base.DN(o.Place)] = o
		}
	}
	c, err := optionsFor(s.Server).Dial(s.Context(), s.URI(), ForHeartbeat)
	if err != nil {
		s.Fatal(err)
	}
	defer c.Close()
	list, err := reading{c.Conn, base}.below(standing{dn: base.String()})
	if err != nil {
		s.Fatal(err)
	}
	have := make(map[string]Object)
	for _, e := range list {
		if e.fault != nil {
			s.Errorf("%v", e.fault)
		}
		switch v := e.object.Value.(type) {
		case nil:
		case Machine:
			own := e.object.Place == s.own
			if _, known := want[e.dn]; known || !own { // the own host is there for the mark at least
				have[e.dn] = Object{e.object.Place, v.Host}
			}
			if own && v.Timeouts != config.Timeouts() {
				s.Errorf("timeouts %+v, want %+v", v.Timeouts, config.Timeouts())
			}
		default:
			have[e.dn] = e.object
		}
	}
	if !maps.Equal(have, want) {
		s.Errorf("the directory holds\n%v\nwant\n%v", lines(have), lines(want))
	}
}

func lines(m map[string]Object) string {
	var b strings.Builder
	for _, dn := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "  %s %+v\n", dn, m[dn].Value)
	}
	return b.String()
}

// unchanged calls f and checks that the directory holds what it held.
func (s *site) unchanged(f func()) {
	s.Helper()
	before := allRows(s.T, s.Server)
	f()
	if d := cmp.Diff(before, allRows(s.T, s.Server)); d != "" {
		s.Errorf("the directory has changed (-before +after):\n%s", d)
	}
}

// twenty is a service with so many servers.
func twenty(k lvs.ServiceKey) lvs.Change {
	c := lvs.Change{PutServices: []lvs.Service{lvs.NewService(k)}}
	for n := range 20 {
		c.PutServers = append(c.PutServers, lvs.ServerAt{Service: k, Server: server(n)})
	}
	return c
}

func TestWritesOfEachKind(t *testing.T) {
	for name, options := range map[string]func(*site){"transactions": func(*site) {}, "one by one": (*site).withoutTransactions} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ldaptest.Options{})
			options(s)
			s.mustWrite(twenty(web))
			s.holds(s.config)

			edited := lvs.NewService(web)
			edited.Scheduler, edited.Name = "rr", "Web für alle"
			heavy := server(3)
			heavy.Weight, heavy.AdminStatus = 42, lvs.AdminDrain
			master := lvs.NewSyncDaemon(lvs.DaemonMaster)
			master.Interface = "eth0"
			s.mustWrite(lvs.Change{
				PutServices:   []lvs.Service{edited, lvs.NewService(mail)},
				PutServers:    []lvs.ServerAt{{Service: web, Server: heavy}, {Service: web, Server: server(99)}},
				DeleteServers: []lvs.ServerID{{Service: web, Server: serverKey(0)}, {Service: web, Server: serverKey(19)}},
				PutDaemons:    []lvs.SyncDaemon{master},
			})
			s.holds(s.config)

			master.Interface, master.Status = "", lvs.NotReady
			s.mustWrite(lvs.Change{DeleteServices: []lvs.ServiceKey{web}, PutDaemons: []lvs.SyncDaemon{master}})
			s.holds(s.config)
			own, err := s.Read("cn=lb1,ou=host," + s.Base())
			if err != nil || own.Value(deleteCount) != "20" || own.Value(lastWriter) != "alice" || !strings.HasPrefix(own.Value(requestID), "set-7.") {
				t.Errorf("mark %v, %v", own, err)
			}
			s.mustWrite(lvs.Change{DeleteServices: []lvs.ServiceKey{mail}, DeleteDaemons: []lvs.DaemonState{lvs.DaemonMaster}})
			s.holds(&lvs.Config{})
		})
	}
}

// A writer makes its own host, and the places that are missing.
func TestFirstWriteMakesWhatIsMissing(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	if err := s.Server.Delete("ou=host,"+s.Base(), "ou=virtual_service,"+s.Base()); err != nil {
		t.Fatal(err)
	}
	s.mustWrite(twenty(web))
	s.holds(s.config)
	// A host that an administrator has made, without any trace of LCMS.
	if err := s.Add("dn: cn=lb2,ou=host," + s.Base() + "\nobjectClass: device\ncn: lb2\nserialNumber: 17\n"); err != nil {
		t.Fatal(err)
	}
	other := newWriter(t, s.Server, optionsFor(s.Server), "lb2")
	c := lvs.Change{PutServices: []lvs.Service{lvs.NewService(mail)}}
	if err := other.Write(t.Context(), &c, s.config, asker); err != nil {
		t.Fatal(err)
	}
	own, err := s.Read("cn=lb2,ou=host," + s.Base())
	if err != nil || own.Value("serialNumber") != "17" || !slices.Contains(own.Attributes["objectClass"], directorClass) || own.Value(requestID) == "" {
		t.Errorf("host %v, %v", own, err)
	}
}

func TestEmptyChangeWritesNothing(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	s.unchanged(func() {
		s.mustWrite(lvs.Change{})
		s.mustWrite(lvs.Change{Settings: &lvs.Settings{}})
	})
	s.mustWrite(twenty(web))
	before, err := s.Read("cn=lb1,ou=host,"+s.Base(), requestID)
	if err != nil {
		t.Fatal(err)
	}
	s.mustWrite(twenty(web)) // as it is
	if after, err := s.Read("cn=lb1,ou=host,"+s.Base(), requestID); err != nil || after.Value(requestID) != before.Value(requestID) {
		t.Errorf("a write was made: %v, %v", after, err)
	}
}

// kindOf checks an error and what it says.
func kindOf(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error %v, want %v", err, kind)
		return
	}
	if errors.Is(err, ErrOutcomeUnknown) != errors.Is(kind, ErrOutcomeUnknown) {
		t.Errorf("error %v: outcome unknown?", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

// Somebody else has been there between what the director knows and its write.
func TestStaleWriteChangesNothing(t *testing.T) {
	dn := func(s *site, rdn string) string {
		return rdn + "lcmsKey=tcp:192.0.2.1:80,ou=virtual_service," + s.Base()
	}
	replace := func(dn, attribute, value string) string {
		return fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: %s\n%[2]s: %s\n", dn, attribute, value)
	}
	heavy := server(1)
	heavy.Weight = 9
	for name, tc := range map[string]struct {
		between func(s *site) error
		change  lvs.Change
		words   string
	}{
		"edit of what was edited": {func(s *site) error { return s.Modify(replace(dn(s, "lcmsKey=10.0.0.1:80,"), "lcmsWeight", "3")) },
			lvs.Change{PutServers: []lvs.ServerAt{{Service: web, Server: heavy}, {Service: web, Server: server(50)}}}, "has just been changed"},
		"delete of what was edited": {func(s *site) error { return s.Modify(replace(dn(s, "lcmsKey=10.0.0.1:80,"), "lcmsWeight", "3")) },
			lvs.Change{DeleteServers: []lvs.ServerID{{Service: web, Server: serverKey(0)}, {Service: web, Server: serverKey(1)}}}, "has just been changed"},
		"edit of what is gone": {func(s *site) error { return s.Delete(dn(s, "lcmsKey=10.0.0.1:80,")) },
			lvs.Change{PutServers: []lvs.ServerAt{{Service: web, Server: heavy}}}, "no longer there"},
		"add of what is there": {func(s *site) error {
			return s.Add("dn: " + dn(s, "lcmsKey=10.0.0.50:80,") + "\nobjectClass: lcmsRealServer\nlcmsKey: 10.0.0.50:80\n")
		}, lvs.Change{PutServers: []lvs.ServerAt{{Service: web, Server: server(50)}}}, "has just been created"},
		"add below what is gone": {func(s *site) error { return s.DeleteTree(dn(s, "")) },
			lvs.Change{PutServers: []lvs.ServerAt{{Service: web, Server: server(50)}}}, "no longer there"},
		"edit of what cannot be": {func(s *site) error { return s.Modify(replace(dn(s, "lcmsKey=10.0.0.1:80,"), "lcmsPort", "81")) },
			lvs.Change{PutServers: []lvs.ServerAt{{Service: web, Server: heavy}}}, "lcmsPort"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ldaptest.Options{})
			s.mustWrite(twenty(web))
			if err := tc.between(s); err != nil {
				t.Fatal(err)
			}
			s.unchanged(func() { kindOf(t, s.write(tc.change), lvs.ErrConflict, tc.words) })
		})
	}
}

// A write that follows another one at once knows what that did.
func TestWritesOneAfterTheOther(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	s.mustWrite(twenty(web))
	for weight := range uint32(20) {
		heavy := server(int(weight) % 3)
		heavy.Weight = weight + 2
		s.mustWrite(lvs.Change{PutServers: []lvs.ServerAt{{Service: web, Server: heavy}}})
	}
	s.holds(s.config)
}

// A change is taken back by its inverse, unless somebody else was there.
func TestInverseTakesBack(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	s.mustWrite(twenty(web))
	before := s.config
	heavy := server(1)
	heavy.Weight = 9
	c := lvs.Change{PutServices: []lvs.Service{lvs.NewService(mail)}, PutServers: []lvs.ServerAt{{Service: web, Server: heavy}, {Service: mail, Server: func() lvs.Server { s := server(1); return s }()}},
		DeleteServers: []lvs.ServerID{{Service: web, Server: serverKey(0)}}}
	s.mustWrite(c)
	inverse := c.Inverse(before)
	s.mustWrite(inverse)
	s.holds(before)

	s.mustWrite(c)
	if err := s.Modify("dn: lcmsKey=10.0.0.1:80,lcmsKey=tcp:192.0.2.1:80,ou=virtual_service," + s.Base() + "\nchangetype: modify\nreplace: lcmsWeight\nlcmsWeight: 77\n"); err != nil {
		t.Fatal(err)
	}
	s.unchanged(func() { kindOf(t, s.write(inverse), lvs.ErrConflict) })
}

func TestWriteOnceEnded(t *testing.T) {
	s := newSite(t, ldaptest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := twenty(web)
	s.unchanged(func() { kindOf(t, s.Write(ctx, &c, s.config, asker), lvs.ErrUnavailable) })
}
