package ldapsync

import (
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
)

// Of what a change takes out of the sight of the director, and of what stands
// below an entry that comes into it again, OpenLDAP tells nothing. It is noticed
// all the same.
func TestFollowerNoticesWhatItMustNotSee(t *testing.T) {
	s, all := stocked(t, farm{"web": {4, 1}}, ldaptest.Options{})
	p := pursue(t, "lb1", &lvs.Config{}, func(_ *Following, q *times) { q.doubt = time.Second }, s)
	p.waitFor(all)
	p.waitState(lvs.DirectoryInSync)
	rename := func(from, to string) {
		t.Helper()
		must(t, s.Modify("dn: ou="+from+","+s.Base()+"\nchangetype: modrdn\nnewrdn: ou="+to+"\ndeleteoldrdn: 1\n"))
	}
	rename("load_cluster", "elsewhere") // the access rules name it
	p.waitState(lvs.DirectoryHeld)
	p.waitFor(all)
	rename("elsewhere", "load_cluster")
	p.waitState(lvs.DirectoryInSync)
	p.waitFor(all)
}
