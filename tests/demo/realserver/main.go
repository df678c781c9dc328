// Command realserver is a real server of the demonstration, or its clients.
//
//	realserver -name NAME -address ADDRESS:PORT [-work TIME]
//	realserver -clients -director ADDRESS:PORT -service KEY
//
// A server answers its name over HTTP, after some work if it is asked for that,
// and tells over SNMP, at the same port of UDP, how busy the work keeps it. It
// prints the address that it has: if the port is taken, it is another one.
// SIGUSR1 makes it slow, and quick again.
//
// The clients make the connections that the in-memory kernel of a director counts
// for each server of a service: that kernel forwards nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// community is that of all agents of the demonstration.
const community = "demo"

func main() {
	name := flag.String("name", "realserver", "what to answer")
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	work := flag.Duration("work", 25*time.Millisecond, "how long an answer takes")
	clients := flag.Bool("clients", false, "be the clients")
	director := flag.String("director", "127.0.0.1:161", "the director whose connections to make")
	service := flag.String("service", "", "and the service of it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	if *clients {
		var at netip.AddrPort
		if at, err = netip.ParseAddrPort(*director); err == nil {
			err = makeConnections(ctx, at, *service)
		}
	} else {
		var at netip.AddrPort
		if at, err = netip.ParseAddrPort(*address); err == nil {
			err = serve(ctx, at, *name, *work)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "realserver:", err)
		os.Exit(1)
	}
}
