// Poll measures what it costs to ask many hosts for their load: through the one
// socket of the monitor, by a gosnmp session that is kept for each host, by one that
// is opened for each poll, as exporters do, and by Debian's prometheus-snmp-exporter,
// which is asked over HTTP. Then the whole lcms-poller runs at a real director.
//
//	cd bench && go run ./poll
//	cd bench && go run ./poll -hosts 1000 -rounds 12
//
// The agents are simulated by a process of its own, on addresses 127.x.y.z. Only the
// CPU of the manager's process is counted. Rounds are interleaved, and ratios are
// taken within a round.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gosnmp/gosnmp"
	"golang.org/x/sys/unix"

	"github.com/lcms-project/lcms/internal/poller/load"
	"github.com/lcms-project/lcms/internal/poller/schedule"
	"github.com/lcms-project/lcms/internal/poller/snmp"
)

const (
	agentsCommand = "agents"
	community     = "public"
	// parallel is how many hosts are asked at once.
	parallel = 64
	timeout  = 10 * time.Second
	// keepMost is up to how many hosts sessions of gosnmp are kept: each has a
	// socket and 64 KiB to read into.
	keepMost = 1000
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "poll:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == agentsCommand {
		return serveAgents()
	}
	flags := flag.NewFlagSet("poll", flag.ExitOnError)
	hosts := flags.String("hosts", "1000,10000", "numbers of hosts")
	rounds := flags.Int("rounds", 6, "how often each way is measured; medians are over rounds")
	programs := flags.String("programs", "../bin", "the folder of lcms-poller and lcms-subagent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	port, stop, err := startAgents()
	if err != nil {
		return err
	}
	defer stop()
	dir, err := os.MkdirTemp("", "lcms-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exporter, err := startExporter(dir)
	if err != nil {
		return err
	}
	defer exporter.stop()
	for text := range strings.SplitSeq(*hosts, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 60000 {
			return fmt.Errorf("-hosts %q: use numbers from 1 to 60000", *hosts)
		}
		hosts := addresses(n, port)
		if err := measure(hosts, *rounds, exporter); err != nil {
			return err
		}
		if err := measureWhole(hosts, dir, *programs); err != nil {
			return err
		}
	}
	return nil
}

// startAgents starts the other process and returns the port of its agents.
func startAgents() (port uint16, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, nil, err
	}
	cmd := exec.Command(self, agentsCommand)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	n, perr := strconv.ParseUint(strings.TrimSpace(line), 10, 16)
	if err := errors.Join(err, perr); err != nil {
		stop()
		return 0, nil, err
	}
	return uint16(n), stop, nil
}

// way is one to ask all hosts once.
type way struct {
	name string
	cpu  func() time.Duration // of who asks
	poll func(i int) error
}

// addresses are those of n agents.
func addresses(n int, port uint16) []netip.AddrPort {
	all := make([]netip.AddrPort, n)
	for i := range all {
		all[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1 + byte(i/62500), byte(i / 250), 1 + byte(i%250)}), port)
	}
	return all
}

func measure(addresses []netip.AddrPort, rounds int, exporter *exporter) error {
	n := len(addresses)
	client := snmp.NewClient(timeout, 1)
	defer client.Close()
	credentials := &snmp.Credentials{Community: community}

	before := heap()
	measured := make([]*load.Host, n)
	plan := schedule.New[netip.AddrPort](parallel)
	for i := range measured {
		measured[i] = &load.Host{}
		plan.Put(addresses[i], time.Hour, func(context.Context) bool { return false })
	}
	ways := []way{
		{"lcms-poller, one socket", cpu, func(i int) error {
			_, err := measured[i].Poll(context.Background(), client, snmp.Agent{Address: addresses[i], Credentials: credentials})
			return err
		}},
		{"gosnmp, a session for each poll", cpu, func(i int) error {
			g := session(addresses[i])
			if err := g.Connect(); err != nil {
				return err
			}
			defer g.Conn.Close()
			return get(g)
		}},
		{exporterProgram, exporter.cpu, func(i int) error { return exporter.poll(addresses[i]) }},
	}
	if err := pollAll(n, ways[0].poll); err != nil {
		return err
	}
	perHost := float64(heap()-before) / float64(n)
	runtime.KeepAlive(plan)
	if n <= keepMost {
		kept := make([]*gosnmp.GoSNMP, n)
		for i := range kept {
			kept[i] = session(addresses[i])
			if err := kept[i].Connect(); err != nil {
				return err
			}
			defer kept[i].Conn.Close()
		}
		ways = append(ways, way{"gosnmp, sessions kept", cpu, func(i int) error { return get(kept[i]) }})
	}
	cost := make([][]float64, len(ways)) // microseconds of each poll, by round
	repeat := max(1, 5000/n)
	for range rounds {
		for w := range ways {
			runtime.GC()
			start := ways[w].cpu()
			for range repeat {
				if err := pollAll(n, ways[w].poll); err != nil {
					return fmt.Errorf("%s: %w", ways[w].name, err)
				}
			}
			cost[w] = append(cost[w], float64((ways[w].cpu()-start).Nanoseconds())/1000/float64(n*repeat))
		}
	}
	fmt.Printf("%d hosts, %d objects by one GET, %d rounds: microseconds of CPU for each host and poll\n", n, len(objects), rounds)
	for w, one := range ways {
		ratios, toExporter := make([]float64, rounds), make([]float64, rounds)
		for i := range ratios {
			ratios[i], toExporter[i] = cost[w][i]/cost[1][i], cost[w][i]/cost[2][i]
		}
		fmt.Printf("  %-34s least %6.1f  median %6.1f   ratio to a session for each poll %.2f, to the exporter %.2f\n", one.name, slices.Min(cost[w]), median(cost[w]), median(ratios), median(toExporter))
	}
	fmt.Printf("  memory of lcms-poller: %.0f octets for each host (heap: what is measured, and the plan)\n", perHost)
	return nil
}

// pollAll asks all hosts once, many at the same time.
func pollAll(n int, poll func(i int) error) error {
	var group sync.WaitGroup
	failed := make(chan error, parallel)
	for worker := range parallel {
		group.Go(func() {
			for i := worker; i < n; i += parallel {
				if err := poll(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

func session(a netip.AddrPort) *gosnmp.GoSNMP {
	return &gosnmp.GoSNMP{Target: a.Addr().String(), Port: a.Port(), Transport: "udp", Community: community, Version: gosnmp.Version2c, Timeout: timeout, MaxOids: gosnmp.MaxOids}
}

func get(g *gosnmp.GoSNMP) error {
	p, err := g.Get(objects)
	if err == nil && (p.Error != gosnmp.NoError || len(p.Variables) != len(objects)) {
		err = fmt.Errorf("the answer is %v with %d objects", p.Error, len(p.Variables))
	}
	return err
}

// cpu returns the time that this process has used.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heap returns how much memory is in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
