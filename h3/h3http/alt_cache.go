package h3http

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxAltOrigins = 1000 // that an altCache remembers

	// How long an alternative that does not work is left alone: the first time, and at
	// most. Each failure in a row doubles it.
	firstBackoff = time.Minute
	maxBackoff   = time.Hour
)

// An altCache is what is known of origins that have alternatives for HTTP/3.
type altCache struct {
	mu      sync.Mutex
	origins map[string]*altOrigin // by host:port
}

// An altOrigin is an alternative of an origin. The lock of the cache guards it.
type altOrigin struct {
	alt     string    // host:port of the alternative
	expires time.Time // RFC 7838, Section 3.1

	failures int       // in a row
	broken   time.Time // not to be tried before
	try      *altTry   // in progress; nil if there is none
}

// An altTry is an attempt to connect to an alternative.
type altTry struct {
	began time.Time
	ready chan struct{} // closed when requests can be sent, or the attempt has failed
	err   error         // of the latter
}

// learn takes the Alt-Svc field of a response into account, if it has one.
func (c *altCache) learn(origin string, h http.Header, now time.Time) {
	values := h["Alt-Svc"]
	if len(values) == 0 {
		return
	}
	services, err := parseAltSvc(strings.Join(values, ","))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(services) == 0 { // clear, or others than HTTP/3
		delete(c.origins, origin)
		return
	}
	s := services[0]
	fresh := s.maxAge
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 32); err == nil {
		fresh -= time.Duration(age) * time.Second
	}
	alt := altAddr(origin, s)
	o := c.origins[origin]
	if o == nil || o.alt != alt {
		o = &altOrigin{alt: alt}
	}
	o.expires = now.Add(fresh)
	c.insert(origin, o)
}

// insert remembers o. The origin that would be forgotten first makes room. c is locked.
func (c *altCache) insert(origin string, o *altOrigin) {
	if c.origins == nil {
		c.origins = make(map[string]*altOrigin)
	}
	if c.origins[origin] == nil && len(c.origins) >= maxAltOrigins {
		first := ""
		for name, other := range c.origins {
			if first == "" || other.expires.Before(c.origins[first].expires) {
				first = name
			}
		}
		delete(c.origins, first)
	}
	c.origins[origin] = o
}

// lookup returns the alternative of an origin, nil if there is none. c is locked.
func (c *altCache) lookup(origin string, now time.Time) *altOrigin {
	o := c.origins[origin]
	if o != nil && !now.Before(o.expires) {
		delete(c.origins, origin)
		return nil
	}
	return o
}

// forget forgets the alternative of an origin.
func (c *altCache) forget(origin string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.origins, origin)
}

// note notes whether the alternative of tg works.
func (c *altCache) note(tg target, works bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.origins[tg.origin]
	switch {
	case o == nil || o.alt != tg.alt:
	case works:
		o.failures, o.broken = 0, time.Time{}
	case !now.Before(o.broken): // one failure, however many suffer from it
		o.broken = now.Add(min(firstBackoff<<min(o.failures, 10), maxBackoff))
		o.failures++
	}
}

// altAddr returns host:port of s.
func altAddr(origin string, s altService) string {
	host := s.host
	if host == "" {
		host = origin[:strings.LastIndexByte(origin, ':')]
		return host + ":" + s.port
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return strings.ToLower(host) + ":" + s.port
}
