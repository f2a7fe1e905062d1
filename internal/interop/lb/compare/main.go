// Command compare measures the balancer examples/lb against the UDP proxy of Envoy. Each of them
// stands on one processor between clients and two servers, which run in this program, on another
// processor. The proxies take turns.
//
//	compare [-envoy PATH] [-rounds N] [-time DURATION] [-size BYTES] [-svg FILE]
//
// Clients send datagrams with connection IDs of QUIC-LB, whose server ID is encrypted, and servers
// send them back. There are two loads: clients that have many datagrams in flight, as downloads
// have, so that the kernel passes them on in batches; and many clients with one each. It prints a
// table in Markdown, and draws it to a file if asked to. It needs taskset, and two processors on
// which nothing else runs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/lazoquic/lazo/internal/interop/internal/compare"
)

// options are the flags.
type options struct {
	envoy  string
	rounds int
	time   time.Duration
	size   int
	svg    string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	flag.StringVar(&o.envoy, "envoy", "envoy", "`path` of Envoy")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each proxy has its turn with each load")
	flag.DurationVar(&o.time, "time", 5*time.Second, "length of a turn")
	flag.IntVar(&o.size, "size", 1200, "`bytes` of a datagram")
	flag.StringVar(&o.svg, "svg", "", "`file` for a plot")
	flag.Parse()
	if o.rounds < 1 || o.time <= 0 || o.size < 100 || o.size > 1472 {
		return errors.New("want positive numbers, and datagrams of 100 to 1472 bytes")
	}
	if err := compare.Pin(); err != nil {
		return err
	}
	results, err := measure(&o)
	if err != nil {
		return err
	}
	writeTable(os.Stdout, &o, results)
	if o.svg == "" {
		return nil
	}
	return os.WriteFile(o.svg, plot(results), 0o644)
}
