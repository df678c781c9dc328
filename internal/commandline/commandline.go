// Package commandline reads the arguments of the commands: a word that says what to
// do, or none, then options, and nothing after them.
package commandline

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// Command returns the word that says what to do, "" if there is none, and what
// follows it.
func Command(args []string) (command string, options []string) {
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		return args[0], args[1:]
	}
	return "", args
}

// Parse reads options into flags. Where the help is asked for, it prints usage to
// stdout and is done: there is nothing else to do. Before an error it prints usage to
// stderr; the error is not printed yet.
func Parse(flags *flag.FlagSet, options []string, usage string, stdout, stderr io.Writer) (done bool, err error) {
	flags.SetOutput(io.Discard)
	err = flags.Parse(options)
	if errors.Is(err, flag.ErrHelp) {
		_, err = fmt.Fprint(stdout, usage)
		return true, err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%q is one argument too many", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprint(stderr, usage)
	}
	return false, err
}
