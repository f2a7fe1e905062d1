// Command h3server is an HTTP/3 server to look at and to play with.
//
//	h3server [-addr HOST:PORT] [-cert FILE -key FILE] [-root DIR] [-loops N] [-v]
//	[-debug HOST:PORT]
//
// About connections:
//
//	[-retry] [-cc NAME] [-versions LIST] [-0rtt] [-preferred-address HOST:PORT]
//	[-key-update TIME] [-secret TEXT] [-qlog DIR] [-pcap FILE]
//
// Without -cert and -key it makes itself a certificate, and prints command lines that
// trust it. If the environment has SSLKEYLOGFILE, it logs the keys of its connections
// there, for Wireshark. QLOGDIR is a directory for qlogs.
//
//	GET /          a page about the connection that it came on
//	GET /bytes/N   N bytes
//	POST /echo     the body back, while it comes
//	POST /sum      the SHA-256 of the body
//	GET /headers   the header fields of the request, as JSON
//	GET /events    server-sent events, as many as ?n=N says, one every tenth of a second
//
// Other paths are files under the directory of -root.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/h3/h3http"
)

func main() {
	usage.Main("h3server", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout, os.Stderr) })
}

// options are the flags.
type options struct {
	addr      string
	cert, key string
	root      string
	loops     int
	verbose   bool
	quic      quicOptions
	debug     debugPages
}

const usageText = `usage: h3server [flags]

What it serves:

  GET /          a page about the connection that it came on
  GET /bytes/N   N bytes
  POST /echo     the body back, while it comes
  POST /sum      the SHA-256 of the body
  GET /headers   the header fields of the request, as JSON
  GET /events    server-sent events, as many as ?n=N says, one every tenth of a second

Other paths are files under the directory of -root. Flags:
`

func parseFlags(args []string, stdout io.Writer) (*options, error) {
	var o options
	var fs flag.FlagSet
	fs.StringVar(&o.addr, "addr", "127.0.0.1:4433", "UDP `address` to serve on")
	fs.StringVar(&o.cert, "cert", "", "certificate chain, a PEM `file`; default is to make one")
	fs.StringVar(&o.key, "key", "", "its private key, a PEM `file`")
	fs.StringVar(&o.root, "root", "", "serve the files of a `directory`")
	fs.IntVar(&o.loops, "loops", runtime.GOMAXPROCS(0), "how many loops, each with a core and a socket")
	fs.BoolVar(&o.verbose, "v", false, "tell about each connection at its end")
	fs.StringVar(&o.debug.addr, "debug", "", "serve pages about the connections at http://`address`/debug/quic/, for whoever reaches it")
	o.quic.register(&fs)
	if err := usage.Parse(&fs, args, stdout, usageText); err != nil {
		return nil, err
	}
	return &o, cmp.Or(
		usage.NoArguments(&fs),
		usage.Address("addr", o.addr),
		usage.Together("cert", o.cert, "key", o.key),
		usage.File("cert", o.cert),
		usage.File("key", o.key),
		usage.Directory("root", o.root),
		usage.AtLeast("loops", o.loops, 1),
		o.debug.check(),
		o.quic.check())
}

// run serves until ctx is done, and then ends gracefully.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	cert, err := certificate(o)
	if err != nil {
		return err
	}
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{cert}}
	quicConfig := o.quic.config()
	endLogs, err := envlog.Attach(tlsConfig, quicConfig, slog.Default())
	if err != nil {
		return err
	}
	defer endLogs()
	endCapture, err := o.quic.capture(tlsConfig)
	if err != nil {
		return err
	}
	srv := &h3http.Server{
		Handler:    newHandler(o.root),
		TLSConfig:  tlsConfig,
		QUICConfig: quicConfig,
		Logger:     slog.Default(),
	}
	if o.quic.keyUpdate > 0 {
		srv.Handler = updatingKeys(srv.Handler, o.quic.keyUpdate)
	}
	if o.verbose {
		srv.ConnContext = telling(stderr)
	}
	o.quic.observe = o.debug.observe
	g, err := o.quic.listen(srv, o.addr, o.loops)
	if err != nil {
		return errors.Join(err, endCapture())
	}
	defer func() {
		g.Close()
		err = errors.Join(err, endCapture())
	}()
	if err := o.debug.serve(g, stdout); err != nil {
		return err
	}
	defer o.debug.close()
	if err := printHints(stdout, g.LocalAddr(), cert, o.cert == ""); err != nil {
		return err
	}

	failed := make(chan error, 1)
	go func() { failed <- g.Wait() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(stdout, "shutting down")
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(grace)
}
