package directory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
	"github.com/lcms-project/lcms/tests/director"
)

// What becomes of the directory is told to a manager that listens, each time
// once, and is listed as an alarm as long as it lasts.
func TestDirectoryIsTold(t *testing.T) {
	t.Parallel()
	receiver := director.NewReceiver(t)
	slapd := ldaptest.Start(t, ldaptest.Options{Tree: schema.Demo})
	d := director.New(t, director.Options{Snmpd: receiver.Sink("3", false), Config: configured("lb1", []*ldaptest.Server{slapd})})
	s := &scene{T: t, slapd: slapd, Director: d}
	s.StartSnmpd()
	receiver.Start(d)
	s.StartSubagent()
	s.WaitReady()
	s.waitState(inSync)
	wait := func(name string, objects map[string]string) director.Notification {
		t.Helper()
		return receiver.Wait(s.Limit(), name, func(n *director.Notification) bool {
			for object, value := range objects {
				if n.Object(object) != value {
					return false
				}
			}
			return n.Name == name
		})
	}
	alarm := func(name string, want bool) {
		t.Helper()
		err := director.Poll(s.Limit(), func() error {
			vbs, err := d.BulkWalk("lcmsAlarmNotification")
			has := false
			for _, v := range vbs {
				has = has || v.Value == name
			}
			if err == nil && has != want {
				err = fmt.Errorf("lcmsAlarmTable has %s: %t", name, has)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}

	alarm("lcmsDirectoryLost", false)
	slapd.Stop()
	n := wait("lcmsDirectoryLost", map[string]string{"lcmsDirectoryState": disconnected})
	if words := n.Object("lcmsDirectoryLastError"); !strings.Contains(words, slapd.LDAPI()) {
		t.Errorf("lcmsDirectoryLost says %q, and not where", words)
	}
	alarm("lcmsDirectoryLost", true)
	slapd.Start()
	wait("lcmsDirectoryRestored", nil)
	alarm("lcmsDirectoryLost", false)

	slapd.Wipe()
	s.waitState(held)
	id, err := value(d, "lcmsDirectoryHoldId.0")
	if err != nil {
		t.Fatal(err)
	}
	wait("lcmsDirectoryHold", map[string]string{"lcmsDirectoryHoldId": id})
	alarm("lcmsDirectoryHold", true)
	s.set("lcmsDirectoryHoldRelease.0 u " + id)
	wait("lcmsDirectoryHoldReleased", nil)
	alarm("lcmsDirectoryHold", false)
	s.waitState(inSync)

	receiver.CatchUp(d)
	count := make(map[string]int)
	for _, n := range receiver.Received() {
		if strings.HasPrefix(n.Name, "lcmsDirectory") {
			count[n.Name]++
		}
	}
	// To be wiped the server was away once more.
	if lost := count["lcmsDirectoryLost"]; lost > 2 || lost != count["lcmsDirectoryRestored"] || count["lcmsDirectoryHold"] != 1 || count["lcmsDirectoryHoldReleased"] != 1 {
		t.Errorf("told were %v: %v", count, receiver.Received())
	}
}
