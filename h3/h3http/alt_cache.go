package h3http

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxAltOrigins = 1000 // how many origins an altCache remembers

	// How long an alternative that does not work is left alone: the first time, and at most. Each
	// further failure in a row doubles the time.
	firstBackoff = time.Minute
	maxBackoff   = time.Hour
)

// An altCache remembers origins that have alternatives for HTTP/3.
type altCache struct {
	mu      sync.Mutex
	origins map[string]*altOrigin // by host:port
}

// An altOrigin is an alternative of an origin. The lock of the cache guards it.
type altOrigin struct {
	alt     string    // host:port of the alternative
	expires time.Time // RFC 7838, Section 3.1

	failures int       // failures in a row
	broken   time.Time // until then it is not tried
	try      *altTry   // the attempt in progress, or nil
}

// An altTry is an attempt to connect to an alternative.
type altTry struct {
	began time.Time
	ready chan struct{} // closed when requests can be sent, or the attempt has failed
	err   error         // why the attempt has failed
}

// learn updates the cache from the Alt-Svc field of a response, if it has one.
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
	if len(services) == 0 { // "clear", or only services other than HTTP/3
		delete(c.origins, origin)
		return
	}
	s := services[0]
	fresh := s.maxAge
	if age, ok := parseSeconds(h.Get("Age")); ok {
		fresh -= age
	}
	alt := altAddr(origin, s)
	o := c.origins[origin]
	if o == nil || o.alt != alt {
		o = &altOrigin{alt: alt}
	}
	o.expires = now.Add(fresh)
	c.insert(origin, o)
}

// insert remembers o. If the cache is full, the origin that expires first makes room. The caller
// has locked c.
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

// lookup returns the alternative of an origin, or nil if there is none. The caller has locked c.
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
	case !now.Before(o.broken): // many requests may suffer from one failure: it counts once
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
