package directory

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/lcms-project/lcms/internal/poller/snmp"
	"github.com/lcms-project/lcms/ldapsync/ldaptest"
	"github.com/lcms-project/lcms/ldapsync/schema"
	"github.com/lcms-project/lcms/tests/director"
)

// asked is a director that is asked without starting a tool for each request.
type asked struct {
	*director.Director
	b            *testing.B
	client       *snmp.Client
	agent        snmp.Agent
	weight, oper snmp.OID // of one server
}

func ask(b *testing.B, d *director.Director) *asked {
	b.Helper()
	address, err := netip.ParseAddrPort(d.Address())
	if err != nil {
		b.Fatal(err)
	}
	a := &asked{Director: d, b: b, client: snmp.NewClient(d.Limit(), 1), agent: snmp.Agent{Address: address, Credentials: &snmp.Credentials{Community: d.Community()}}}
	b.Cleanup(a.client.Close)
	a.weight, a.oper = a.name("lcmsServerWeight."+first), a.name("lcmsServerOperWeight."+first)
	return a
}

// name returns the number of an object.
func (a *asked) name(object string) snmp.OID {
	a.b.Helper()
	out, err := a.Tool("snmpget", "-On", object)
	if err != nil {
		a.b.Fatal(err)
	}
	number, _, _ := strings.Cut(out, " ")
	oid, err := snmp.ParseOID(strings.TrimPrefix(number, "."))
	if err != nil {
		a.b.Fatal(err)
	}
	return oid
}

// set returns how long a SET took until it was answered.
func (a *asked) set(weight uint32) time.Duration {
	a.b.Helper()
	began := time.Now()
	if _, err := a.client.Do(context.Background(), a.agent, snmp.Set(snmp.Varbind{Name: a.weight, Value: snmp.Unsigned(weight)})); err != nil {
		a.b.Fatal(err)
	}
	return time.Since(began)
}

// until waits until the kernel has a weight.
func (a *asked) until(weight uint32) {
	a.b.Helper()
	request := snmp.Get(a.oper)
	for deadline := time.Now().Add(a.Limit()); ; {
		vbs, err := a.client.Do(context.Background(), a.agent, request)
		if err != nil {
			a.b.Fatal(err)
		}
		if vbs[0].Value.Num == uint64(weight) {
			return
		}
		if time.Now().After(deadline) {
			a.b.Fatalf("the kernel has weight %d, not %d", vbs[0].Value.Num, weight)
		}
	}
}

// cpu returns how much time of processors the subagent has used.
func (a *asked) cpu() (used time.Duration) {
	a.b.Helper()
	pid, _ := a.Running()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(paths) == 0 {
		a.b.Fatalf("no threads of %d, %v", pid, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			a.b.Fatal(err)
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			a.b.Fatal(err)
		}
		used += time.Duration(ns)
	}
	return used
}

func percentile(sorted []time.Duration, percent int) float64 {
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
}

// BenchmarkSet compares a SET that a directory takes part in with one of a
// director that has none; they take turns. slapd writes each change to the disk,
// as it does unless told otherwise, and so does the store of both.
func BenchmarkSet(b *testing.B) {
	slapd := ldaptest.Start(b, ldaptest.Options{Tree: schema.Demo, Durable: true})
	with := ask(b, follows(b, slapd))
	alone := director.Start(b, director.Options{})
	if _, err := alone.Set(`lcmsServiceRowStatus.`+web+` i 4`, `lcmsServerRowStatus.`+first+` i 4`); err != nil {
		b.Fatal(err)
	}
	without := ask(b, alone)
	var took [2][]time.Duration
	began := [2]time.Duration{with.cpu(), without.cpu()}
	weight := uint32(0)
	for b.Loop() {
		weight = weight%1000 + 10
		took[0] = append(took[0], with.set(weight))
		took[1] = append(took[1], without.set(weight))
	}
	used := [2]time.Duration{with.cpu() - began[0], without.cpu() - began[1]}
	for i := range took {
		slices.Sort(took[i])
	}
	b.ReportMetric(percentile(took[0], 50), "ms/SET")
	b.ReportMetric(percentile(took[0], 99), "ms-p99")
	b.ReportMetric(percentile(took[1], 50), "ms/SET-alone")
	b.ReportMetric(percentile(took[1], 99), "ms-p99-alone")
	b.ReportMetric(percentile(took[0], 50)/percentile(took[1], 50), "x-time")
	b.ReportMetric(float64(used[0].Microseconds())/float64(len(took[0])), "us-CPU/SET")
	b.ReportMetric(float64(used[0])/float64(used[1]), "x-CPU")
}

// BenchmarkFollow measures from the answer of the directory to a change until the
// kernel has it, as a GET shows.
func BenchmarkFollow(b *testing.B) {
	slapd := ldaptest.Start(b, ldaptest.Options{Tree: schema.Demo, Durable: true})
	a := ask(b, follows(b, slapd))
	c, err := ldap.DialURL(slapd.URI())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(slapd.DN(ldaptest.Operator), slapd.Password()); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	weight := uint32(0)
	for b.Loop() {
		weight = weight%1000 + 10
		change := ldap.NewModifyRequest(firstDN, nil)
		change.Replace("lcmsWeight", []string{fmt.Sprint(weight)})
		if err := c.Modify(change); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		a.until(weight)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(percentile(took, 50), "ms-median")
	b.ReportMetric(percentile(took, 99), "ms-p99")
}

// follows returns a director that is in sync.
func follows(b *testing.B, slapd *ldaptest.Server) *director.Director {
	b.Helper()
	d := director.Start(b, director.Options{Config: configured("lb1", []*ldaptest.Server{slapd})})
	if err := director.Poll(d.Limit(), func() error { return is(d, "lcmsDirectoryState.0", inSync) }); err != nil {
		b.Fatal(err)
	}
	return d
}
