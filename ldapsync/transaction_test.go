package ldapsync

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

// Transactions of a director and plain writes of others go on side by side: with a
// checkpoint in the setting of the database slapd stops for good within a moment.
func TestTransactionsBesidePlainWrites(t *testing.T) {
	const writers, writes = 4, 1000
	s := newSite(t, ldaptest.Options{Durable: true})
	s.mustWrite(twenty(web))
	var others sync.WaitGroup
	stop := make(chan struct{})
	defer others.Wait()
	defer close(stop)
	for n := range writers {
		conn := director(t, s.Server)
		conn.SetTimeout(5 * time.Second)
		dn := s.base.DN(Place{Kind: Server, Service: web, Server: serverKey(10 + n)})
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r := ldap.NewModifyRequest(dn, nil)
				r.Replace("lcmsUpperThreshold", []string{fmt.Sprint(i)})
				if err := conn.Modify(r); err != nil {
					t.Errorf("plain write %d: %v", i, err)
					return
				}
			}
		})
	}
	for i := range writes {
		var c lvs.Change
		for _, n := range []int{1, 2} {
			v, _ := s.config.Server(web, serverKey(n))
			v.Weight = uint32(1 + i%100)
			c.PutServers = append(c.PutServers, lvs.ServerAt{Service: web, Server: v})
		}
		if err := s.write(c); err != nil {
			t.Fatalf("transaction %d: %v", i, err)
		}
	}
}
