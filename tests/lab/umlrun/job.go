package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// The files of a launch's own folder, which the guest mounts.
const (
	jobFile     = "job"     // what to run, as JSON
	stdoutFile  = "stdout"  // of the command
	stderrFile  = "stderr"  // of the command
	statusFile  = "status"  // exit status of the command, decimal; appears complete
	consoleFile = "console" // of the guest's kernel
	initLink    = "init"    // this program
	socketDir   = "uml"     // the kernel's own
)

// job is what launch asks of guest.
type job struct {
	Args     []string // the command and its arguments
	Env      []string
	Dir      string   // working folder
	Writable []string // folders of the host
}

func newJob(args, writable []string) (*job, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	j := &job{Args: args, Env: os.Environ(), Dir: dir}
	for _, w := range append(writable, outputFolders(args)...) {
		if w, err = filepath.Abs(w); err != nil {
			return nil, err
		}
		j.Writable = append(j.Writable, w)
	}
	return j, nil
}

// outputFolders returns the folders that flags of a test binary have it write
// to: profiles, traces and coverage must reach the host.
func outputFolders(args []string) []string {
	var dirs []string
	for _, a := range args {
		name, value, ok := strings.Cut(strings.TrimPrefix(a, "-"), "=")
		switch {
		case !ok || !strings.HasPrefix(name, "test."):
		case name == "test.outputdir" || name == "test.gocoverdir":
			dirs = append(dirs, value)
		case name == "test.trace" || strings.HasSuffix(name, "profile") || strings.HasSuffix(name, "file"):
			dirs = append(dirs, filepath.Dir(value))
		}
	}
	return dirs
}

func (j *job) write(dir string) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, jobFile), b, 0o600)
}

func readJob(dir string) (*job, error) {
	b, err := os.ReadFile(filepath.Join(dir, jobFile))
	if err != nil {
		return nil, err
	}
	j := new(job)
	return j, json.Unmarshal(b, j)
}
