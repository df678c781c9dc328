// Command hostload tells snmpd how busy a host of the lab is. All hosts share the
// processor of one guest, and what the kernel counts is true of all together: this
// computes for each of them what it would be on a machine of its own. The time of
// the processor is used by the connections that the host has taken, which are those
// of its network namespace, and by somebody else, as a file says.
//
//	hostload -cost TIME -hog FILE
//
// It speaks the protocol of pass_persist of snmpd.conf(5), for the subtree
// .1.3.6.1.4.1.2021.11 of UCD-SNMP-MIB. FILE holds a number of percent.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	user   = ".1.3.6.1.4.1.2021.11.50.0" // ssCpuRawUser
	idle   = ".1.3.6.1.4.1.2021.11.53.0" // ssCpuRawIdle
	hertz  = 100                         // ticks of these objects in a second
	steady = 500 * time.Millisecond      // objects of one request are of one moment
)

func main() {
	cost := flag.Duration("cost", 0, "time of the processor that a connection takes")
	hog := flag.String("hog", "", "file with the percent of the processor that somebody else uses")
	flag.Parse()
	h := host{cost: cost.Seconds(), hog: *hog, at: time.Now()}
	var err error
	if h.connections, err = connections(); err == nil {
		err = h.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostload:", err)
		os.Exit(1)
	}
}

// host counts the seconds of its processor.
type host struct {
	cost float64
	hog  string

	at          time.Time // of the counters
	connections uint64
	busy, all   float64
}

// serve answers snmpd until it ends.
func (h *host) serve() error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "PING":
			fmt.Println("PONG")
		case "get", "getnext":
			next := in.Text() == "getnext"
			if !in.Scan() {
				return in.Err()
			}
			if err := h.update(); err != nil {
				return err
			}
			h.answer(in.Text(), next)
		default:
			fmt.Println("NONE")
		}
	}
	return in.Err()
}

func (h *host) answer(object string, next bool) {
	if next {
		switch {
		case len(object) < len(user) || object < user:
			object = user
		case object < idle:
			object = idle
		default:
			object = ""
		}
	}
	switch object {
	case user:
		fmt.Printf("%s\ncounter\n%d\n", user, uint32(h.busy*hertz))
	case idle:
		fmt.Printf("%s\ncounter\n%d\n", idle, uint32((h.all-h.busy)*hertz))
	default:
		fmt.Println("NONE")
	}
}

// update counts on to now.
func (h *host) update() error {
	passed := time.Since(h.at)
	if passed < steady {
		return nil
	}
	text, err := os.ReadFile(h.hog)
	if err != nil {
		return err
	}
	percent, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		return fmt.Errorf("%s: %w", h.hog, err)
	}
	n, err := connections()
	if err != nil {
		return err
	}
	seconds := passed.Seconds()
	h.all += seconds
	h.busy += min(seconds, seconds*percent/100+float64(n-h.connections)*h.cost)
	h.at, h.connections = h.at.Add(passed), n
	return nil
}

// connections returns how many TCP connections the network namespace has taken
// (PassiveOpens of /proc/net/snmp).
func connections() (uint64, error) {
	text, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "PassiveOpens" && i < len(fields) {
				return strconv.ParseUint(fields[i], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("/proc/self/net/snmp has no PassiveOpens")
}
