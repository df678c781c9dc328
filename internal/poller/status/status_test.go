package status

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcms-project/lcms/internal/poller/director"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func example() Status {
	return Status{
		At: now, Since: now.Add(-3 * time.Hour), Version: "1.0",
		Directors: []director.Status{
			{Name: "lb1", Address: "192.0.2.10:161", ReadAt: now.Add(-time.Second), SentAt: now.Add(-2 * time.Second), Services: 1, Servers: 2},
			{Name: "lb2", Address: "192.0.2.11:161", ReadError: "no answer within 3s, asked 2 times"},
			{Name: "lb3", Address: "192.0.2.12:161", ReadAt: now, SendError: "it may not be told"},
		},
		Servers: []Server{
			{Service: "tcp:192.0.2.1:80", Server: "10.0.0.11:80", Check: "http", Health: "up", Checked: now.Add(-3 * time.Second), Detail: "status 200 in 2.1 ms",
				Weight: 1, Advised: 130, Oper: 130, Held: true, Rate: 40.25, Busy: 0.375, Reason: "1.30 x configured"},
			{Service: "tcp:192.0.2.1:80", Server: "10.0.0.12:80", Check: "http", Health: "down", Since: now.Add(-90 * time.Second), Checked: now.Add(-time.Second), Detail: "connection refused", Weight: 1, Busy: -1},
			{Service: "tcp:192.0.2.2:80", Server: "10.0.0.12:80", Check: "none", Health: "unknown", Weight: 1, Busy: -1},
		},
		Hosts: []Host{{Address: "10.0.0.11:161", Name: "rs1", At: now}, {Address: "10.0.0.12:161", Name: "rs2", Error: "wrong authentication key of user x"}},
	}
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, example(), false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, want := range []string{
		"lcms-poller 1.0, up 3h00m: 3 servers, 1 down, 0 unknown; 2 hosts, 1 without load; 0 checks late",
		"",
		"DIRECTOR  ADDRESS         STATE  SERVICES  SERVERS  READ  TOLD  PROBLEM",
		"lb1       192.0.2.10:161  ok     1         2        1s    2s    ",
		"lb2       192.0.2.11:161  away   0         0        -     -     no answer within 3s, asked 2 times",
		"lb3       192.0.2.12:161  deaf   0         0        0s    -     it may not be told",
		"",
		"SERVICE           SERVER        HEALTH       SINCE  CHECKED  BUSY  CONN/S  WEIGHT  ADVISED  OPER  DETAIL                WEIGHT REASON",
		"tcp:192.0.2.1:80  10.0.0.11:80  up           -      3s       38%   40.2    1       130      130   status 200 in 2.1 ms  1.30 x configured",
		"                  10.0.0.12:80  down         1m30s  1s       -     -       1       -        -     connection refused    ",
		"tcp:192.0.2.2:80  10.0.0.12:80  not checked  -      -        -     -       1       -        -                           ",
		"",
		"HOST           NAME  LAST LOAD  PROBLEM",
		"10.0.0.12:161  rs2   -          wrong authentication key of user x",
	} {
		if i >= len(lines) || lines[i] != want {
			t.Errorf("line %d is\n%q, want\n%q", i, lines[min(i, len(lines)-1)], want)
		}
	}
	var coloured strings.Builder
	if err := Write(&coloured, example(), true); err != nil || !strings.Contains(coloured.String(), red+"down"+plain) {
		t.Errorf("%v: no colours in %q", err, coloured.String())
	}
}

func TestSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "lcms") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "run", "s")
	if _, err := Fetch(path); err == nil || !strings.Contains(err.Error(), "is lcms-poller running?") {
		t.Errorf("no monitor: %v", err)
	}
	for range 2 { // the second replaces what the first has left behind
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- Serve(ctx, path, example) }()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			if s, err := Fetch(path); err == nil {
				if s.Servers[0].Advised != 130 || s.Directors[1].ReadError == "" || !s.At.Equal(now) {
					t.Errorf("%+v", s)
				}
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if err := Serve(t.Context(), path, example); err == nil || !strings.Contains(err.Error(), "another monitor") {
			t.Errorf("two monitors: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), file, example); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in its place: %v", err)
	}
}
