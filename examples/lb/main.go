// Command lb is a balancer of UDP datagrams for QUIC servers. It finds the server of a connection
// by the connection ID, which servers issue as QUIC-LB says (draft-ietf-quic-load-balancers). So a
// connection stays with its server when the client's address changes.
//
//	lb -config FILE [-check]
//	lb -demo
//
// docs/balancer.md describes the file.
package main

import (
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
	usage.Main("lb", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout, os.Stderr) })
}

// options are the flags.
type options struct {
	config string
	check  bool
	demo   bool
}

const usageText = `usage: lb -config FILE [-check]
       lb -demo

lb passes QUIC packets on to the server that their connection ID names. docs/balancer.md describes
the file. Without flags it shows -demo. Flags:
`

func parseFlags(args []string, stdout io.Writer) (*options, error) {
	var o options
	var fs flag.FlagSet
	fs.StringVar(&o.config, "config", "", "the YAML `file` that names servers and the format of connection IDs")
	fs.BoolVar(&o.check, "check", false, "look at the file, and forward nothing")
	fs.BoolVar(&o.demo, "demo", false, "show with two servers and a client what happens when the client's address changes")
	if err := usage.Parse(&fs, args, stdout, usageText); err != nil {
		return nil, err
	}
	if err := usage.NoArguments(&fs); err != nil {
		return nil, err
	}
	switch {
	case o.demo && o.config != "":
		return nil, usage.Errorf("-demo and -config exclude each other")
	case o.check && o.config == "":
		return nil, usage.Errorf("-check goes with -config")
	}
	return &o, nil
}

// run forwards until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	if o.config == "" {
		return demonstrate(ctx, stdout)
	}
	c, err := readConfig(o.config)
	if err != nil {
		return usage.Errorf("%v", err)
	}
	if o.check {
		fmt.Fprintf(stdout, "%s: %d backends, %d configurations of IDs\n", o.config, len(c.addrs), len(c.IDs))
		return nil
	}
	b, err := newBalancer(c, slog.New(slog.NewJSONHandler(stderr, nil)))
	if err != nil {
		return err
	}
	stop, err := b.serveAdmin(c.Admin)
	if err != nil {
		b.close()
		return err
	}
	defer stop()
	fmt.Fprintf(stdout, "forwarding from %v to %d backends\n", b.addr(), len(c.addrs))
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go b.keepCurrent(ctx, hup, filePoll)
	return b.run(ctx)
}
