// Command webserver is a real server of the lab: whatever it is asked, it
// answers its name.
//
//	webserver -name NAME [-http ADDRESS,...] [-tcp ADDRESS,...] [-udp ADDRESS,...]
//
// Over HTTP the name is the body, over plain TCP it is all that is sent, over
// UDP it is the answer to each datagram; give UDP addresses in full, or the
// answer may come from another one of the host.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	name := flag.String("name", "", "what to answer")
	web := flag.String("http", "", "addresses to serve HTTP at")
	tcp := flag.String("tcp", "", "addresses to serve TCP at")
	udp := flag.String("udp", "", "addresses to serve UDP at")
	flag.Parse()
	failed := make(chan error)
	serve := func(addresses string, f func(address, name string) error) {
		for address := range strings.SplitSeq(addresses, ",") {
			if address != "" {
				go func() { failed <- f(address, *name) }()
			}
		}
	}
	serve(*web, serveHTTP)
	serve(*tcp, serveTCP)
	serve(*udp, serveUDP)
	fmt.Fprintln(os.Stderr, "webserver:", <-failed)
	os.Exit(1)
}

func serveHTTP(address, name string) error {
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name)
	}))
}

func serveTCP(address, name string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		_, _ = io.WriteString(c, name)
		c.Close()
	}
}

func serveUDP(address, name string) error {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	b := make([]byte, 2048)
	for {
		_, client, err := c.ReadFrom(b)
		if err != nil {
			return err
		}
		_, _ = c.WriteTo([]byte(name), client)
	}
}
