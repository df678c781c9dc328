package ldaptest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// Client is one identity at a server. Its methods run the tools of OpenLDAP;
// they may be called from several goroutines at once.
type Client struct {
	uri      string
	base     string
	dn       string // "" = anonymous, or as the socket tells
	password string
	external bool // SASL EXTERNAL: the socket tells who it is
}

// Refusal is an answer of the server that is not success, as a tool prints it.
type Refusal struct {
	Code   int // resultCode of RFC 4511, -1 if there was no answer
	Output string
}

func (r *Refusal) Error() string { return strings.TrimSpace(r.Output) }

// Entry is one that was found. Attributes are as the server spells them.
type Entry struct {
	DN         string
	Attributes map[string][]string
}

// Value returns the first value of an attribute, "" if there is none.
func (e *Entry) Value(attribute string) string {
	if v := e.Attributes[attribute]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Add adds entries, given as LDIF. It stops at the first that is refused.
func (c Client) Add(ldif string) error {
	_, err := c.run("ldapadd", ldif)
	return err
}

// Modify makes changes, given as LDIF with changetype, or without for modify.
// It stops at the first that is refused.
func (c Client) Modify(ldif string) error {
	_, err := c.run("ldapmodify", ldif)
	return err
}

// Delete deletes entries, in the order given.
func (c Client) Delete(dns ...string) error {
	_, err := c.run("ldapdelete", "", dns...)
	return err
}

// DeleteTree deletes an entry with everything below it.
func (c Client) DeleteTree(dn string) error {
	_, err := c.run("ldapdelete", "", "-r", dn)
	return err
}

// Search returns what the filter matches below the base of the server, with the
// attributes named, or all user attributes.
func (c Client) Search(filter string, attributes ...string) ([]Entry, error) {
	return c.search(append([]string{"-b", c.base, "-s", "sub", filter}, attributes...))
}

// Read returns one entry.
func (c Client) Read(dn string, attributes ...string) (Entry, error) {
	found, err := c.search(append([]string{"-b", dn, "-s", "base", "(objectClass=*)"}, attributes...))
	if err != nil || len(found) == 0 {
		return Entry{}, err
	}
	return found[0], nil
}

// WhoAmI returns the identity that the server takes the client for, such as
// dn:uid=bob,ou=manager,dc=example.
func (c Client) WhoAmI() (string, error) {
	out, err := c.run("ldapwhoami", "")
	return strings.TrimSpace(out), err
}

func (c Client) search(args []string) ([]Entry, error) {
	out, err := c.run("ldapsearch", "", append([]string{"-LLL", "-o", "ldif-wrap=no"}, args...)...)
	if err != nil {
		return nil, err
	}
	return parse(out)
}

// parse reads the LDIF that ldapsearch -LLL prints without wrapping.
func parse(ldif string) ([]Entry, error) {
	var found []Entry
	for line := range strings.Lines(ldif) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("ldapsearch printed %q", line)
		}
		if encoded, ok := strings.CutPrefix(value, ": "); ok {
			b, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return nil, fmt.Errorf("ldapsearch printed %q: %w", line, err)
			}
			value = string(b)
		} else {
			value = strings.TrimPrefix(value, " ")
		}
		if name == "dn" {
			found = append(found, Entry{DN: value, Attributes: make(map[string][]string)})
			continue
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("ldapsearch printed %q before any dn", line)
		}
		attributes := found[len(found)-1].Attributes
		attributes[name] = append(attributes[name], value)
	}
	return found, nil
}

var codeInText = regexp.MustCompile(`\((-?\d+)\)`)

func (c Client) run(name, input string, args ...string) (string, error) {
	all := []string{"-H", c.uri}
	switch {
	case c.external:
		all = append(all, "-Q", "-Y", "EXTERNAL")
	case c.dn != "":
		all = append(all, "-x", "-D", c.dn, "-w", c.password)
	default:
		all = append(all, "-x")
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(name), append(all, args...)...)
	cmd.Env = append(cmd.Environ(), "LDAPNOINIT=1") // not the machine's ldap.conf
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.String(), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not end within %s", name, limit)
	case !errors.As(err, &exit):
		return "", err
	}
	r := &Refusal{Code: exit.ExitCode(), Output: stderr.String()}
	if m := codeInText.FindStringSubmatch(r.Output); m != nil {
		r.Code, _ = strconv.Atoi(m[1]) // digits
	}
	return stdout.String(), r
}
