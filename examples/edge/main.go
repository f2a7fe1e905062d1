// Command edge is an edge terminator: it takes HTTP/3, HTTP/2 and HTTP/1.1 from clients, and
// passes requests on to pools of backends.
//
//	edge [-config FILE] [-check] [-addr HOST:PORT] [-handover PATH]
//	edge -new-ech NAME
//
// Without -config it is a demonstration, with two backends of its own and a certificate that it
// makes. docs/edge.md describes the file.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

func main() {
	usage.Main("edge", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout, os.Stderr) })
}

// options are the flags.
type options struct {
	config   string
	check    bool
	addr     string
	handover string
	newECH   string
}

const usageText = `usage: edge [flags]

Without -config edge is a demonstration, with two backends of its own and a certificate that it
makes. docs/edge.md describes the file. Flags:
`

func parseFlags(args []string, stdout io.Writer) (*options, error) {
	var o options
	var fs flag.FlagSet
	fs.StringVar(&o.config, "config", "", "the YAML `file` that says what to serve")
	fs.BoolVar(&o.check, "check", false, "look at the file and at those it names, and serve nothing")
	fs.StringVar(&o.addr, "addr", "127.0.0.1:8443", "`address` of the demonstration")
	fs.StringVar(&o.handover, "handover", "", "take over from the edge that runs with the same `path`, and let the next one take over")
	fs.StringVar(&o.newECH, "new-ech", "", "print a new key for encrypted ClientHellos and end; observers see the `name`")
	if err := usage.Parse(&fs, args, stdout, usageText); err != nil {
		return nil, err
	}
	if err := cmp.Or(usage.NoArguments(&fs), usage.Address("addr", o.addr)); err != nil {
		return nil, err
	}
	if o.newECH != "" && (len(o.newECH) > maxName || !outerName.MatchString(o.newECH)) {
		return nil, usage.Errorf("-new-ech %q: want a name such as public.example.org", o.newECH)
	}
	if o.check && o.config == "" {
		return nil, usage.Errorf("-check goes with -config")
	}
	return &o, nil
}

// run serves until ctx is done, and then ends gracefully.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	if o.newECH != "" {
		return writeECH(stdout, o.newECH)
	}
	var d *demo
	if o.config == "" {
		if d, err = startDemo(o.addr); err != nil {
			return err
		}
		defer d.close()
		o.config = d.config()
	}
	c, err := readConfig(o.config)
	if err != nil {
		return usage.Errorf("%v", err)
	}
	if o.check {
		fmt.Fprintf(stdout, "%s: %d routes to %d pools\n", o.config, len(c.Routes), len(c.Pools))
		return nil
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	s, err := openSockets(ctx, o.handover, log)
	if err != nil {
		return err
	}
	defer s.close()
	e, err := newEdge(c, log, s)
	if err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		e.close()
		return err
	}
	if d != nil {
		d.tell(stdout, e.addr())
	} else {
		fmt.Fprintf(stdout, "serving https://%v/\n", e.addr())
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return e.serve(ctx, hup)
}
