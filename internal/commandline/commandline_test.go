package commandline

import (
	"flag"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const usage = "usage: do\n"
	for _, c := range []struct {
		args           string
		command        string
		file           string
		done           bool
		err            string
		stdout, stderr string
	}{
		{args: "", command: ""},
		{args: "--file x", file: "x"},
		{args: "do --file x", command: "do", file: "x"},
		{args: "do -h", command: "do", done: true, stdout: usage},
		{args: "--help", done: true, stdout: usage},
		{args: "do --colour", command: "do", err: "colour", stderr: usage},
		{args: "do --file", command: "do", err: "needs an argument", stderr: usage},
		{args: "do --file x y", command: "do", file: "x", err: `"y" is one argument too many`, stderr: usage},
	} {
		command, options := Command(strings.Fields(c.args))
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		file := flags.String("file", "", "")
		var stdout, stderr strings.Builder
		done, err := Parse(flags, options, usage, &stdout, &stderr)
		if command != c.command || *file != c.file || done != c.done || stdout.String() != c.stdout || stderr.String() != c.stderr {
			t.Errorf("%q: command %q, file %q, done %t, prints %q and says %q; want %+v", c.args, command, *file, done, stdout.String(), stderr.String(), c)
		}
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, want %q", c.args, err, c.err)
		}
	}
}
