// Package usage has the common behaviour of the examples' command lines. A mistake gets one line
// and status 2, before anything starts. -h prints the usage, with status 0.
package usage

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// An Error says what is wrong with a command line.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

// Errorf returns an *Error.
func Errorf(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// Parse reads the flags of a program. With -h it writes the text and then the flags to w, and
// returns flag.ErrHelp. Any other error is an *Error.
func Parse(fs *flag.FlagSet, args []string, w io.Writer, text string) error {
	fs.Init(fs.Name(), flag.ContinueOnError)
	fs.SetOutput(io.Discard) // Exit prints the error
	fs.Usage = func() {}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(w, text)
		fs.SetOutput(w)
		fs.PrintDefaults()
		return err
	case err != nil:
		return &Error{err.Error()}
	}
	return nil
}

// NoArguments returns an error if there are more arguments than flags.
func NoArguments(fs *flag.FlagSet) error {
	if fs.NArg() > 0 {
		return Errorf("unexpected argument %q", fs.Arg(0))
	}
	return nil
}

// Main runs a program, and ends it as Exit does. Ctrl-C and SIGTERM end the context of run.
func Main(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	Exit(name, err)
}

// Exit ends the program with the status of what its run returned, and tells about an error.
func Exit(name string, err error) {
	os.Exit(tell(os.Stderr, name, err))
}

func tell(w io.Writer, name string, err error) (status int) {
	switch wrong := (*Error)(nil); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(w, "%s: %v (%s -h tells more)\n", name, err, name)
		return 2
	default:
		for line := range strings.Lines(err.Error() + "\n") { // joined errors have a line each
			fmt.Fprintf(w, "%s: %s", name, line)
		}
		return 1
	}
}
