package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a folder with secrets and a configuration, in which % stands for
// the folder.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"community": "public\n", "pass": "a long pass phrase\n", "short": "short\n", "empty": "\n", "two": "a\nb\n", "open": "public\n",
		"lcms-poller.yaml": strings.ReplaceAll(text, "%", dir),
	} {
		mode := os.FileMode(0o600)
		if name == "open" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "lcms-poller.yaml")
}

func TestRead(t *testing.T) {
	c, err := Read(write(t, `
directors:
  - address: 192.0.2.10
    community-file: %/community
  - name: lb2
    address: "[2001:db8::10]:1161"
    user: lcms
    auth: SHA-256
    auth-file: %/pass
    privacy: AES
    privacy-file: %/pass
hosts:
  - networks: [10.0.0.7, 10.0.1.0/24]
    port: 1161
    community-file: %/community
  - networks: 0.0.0.0/0
    user: nobody
load: {interval: 30s}
weights: {panic: 0.3, step: 0.1}
checks: {scripts: %, parallel: 50}
log: {level: debug}
`))
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Directors; len(d) != 2 || d[0].Name != "192.0.2.10" || d[0].Agent.Address != netip.MustParseAddrPort("192.0.2.10:161") || d[0].Agent.Credentials.Community != "public" ||
		d[1].Name != "lb2" || d[1].Agent.Address != netip.MustParseAddrPort("[2001:db8::10]:1161") || d[1].Agent.Credentials.PrivacyPass != "a long pass phrase" {
		t.Errorf("directors %+v", d)
	}
	for host, port := range map[string]uint16{"10.0.0.7": 1161, "10.0.1.200": 1161, "10.0.0.8": 161} {
		if h := c.Of(netip.MustParseAddr(host)); h == nil || h.Port != port {
			t.Errorf("host %s: %+v", host, h)
		}
	}
	if h := c.Of(netip.MustParseAddr("2001:db8::1")); h != nil {
		t.Errorf("a host of which nothing is said: %+v", h)
	}
	if c.Weights.Panic != 0.3 || c.Weights.Step != 0.1 || c.Weights.Stale != 2*time.Minute || c.Checks.Parallel != 50 || c.Load.Interval != 30*time.Second {
		t.Errorf("%+v", c)
	}
	if strings.Contains(fmt.Sprintf("%+v", c), "pass phrase") {
		t.Error("the configuration shows a secret when it is printed")
	}
}

func TestFaults(t *testing.T) {
	const director = "directors: [{address: 192.0.2.10, community-file: %/community}]\n"
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":            {"", "there is no director"},
		"unknown key":        {director + "weight: {step: 1}", `.yaml:2: unknown key "weight": the keys are directors`},
		"no address":         {"directors: [{name: lb1, community-file: %/community}]", ".yaml:1: the director has no address"},
		"name as address":    {"directors: [{address: lb1, community-file: %/community}]", `.yaml:1: address "lb1": use an IP address`},
		"twice":              {"directors: [{address: 192.0.2.10, community-file: %/community}, {address: \"192.0.2.10:161\", community-file: %/community}]", "is there twice"},
		"no credentials":     {"directors: [{address: 192.0.2.10}]", ".yaml:1: there are no credentials"},
		"an address alone":   {"log: {level: info}\ndirectors:\n  - address: 192.0.2.10\n  - name: lb2", ".yaml:4: there are no credentials"},
		"an empty director":  {"log: {level: info}\ndirectors:\n  - {}", ".yaml:3: the director has no address"},
		"aliases":            {"directors: &all\n  - address: lb1\nhosts: *all", "unknown key"},
		"aliased hosts":      {director + "hosts: [&one {networks: 10.0.0.1, community-file: %/community}, *one, {networks: 10.0.0.2}]", ".yaml:2: there are no credentials"},
		"open folder":        {director + "checks: {scripts: /tmp}", ".yaml:2: checks.scripts: /tmp may be written by others than its owner: chmod go-w"},
		"no folder":          {director + "checks: {scripts: %/none}", "/none: make it, or name another"},
		"two versions":       {"directors: [{address: 192.0.2.10, community-file: %/community, user: u}]", "a community and a user"},
		"auth of v2c":        {"directors: [{address: 192.0.2.10, community-file: %/community, auth: SHA}]", "are for SNMPv3"},
		"auth without file":  {"directors: [{address: 192.0.2.10, user: u, auth: SHA}]", "go together"},
		"unknown auth":       {"directors: [{address: 192.0.2.10, user: u, auth: SHA256, auth-file: %/pass}]", `authentication "SHA256": use MD5, SHA, SHA-224`},
		"short pass phrase":  {"directors: [{address: 192.0.2.10, user: u, auth: SHA, auth-file: %/short}]", "at least 8"},
		"open file":          {"directors: [{address: 192.0.2.10, community-file: %/open}]", "can be read or written by others (mode 0644): chmod 600"},
		"no file":            {"directors: [{address: 192.0.2.10, community-file: %/none}]", "no such file"},
		"empty file":         {"directors: [{address: 192.0.2.10, community-file: %/empty}]", "is empty"},
		"two lines":          {"directors: [{address: 192.0.2.10, community-file: %/two}]", "more than one line"},
		"folder as file":     {"directors: [{address: 192.0.2.10, community-file: %}]", "no regular file"},
		"no networks":        {director + "hosts: [{community-file: %/community}]", ".yaml:2: it is not said which hosts"},
		"bad network":        {director + "hosts: [{networks: [10.0.0.0/33], community-file: %/community}]", `network "10.0.0.0/33"`},
		"bad port":           {director + "hosts: [{networks: 10.0.0.1, port: 0, community-file: %/community}]", `port "0"`},
		"bad time":           {director + "load: {interval: 10}", `load.interval "10": use a time from 1s`},
		"bad fraction":       {director + "weights: {panic: much}", `weights.panic "much"`},
		"stale too soon":     {director + "load: {interval: 60s}\nweights: {stale: 70s}", ".yaml:3: weights.stale 1m10s is less than two"},
		"relative path":      {director + "checks: {scripts: checks}", "absolute path"},
		"long socket":        {director + "status: {socket: /" + strings.Repeat("x", 107) + "}", "status.socket \"/xxx"},
		"list as value":      {director + "log: {level: [debug]}", ".yaml:2: log.level: a single value belongs here: not a list"},
		"text as list":       {"directors: x", `.yaml:1: directors: a list belongs here, each entry with "- " before it and the keys name, address, community-file, user, auth, auth-file, privacy, privacy-file, context: not the text "x"`},
		"mapping as list":    {"directors: {a: b}", ".yaml:1: directors: a list belongs here, each entry"},
		"mapping as hosts":   {director + "hosts: {networks: x}", `.yaml:2: hosts: a list belongs here, each entry with "- " before it and the keys networks, port,`},
		"text as director":   {"directors: [192.0.2.10]", ".yaml:1: directors: a mapping belongs here, with the keys name, address,"},
		"number as mapping":  {director + "checks: 3", ".yaml:2: checks: a mapping belongs here, with the keys parallel, scripts: not the number 3"},
		"list as mapping":    {director + "checks: [1]", ".yaml:2: checks: a mapping belongs here, with the keys parallel, scripts: not a list"},
		"text as mapping":    {director + "log: debug", `.yaml:2: log: a mapping belongs here, with the keys level: not the text "debug"`},
		"load":               {director + "load: 5", ".yaml:2: load: a mapping belongs here, with the keys interval, timeout, attempts, parallel: not the number 5"},
		"all are told":       {"directors: [{address: x, community-file: %/open}]\nlog: {level: loud}", "log.level"},
		"the secret is kept": {"directors: [{address: 192.0.2.10, user: u, auth: SHA, auth-file: %/pass, privacy: X, privacy-file: %/pass}]", "privacy"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(write(t, tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "pass phrase\n") || strings.Contains(err.Error(), "a long pass") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}
