package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/config"
	"github.com/lcms-project/lcms/internal/ipvs"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync"
)

// exportLimit is how long reading the kernel and the directory may take.
const exportLimit = time.Minute

// exportOptions are the flags of the command.
type exportOptions struct {
	cluster string // that services of none are put into
	write   bool   // into the directory; else LDIF is printed
}

// export brings into the directory what this director holds and the directory
// does not: by default only as LDIF, which shows what would be done.
func export(ctx context.Context, c config.Config, o exportOptions, stdout, stderr io.Writer) error {
	if !c.Directory.Used() {
		return errors.New("export: no directory is configured: set directory.uris and directory.base")
	}
	d, err := newDirectory(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, exportLimit, fmt.Errorf("not done within %s", exportLimit))
	defer cancel()
	rows, err := held(ctx, c, stderr)
	if err != nil {
		return err
	}
	if o.cluster != "" {
		if err := intoCluster(&rows, o.cluster); err != nil {
			return err
		}
	}
	there, err := ldapsync.Load(ctx, d.options, d.base, d.own)
	if err != nil {
		return err
	}
	missing, differing := lvs.Missing(&rows, there.Config)
	for _, what := range differing {
		fmt.Fprintf(stderr, "left as it is: the directory has %s otherwise\n", what)
	}
	if !o.write {
		if err := ldapsync.WriteLDIF(stdout, d.base, d.own, &missing, there.Has); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "dry run: %s would be added: with --write they are\n", countRows(&missing))
		return nil
	}
	w, err := ldapsync.NewWriter(d.options, d.base, string(d.own))
	if err != nil {
		return err
	}
	defer w.Close()
	config := there.Config
	for _, part := range inParts(&missing) {
		part.Dangling = true
		if err := w.Write(ctx, &part, config, lvs.Requester{ID: "export", Who: "lcms-subagent export"}); err != nil {
			return fmt.Errorf("export: %w: what was added before stays; repeat it to go on", err)
		}
		if config, err = config.Apply(&part); err != nil {
			return err
		}
	}
	fmt.Fprintf(stderr, "%s added\n", countRows(&missing))
	return nil
}

// held returns every row that this director holds: what its store keeps, and
// what the kernel holds beside it.
func held(ctx context.Context, c config.Config, stderr io.Writer) (lvs.Change, error) {
	stored, err := localstore.Read(c.StorePath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil && c.Memory:
		return lvs.Change{}, fmt.Errorf("export: the in-memory kernel is inside the running agent, and %w", err)
	case err != nil:
		fmt.Fprintf(stderr, "only what the kernel holds, without names and what is drained or down: %v\n", err)
	}
	rows := stored.Rows
	rows.Source, rows.Settings = lvs.SourceAgent, nil
	if c.Memory {
		return rows, nil
	}
	k := ipvs.New(ipvs.Options{Netns: c.Netns})
	defer k.Close()
	actual, err := k.Read(ctx)
	if err != nil {
		return rows, fmt.Errorf("kernel: %w", err)
	}
	for _, a := range actual.Services {
		if !slices.ContainsFunc(rows.PutServices, func(s lvs.Service) bool { return s.Key == a.Key }) {
			rows.PutServices = append(rows.PutServices, a.Desired())
		}
		for j := range a.Servers {
			s := &a.Servers[j]
			known := slices.ContainsFunc(rows.PutServers, func(r lvs.ServerAt) bool { return r.Service == a.Key && r.Server.Key == s.Key })
			if !known && s.Forwarding != lvs.Bypass {
				rows.PutServers = append(rows.PutServers, lvs.ServerAt{Service: a.Key, Server: s.Desired()})
			}
		}
	}
	return rows, nil
}

// intoCluster puts the services that are of no cluster into one.
func intoCluster(rows *lvs.Change, name string) error {
	id, err := lvs.ParseClusterID(name)
	if err != nil {
		return fmt.Errorf("--cluster: %w", err)
	}
	if !slices.ContainsFunc(rows.PutClusters, func(c lvs.Cluster) bool { return c.ID == id }) {
		rows.PutClusters = append(rows.PutClusters, lvs.NewCluster(id))
	}
	for i := range rows.PutServices {
		if rows.PutServices[i].Cluster == "" {
			rows.PutServices[i].Cluster = id
		}
	}
	return nil
}

// partSize is how many rows are written at once: a write has to be done within
// the time that a SET has.
const partSize = 100

// inParts divides a change into ones that are made one after the other, each with
// what the next ones need.
func inParts(c *lvs.Change) []lvs.Change {
	parts := []lvs.Change{{Source: c.Source, PutHosts: c.PutHosts, PutClusters: c.PutClusters, PutMembers: c.PutMembers, PutDaemons: c.PutDaemons, Timeouts: c.Timeouts}}
	for services := range slices.Chunk(c.PutServices, partSize) {
		parts = append(parts, lvs.Change{Source: c.Source, PutServices: services})
	}
	for servers := range slices.Chunk(c.PutServers, partSize) {
		parts = append(parts, lvs.Change{Source: c.Source, PutServers: servers})
	}
	return slices.DeleteFunc(parts, func(part lvs.Change) bool { return part.IsEmpty() })
}

// countRows says how much a change adds.
func countRows(c *lvs.Change) string {
	others := len(c.PutHosts) + len(c.PutClusters) + len(c.PutMembers) + len(c.PutDaemons)
	if c.Timeouts != nil {
		others++
	}
	return fmt.Sprintf("%d services, %d servers and %d others", len(c.PutServices), len(c.PutServers), others)
}
