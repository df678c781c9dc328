package ldapsync

import (
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

// Nothing is missing, whatever classes and marks come to have.
func TestVocabularyIsWhole(t *testing.T) {
	r := vocabulary(mustBase(t, "dc=example"), Place{Kind: Host, Host: "lb1"})
	has := make(map[string]bool)
	for _, a := range r.Attributes {
		if len(a.Vals) == 0 || has[strings.ToLower(a.Type)] {
			t.Errorf("%s has the values %q", a.Type, a.Vals)
		}
		has[strings.ToLower(a.Type)] = true
	}
	want := []string{requestID, deleteCount, lastWriter, "cn", "ou"}
	for kind, c := range classes {
		name, _ := Place{Kind: kind}.name()
		want = append(append(want, name), c.attributeNames()...)
	}
	for _, name := range want {
		if !has[strings.ToLower(name)] {
			t.Errorf("%s is missing", name)
		}
	}
}

// What slapd does when a transaction fails that uses an attribute for the first
// time, without what learnVocabulary is for: it shows whether that is still needed.
// With it nothing is lost.
func TestFailedTransactionsLoseNothing(t *testing.T) {
	for name, learn := range map[string]bool{"learned": true, "not learned": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, config := stocked(t, farm{"": {2, 1}}, ldaptest.Options{})
			if learn {
				row := server(1)
				row.Weight = 5
				change := lvs.Change{PutServers: []lvs.ServerAt{{Service: nth(0), Server: row}}}
				if err := newWriter(t, s, optionsFor(s), "lb1").Write(t.Context(), &change, config, asker); err != nil {
					t.Fatal(err)
				}
			}
			conn := director(t, s)
			var at [2]string
			for n := range at {
				var err error
				if at[n], err = serverDN(s, n, 1); err != nil {
					t.Fatal(err)
				}
			}
			begin, err := conn.Extended(startTxn())
			if err != nil {
				t.Fatal(err)
			}
			id := txnSpec(begin.Value.Data.Bytes())
			set := ldap.NewModifyRequest(at[0], []ldap.Control{id})
			set.Replace("lcmsUpperThreshold", []string{"7"})
			if err := conn.Modify(set); err != nil {
				t.Fatal(err)
			}
			if err := conn.Del(ldap.NewDelRequest("cn=nobody,"+at[0], []ldap.Control{id})); err != nil {
				t.Fatal(err)
			}
			time.Sleep(settlePause(settleMost))
			if _, err := conn.Extended(endTxn(id, true)); !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
				t.Fatalf("the end of the transaction: %v", err)
			}
			set = ldap.NewModifyRequest(at[1], nil)
			set.Replace("lcmsUpperThreshold", []string{"7"})
			if err := conn.Modify(set); err != nil {
				t.Fatal(err)
			}
			s.Stop()
			s.Start()
			_, err = readEntry(director(t, s), at[1])
			if learn && err != nil {
				t.Errorf("an entry is lost: %v", err)
			}
			if !learn && err == nil {
				t.Log("this slapd loses nothing: learnVocabulary is not needed for it")
			}
		})
	}
}
