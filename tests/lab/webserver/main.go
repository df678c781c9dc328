// Command webserver is a real server of the lab: whatever it is asked, it
// answers its name.
//
//	webserver -name NAME [-http ADDRESS,...] [-udp ADDRESS,...] [-cost TIME -hog FILE]
//
// Over HTTP the name is the body, over UDP it is the answer to each datagram; give
// UDP addresses in full, or the answer may come from another one of the host.
//
// Over HTTP /work takes time first, one request after the other: what hostload
// says that a connection costs, on a processor of which somebody else uses what
// the file says.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	name := flag.String("name", "", "what to answer")
	web := flag.String("http", "", "addresses to serve HTTP at")
	udp := flag.String("udp", "", "addresses to serve UDP at")
	flag.DurationVar(&work.cost, "cost", 0, "time of the processor that /work takes")
	flag.StringVar(&work.hog, "hog", "", "file with the percent of the processor that somebody else uses")
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
	serve(*udp, serveUDP)
	fmt.Fprintln(os.Stderr, "webserver:", <-failed)
	os.Exit(1)
}

func serveHTTP(address, name string) error {
	var mux http.ServeMux
	mux.HandleFunc("/work", func(w http.ResponseWriter, _ *http.Request) {
		if err := work.do(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, name)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	return http.ListenAndServe(address, &mux)
}

// work is the processor of the host.
var work processor

type processor struct {
	cost time.Duration
	hog  string
	mu   sync.Mutex // held by the request that has it
}

func (p *processor) do() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 1.0
	if p.hog != "" {
		text, err := os.ReadFile(p.hog)
		if err != nil {
			return err
		}
		percent, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		if err != nil {
			return fmt.Errorf("%s: %w", p.hog, err)
		}
		left = max(1-percent/100, 0.02)
	}
	time.Sleep(time.Duration(float64(p.cost) / left))
	return nil
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
