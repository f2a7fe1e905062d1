// Command multipath shows a download over two networks at once. Both are simulated on the loopback
// of this machine: a relay gives each its rate and delay. One network dies in the middle and comes
// back, then the other one, and the download goes on. Each line says what each path carries.
//
//	multipath [-for TIME] [-rate MBITS] [-o FILE.svg]
//
// It needs the addresses 127.0.0.1 and 127.0.0.2, which Linux has. docs/multipath.md is about
// multipath.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

const usageText = `usage: multipath [flags]
Downloads over two simulated networks, of which one dies in the middle and comes back, then the other.`

// An options has the flags.
type options struct {
	length time.Duration
	rate   float64 // Mbit/s
	svg    string
}

func main() {
	usage.Main("multipath", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

// run does what the command line says.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	var o options
	var flags flag.FlagSet
	flags.DurationVar(&o.length, "for", 15*time.Second, "how long to download")
	flags.Float64Var(&o.rate, "rate", 20, "`Mbit/s` of the faster network; the other has half of it")
	flags.StringVar(&o.svg, "o", "", "write a plot to this `file`")
	if err := usage.Parse(&flags, args, stdout, usageText); err != nil {
		return err
	}
	err := errors.Join(
		usage.NoArguments(&flags), usage.Positive("for", o.length), usage.Positive("rate", o.rate))
	if err == nil && o.svg != "" {
		err = usage.NewFile("o", o.svg)
	}
	if err != nil {
		return err
	}
	samples, err := download(ctx, &o, stdout)
	if err != nil || o.svg == "" {
		return err
	}
	return os.WriteFile(o.svg, plot(samples, o.length), 0o644)
}

// alpn is the protocol of this example.
const alpn = "multipath"

// download downloads for as long as o says, and prints and returns what came on each path.
func download(ctx context.Context, o *options, stdout io.Writer) ([]sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cert, err := selfsigned.Certificate("127.0.0.1")
	if err != nil {
		return nil, err
	}
	server, err := serve(ctx, cert)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	relay, err := newRelay(server.LocalAddr(), o.rate*1e6)
	if err != nil {
		return nil, err
	}
	defer relay.close()
	c, done, err := dial(ctx, cert, relay.addr())
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := c.AddPath(ctx, udpio.Interface{Addr: mobile}); err != nil {
		return nil, err
	}
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, s)
		failed <- err
	}()
	return show(ctx, o.length, c, relay, failed, stdout)
}

// serve sends without end on the first stream of each connection. All that a server needs for
// multipath is MaxPaths.
func serve(ctx context.Context, cert tls.Certificate) (*loop.Group, error) {
	tc := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}}
	cfg := &conn.Config{TLS: tc, MaxPaths: 4, QLog: envlog.QLog()}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := g.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				s, err := c.AcceptStream(ctx)
				for chunk := make([]byte, 64<<10); err == nil; {
					_, err = s.Write(chunk)
				}
			}()
		}
	}()
	return g, nil
}

// dial connects from 127.0.0.1. done ends the connection.
func dial(ctx context.Context, cert tls.Certificate, to netip.AddrPort) (c *loop.Conn, done func(), err error) {
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	tc := &tls.Config{RootCAs: roots, NextProtos: []string{alpn}}
	cfg := &conn.Config{TLS: tc, MaxPaths: 4}
	closeKeys, err := envlog.Attach(tc, cfg, slog.Default())
	if err != nil {
		return nil, nil, err
	}
	if c, err = loop.Dial(ctx, to.String(), cfg); err != nil {
		return nil, nil, err
	}
	return c, func() { c.Close(0, ""); closeKeys() }, nil
}

// A sample is what came on each path in an interval, in Mbit/s.
type sample struct {
	at    time.Duration
	rates [2]float64 // of wifi and mobile
	dead  [2]bool
}

// interval is the time between samples.
const interval = 200 * time.Millisecond

// show prints a sample per interval. In the second fifth of the time wifi is dead, in the fourth
// mobile.
func show(ctx context.Context, length time.Duration, c *loop.Conn, r *relay, failed <-chan error, stdout io.Writer) (samples []sample, err error) {
	start := time.Now()
	ticks := time.NewTicker(min(interval, length))
	defer ticks.Stop()
	last, lastAt := received(c), start
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-failed:
			return nil, fmt.Errorf("the download has ended: %w", err)
		case now = <-ticks.C:
		}
		s := sample{at: now.Sub(start), dead: r.dead()}
		bytes := received(c)
		for i := range bytes {
			s.rates[i] = float64(bytes[i]-last[i]) * 8 / 1e6 / now.Sub(lastAt).Seconds()
		}
		last, lastAt = bytes, now
		samples = append(samples, s)
		fmt.Fprintln(stdout, s)
		if s.at >= length {
			fmt.Fprintf(stdout, "%.1f MB by wifi, %.1f MB by mobile, in one connection\n", float64(bytes[0])/1e6, float64(bytes[1])/1e6)
			return samples, nil
		}
		fifth := int(5 * s.at / length)
		r.kill(fifth == 1, fifth == 3)
	}
}

// received returns how many bytes have come on the paths from 127.0.0.1 and from mobile.
func received(c *loop.Conn) (n [2]uint64) {
	for _, p := range c.Paths() {
		i := 0
		if p.Local.Addr() == mobile {
			i = 1
		}
		n[i] += p.BytesReceived
	}
	return n
}

// String is a line of the terminal.
func (s sample) String() string {
	line := fmt.Sprintf("%5.1f s", s.at.Seconds())
	for i, name := range [2]string{"wifi", "mobile"} {
		text := fmt.Sprintf("%5.1f Mbit/s", s.rates[i])
		if s.dead[i] {
			text = "      dead  "
		}
		line += fmt.Sprintf("  %s %s %-24s", name, text, strings.Repeat("#", min(int(s.rates[i]), 24)))
	}
	return strings.TrimRight(line, " ")
}
