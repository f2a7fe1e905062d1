// Command webtransport measures round-trip times over WebTransport, by datagrams and by
// streams: in a browser, as a live plot, and on the terminal.
//
//	webtransport [-addr HOST:PORT] [-page HOST:PORT] [-cert FILE]    serve
//	webtransport -connect URL [-ca FILE | -insecure] [-n COUNT]      measure
//
// The server echoes streams and datagrams of sessions at https://ADDR/echo. It makes itself a
// certificate, and serves the page at http://PAGE/ over plain HTTP, which browsers treat as secure
// on this machine. The page has the hash of the certificate, so no browser has to be told to trust
// it. -cert is a file to write the certificate to.
package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"net/url"
	"os"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

func main() {
	usage.Main("webtransport", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

// options are the flags.
type options struct {
	addr, page, cert string

	connect  string
	ca       string
	insecure bool
	n        int
}

const usageText = `usage: webtransport [-addr HOST:PORT] [-page HOST:PORT] [-cert FILE]
       webtransport -connect URL [-ca FILE | -insecure] [-n COUNT]
`

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var o options
	var fs flag.FlagSet
	fs.StringVar(&o.addr, "addr", "127.0.0.1:4433", "UDP `address` to serve WebTransport on")
	fs.StringVar(&o.page, "page", "127.0.0.1:8080", "TCP `address` to serve the page on")
	fs.StringVar(&o.cert, "cert", "", "`file` to write the certificate to, as PEM")
	fs.StringVar(&o.connect, "connect", "", "`URL` of a server to measure")
	fs.StringVar(&o.ca, "ca", "", "certificate to trust, a PEM `file`")
	fs.BoolVar(&o.insecure, "insecure", false, "trust any certificate")
	fs.IntVar(&o.n, "n", 10, "how many of each to measure")
	if err := usage.Parse(&fs, args, stdout, usageText); err != nil {
		return err
	}
	if err := cmp.Or(usage.NoArguments(&fs), o.check()); err != nil {
		return err
	}
	if o.connect != "" {
		return measure(ctx, &o, stdout)
	}
	return serve(ctx, &o, stdout)
}

func (o *options) check() error {
	if o.connect == "" {
		if o.ca != "" || o.insecure {
			return usage.Errorf("-ca and -insecure go with -connect")
		}
		return cmp.Or(usage.Address("addr", o.addr), usage.Address("page", o.page), usage.NewFile("cert", o.cert))
	}
	if u, err := url.Parse(o.connect); err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return usage.Errorf("-connect %q: want https://HOST:PORT/PATH", o.connect)
	}
	if o.ca != "" && o.insecure {
		return usage.Errorf("-ca and -insecure exclude each other")
	}
	return cmp.Or(usage.File("ca", o.ca), usage.AtLeast("n", o.n, 1))
}
