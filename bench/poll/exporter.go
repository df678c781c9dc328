package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// exporterProgram is that of Debian's prometheus-snmp-exporter.
const exporterProgram = "prometheus-snmp-exporter"

// exporter asks hosts for the same objects, and is asked for what it found.
type exporter struct {
	*process
	address string
	client  *http.Client
}

// startExporter starts it with a module of those objects.
func startExporter(dir string) (*exporter, error) {
	conf := filepath.Join(dir, "snmp.yml")
	b := &strings.Builder{}
	fmt.Fprintf(b, "lcms:\n  version: 2\n  auth: {community: %s}\n  max_repetitions: 25\n  timeout: %s\n  retries: 0\n  get:\n", community, timeout)
	for _, name := range objects {
		fmt.Fprintf(b, "  - %s\n", name[1:])
	}
	b.WriteString("  metrics:\n")
	for i, name := range objects {
		kind, at, indexes := "gauge", strings.LastIndexByte(name, '.'), ""
		if i > 0 && i < 7 {
			kind = "counter"
		}
		if name[at:] != ".0" { // a column and its index
			indexes = ", indexes: [{labelname: index, type: gauge}]"
		}
		fmt.Fprintf(b, "  - {name: object%d, oid: %s, type: %s, help: none%s}\n", i, name[1:at], kind, indexes)
	}
	if err := os.WriteFile(conf, []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	p, err := start(filepath.Join(dir, "exporter.log"), exporterProgram, "--config.file="+conf, "--web.listen-address="+address, "--log.level=error")
	if err != nil {
		return nil, fmt.Errorf("%w: install %s", err, exporterProgram)
	}
	e := &exporter{p, address, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: parallel}, Timeout: 2 * timeout}}
	if err := within(time.Minute, 20*time.Millisecond, func() error {
		c, err := net.Dial("tcp4", address)
		if err == nil {
			c.Close()
		}
		return err
	}); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s does not listen: %w: %s", exporterProgram, err, p.said())
	}
	return e, nil
}

// poll has a host asked.
func (e *exporter) poll(host netip.AddrPort) error {
	query := url.Values{"target": {host.String()}, "module": {"lcms"}}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+e.address+"/snmp?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := e.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || strings.Count(string(text), "\nobject") != len(objects)) {
		err = fmt.Errorf("%s: %d objects in %s", answer.Status, strings.Count(string(text), "\nobject"), text)
	}
	return err
}
