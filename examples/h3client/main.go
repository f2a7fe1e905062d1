// Command h3client is a curl for HTTP/3.
//
//	h3client [-insecure] [-ca FILE] [-o FILE] [-H 'k: v'] [-X METHOD] [-d DATA|@FILE] [-v] URL...
//
// A URL without a scheme has https.
//
// About the connection:
//
//	[-cc NAME] [-versions LIST] [-session-file FILE [-0rtt]] [-qlog DIR] [-pcap FILE]
//	[-key-update TIME] [-migrate TIME] [-rebind TIME]
//
// It writes the bodies of the responses to standard output, or to the file of -o. A
// status is not a failure, whatever it is. A long download whose body does not go to a
// terminal shows a progress bar on standard error, if that is one. If the environment has
// SSLKEYLOGFILE, it logs the keys of its connections there, for Wireshark.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/h3/h3http"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	usage.Exit("h3client", run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags and arguments.
type options struct {
	insecure bool
	ca       string
	output   string
	header   headerFlag
	method   string
	data     string
	hasData  bool
	verbose  bool
	quic     quicOptions
	urls     []string
}

// A headerFlag collects the header fields of -H.
type headerFlag struct{ http.Header }

func (h headerFlag) String() string { return "" }

const usageText = `usage: h3client [flags] URL...

A URL without a scheme has https.
`

// parseFlags opens nothing, but looks whether what is named is there.
func parseFlags(args []string, stdout io.Writer) (*options, error) {
	o := options{header: headerFlag{make(http.Header)}}
	var fs flag.FlagSet
	fs.BoolVar(&o.insecure, "insecure", false, "accept any certificate")
	fs.StringVar(&o.ca, "ca", "", "trust the certificates of a PEM `file`, and no others")
	fs.StringVar(&o.output, "o", "", "write the body to a `file`")
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
	switch {
	case len(o.urls) == 0:
		return nil, usage.Errorf("a URL is missing")
	case o.output != "" && len(o.urls) > 1:
		return nil, usage.Errorf("-o takes the body of one URL")
	}
	return &o, cmp.Or(usage.File("ca", o.ca), usage.NewFile("o", o.output), o.checkData(), o.quic.check())
}

// run does what the command line says. It stops at the first URL that fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return err
	}
	verbose := io.Discard
	if o.verbose {
		verbose = stderr
	}
	tr, closeAll, err := o.quic.transport(tlsConfig, verbose)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	out := stdout
	if o.output != "" {
		f, err := os.Create(o.output)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	for _, url := range o.urls {
		if err := o.fetch(ctx, tr, url, out, stderr); err != nil {
			return err
		}
	}
	return err
}

func (o *options) tlsConfig() (*tls.Config, error) {
	tc := &tls.Config{InsecureSkipVerify: o.insecure}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, err
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", o.ca)
		}
	}
	return tc, nil
}

// fetch sends one request and writes the body of the response to out.
func (o *options) fetch(ctx context.Context, tr *h3http.Transport, url string, out, stderr io.Writer) error {
	if o.verbose {
		ctx = withTrace(ctx, stderr)
	}
	req, err := o.request(ctx, url)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, url, err)
	}
	defer resp.Body.Close()
	if o.verbose {
		printResponse(stderr, resp)
	}
	bar := newProgress(resp.ContentLength, out, stderr)
	_, err = io.Copy(io.MultiWriter(out, bar), resp.Body)
	bar.finish()
	if err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, url, err)
	}
	if o.verbose {
		printTrailer(stderr, resp)
		printStats(stderr, resp)
	}
	return nil
}
