// Command interop is a client and a server for quic-interop-runner, with the conventions
// of its containers:
//
//	ROLE=server TESTCASE=NAME interop [-addr :443] [-www /www] [-certs /certs]
//	ROLE=client TESTCASE=NAME REQUESTS='URL...' interop [-downloads /downloads]
//
// SSLKEYLOGFILE and QLOGDIR say where keys and qlogs go. The exit status is 127 if the
// test case is not supported.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/usage"
)

// errUnsupported is the error of a test case or role that this program does not have.
var errUnsupported = errors.New("unsupported")

// statusUnsupported tells the runner that a test case is not supported.
const statusUnsupported = 127

// options come from the environment and the flags.
type options struct {
	role, testCase string
	requests       []string

	addr, www, certs string // server
	downloads        string // client
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, errUnsupported) {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(statusUnsupported)
	}
	usage.Exit("interop", err)
}

const usageText = `usage: ROLE=server TESTCASE=NAME interop [flags]
       ROLE=client TESTCASE=NAME REQUESTS='URL...' interop [flags]
`

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o := options{
		role:     os.Getenv("ROLE"),
		testCase: os.Getenv("TESTCASE"),
		requests: strings.Fields(os.Getenv("REQUESTS")),
	}
	var flags flag.FlagSet
	flags.StringVar(&o.addr, "addr", ":443", "UDP `address` that the server listens on")
	flags.StringVar(&o.www, "www", "/www", "`directory` of the server's files")
	flags.StringVar(&o.certs, "certs", "/certs", "`directory` of cert.pem and priv.key")
	flags.StringVar(&o.downloads, "downloads", "/downloads", "`directory` for what the client downloads")
	if err := usage.Parse(&flags, args, stdout, usageText); err != nil {
		return err
	}
	if err := cmp.Or(usage.NoArguments(&flags), usage.Address("addr", o.addr)); err != nil {
		return err
	}
	if o.testCase == "chacha20" {
		offerOnlyChaCha20()
	}
	switch o.role {
	case "client":
		return runClient(ctx, &o)
	case "server":
		return runServer(ctx, &o)
	}
	return fmt.Errorf("%w: ROLE %q", errUnsupported, o.role)
}

// config returns what the configurations of clients and servers have in common. Handshakes take
// long in cases with heavy loss.
func (o *options) config(tlsc *tls.Config) *conn.Config {
	return &conn.Config{TLS: tlsc, HandshakeTimeout: time.Minute, QLog: envlog.QLog()}
}
