package main

import (
	"cmp"
	"net"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/examples/internal/filestamp"
	"github.com/lazoquic/lazo/examples/internal/yamlfile"
)

// A config is what the file says. docs/balancer.md explains each key.
type config struct {
	Listen   string          `yaml:"listen"`
	Admin    string          `yaml:"admin"`
	Mode     string          `yaml:"mode"`
	RouteBy  string          `yaml:"route_by"`
	Loops    int             `yaml:"loops"`
	Layout   string          `yaml:"layout"` // of connection IDs
	IDs      []idConfig      `yaml:"ids"`
	Backends []backendConfig `yaml:"backends"`
	Health   healthConfig    `yaml:"health"`
	Flows    flowConfig      `yaml:"flows"`
	Report   yamlfile.Span   `yaml:"report"` // how often counters are logged

	file    *yamlfile.File
	stamp   string // of files
	decoder decoder
	addrs   []netip.AddrPort // of Backends
	ids     [][][]byte       // server IDs of Backends
}

// An idConfig is one configuration of QUIC-LB.
type idConfig struct {
	Config        uint8  `yaml:"config"`
	ServerIDBytes int    `yaml:"server_id_bytes"`
	NonceBytes    int    `yaml:"nonce_bytes"`
	Key           string `yaml:"key"`      // in hexadecimal; empty for server IDs in clear
	KeyFile       string `yaml:"key_file"` // has it instead

	secret string // Key, or what is in KeyFile
}

// A backendConfig is one server.
type backendConfig struct {
	Address   string   `yaml:"address"`
	ServerIDs []string `yaml:"server_ids"` // in hexadecimal
	State     string   `yaml:"state"`
}

// A healthConfig says how backends are asked whether they are there.
type healthConfig struct {
	Interval yamlfile.Span `yaml:"interval"`
	// After Silent probes in a row without an answer a backend gets no new connections. After Dead
	// others answer for it.
	Silent int  `yaml:"silent"`
	Dead   int  `yaml:"dead"`
	Off    bool `yaml:"off"`
}

// A flowConfig bounds what each loop remembers.
type flowConfig struct {
	Max  int           `yaml:"max"`
	Idle yamlfile.Span `yaml:"idle"`
}

const (
	modeNAT, modeIPIP     = "nat", "ipip"
	routeByID, routeByTwo = "connection_id", "address"
	quicLB, katran        = "quic_lb", "katran"
	stateUp, stateDrain   = "up", "drain"
)

// complete sets what the file does not say.
func (c *config) complete() {
	c.Listen = cmp.Or(c.Listen, ":443")
	c.Mode = cmp.Or(c.Mode, modeNAT)
	c.RouteBy = cmp.Or(c.RouteBy, routeByID)
	c.Loops = cmp.Or(c.Loops, 1)
	c.Layout = cmp.Or(c.Layout, quicLB)
	c.Health.Interval = cmp.Or(c.Health.Interval, yamlfile.Span(250*time.Millisecond))
	c.Health.Silent = cmp.Or(c.Health.Silent, 3)
	c.Health.Dead = cmp.Or(c.Health.Dead, 20)
	c.Flows.Max = cmp.Or(c.Flows.Max, 4096)
	c.Flows.Idle = cmp.Or(c.Flows.Idle, yamlfile.Span(90*time.Second))
	c.Report = cmp.Or(c.Report, yamlfile.Span(time.Minute))
	for i := range c.Backends {
		c.Backends[i].State = cmp.Or(c.Backends[i].State, stateUp)
	}
}

// readConfig reads a file and checks it.
func readConfig(name string) (*config, error) {
	// The stamps are those of before, so that a change while this reads is seen later.
	c := config{stamp: filestamp.Of([]string{name})}
	var err error
	if c.file, err = yamlfile.Read(name, &c); err != nil {
		return nil, err
	}
	c.stamp += filestamp.Of(c.files()[1:])
	return &c, c.check()
}

// files returns the names of the file and of those that it names.
func (c *config) files() []string {
	names := []string{c.file.Name}
	for _, id := range c.IDs {
		if id.KeyFile != "" {
			names = append(names, id.KeyFile)
		}
	}
	return names
}

// check completes the configuration, or says what is wrong with it.
func (c *config) check() error {
	c.complete()
	if _, err := net.ResolveUDPAddr("udp", c.Listen); err != nil {
		return c.file.Errorf("listen", "want HOST:PORT: %v", err)
	}
	if _, err := net.ResolveTCPAddr("tcp", c.Admin); err != nil && c.Admin != "" {
		return c.file.Errorf("admin", "want HOST:PORT: %v", err)
	}
	return cmp.Or(
		c.oneOf("mode", c.Mode, modeNAT, modeIPIP),
		c.oneOf("route_by", c.RouteBy, routeByID, routeByTwo),
		c.oneOf("layout", c.Layout, quicLB, katran),
		c.between("loops", c.Loops, 1, 256),
		c.between("flows.max", c.Flows.Max, 1, 20_000),
		c.between("health.silent", c.Health.Silent, 1, 1000),
		c.between("health.dead", c.Health.Dead, c.Health.Silent, 1000),
		c.atLeast("flows.idle", c.Flows.Idle, time.Second),
		c.atLeast("health.interval", c.Health.Interval, 10*time.Millisecond),
		c.atLeast("report", c.Report, time.Second),
		c.checkIDs(),
		c.checkBackends(),
	)
}

func (c *config) oneOf(key, value, a, b string) error {
	if value != a && value != b {
		return c.file.Errorf(key, "%q is neither %s nor %s", value, a, b)
	}
	return nil
}

func (c *config) between(key string, value, low, high int) error {
	if value < low || value > high {
		return c.file.Errorf(key, "%d is not %d to %d", value, low, high)
	}
	return nil
}

func (c *config) atLeast(key string, value yamlfile.Span, low time.Duration) error {
	if time.Duration(value) < low {
		return c.file.Errorf(key, "%v is less than %v", value, low)
	}
	return nil
}
