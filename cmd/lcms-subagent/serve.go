package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcms-project/lcms/agentx"
	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/config"
	"github.com/lcms-project/lcms/internal/control"
	"github.com/lcms-project/lcms/internal/ipvs"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
	"github.com/lcms-project/lcms/internal/lcmsmib"
	"github.com/lcms-project/lcms/internal/localstore"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/internal/notify"
	"github.com/lcms-project/lcms/internal/systemd"
	"github.com/lcms-project/lcms/ldapsync"
	"github.com/lcms-project/lcms/mibs"
)

// driftPolicies are those of the configuration.
var driftPolicies = map[string]lvs.DriftPolicy{"enforce": lvs.DriftEnforce, "alert": lvs.DriftAlert, "adopt": lvs.DriftAdopt}

// serve wires the parts together and runs them until ctx ends.
func serve(ctx context.Context, c config.Config, log *slog.Logger) error {
	store, err := localstore.Open(c.StorePath)
	if err != nil {
		return err
	}
	defer store.Close()
	g, ctx := errgroup.WithContext(ctx)
	kernel, closeKernel := newKernel(ctx, g, c, log)
	defer closeKernel()
	var (
		ctl     *control.Control
		module  *lcmsmib.Module
		session *agentx.Session
	)
	queue := notify.New(notify.Options{
		Send: func(ctx context.Context, events []notify.Numbered) []error {
			list := make([][]smi.Varbind, len(events))
			for i, e := range events {
				list[i] = module.Notification(e.Event, e.Sequence)
			}
			return session.NotifyAll(ctx, "", list)
		},
		Settings: func() lvs.Settings { return ctl.Snapshot().Director.Settings },
		Log:      log,
	})
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	own, err := hostName(c)
	if err != nil && c.Directory.Used() {
		return err
	}
	options := control.Options{
		Kernel: kernel, Store: store, Log: log, Host: own, Drift: driftPolicies[c.Drift], Observe: queue.Add,
		Passive: c.Directory.Observe, Queue: c.Directory.Queue,
	}
	if c.Directory.Used() {
		d, err := newDirectory(c)
		if err != nil {
			return err
		}
		follower, err := d.follower(log)
		if err != nil {
			return err
		}
		options.Directory = ldapsync.NewDirectory(follower)
		ctl = control.New(options)
		follower.Target = ctl
		g.Go(func() error { return follower.Run(ctx) })
	} else {
		ctl = control.New(options)
	}
	root := c.RootOID
	if root == nil {
		root = mibs.DefaultRoot()
	}
	module, err = lcmsmib.New(lcmsmib.Options{
		Root: root, Control: ctl, Version: version, HostName: host,
		Agent: func() lcmsmib.Agent { return figures(session.Stats(), queue.Stats()) },
	})
	if err != nil {
		return err
	}
	session = agentx.New(agentx.Options{
		Network: c.AgentXNetwork, Address: c.AgentXAddress,
		ID: root, Description: "LCMS subagent " + version,
		Registrations: []agentx.Registration{{Subtree: root}},
		Capabilities:  []agentx.Capability{{ID: root.Child(2, 3, 1, 1), Description: "LCMS-MIB, Linux virtual server"}},
		Handler:       module,
		Log:           log,
	})
	// When ctx ends, director and session stay until what waits has been told.
	serving, leave := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer leave()
		return queue.Run(ctx)
	})
	g.Go(func() error { return ctl.Run(serving) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-ctl.Ready():
		}
		log.Info("serving", "version", version, "agentx", c.AgentXNetwork+":"+c.AgentXAddress, "root", root.String())
		systemd.Ready(log)
		return session.Run(serving)
	})
	g.Go(func() error { return systemd.Watchdog(ctx, log, ctl.Turning) })
	g.Go(func() error { return tuneCollector(ctx) })
	err = g.Wait()
	systemd.Stopping(log)
	return err
}

// newKernel returns the kernel that the configuration asks for, and what gives
// back what it holds.
func newKernel(ctx context.Context, g *errgroup.Group, c config.Config, log *slog.Logger) (control.Kernel, func()) {
	if !c.Memory {
		k := ipvs.New(ipvs.Options{Netns: c.Netns, Log: log})
		return k, func() {
			if err := k.Close(); err != nil {
				log.Error("closing the kernel", "error", err)
			}
		}
	}
	k := memory.New(memory.Options{})
	if c.Traffic > 0 {
		g.Go(func() error { return makeTraffic(ctx, k, c.Traffic) })
	}
	return k, func() {}
}

// makeTraffic lets made-up clients use the in-memory kernel: connections per
// second for each service, a small web page each.
func makeTraffic(ctx context.Context, k *memory.Kernel, connections uint64) error {
	k.SetTraffic(lvs.ServiceKey{}, memory.Traffic{
		Connections: connections, Duration: 3 * time.Second,
		InPackets: 6, OutPackets: 8, InBytes: 700, OutBytes: 9000,
	})
	const step = 500 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			k.Advance(step)
		}
	}
}
