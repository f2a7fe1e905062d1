// Command compare measures an edge against caddy and Envoy. Each of them serves HTTP/3 on one
// processor, and passes requests on to the same backend of HTTP/1.1. The backend and the clients
// run in this program, on another processor. The servers take turns.
//
//	compare [-envoy PATH] [-rounds N] [-time DURATION] [-clients N] [-streams N] [-size BYTES] [-svg FILE]
//
// It prints a table in Markdown, and draws it to a file if asked to. It needs taskset, and two
// processors on which nothing else runs.
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
	envoy   string
	rounds  int
	time    time.Duration
	clients int
	streams int
	size    int
	svg     string
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
	flag.IntVar(&o.rounds, "rounds", 5, "how often each server has its turn")
	flag.DurationVar(&o.time, "time", 5*time.Second, "length of a turn")
	flag.IntVar(&o.clients, "clients", 8, "connections")
	flag.IntVar(&o.streams, "streams", 8, "requests in progress on each connection")
	flag.IntVar(&o.size, "size", 1000, "`bytes` of a response")
	flag.StringVar(&o.svg, "svg", "", "`file` for a plot")
	flag.Parse()
	if o.rounds < 1 || o.time <= 0 || o.clients < 1 || o.streams < 1 || o.size < 0 {
		return errors.New("want positive numbers")
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
