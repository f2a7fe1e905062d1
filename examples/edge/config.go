package main

import (
	"cmp"
	"os"
	"time"

	"github.com/lazoquic/lazo/examples/internal/yamlfile"
)

// A config is what the file says. docs/edge.md explains each key.
type config struct {
	Listen       string                 `yaml:"listen"`
	Admin        string                 `yaml:"admin"`
	Debug        *bool                  `yaml:"debug"`      // default: only on loopback
	AccessLog    *bool                  `yaml:"access_log"` // default true
	ServerTiming bool                   `yaml:"server_timing"`
	Trusted      []string               `yaml:"trusted"` // to set forwarding fields
	Certificates []keyPair              `yaml:"certificates"`
	ECH          []string               `yaml:"ech"`          // files; the first is offered
	Secrets      []string               `yaml:"secrets"`      // files; the first seals
	ResetSecret  string                 `yaml:"reset_secret"` // file; for stateless resets
	RetryAbove   *int                   `yaml:"retry_above"`  // handshakes in progress
	QUICLB       *lbConfig              `yaml:"quic_lb"`      // nil for random connection IDs
	Katran       *katranConfig          `yaml:"katran"`       // in place of QUICLB
	DrainDelay   *yamlfile.Span         `yaml:"drain_delay"`  // /readyz fails so long before
	Drain        yamlfile.Span          `yaml:"drain"`        // for requests in progress at the end
	Timeouts     clientTimeouts         `yaml:"timeouts"`
	Pools        map[string]*poolConfig `yaml:"pools"`
	Routes       []*routeConfig         `yaml:"routes"`

	file *yamlfile.File
}

// A keyPair names two PEM files.
type keyPair struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// clientTimeouts bound what clients take time for.
type clientTimeouts struct {
	Header yamlfile.Span `yaml:"header"` // of a request, from its first byte on
	Idle   yamlfile.Span `yaml:"idle"`   // a connection without requests
	Body   yamlfile.Span `yaml:"body"`   // for each bodyStep bytes of a request's content
	Stall  yamlfile.Span `yaml:"stall"`  // a response whose client takes nothing
	Tunnel yamlfile.Span `yaml:"tunnel"` // a tunnel through which nothing passes
}

// A poolConfig is a set of backends that serve the same.
type poolConfig struct {
	Backends   []string     `yaml:"backends"`
	Balance    string       `yaml:"balance"`
	HashHeader string       `yaml:"hash_header"`
	CA         string       `yaml:"ca"`
	ServerName string       `yaml:"server_name"`
	Timeouts   poolTimeouts `yaml:"timeouts"`
	Health     *checkConfig `yaml:"health"` // nil for no checks
	Eject      ejectConfig  `yaml:"eject"`
	Retries    retryConfig  `yaml:"retries"`
}

// poolTimeouts bound what a backend takes time for.
type poolTimeouts struct {
	Connect yamlfile.Span `yaml:"connect"` // of TCP and TLS, or of QUIC
	Header  yamlfile.Span `yaml:"header"`  // of the response, from the end of the request on
	Idle    yamlfile.Span `yaml:"idle"`    // an unused connection
}

// A checkConfig has each backend of a pool asked whether it is well.
type checkConfig struct {
	Path      string        `yaml:"path"`
	Host      string        `yaml:"host"`
	Interval  yamlfile.Span `yaml:"interval"`
	Timeout   yamlfile.Span `yaml:"timeout"`
	Healthy   int           `yaml:"healthy"`   // good checks in a row that bring a backend back
	Unhealthy int           `yaml:"unhealthy"` // bad checks in a row that take it out
}

// An ejectConfig says when requests that fail take a backend out.
type ejectConfig struct {
	Failures int `yaml:"failures"` // in a row
	// for the first time, and twice as long at each that follows
	For yamlfile.Span `yaml:"for"`
	Max yamlfile.Span `yaml:"max"`
}

// A retryConfig says how often a request that fails goes to another backend.
type retryConfig struct {
	Max      *int     `yaml:"max"`      // for one request; default 1
	Budget   *float64 `yaml:"budget"`   // for all of a pool, as a share of requests; default 0.2
	Statuses []int    `yaml:"statuses"` // which are failures, too
}

// A routeConfig sends requests of a host and below a path to a pool.
type routeConfig struct {
	Host string `yaml:"host"`
	Path string `yaml:"path"`
	Pool string `yaml:"pool"`

	EarlyData bool `yaml:"early_data"` // requests of 0-RTT do not wait for the handshake

	// Targets of tunnels, each HOST:PORT. Without them the edge refuses tunnels.
	Connect    []string `yaml:"connect"`
	ConnectUDP []string `yaml:"connect_udp"`
}

// complete sets what the file does not say.
func (c *config) complete() {
	c.Listen = cmp.Or(c.Listen, ":443")
	c.Drain = cmp.Or(c.Drain, yamlfile.Span(30*time.Second))
	if c.DrainDelay == nil {
		c.DrainDelay = new(yamlfile.Span)
		if c.Admin != "" { // somebody may ask /readyz
			*c.DrainDelay = yamlfile.Span(5 * time.Second)
		}
	}
	c.Timeouts.Header = cmp.Or(c.Timeouts.Header, yamlfile.Span(10*time.Second))
	c.RetryAbove = cmp.Or(c.RetryAbove, new(defaultRetryAbove))
	c.Timeouts.Body = cmp.Or(c.Timeouts.Body, yamlfile.Span(time.Minute))
	c.Timeouts.Idle = cmp.Or(c.Timeouts.Idle, yamlfile.Span(2*time.Minute))
	c.Timeouts.Tunnel = cmp.Or(c.Timeouts.Tunnel, yamlfile.Span(5*time.Minute))
	c.Timeouts.Stall = cmp.Or(c.Timeouts.Stall, yamlfile.Span(time.Minute))
	for _, p := range c.Pools {
		if p != nil {
			p.complete()
		}
	}
}

func (p *poolConfig) complete() {
	p.Balance = cmp.Or(p.Balance, balances[0])
	p.Timeouts.Connect = cmp.Or(p.Timeouts.Connect, yamlfile.Span(5*time.Second))
	p.Timeouts.Header = cmp.Or(p.Timeouts.Header, yamlfile.Span(time.Minute))
	p.Timeouts.Idle = cmp.Or(p.Timeouts.Idle, yamlfile.Span(90*time.Second))
	p.Eject.Failures = cmp.Or(p.Eject.Failures, 5)
	p.Eject.For = cmp.Or(p.Eject.For, yamlfile.Span(10*time.Second))
	p.Eject.Max = cmp.Or(p.Eject.Max, yamlfile.Span(5*time.Minute))
	p.Retries.Max = cmp.Or(p.Retries.Max, new(1))
	p.Retries.Budget = cmp.Or(p.Retries.Budget, new(0.2))
	if h := p.Health; h != nil {
		h.Path = cmp.Or(h.Path, "/")
		h.Interval = cmp.Or(h.Interval, yamlfile.Span(10*time.Second))
		h.Timeout = cmp.Or(h.Timeout, yamlfile.Span(2*time.Second))
		h.Healthy = cmp.Or(h.Healthy, 2)
		h.Unhealthy = cmp.Or(h.Unhealthy, 3)
	}
}

// readConfig reads a file and checks it. The error of a mistake in it is a *yamlfile.Error.
func readConfig(name string) (*config, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseConfig(name, text)
}

// parseConfig is readConfig of a file that was read.
func parseConfig(name string, text []byte) (*config, error) {
	c := &config{}
	var err error
	if c.file, err = yamlfile.Parse(name, text, c); err != nil {
		return nil, err
	}
	c.complete()
	return c, c.check()
}
