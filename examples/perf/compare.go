package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

// comparison is what perf compare does. Each test runs in rounds, and every contender has a turn in
// each round. So slow changes of the machine affect all contenders alike.
type comparison struct {
	peers, only, tests string
	rounds             int
	serverCore         int
	clientCore         int
	loops, procs       string
	maxOther           float64
	scale              float64
	markdown, svg      string

	self       string   // the path of this program
	rsa        []string // flags for a certificate with RSA
	contenders []contender
}

// A contender is a program that takes the flags of this one.
type contender struct {
	name, path string
	clientPath string              // of the client; "" for path
	http       bool                // it does the tests of HTTP, and only those
	server     []string            // flags for the server
	client     []string            // flags for the client
	idle       []string            // more flags for the client in idle mode
	datagrams  []string            // more flags for the server in datagram mode
	env        []string            // of the server
	certs      bool                // the server takes a certificate
	skip       func(t string) bool // tests it does not know
}

// takes reports whether the contender does a test.
func (p *contender) takes(t *test) bool {
	return p.http == t.http && (p.certs || !t.rsa) && (p.skip == nil || !p.skip(t.name))
}

// runCompare runs the tests and prints the tables.
func runCompare(args []string, stdout io.Writer) error {
	c := new(comparison)
	var f flag.FlagSet
	f.StringVar(&c.peers, "peers", "", "directory with programs of other implementations: *-perf, servers of HTTP/3 *-h3, udplimit and tlslimit")
	f.StringVar(&c.only, "only", "", "contenders to run, by name, separated by commas; default all")
	f.StringVar(&c.tests, "tests", "", "tests to run, separated by commas; default all")
	f.IntVar(&c.rounds, "rounds", 5, "rounds of each test")
	f.IntVar(&c.serverCore, "server-core", 0, "core of the server; -1 for any")
	f.IntVar(&c.clientCore, "client-core", 1, "core of the client; -1 for any")
	f.StringVar(&c.loops, "loops", "", "numbers of loops, separated by commas: servers of this program over UDP run with each")
	f.StringVar(&c.procs, "procs", "", "values of GOMAXPROCS, separated by commas: all servers run with each")
	f.Float64Var(&c.maxOther, "max-other", .25, "drop runs in which others used more than this share of the two cores")
	f.Float64Var(&c.scale, "scale", 1, "multiply the size of each test")
	f.StringVar(&c.markdown, "markdown", "", "write the tables to this file, too")
	f.StringVar(&c.svg, "svg", "", "write a bar chart to this file")
	if err := usage.Parse(&f, args, stdout, "usage: perf compare [flags]"); err != nil {
		return err
	}
	if err := cmp.Or(usage.NoArguments(&f), c.check()); err != nil {
		return err
	}
	if err := c.find(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "perf")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := c.copyPrograms(dir); err != nil {
		return err
	}
	c.vary()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop() // child programs end with this one
	var tables []*table
	for i := range tests {
		t := &tests[i]
		if c.tests == "" || slices.Contains(strings.Split(c.tests, ","), t.name) {
			if t.rsa && c.rsa == nil {
				if c.rsa, err = rsaFlags(dir); err != nil {
					return err
				}
			}
			table, err := c.run(ctx, t)
			if err != nil {
				return err
			}
			fmt.Println(table.markdown())
			tables = append(tables, table)
		}
	}
	return c.write(tables)
}

func (c *comparison) check() error {
	names := make([]string, len(tests))
	for i := range tests {
		names[i] = tests[i].name
	}
	return cmp.Or(
		usage.SomeOf("tests", c.tests, names...),
		usage.Directory("peers", c.peers),
		usage.AtLeast("rounds", c.rounds, 1),
		usage.AtLeast("server-core", c.serverCore, -1),
		usage.AtLeast("client-core", c.clientCore, -1),
		usage.Positive("max-other", c.maxOther),
		usage.Positive("scale", c.scale),
		numbers("loops", c.loops),
		numbers("procs", c.procs),
		usage.NewFile("markdown", c.markdown),
		usage.NewFile("svg", c.svg))
}

// find lists the contenders: this program on both tiers, and what is in the directory.
func (c *comparison) find() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.self = self
	for _, api := range []string{"handler", "stream"} {
		f := []string{"-api", api}
		c.contenders = append(c.contenders, contender{name: "lazo " + api, path: self, server: f, client: f, idle: []string{"-gc-signal"}})
	}
	for _, p := range []contender{
		{name: "lazo http3", server: http3},
		{name: "lazo h3loop", server: []string{"-api", "h3loop"}},
		{name: "net/http http2", server: []string{"-api", "http2"}},
	} {
		p.path, p.client, p.idle, p.http, p.certs = self, p.server, []string{"-gc-signal"}, true, true
		c.contenders = append(c.contenders, p)
	}
	overTCP := []string{"-api", "tls"}
	notTLS := func(t string) bool { return t != "download" && t != "upload" && !isHandshake(t) }
	c.contenders = append(c.contenders, contender{name: "tls", path: self, server: overTCP, client: overTCP, skip: notTLS})
	notEcho := func(t string) bool { return t != "rr1" }
	c.contenders = append(c.contenders, contender{name: "echo", path: self, client: []string{"--mode", "echo"}, skip: notEcho})
	if c.peers != "" {
		found, err := filepath.Glob(filepath.Join(c.peers, "*"))
		if err != nil {
			return err
		}
		for _, path := range found {
			if p, ok := peer(path, self); ok {
				c.contenders = append(c.contenders, p)
			}
		}
	}
	if c.only == "" {
		return nil
	}
	var names []string
	for _, p := range c.contenders {
		names = append(names, p.name)
	}
	only := strings.Split(c.only, ",")
	c.contenders = slices.DeleteFunc(c.contenders, func(p contender) bool { return !slices.Contains(only, p.name) })
	return usage.SomeOf("only", c.only, names...)
}

// isHandshake reports whether a test counts bare handshakes.
func isHandshake(t string) bool { return t == "handshake" || t == "handshakeresumed" }

// http3 are the flags for HTTP/3.
var http3 = []string{"-api", "http3"}

// peer returns how to run the program of another implementation. Servers of HTTP/3 get the client
// of this program.
func peer(path, self string) (contender, bool) {
	switch base := filepath.Base(path); base {
	case "udplimit", "tlslimit":
		test := func(t string) bool {
			return base == "tlslimit" != isHandshake(t) || t != "download" && t != "upload" && !isHandshake(t)
		}
		return contender{name: base, path: path, skip: test}, true
	case "quicgo-perf":
		return contender{name: "quicgo", path: path, datagrams: []string{"--datagrams"}, idle: []string{"--gc-signal"}}, true
	case "xnet-perf":
		return contender{name: "xnet", path: path, idle: []string{"--gc-signal"}, skip: func(t string) bool { return t == "datagram" }}, true
	default:
		if name, ok := strings.CutSuffix(base, "-h3"); ok {
			p := contender{name: name + " http3", path: path, clientPath: self, client: http3, http: true}
			if name == "quicgo" {
				p.idle, p.certs = []string{"-gc-signal"}, true
			}
			return p, true
		}
		name, ok := strings.CutSuffix(base, "-perf")
		return contender{name: name, path: path}, ok
	}
}

// run runs one test with all contenders.
func (c *comparison) run(ctx context.Context, t *test) (*table, error) {
	tab := &table{test: t}
	for i := range c.contenders {
		if p := &c.contenders[i]; p.takes(t) {
			tab.rows = append(tab.rows, row{name: p.name})
		}
	}
	for round := range c.rounds {
		i := 0
		for j := range c.contenders {
			p := &c.contenders[j]
			if !p.takes(t) {
				continue
			}
			res, err := c.measure(ctx, t, p)
			if ctx.Err() != nil {
				return nil, errors.New("stopped")
			}
			if err != nil {
				log.Printf("%s, round %d: %s: %v", t.name, round+1, p.name, err)
			}
			res.round = round
			if err == nil && res.other <= c.maxOther {
				tab.rows[i].results = append(tab.rows[i].results, res)
			} else {
				tab.rows[i].dropped++
			}
			i++
		}
	}
	return tab, nil
}

// write writes the files that were asked for.
func (c *comparison) write(tables []*table) error {
	if c.markdown != "" {
		var b strings.Builder
		for _, t := range tables {
			b.WriteString(t.markdown())
			b.WriteByte('\n')
		}
		if err := os.WriteFile(c.markdown, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	if c.svg != "" {
		return os.WriteFile(c.svg, []byte(chart(tables)), 0o644)
	}
	return nil
}
