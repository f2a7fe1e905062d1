package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/lazoquic/lazo/h3/masque"
)

// check finds the first mistake. It reads the files that c names.
func (c *config) check() error {
	if err := cmp.Or(c.checkAddress("listen", c.Listen), c.checkTimes()); err != nil {
		return err
	}
	if c.Admin != "" {
		if err := c.checkAddress("admin", c.Admin); err != nil {
			return err
		}
	}
	for i, text := range c.Trusted {
		if _, err := netip.ParsePrefix(text); err != nil {
			return c.file.Errorf(fmt.Sprintf("trusted[%d]", i), "%q is not ADDRESS/BITS", text)
		}
	}
	if len(c.Certificates) == 0 {
		return c.file.Errorf("certificates", "must not be empty")
	}
	for i, pair := range c.Certificates {
		if _, err := tls.LoadX509KeyPair(pair.Cert, pair.Key); err != nil {
			return c.file.Errorf(fmt.Sprintf("certificates[%d]", i), "%v", err)
		}
	}
	if err := c.checkKeys(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		if err := c.checkPool(name, c.Pools[name]); err != nil {
			return err
		}
	}
	if len(c.Routes) == 0 {
		return c.file.Errorf("routes", "must not be empty")
	}
	for i, r := range c.Routes {
		if err := c.checkRoute(fmt.Sprintf("routes[%d]", i), r); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) checkAddress(key, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return c.file.Errorf(key, "%q is not HOST:PORT", addr)
	}
	return nil
}

// checkTimes wants all times positive.
func (c *config) checkTimes() error {
	if c.Drain < 0 {
		return c.file.Errorf("drain", "must be at least 0")
	}
	if *c.DrainDelay < 0 {
		return c.file.Errorf("drain_delay", "must be at least 0")
	}
	if c.Timeouts.Header <= 0 {
		return c.file.Errorf("timeouts.header", "must be greater than 0")
	}
	if c.Timeouts.Body <= 0 {
		return c.file.Errorf("timeouts.body", "must be greater than 0")
	}
	if *c.RetryAbove < 0 {
		return c.file.Errorf("retry_above", "must be at least 0")
	}
	if c.Timeouts.Stall <= 0 {
		return c.file.Errorf("timeouts.stall", "must be greater than 0")
	}
	if c.Timeouts.Tunnel <= 0 {
		return c.file.Errorf("timeouts.tunnel", "must be greater than 0")
	}
	if c.Timeouts.Idle <= 0 {
		return c.file.Errorf("timeouts.idle", "must be greater than 0")
	}
	return nil
}

// poolName is what a pool can be called.
var poolName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func (c *config) checkPool(name string, p *poolConfig) error {
	key := "pools." + name
	switch {
	case !poolName.MatchString(name):
		return c.file.Errorf("pools", "%q: the name of a pool has letters, digits, - and _", name)
	case p == nil || len(p.Backends) == 0:
		return c.file.Errorf(key+".backends", "must not be empty")
	case !slices.Contains(balances, p.Balance):
		return c.file.Errorf(key+".balance", "%q is not one of %s", p.Balance, strings.Join(balances, ", "))
	case (p.Balance == "hash-header") != (p.HashHeader != ""):
		return c.file.Errorf(key+".hash_header", "goes together with balance: hash-header")
	}
	if err := c.checkPoolNumbers(key, p); err != nil {
		return err
	}
	for i, b := range p.Backends {
		if _, err := parseBackend(b); err != nil {
			return c.file.Errorf(fmt.Sprintf("%s.backends[%d]", key, i), "%v", err)
		}
	}
	if _, err := loadCA(p.CA); err != nil {
		return c.file.Errorf(key+".ca", "%v", err)
	}
	return nil
}

// checkPoolNumbers wants times and counts that make sense.
func (c *config) checkPoolNumbers(key string, p *poolConfig) error {
	positive := func(name string, n int) error {
		if n <= 0 {
			return c.file.Errorf(key+"."+name, "must be greater than 0")
		}
		return nil
	}
	if err := cmp.Or(
		positive("timeouts.connect", int(p.Timeouts.Connect)),
		positive("timeouts.header", int(p.Timeouts.Header)),
		positive("timeouts.idle", int(p.Timeouts.Idle)),
		positive("eject.failures", p.Eject.Failures),
		positive("eject.for", int(p.Eject.For)),
		positive("eject.max", int(p.Eject.Max)),
	); err != nil {
		return err
	}
	if *p.Retries.Max < 0 {
		return c.file.Errorf(key+".retries.max", "must be at least 0")
	}
	if b := *p.Retries.Budget; !(b >= 0 && b <= 1) {
		return c.file.Errorf(key+".retries.budget", "must be from 0 to 1")
	}
	for i, s := range p.Retries.Statuses {
		if s < 500 || s > 599 {
			return c.file.Errorf(fmt.Sprintf("%s.retries.statuses[%d]", key, i), "must be from 500 to 599")
		}
	}
	h := p.Health
	if h == nil {
		return nil
	}
	if !strings.HasPrefix(h.Path, "/") {
		return c.file.Errorf(key+".health.path", "%q does not start with /", h.Path)
	}
	return cmp.Or(
		positive("health.interval", int(h.Interval)),
		positive("health.timeout", int(h.Timeout)),
		positive("health.healthy", h.Healthy),
		positive("health.unhealthy", h.Unhealthy))
}

func (c *config) checkRoute(key string, r *routeConfig) error {
	switch {
	case r == nil || r.Pool == "" && len(r.Connect)+len(r.ConnectUDP) == 0:
		return c.file.Errorf(key+".pool", "must not be empty")
	case r.Pool != "" && c.Pools[r.Pool] == nil:
		return c.file.Errorf(key+".pool", "there is no pool %q", r.Pool)
	case r.Path != "" && !strings.HasPrefix(r.Path, "/"):
		return c.file.Errorf(key+".path", "%q does not start with /", r.Path)
	case strings.ContainsAny(r.Host, ":/ ") || strings.Contains(strings.TrimPrefix(r.Host, "*."), "*"):
		return c.file.Errorf(key+".host", "%q is neither a name such as example.org nor *.example.org", r.Host)
	case r.Connect != nil && r.Path != "":
		return c.file.Errorf(key+".connect", "does not go with a path, because CONNECT has none")
	case r.ConnectUDP != nil && !(&route{path: r.Path}).takesPath(masque.WellKnown):
		return c.file.Errorf(key+".connect_udp", "goes with a path that takes %s", masque.WellKnown)
	}
	return cmp.Or(c.checkTargets(key+".connect", r.Connect), c.checkTargets(key+".connect_udp", r.ConnectUDP))
}

// checkTargets finds the first that is wrong.
func (c *config) checkTargets(key string, texts []string) error {
	for i := range texts {
		if _, err := parseTarget(texts[i]); err != nil {
			return c.file.Errorf(fmt.Sprintf("%s[%d]", key, i), "%v", err)
		}
	}
	return nil
}

// parseBackend reads the URL of a backend.
func parseBackend(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "h2c", "https", "h3", "h3+https":
	default:
		return nil, fmt.Errorf("%q: the scheme is not one of http, h2c, https, h3, h3+https", text)
	}
	if u.Host == "" || u.Hostname() == "" || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not SCHEME://HOST or SCHEME://HOST:PORT", text)
	}
	return u, nil
}

// loadCA reads certificates of authorities. Without a file those of the system count.
func loadCA(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New(name + ": no certificate in it")
	}
	return pool, nil
}

// canonicalHeader returns a header name as it is in an http.Header.
func canonicalHeader(name string) string { return http.CanonicalHeaderKey(name) }
