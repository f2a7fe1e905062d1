// Command cost measures what HTTP/3 over QUIC costs and what it gains, beside HTTP/2 of net/http
// over TLS 1.3 and the kernel's TCP, on one path:
//
//	cost roundtrips   the time to the first byte of a response, and the round trips in it
//	cost goodput      the rate of a download on a path that loses packets
//	cost migration    the silence in a download when the address of the client changes
//	cost bytes        bytes on the wire, and those that anybody on the path can read
//
// Each prints a table in Markdown; -svg FILE draws it. It needs root: the sockets are real ones, in
// network namespaces, and the path is a relay between them. docs/cost.md shows the results, and
// those of perf for the costs in CPU and memory.
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
	"strings"
	"sync"
	"time"

	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/usage"
)

// options are the flags.
type options struct {
	runs, parallel int
	seed           uint64
	rate           int64 // bits per second
	rtt            time.Duration
	secs           float64
	patience       time.Duration
	svg            string
	keys           io.Writer // of SSLKEYLOGFILE; may be nil
}

// A cost is something that the program measures.
type cost struct {
	name    string
	measure func(context.Context, *options) (*figures, error)
}

var costs = [...]cost{
	{"roundtrips", measureRoundTrips},
	{"goodput", measureGoodput},
	{"migration", measureMigration},
	{"bytes", measureBytes},
}

const usageText = `usage: cost [flags] roundtrips|goodput|migration|bytes, as root`

func main() {
	usage.Main("cost", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o := new(options)
	var f flag.FlagSet
	f.IntVar(&o.runs, "runs", 9, "runs of each kind, of which the table has the median")
	f.IntVar(&o.parallel, "parallel", 3, "runs at a time, each in namespaces of its own")
	f.Uint64Var(&o.seed, "seed", 1, "of the losses in the first run")
	f.Int64Var(&o.rate, "rate", 20e6, "goodput and migration: bits per second of the path")
	f.DurationVar(&o.rtt, "rtt", 50*time.Millisecond, "goodput, migration and bytes: round trip of the path")
	f.Float64Var(&o.secs, "secs", 15, "goodput: seconds of a download")
	f.DurationVar(&o.patience, "patience", 5*time.Second, "migration: silence after which a client of TCP gives up its connection")
	f.StringVar(&o.svg, "svg", "", "draw the figures to this file")
	if err := usage.Parse(&f, args, stdout, usageText); err != nil {
		return err
	}
	c, err := chosen(f.Args())
	err = cmp.Or(err,
		usage.AtLeast("runs", o.runs, 1),
		usage.AtLeast("parallel", o.parallel, 1),
		usage.AtLeast("rate", o.rate, 1e5),
		usage.AtLeast("rtt", o.rtt, time.Millisecond),
		usage.Positive("secs", o.secs),
		usage.Positive("patience", o.patience),
		usage.NewFile("svg", o.svg))
	if err != nil {
		return err
	}
	var keys tls.Config
	endKeys, err := envlog.Keys(&keys, slog.Default())
	if err != nil {
		return err
	}
	o.keys = keys.KeyLogWriter
	fig, err := c.measure(ctx, o)
	if err := errors.Join(err, endKeys()); err != nil {
		return err
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, []byte(fig.chart()), 0o644); err != nil {
			return err
		}
	}
	_, err = io.WriteString(stdout, fig.markdown())
	return err
}

// chosen returns the cost that the arguments name.
func chosen(args []string) (*cost, error) {
	var names []string
	for i := range costs {
		if len(args) == 1 && args[0] == costs[i].name {
			return &costs[i], nil
		}
		names = append(names, costs[i].name)
	}
	return nil, usage.Errorf("want one of %s", strings.Join(names, ", "))
}

// each calls f for the numbers below n, some at a time, until one fails.
func (o *options) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	room := make(chan struct{}, o.parallel)
	var wg sync.WaitGroup
	for i := range n {
		room <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-room }()
			if err := f(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// ms writes a time.
func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }
