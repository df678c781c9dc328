// Command umlrun runs one command inside a User-Mode Linux kernel, so that
// IPVS can be used on a machine whose own kernel has none, and by an ordinary
// user. It fits go test -exec.
//
//	umlrun [-t TIME] [-m SIZE] [-w FOLDER]... [-v] [--] COMMAND [ARGUMENT]...
//
// The command sees the files of this machine. What it writes stays in the
// guest's memory and is gone at the end, but for the folders named by -w and
// those that go test's own flags name. It runs as root with one CPU, on the
// processor that has the fewest guests, an empty standard input and no network
// but the loopback interface. Its standard output, standard error and exit status
// become those of umlrun; 124 is the time limit, 125 a guest that failed, 126 a
// command that could not be started.
//
// Three processes of the same program work together:
//
//	launch   on the host: what the user started
//	boot     on the host: outlives launch by a moment to clean up, whatever kills it
//	guest    process 1 of the guest: mounts, runs the command, leaves its status
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// Exit statuses beside that of the command.
const (
	exitTimeLimit  = 124
	exitGuest      = 125
	exitNotStarted = 126
)

// folders is a flag that may be given several times.
type folders []string

func (f *folders) String() string     { return strings.Join(*f, ":") }
func (f *folders) Set(s string) error { *f = append(*f, s); return nil }

func main() {
	if dir := os.Getenv(guestVariable); dir != "" && os.Getpid() == 1 {
		guest(dir)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == bootArgument {
		os.Exit(boot(os.Args[2], os.Args[3:]))
	}
	var writable folders
	limit := flag.Duration("t", 5*time.Minute, "time limit")
	memory := flag.String("m", "512M", "memory of the guest")
	verbose := flag.Bool("v", false, "show the guest's console on standard error")
	flag.Var(&writable, "w", "folder that the command may write to (may be repeated)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: umlrun [-t TIME] [-m SIZE] [-w FOLDER]... [-v] [--] COMMAND [ARGUMENT]...")
		flag.PrintDefaults()
	}
	flag.CommandLine.Init("umlrun", flag.ContinueOnError)
	if err := flag.CommandLine.Parse(os.Args[1:]); err != nil {
		os.Exit(exitGuest)
	}
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(exitGuest)
	}
	l := launch{limit: *limit, memory: *memory, verbose: *verbose}
	status, err := l.run(flag.Args(), writable)
	if err != nil {
		fmt.Fprintln(os.Stderr, "umlrun:", err)
	}
	os.Exit(status)
}
