package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// serverStatsConnections is the column of LCMS-MIB, below its standard root.
var serverStatsConnections = snmp.MustOID("1.3.6.1.4.1.8072.9999.9999.5267.1.5.2.1.1")

const (
	every = time.Second
	// most is how many connections to a server are made in that time, and how many
	// may be open.
	most = 200
)

// makeConnections sends an HTTP request to each server of the service for every
// connection that the director has given it, until the context ends.
func makeConnections(ctx context.Context, director netip.AddrPort, service string) error {
	client := snmp.NewClient(5*time.Second, 1)
	defer client.Close()
	agent := snmp.Agent{Address: director, Credentials: &snmp.Credentials{Community: community}}
	column := serverStatsConnections.Child(text(service)...)
	web := &http.Client{Timeout: every, Transport: &http.Transport{DisableKeepAlives: true}}
	open := make(map[string]chan struct{})
	before := make(map[string]uint64)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		rows, err := snmp.Table(ctx, client, agent, 0, column)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil { // else the director is asked again
			for i := range rows {
				server, now := name(rows[i].Index), rows[i].Number(0)
				last, known := before[server]
				if before[server] = now; !known || now <= last {
					continue
				}
				if open[server] == nil {
					open[server] = make(chan struct{}, most)
				}
				go spread(ctx, web, open[server], server, min(now-last, most))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// spread makes n requests, evenly over the time until the next come.
func spread(ctx context.Context, web *http.Client, open chan struct{}, server string, n uint64) {
	for range n {
		select {
		case open <- struct{}{}:
			go func() {
				defer func() { <-open }()
				visit(ctx, web, server)
			}()
		default: // the server takes no more
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every / time.Duration(n)):
		}
	}
}

// visit makes one request. That it fails is what the monitor is there for.
func visit(ctx context.Context, web *http.Client, server string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/", server), nil)
	if err != nil {
		return
	}
	answer, err := web.Do(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}

// text is a text as an index: its length, then its octets. name is the other way
// round.
func text(s string) snmp.OID {
	oid := snmp.OID{uint32(len(s))}
	for i := range len(s) {
		oid = append(oid, uint32(s[i]))
	}
	return oid
}

func name(index snmp.OID) string {
	var b []byte
	for _, sub := range index[min(1, len(index)):] {
		b = append(b, byte(sub))
	}
	return string(b)
}
