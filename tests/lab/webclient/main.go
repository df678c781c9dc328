// Command webclient is the client of the lab: it asks a URL (http or udp)
// for the name of the server behind it.
//
//	webclient -n COUNT URL     how often each server answered, one per line
//	webclient -for TIME URL    each outage as it ends, until the time is over
//	webclient -for TIME -rate N URL
//	                           how long answers took, every ten seconds; it asks
//	                           N times a second, whether it is answered or not
//
// The first form fails if any answer is missing. Each question has a port of its
// own: flows of UDP from the same one are the same to IPVS for minutes.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"
)

func main() {
	count := flag.Int("n", 1, "how often to ask, each time over a new connection")
	span := flag.Duration("for", 0, "watch for this long instead")
	rate := flag.Float64("rate", 0, "ask so often in a second, and tell how long it takes")
	timeout := flag.Duration("timeout", 5*time.Second, "how long to wait for an answer")
	from := flag.String("from", "", "address to ask from, for udp")
	flag.Parse()
	u, err := url.Parse(flag.Arg(0))
	if err == nil && (u.Host == "" || u.Scheme != "http" && u.Scheme != "udp") {
		err = fmt.Errorf("usage: webclient [-n COUNT | -for TIME] URL")
	}
	c := client{url: u, timeout: *timeout}
	if *from != "" {
		c.from = net.ParseIP(*from)
	}
	switch {
	case err != nil:
	case *span > 0 && *rate > 0:
		c.time(*span, *rate)
	case *span > 0:
		c.watch(*span)
	default:
		err = c.tally(*count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "webclient:", err)
		os.Exit(1)
	}
}

// client asks one URL.
type client struct {
	url     *url.URL
	timeout time.Duration
	from    net.IP // nil = any address
}

// tally asks n times and prints who answered.
func (c client) tally(n int) error {
	answers := make(map[string]int)
	for range n {
		name, done, err := c.ask()
		if err != nil {
			return err
		}
		defer done() // not before the last question: the port is taken
		answers[name]++
	}
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		fmt.Println(answers[name], name)
	}
	return nil
}

// watch asks all the time and prints how long nobody answered.
func (c client) watch(span time.Duration) {
	end := time.Now().Add(span)
	last, failures := time.Now(), 0
	for time.Now().Before(end) {
		name, done, err := c.ask()
		if err != nil {
			failures++
			continue
		}
		done()
		if failures > 0 {
			fmt.Printf("outage of %v, %d failures, then %s\n", time.Since(last).Round(time.Millisecond), failures, name)
		}
		last, failures = time.Now(), 0
		time.Sleep(20 * time.Millisecond)
	}
	if failures > 0 {
		fmt.Printf("outage of %v, %d failures, not over\n", time.Since(last).Round(time.Millisecond), failures)
	}
}

// every is how often time tells what it has found.
const every = 10 * time.Second

// time asks at a rate, and prints of those that were answered since the last time
// how long half of them took at most, four of five, and all but one of a hundred.
func (c client) time(span time.Duration, rate float64) {
	var mu sync.Mutex
	var took []time.Duration
	failures := 0
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	tell := time.NewTicker(every)
	defer tell.Stop()
	for end := time.After(span); ; {
		select {
		case <-end:
			return
		case <-ticker.C:
			go func() {
				began := time.Now()
				_, done, err := c.ask()
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failures++
					return
				}
				done()
				took = append(took, time.Since(began))
			}()
		case <-tell.C:
			mu.Lock()
			slices.Sort(took)
			if n := len(took); n > 0 {
				fmt.Printf("answers %d failures %d p50 %d ms p80 %d ms p99 %d ms\n", n, failures,
					took[n/2].Milliseconds(), took[n*4/5].Milliseconds(), took[n*99/100].Milliseconds())
			}
			took, failures = took[:0], 0
			mu.Unlock()
		}
	}
}

// ask returns who answers one question. done gives back the port.
func (c client) ask() (name string, done func(), err error) {
	if c.url.Scheme == "http" {
		name, err = c.askHTTP()
		return name, func() {}, err
	}
	d := net.Dialer{Timeout: c.timeout}
	if c.from != nil {
		d.LocalAddr = &net.UDPAddr{IP: c.from}
	}
	conn, err := d.Dial("udp", c.url.Host)
	if err != nil {
		return "", nil, err
	}
	done = func() { conn.Close() }
	if name, err = c.read(conn); err != nil {
		done()
	}
	return name, done, err
}

func (c client) read(conn net.Conn) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(c.timeout))
	if _, err := conn.Write([]byte("name?")); err != nil {
		return "", err
	}
	b := make([]byte, 2048)
	n, err := conn.Read(b)
	return string(b[:n]), err
}

func (c client) askHTTP() (string, error) {
	h := http.Client{Timeout: c.timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := h.Get(c.url.String())
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", c.url, r.Status)
	}
	return string(b), err
}
