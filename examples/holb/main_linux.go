// Command holb compares how long small resources take beside a large one on a lossy path, over
// HTTP/3 and over HTTP/2, and writes the results as a page with tables and a plot:
//
//	go run ./examples/holb -o docs/head-of-line
//
// makes docs/head-of-line.md and docs/head-of-line.svg. It needs root: the sockets are real ones,
// in network namespaces, and the path is a relay between them. SSLKEYLOGFILE and QLOGDIR say where
// keys and qlogs go.
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
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/internal/netrelay"
)

// What is measured.
const (
	rate = 20_000_000 // bits per second
	rtt  = 50 * time.Millisecond
	// bytes: one bandwidth-delay product, and what is on its way in one direction
	queue = rate / 8 / 20 * 3 / 2
	loss  = 0.02
)

var (
	pages = [...]page{
		{"1 KB each, one every 20 ms", 4_000_000, 1_000, 49, 20 * time.Millisecond},
		{"10 KB each, all at once", 4_000_000, 10_000, 49, 0},
	}
	controllers = [...]controller{{name: "CUBIC", ours: congestion.NewCubic, kernel: "cubic"}, {name: "BBR", ours: congestion.NewBBR, kernel: "bbr"}}
	protocols   = [...]protocol{
		{name: "HTTP/3", start: startHTTP3},
		{name: "HTTP/3, u=3, i", start: startHTTP3, priority: "u=3, i"},
		{name: "HTTP/2", start: func(t *netrelay.Tunnel, v *visit, h http.Handler) (*site, error) { return startHTTP2(t, v, h, 0) }},
		{name: "HTTP/2, unsent limit", start: func(t *netrelay.Tunnel, v *visit, h http.Handler) (*site, error) {
			return startHTTP2(t, v, h, 16<<10)
		}},
	}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	usage.Exit("holb", run(ctx, os.Args[1:], os.Stdout))
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var fs flag.FlagSet
	out := fs.String("o", "head-of-line", "write `FILE`.md and FILE.svg")
	runs := fs.Int("runs", 10, "visits of each kind, with a seed each")
	parallel := fs.Int("parallel", 6, "visits at a time, each in namespaces of its own")
	if err := usage.Parse(&fs, args, stdout, "usage: holb [flags], as root"); err != nil {
		return err
	}
	err := cmp.Or(
		usage.NoArguments(&fs),
		usage.NewFile("o", *out+".md"),
		usage.NewFile("o", *out+".svg"),
		usage.AtLeast("runs", *runs, 1),
		usage.AtLeast("parallel", *parallel, 1))
	if err != nil {
		return err
	}
	var keys tls.Config
	endKeys, err := envlog.Keys(&keys, slog.Default())
	if err != nil {
		return err
	}
	rows, err := measure(ctx, *runs, *parallel, keys.KeyLogWriter)
	if err := errors.Join(err, endKeys()); err != nil {
		return err
	}
	return writePage(*out, *runs, rows)
}

// A row has the results of all visits of one kind.
type row struct {
	page     page
	cc       controller
	loss     float64
	protocol int // index
	small    []time.Duration
	large    []time.Duration
}

// kinds returns the rows of all kinds of visits, empty.
func kinds() (rows []*row) {
	for _, pg := range pages {
		for _, cc := range controllers {
			for _, loss := range []float64{0, loss} {
				for i := range protocols {
					rows = append(rows, &row{page: pg, cc: cc, loss: loss, protocol: i})
				}
			}
		}
	}
	return rows
}

// measure makes all visits. If keys is not nil, those of the connections are written there.
func measure(ctx context.Context, runs, parallel int, keys io.Writer) ([]*row, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rows := kinds()
	var mu sync.Mutex
	var wg sync.WaitGroup
	room := make(chan struct{}, parallel)
	for _, r := range rows {
		name := fmt.Sprintf("%s, %s, %s, %g %% loss", r.page.name, protocols[r.protocol].name, r.cc.name, 100*r.loss)
		fmt.Fprintln(os.Stderr, name)
		for seed := range runs {
			v := &visit{protocol: protocols[r.protocol], cc: r.cc, page: r.page, seed: uint64(seed + 1), keys: keys}
			v.path = netrelay.Link{Delay: rtt / 2, Rate: rate, Queue: queue, Loss: r.loss}
			room <- struct{}{}
			wg.Go(func() {
				defer func() { <-room }()
				if err := r.add(ctx, v, &mu); err != nil {
					cancel(fmt.Errorf("%s, seed %d: %w", name, v.seed, err))
				}
			})
		}
	}
	wg.Wait()
	return rows, context.Cause(ctx)
}

// add makes a visit and adds its result.
func (r *row) add(ctx context.Context, v *visit, mu *sync.Mutex) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	res, err := v.run(ctx)
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	r.small = append(r.small, res.small...)
	r.large = append(r.large, res.large)
	return nil
}
