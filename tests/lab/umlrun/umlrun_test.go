//go:build lab

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// program is umlrun as a user has it.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "umlrun-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "umlrun")
		build := exec.Command("go", "build", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// umlrun returns what a run left, with its temporary folder to look into.
func umlrun(t *testing.T, args ...string) (status int, stdout, stderr, tmp string) {
	t.Helper()
	cmd, tmp := command(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String(), tmp
}

func command(t *testing.T, args ...string) (*exec.Cmd, string) {
	tmp := t.TempDir()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "LCMS_MARK="+tmp)
	return cmd, tmp
}

func TestStatusAndOutput(t *testing.T) {
	status, stdout, stderr, tmp := umlrun(t, "--", "sh", "-c", `printf 'a\nb'; printf "c 'd'" >&2; printf "$1"; exit 7`, "sh", `it's "x" $HOME`)
	if status != 7 || stdout != `a
bit's "x" $HOME` || stderr != "c 'd'" {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
}

func TestSignalledCommand(t *testing.T) {
	if status, _, _, _ := umlrun(t, "--", "sh", "-c", "kill -TERM $$"); status != 128+15 {
		t.Errorf("status %d, want that of a shell, 143", status)
	}
}

func TestMissingCommand(t *testing.T) {
	if status, _, stderr, _ := umlrun(t, "--", "no-such-command"); status != exitNotStarted || !strings.Contains(stderr, "no-such-command") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

func TestMuchOutputArrivesIntact(t *testing.T) {
	status, stdout, stderr, _ := umlrun(t, "--", "sh", "-c", "head -c 8000000 /dev/urandom | tee /dev/stderr | sha256sum >/tmp/sum; exit 0")
	if status != 0 || len(stderr) != 8000000 {
		t.Fatalf("status %d, %d octets of 8000000, stdout %q", status, len(stderr), stdout)
	}
	status, stdout, stderr, _ = umlrun(t, "--", "sh", "-c", "head -c 3000000 /dev/urandom | tee /tmp/sent; sha256sum </tmp/sent >&2")
	if sum := fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(stdout))); status != 0 || sum != stderr {
		t.Errorf("status %d, %d octets with sum %s, sent with %s", status, len(stdout), sum, stderr)
	}
}

// TestFloatingPointState lets processes that calculate take turns: each keeps
// its own registers.
func TestFloatingPointState(t *testing.T) {
	const sum = `for i in 1 2 3 4 5 6; do awk -v by=$i 'BEGIN { for (i = 1; i <= 300000; i++) s += by / i; printf "%d %.9f\n", by, s }' & done; wait`
	status, stdout, stderr, _ := umlrun(t, "--", "sh", "-c", sum)
	if status != 0 {
		t.Fatal(stderr)
	}
	for by := 1.0; by <= 6; by++ {
		s := 0.0
		for i := 1.0; i <= 300000; i++ {
			s += by / i
		}
		if want := fmt.Sprintf("%.0f %.9f\n", by, s); !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
}

func TestWritesStayInside(t *testing.T) {
	kept, lost := t.TempDir(), t.TempDir()
	status, _, stderr, _ := umlrun(t, "-w", kept, "--", "sh", "-c", "echo kept >"+kept+"/f && echo lost >"+lost+"/f && cat "+lost+"/f")
	if status != 0 {
		t.Fatal(stderr)
	}
	if b, err := os.ReadFile(kept + "/f"); err != nil || string(b) != "kept\n" {
		t.Errorf("%q, %v in the folder that is writable", b, err)
	}
	if _, err := os.Stat(lost + "/f"); err == nil {
		t.Error("a write to another folder reached the host")
	}
}

func TestTimeLimit(t *testing.T) {
	status, stdout, stderr, tmp := umlrun(t, "-t", "20s", "--", "sh", "-c", "echo begun; sleep 1000")
	if status != exitTimeLimit || stdout != "begun\n" || !strings.Contains(stderr, "time limit") {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	gone(t, tmp)
}

func TestGuestPanic(t *testing.T) {
	status, _, stderr, tmp := umlrun(t, "-t", "60s", "--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000")
	if status != exitGuest || !strings.Contains(stderr, "panic") {
		t.Errorf("status %d, want %d with the panic, stderr %q", status, exitGuest, stderr)
	}
	gone(t, tmp)
}

func TestNothingStaysWhenKilled(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd, tmp := command(t, "--", "sh", "-c", "echo begun; sleep 1000")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			if len(marked(tmp)) < 2 {
				t.Fatalf("processes %v: the test cannot see those of the guest", marked(tmp))
			}
			_ = cmd.Process.Signal(sig)
			_ = cmd.Wait()
			gone(t, tmp)
		})
	}
}

// Each guest runs on one processor, and no processor has two guests more than another.
// Those of other tests are in another network namespace and do not count.
func TestEachGuestHasItsProcessor(t *testing.T) {
	folders := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	const all = `for tmp do TMPDIR=$tmp LCMS_MARK=$tmp "$0" -- sh -c "echo begun; sleep 1000" & done; wait`
	cmd := exec.Command("sh", append([]string{"-c", all, program}, folders...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		for _, tmp := range folders {
			gone(t, tmp)
		}
	})
	if _, err := io.ReadFull(out, make([]byte, len(folders)*len("begun\n"))); err != nil {
		t.Fatal(err)
	}
	guests := make(map[int]int) // by processor
	for _, tmp := range folders {
		var of unix.CPUSet // all processors of this guest's processes
		for _, pid := range marked(tmp) {
			var cpus unix.CPUSet
			if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) != kernel+"\n" || unix.SchedGetaffinity(pid, &cpus) != nil {
				continue // not of the guest, or gone
			}
			for i := range of {
				of[i] |= cpus[i]
			}
		}
		if of.Count() != 1 {
			t.Errorf("a guest runs on %d processors", of.Count())
		}
		for cpu := range len(of) * 64 {
			if of.IsSet(cpu) {
				guests[cpu]++
			}
		}
	}
	if used, all := len(guests), min(runtime.NumCPU(), len(folders)); used != all {
		t.Errorf("%d guests have %d processors, and could have %d", len(folders), used, all)
	}
	for cpu, n := range guests {
		if most := (len(folders) + runtime.NumCPU() - 1) / runtime.NumCPU(); n > most {
			t.Errorf("processor %d has %d guests, and should have %d at most", cpu, n, most)
		}
	}
}

// gone waits until nothing of the run is left: no process, no file.
func gone(t *testing.T, tmp string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		left, _ := os.ReadDir(tmp)
		processes := marked(tmp)
		if len(left) == 0 && len(processes) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: files %v, processes %v", left, processes)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// marked returns the processes of this host with the mark of the run in their
// environment.
func marked(mark string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ")); bytes.Contains(env, []byte("LCMS_MARK="+mark+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestOutputFolders(t *testing.T) {
	got := outputFolders([]string{"x.test", "-test.v=true", "-test.coverprofile=/a/b", "-test.testlogfile=/c/d", "-test.trace=/e/f", "-test.outputdir=/g"})
	if want := []string{"/a", "/c", "/e", "/g"}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v, want %v", got, want)
	}
}
