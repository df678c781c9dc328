// The lcms-subagent publishes the IPVS table of a director as LCMS-MIB under
// net-snmp's snmpd, and takes SNMP SETs that reconfigure it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/lcms-project/lcms/agentx/smi"
	"github.com/lcms-project/lcms/internal/commandline"
	"github.com/lcms-project/lcms/internal/config"
	"github.com/lcms-project/lcms/mibs"
)

// version is stamped by the Makefile.
var version = "unknown"

const usage = `usage:
  lcms-subagent --config FILE               run
  lcms-subagent check-config --config FILE  check the configuration and exit
  lcms-subagent mib [--root-oid OID]        print LCMS-MIB
  lcms-subagent export --config FILE [--cluster ID] [--write]
                                            print as LDIF what this director holds and the
                                            directory does not; with --write, add it there
  lcms-subagent diff --config FILE          show where directory, what follows from it and
                                            kernel differ; status 0: nowhere, 1: somewhere,
                                            2: it cannot be told
  lcms-subagent version                     print the version
`

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, errDiffer):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "lcms-subagent:", err)
		if len(os.Args) > 1 && os.Args[1] == "diff" {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	command, options := commandline.Command(args)
	flags := flag.NewFlagSet("lcms-subagent", flag.ContinueOnError)
	var path, root string
	var exporting exportOptions
	switch command {
	case "", "check-config", "diff":
		flags.StringVar(&path, "config", "", "")
	case "export":
		flags.StringVar(&path, "config", "", "")
		flags.StringVar(&exporting.cluster, "cluster", "", "")
		flags.BoolVar(&exporting.write, "write", false, "")
	case "mib":
		flags.StringVar(&root, "root-oid", mibs.DefaultRoot().String(), "")
	case "version":
	default:
		fmt.Fprint(stderr, usage)
		return fmt.Errorf("there is no command %q", command)
	}
	if done, err := commandline.Parse(flags, options, usage, stdout, stderr); done || err != nil {
		return err
	}
	switch command {
	case "mib":
		return printMIB(stdout, root)
	case "version":
		_, err := fmt.Fprintln(stdout, version)
		return err
	}
	if path == "" {
		fmt.Fprint(stderr, usage)
		return errors.New("--config is missing: name the configuration file")
	}
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch command {
	case "check-config":
		return check(c, path, stdout, stderr)
	case "export":
		return export(ctx, c, exporting, stdout, stderr)
	case "diff":
		return diff(ctx, c, stdout, stderr)
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	return serve(ctx, c, log)
}

// check looks for faults beyond those of the file itself. What is amiss around it and
// does not keep the agent from its work is only told: without its directory it goes on
// with what it last had of it, and a namespace may come later.
func check(c config.Config, path string, stdout, stderr io.Writer) error {
	warnings := 0
	warn := func(err error) {
		if err != nil {
			warnings++
			fmt.Fprintf(stderr, "%s: warning: %v\n", path, err)
		}
	}
	if c.Directory.Used() {
		d, err := newDirectory(c)
		if err != nil {
			return err
		}
		warn(d.options.CheckFiles())
	}
	if c.Netns != "" {
		_, err := os.Stat(c.Netns)
		warn(err)
	}
	found := "no fault found"
	if warnings > 0 {
		found = "no other fault found"
	}
	_, err := fmt.Fprintf(stdout, "%s: %s\n", path, found)
	return err
}

func printMIB(w io.Writer, root string) error {
	oid, err := smi.ParseOID(root)
	if err != nil {
		return fmt.Errorf("--root-oid: %w", err)
	}
	text, err := mibs.Text(oid)
	if err != nil {
		return fmt.Errorf("--root-oid: %w", err)
	}
	_, err = io.WriteString(w, text)
	return err
}
