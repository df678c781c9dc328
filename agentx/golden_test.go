package agentx_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
)

var update = flag.Bool("update", false, "record testdata/*.hex anew from the snmpd that is installed")

// goldenTypes is a SET with every type that a manager can send.
var goldenTypes = []smi.Varbind{
	{Name: root.Child(2, 1, 0), Value: smi.Integer(-2)},
	{Name: root.Child(2, 2, 0), Value: smi.Text("seven b")},
	{Name: root.Child(2, 3, 0), Value: smi.ObjectIdentifier(smi.OID{1, 3, 6, 1, 4, 1, 4294967295})},
	{Name: root.Child(2, 4, 0), Value: smi.ObjectIdentifier(smi.OID{0, 0})},
	{Name: root.Child(2, 5, 0), Value: smi.Value{Type: smi.TypeIPAddress, Bytes: []byte{192, 0, 2, 1}}},
	{Name: root.Child(2, 6, 0), Value: smi.Unsigned32(4294967295)},
	{Name: root.Child(2, 7, 0), Value: smi.TimeTicks(100)},
	{Name: root.Child(2, 8, 0), Value: smi.Value{Type: smi.TypeOpaque, Bytes: []byte("\x9f\x78\x04\x3f\x80\x00\x00")}}, // a float
	{Name: root.Child(2, 9, 0), Value: smi.OctetString([]byte{})},
}

var goldenTypesArgs = []string{
	root.Child(2, 1, 0).String(), "i", "-2", root.Child(2, 2, 0).String(), "s", "seven b",
	root.Child(2, 3, 0).String(), "o", ".1.3.6.1.4.1.4294967295", root.Child(2, 4, 0).String(), "o", ".0.0",
	root.Child(2, 5, 0).String(), "a", "192.0.2.1", root.Child(2, 6, 0).String(), "u", "4294967295",
	root.Child(2, 7, 0).String(), "t", "100", root.Child(2, 8, 0).String(), "F", "1.0",
	root.Child(2, 9, 0).String(), "s", "",
}

var (
	// net-snmp answers with what it made of the request.
	echo     = smi.Varbind{Name: root, Value: smi.Null()}
	echoOpen = smi.Varbind{Name: root, Value: smi.OctetString([]byte{})}
	trap     = []smi.Varbind{{Name: smi.MustParseOID("1.3.6.1.6.3.1.1.4.1.0"), Value: smi.ObjectIdentifier(root)}}
	index    = []smi.Varbind{{Name: root.Child(5, 1), Value: smi.Integer(7)}}
)

func refusal(code agentx.ErrorCode, vbs ...smi.Varbind) *agentx.ResponsePDU {
	return &agentx.ResponsePDU{Error: code, Varbinds: vbs}
}

func ok(vbs ...smi.Varbind) *agentx.ResponsePDU { return &agentx.ResponsePDU{Varbinds: vbs} }

// golden lists what a real master sent and what it means. The sysUpTime of
// Responses is left out.
var golden = []struct {
	file string
	pdu  agentx.PDU
}{
	{"open-response", ok(echoOpen)},
	{"open-response-network-order", ok(echoOpen)},
	{"register-response", ok(echo)},
	{"register-response-context", ok(echo)},
	{"register-response-duplicate", refusal(agentx.DuplicateRegistration, echo)},
	{"ping-response", ok()},
	{"notify-response", ok(trap...)},
	{"addagentcaps-response", ok(smi.Varbind{Name: root, Value: smi.Text("golden")})},
	{"removeagentcaps-response", ok(echo)},
	{"indexallocate-response", ok(index...)},
	{"indexdeallocate-response", ok(index...)},
	{"unregister-response", ok(echo)},
	{"unregister-response-unknown", refusal(agentx.UnknownRegistration, echo)},
	{"close-response", ok()},
	{"get", &agentx.GetPDU{Ranges: []agentx.SearchRange{{Start: root.Child(1, 1, 1)}, {Start: root.Child(1, 2, 1)}, {Start: root.Child(9)}}}},
	{"get-context", &agentx.GetPDU{Context: "other", Ranges: []agentx.SearchRange{{Start: root.Child(1, 1, 1)}}}},
	{"get-network-order", &agentx.GetPDU{Ranges: []agentx.SearchRange{{Start: root.Child(1, 1, 1)}}}},
	{"getnext", &agentx.GetNextPDU{Ranges: []agentx.SearchRange{{Start: root.Child(1, 1, 1), End: root.Successor()}, {Start: root.Child(1, 2, 1), End: root.Successor()}}}},
	{"getnext-include", &agentx.GetNextPDU{Ranges: []agentx.SearchRange{{Start: root, Include: true, End: root.Successor()}}}},
	{"getnext-of-getbulk", &agentx.GetNextPDU{Ranges: []agentx.SearchRange{{Start: root.Child(1, 1, 1), End: root.Successor()}, {Start: root.Child(1, 2, 1), End: root.Successor()}}}},
	{"testset", &agentx.TestSetPDU{Varbinds: goldenTypes}},
	{"testset-network-order", &agentx.TestSetPDU{Varbinds: goldenTypes}},
	{"testset-context", &agentx.TestSetPDU{Context: "other", Varbinds: goldenTypes[:1]}},
	{"commitset", &agentx.CommitSetPDU{}},
	{"commitset-context", &agentx.CommitSetPDU{}},
	{"cleanupset", &agentx.CleanupSetPDU{}},
	{"cleanupset-context", &agentx.CleanupSetPDU{}},
	{"undoset", &agentx.UndoSetPDU{}},
}

func TestGolden(t *testing.T) {
	if *update {
		record(t)
	}
	for _, g := range golden {
		t.Run(g.file, func(t *testing.T) {
			packet := readHex(t, g.file)
			h, p, err := agentx.Parse(packet)
			if err != nil {
				t.Fatal(err)
			}
			again, err := agentx.Append(nil, h, p)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(hex.Dump(clearInclude(packet, again, objectIdentifiers(p))), hex.Dump(again)); d != "" {
				t.Errorf("encodes to other octets (-snmpd +ours):\n%s", d)
			}
			if r, ok := p.(*agentx.ResponsePDU); ok {
				r.SysUpTime = 0
			}
			if d := cmp.Diff(g.pdu, p, cmp.AllowUnexported(agentx.CommitSetPDU{}, agentx.UndoSetPDU{}, agentx.CleanupSetPDU{})); d != "" {
				t.Errorf("PDU differs (-want +got):\n%s", d)
			}
			if want := strings.Contains(g.file, "network-order"); want != (h.Flags&agentx.FlagNetworkByteOrder != 0) {
				t.Errorf("flags %#x", h.Flags)
			}
			if h.PacketID == 0 || h.SessionID == 0 {
				t.Errorf("header %+v", h)
			}
		})
	}
}

// clearInclude returns packet without the include octets that net-snmp sets in
// values that are OIDs, where they have no meaning (RFC 2741 section 5.2): at
// most n, and only where ours has a 0.
func clearInclude(packet, ours []byte, n int) []byte {
	packet = slices.Clone(packet)
	for i := range min(len(packet), len(ours)) {
		if n > 0 && packet[i] == 1 && ours[i] == 0 {
			packet[i] = 0
			n--
		}
	}
	return packet
}

// objectIdentifiers counts the values that are OIDs.
func objectIdentifiers(p agentx.PDU) (n int) {
	var vbs []smi.Varbind
	switch p := p.(type) {
	case *agentx.TestSetPDU:
		vbs = p.Varbinds
	case *agentx.ResponsePDU:
		vbs = p.Varbinds
	}
	for _, vb := range vbs {
		if vb.Value.Type == smi.TypeObjectIdentifier {
			n++
		}
	}
	return n
}

func readHex(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var packet []byte
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if line := sc.Text(); !strings.HasPrefix(line, "#") {
			b, err := hex.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			packet = append(packet, b...)
		}
	}
	return packet
}

// recorder is a proxy between subagents and a master that keeps what the
// master sends.
type recorder struct {
	net.Listener
	mu      sync.Mutex
	conns   []net.Conn
	packets [][]byte
}

func (r *recorder) serve(master string) {
	for {
		c, err := r.Accept()
		if err != nil {
			return
		}
		m, err := net.Dial("unix", master)
		if err != nil {
			c.Close()
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, c, m)
		r.mu.Unlock()
		go func() { io.Copy(m, c); m.Close() }()
		go func() {
			defer c.Close()
			for {
				packet := make([]byte, agentx.HeaderLen)
				if _, err := io.ReadFull(m, packet); err != nil {
					return
				}
				h, err := agentx.ParseHeader(packet)
				if err != nil {
					return
				}
				packet = append(packet, make([]byte, h.Length)...)
				if _, err := io.ReadFull(m, packet[agentx.HeaderLen:]); err != nil {
					return
				}
				r.mu.Lock()
				r.packets = append(r.packets, packet)
				r.mu.Unlock()
				c.Write(packet)
			}
		}()
	}
}

// last waits for a packet of type want and drops all that were kept.
func (r *recorder) last(t *testing.T, want agentx.Type) (packet []byte) {
	eventually(t, time.Minute, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range slices.Backward(r.packets) {
			if agentx.Type(p[1]) == want {
				packet, r.packets = p, nil
				return nil
			}
		}
		return fmt.Errorf("no %s PDU", want)
	})
	return packet
}

func (r *recorder) kept() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.packets)
}

func (r *recorder) keep(packets [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packets = packets
}

func (r *recorder) close() {
	r.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
}

// record writes testdata anew.
func record(t *testing.T) {
	version, err := exec.Command("snmpd", "-v").Output()
	if err != nil {
		t.Fatal(err)
	}
	origin := strings.TrimSpace(strings.Split(strings.TrimSpace(string(version)), "\n")[0])
	d := startSnmpd(t, "rwcommunity other 127.0.0.1", "com2sec -Cn other otherSec 127.0.0.1 inOther",
		"group otherGroup v2c otherSec", "access otherGroup other any noauth exact all all none", "view all included .1")
	l, err := net.Listen("unix", filepath.Join(d.dir, "proxy"))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: l}
	go r.serve(d.socket)
	defer r.close()
	save := func(name string, want agentx.Type, how string) {
		t.Helper()
		packet := r.last(t, want)
		text := fmt.Sprintf("# %s; %s\n", origin, how)
		for line := range slices.Chunk(packet, 16) {
			text += hex.EncodeToString(line) + "\n"
		}
		if err := os.WriteFile(filepath.Join("testdata", name+".hex"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	mib := newTable(100)
	for _, vb := range goldenTypes {
		mib.rows = append(mib.rows, smi.Varbind{Name: vb.Name, Value: vb.Value})
	}
	one, two := root.Child(1, 1, 1).String(), root.Child(1, 2, 1).String()
	ctx := t.Context()
	session := func(big bool, name string) (*agentx.Session, func()) {
		mib.context = name
		s := agentx.New(agentx.Options{Network: "unix", Address: r.Addr().String(), Handler: mib, NetworkByteOrder: big, ID: root})
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		waitFor(t, s, agentx.Serving)
		return s, func() { cancel(); <-done }
	}
	s, stop := session(false, "")
	save("open-response", agentx.TypeResponse, "answer to Open")
	must(t, s.Register(ctx, agentx.Registration{Subtree: root}))
	save("register-response", agentx.TypeResponse, "answer to Register")
	if err := s.Register(ctx, agentx.Registration{Subtree: root}); err == nil {
		t.Fatal("snmpd accepts the same registration twice")
	}
	save("register-response-duplicate", agentx.TypeResponse, "answer to the same Register again")
	must(t, s.Ping(ctx, ""))
	save("ping-response", agentx.TypeResponse, "answer to Ping")
	must(t, s.Notify(ctx, "", trap))
	save("notify-response", agentx.TypeResponse, "answer to Notify")
	must(t, s.AddAgentCaps(ctx, agentx.Capability{ID: root, Description: "golden"}))
	save("addagentcaps-response", agentx.TypeResponse, "answer to AddAgentCaps")
	must(t, s.RemoveAgentCaps(ctx, "", root))
	save("removeagentcaps-response", agentx.TypeResponse, "answer to RemoveAgentCaps")
	_, err = s.IndexAllocate(ctx, "", agentx.IndexExact, index)
	must(t, err)
	save("indexallocate-response", agentx.TypeResponse, "answer to IndexAllocate of 7")
	must(t, s.IndexDeallocate(ctx, "", index))
	save("indexdeallocate-response", agentx.TypeResponse, "answer to IndexDeallocate of 7")

	d.run("snmpget", one, two, root.Child(9).String())
	save("get", agentx.TypeGet, "snmpget of three objects")
	d.run("snmpgetnext", one, two)
	save("getnext", agentx.TypeGetNext, "snmpgetnext of two objects")
	d.run("snmpgetnext", root[:len(root)-1].Child(7000).String())
	save("getnext-include", agentx.TypeGetNext, "snmpgetnext of what stands before the registered root")
	d.run("snmpbulkget", "-Cn0", "-Cr1", one, two)
	save("getnext-of-getbulk", agentx.TypeGetNext, "snmpbulkget -Cr1 of two objects")
	d.run("snmpset", goldenTypesArgs...)
	packets := r.kept()
	save("testset", agentx.TypeTestSet, "snmpset of every type")
	r.keep(packets)
	save("commitset", agentx.TypeCommitSet, "snmpset of every type")
	r.keep(packets)
	save("cleanupset", agentx.TypeCleanupSet, "snmpset of every type")
	mib.let(func(t *table) { t.commitErr = errBroken })
	d.tool("snmpset", "private", goldenTypesArgs...)
	save("undoset", agentx.TypeUndoSet, "snmpset of which the commit fails")
	mib.let(func(t *table) { t.commitErr = nil })
	must(t, s.Unregister(ctx, agentx.Registration{Subtree: root}))
	save("unregister-response", agentx.TypeResponse, "answer to Unregister")
	if err := s.Unregister(ctx, agentx.Registration{Subtree: root}); err == nil {
		t.Fatal("snmpd accepts the same Unregister twice")
	}
	save("unregister-response-unknown", agentx.TypeResponse, "answer to the same Unregister again")
	stop()
	save("close-response", agentx.TypeResponse, "answer to Close")

	s, stop = session(true, "")
	save("open-response-network-order", agentx.TypeResponse, "answer to Open")
	must(t, s.Register(ctx, agentx.Registration{Subtree: root}))
	d.run("snmpget", one)
	save("get-network-order", agentx.TypeGet, "snmpget of one object")
	d.run("snmpset", goldenTypesArgs...)
	save("testset-network-order", agentx.TypeTestSet, "snmpset of every type")
	stop()

	s, stop = session(false, "other")
	must(t, s.Register(ctx, agentx.Registration{Subtree: root, Context: "other"}))
	save("register-response-context", agentx.TypeResponse, "answer to Register in a context")
	if out, err := d.tool("snmpget", "inOther", one); err != nil {
		t.Fatal(out, err)
	}
	save("get-context", agentx.TypeGet, "snmpget in a context")
	if out, err := d.tool("snmpset", "inOther", goldenTypesArgs[:3]...); err != nil {
		t.Fatal(out, err)
	}
	packets = r.kept()
	save("testset-context", agentx.TypeTestSet, "snmpset in a context")
	r.keep(packets)
	save("commitset-context", agentx.TypeCommitSet, "snmpset in a context")
	r.keep(packets)
	save("cleanupset-context", agentx.TypeCleanupSet, "snmpset in a context")
	stop()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
