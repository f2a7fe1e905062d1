// Command h3client is a curl for HTTP/3.
//
//	h3client [-insecure] [-ca FILE] [-o FILE]... [-O [-output-dir DIR]] [-parallel N]
//	         [-H 'k: v']... [-X METHOD] [-d DATA|@FILE] [-v] URL...
//
// A URL without a scheme has https.
//
// About the connection:
//
//	[-cc NAME] [-versions LIST] [-session-file FILE [-0rtt]] [-qlog DIR] [-pcap FILE]
//	[-key-update TIME] [-migrate TIME] [-rebind TIME]
//
// It writes the bodies of the responses to standard output. With several URLs there is one -o for
// each of them, in their order, where - means standard output. -O writes each body to a file with
// the last name in the path of its URL. The URLs are fetched one after another, or with -parallel
// several at once, and always over one connection to each server. If one fails, the others go on,
// and the status is 1. An HTTP status is not a failure, whatever it is.
//
// A long download whose body does not go to a terminal shows a progress bar on standard error, if
// that is one. Several at once share one line. If the environment has SSLKEYLOGFILE, it logs the
// keys of its connections there, for Wireshark.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"

	"github.com/lazoquic/lazo/examples/internal/trust"
	"github.com/lazoquic/lazo/examples/internal/usage"
)

func main() {
	usage.Main("h3client", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout, os.Stderr) })
}

// options are the flags and arguments.
type options struct {
	insecure bool
	ca       string
	output   outputFlags
	parallel int
	header   headerFlag
	method   string
	data     string
	hasData  bool
	verbose  bool
	quic     quicOptions
	urls     []string
	outputs  []string // for each of urls: see outputFlags.forURLs
}

// A headerFlag collects the header fields of -H.
type headerFlag struct{ http.Header }

func (h headerFlag) String() string { return "" }

const usageText = `usage: h3client [flags] URL...

A URL without a scheme has https. With several URLs there is one -o for each, or -O for all.
`

// parseFlags opens nothing, but checks that the named files exist.
func parseFlags(args []string, stdout io.Writer) (*options, error) {
	o := options{header: headerFlag{make(http.Header)}}
	var fs flag.FlagSet
	fs.BoolVar(&o.insecure, "insecure", false, "accept any certificate")
	fs.StringVar(&o.ca, "ca", "", "trust the certificates of a PEM `file`, and no others")
	o.output.register(&fs)
	fs.IntVar(&o.parallel, "parallel", 1, "fetch `N` URLs at once, over one connection to each server")
	fs.Var(&o.header, "H", "send a header `field`, as 'name: value'; may be repeated")
	fs.StringVar(&o.method, "X", "", "use a `method` other than GET, or POST with -d")
	fs.Func("d", "send `data`, or the content of a file as @FILE, or standard input as @-", func(s string) error {
		o.data, o.hasData = s, true
		return nil
	})
	fs.BoolVar(&o.verbose, "v", false, "tell about the handshake, the headers and the connection")
	o.quic.register(&fs)
	if err := usage.Parse(&fs, args, stdout, usageText); err != nil {
		return nil, err
	}
	for _, arg := range fs.Args() {
		url, err := o.checkURL(arg)
		if err != nil {
			return nil, err
		}
		o.urls = append(o.urls, url)
	}
	if len(o.urls) == 0 {
		return nil, usage.Errorf("a URL is missing")
	}
	var err error
	if o.outputs, err = o.output.forURLs(o.urls); err != nil {
		return nil, err
	}
	return &o, cmp.Or(
		usage.AtLeast("parallel", o.parallel, 1),
		o.checkMixing(),
		usage.File("ca", o.ca),
		o.checkData(),
		o.quic.check())
}

// run does what the command line says.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	tlsConfig, err := trust.Config(o.ca, o.insecure)
	if err != nil {
		return err
	}
	s := &screen{w: stderr, bars: isTerminal(stderr) && !(o.toStdout() > 0 && isTerminal(stdout))}
	verbose := io.Discard
	if o.verbose {
		verbose = s
	}
	tr, closeAll, err := o.quic.transport(tlsConfig, verbose)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	f := &fetcher{options: o, tr: tr, stdout: stdout, screen: s}
	return f.all(ctx)
}
