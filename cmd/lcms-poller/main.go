// The lcms-poller watches the real servers of LVS directors: it checks them,
// measures their load, advises their weights, and reports by SNMP.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/lcms-project/lcms/internal/commandline"
	"github.com/lcms-project/lcms/internal/poller"
	"github.com/lcms-project/lcms/internal/poller/config"
	"github.com/lcms-project/lcms/internal/systemd"
)

// version is stamped by the Makefile.
var version = "unknown"

const usage = `usage:
  lcms-poller --config FILE               run
  lcms-poller check-config --config FILE  check the configuration and exit
  lcms-poller status [--socket PATH] [--watch] [--json]
                                          show what the running monitor finds
  lcms-poller version                     print the version
`

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "lcms-poller:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout *os.File, stderr io.Writer) error {
	command, options := commandline.Command(args)
	flags := flag.NewFlagSet("lcms-poller", flag.ContinueOnError)
	var path string
	var show view
	switch command {
	case "", "check-config":
		flags.StringVar(&path, "config", "", "")
	case "status":
		flags.StringVar(&show.socket, "socket", config.DefaultSocket, "")
		flags.BoolVar(&show.watch, "watch", false, "")
		flags.BoolVar(&show.json, "json", false, "")
	case "version":
	default:
		fmt.Fprint(stderr, usage)
		return fmt.Errorf("there is no command %q", command)
	}
	if done, err := commandline.Parse(flags, options, usage, stdout, stderr); done || err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch command {
	case "version":
		_, err := fmt.Fprintln(stdout, version)
		return err
	case "status":
		return show.print(ctx, stdout)
	}
	if path == "" {
		fmt.Fprint(stderr, usage)
		return errors.New("--config is missing: name the configuration file")
	}
	c, err := config.Read(path)
	if err != nil {
		return err
	}
	if command == "check-config" {
		_, err := fmt.Fprintln(stdout, path+": no fault found")
		return err
	}
	// net/http writes there what servers do that are checked; it is in their
	// status.
	stdlog.SetOutput(io.Discard)
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	log.Info("watching", "version", version, "directors", len(c.Directors))
	systemd.Ready(log)
	p := poller.New(c, version, log)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error { return systemd.Watchdog(ctx, log, p.Turning) })
	err = g.Wait()
	systemd.Stopping(log)
	return err
}
