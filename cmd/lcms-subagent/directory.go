package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/lcms-project/lcms/internal/config"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync"
)

// directory is where the directory is and who we are in it.
type directory struct {
	options ldapsync.Options
	base    ldapsync.Base
	own     lvs.HostName
}

// newDirectory returns what the configuration says of the directory.
func newDirectory(c config.Config) (directory, error) {
	own, err := hostName(c)
	if err != nil {
		return directory{}, err
	}
	base, err := ldapsync.ParseBase(c.Directory.Base)
	if err != nil {
		return directory{}, fmt.Errorf("directory.%w", err)
	}
	d := directory{base: base, own: own, options: ldapsync.Options{
		URIs:         c.Directory.URIs,
		BindDN:       c.Directory.BindDN,
		PasswordFile: c.Directory.PasswordFile,
		StartTLS:     c.Directory.StartTLS,
		CAFile:       c.Directory.CAFile,
		WriteTimeout: c.Directory.WriteTimeout,
	}}
	return d, d.options.Check()
}

// follower returns what follows the directory and writes to it. Who is to follow
// is told by its Target.
func (d directory) follower(log *slog.Logger) (*ldapsync.Follower, error) {
	w, err := ldapsync.NewWriter(d.options, d.base, string(d.own))
	if err != nil {
		return nil, err
	}
	return ldapsync.NewFollower(ldapsync.Following{Options: d.options, Base: d.base, Own: d.own, Writer: w, Log: log})
}

// hostName returns by which name members and hosts have this director: as it is
// configured, or as the machine is called up to the first dot.
func hostName(c config.Config) (lvs.HostName, error) {
	if c.Host != "" {
		return lvs.HostName(c.Host), nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name: %w: set host", err)
	}
	first, _, _ := strings.Cut(name, ".")
	own, err := lvs.ParseHostName(strings.ToLower(first))
	if err != nil {
		return "", fmt.Errorf("this machine is called %q: %w: set host", name, err)
	}
	return own, nil
}
