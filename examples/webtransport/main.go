// Command webtransport measures round-trip times over WebTransport, by datagrams and by
// streams: in a browser, as a live plot, and on the terminal.
//
//	webtransport [-addr HOST:PORT] [-page HOST:PORT] [-cert FILE]    serve
//	webtransport -connect URL [-ca FILE | -insecure] [-n COUNT]      measure
//
// The server echoes streams and datagrams of sessions at https://ADDR/echo. It makes
// itself a certificate, and serves the page at http://PAGE/ over plain HTTP, which
// browsers take for secure on this machine: the page names the hash of the certificate,
// so that no browser has to be told to trust it. -cert is a file to write the certificate to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "webtransport:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	addr, page, cert string

	connect  string
	ca       string
	insecure bool
	n        int
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	fs := flag.NewFlagSet("webtransport", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.addr, "addr", "127.0.0.1:4433", "UDP `address` to serve WebTransport on")
	fs.StringVar(&o.page, "page", "127.0.0.1:8080", "TCP `address` to serve the page on")
	fs.StringVar(&o.cert, "cert", "", "`file` to write the certificate to, as PEM")
	fs.StringVar(&o.connect, "connect", "", "`URL` of a server to measure")
	fs.StringVar(&o.ca, "ca", "", "certificate to trust, a PEM `file`")
	fs.BoolVar(&o.insecure, "insecure", false, "trust any certificate")
	fs.IntVar(&o.n, "n", 10, "how many of each to measure")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.connect != "":
		return measure(ctx, &o, stdout)
	}
	return serve(ctx, &o, stdout)
}
