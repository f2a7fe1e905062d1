package main

import (
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// handshakes makes connections, some at a time, each with one exchange.
func (c *client) handshakes() error {
	var resumed atomic.Int64
	if c.o.resume {
		c.cfg.TLS.VerifyConnection = func(cs tls.ConnectionState) error {
			if cs.DidResume {
				resumed.Add(1)
			}
			return nil
		}
		if err := c.keepSession(); err != nil {
			return err
		}
	}
	ops := int64(c.o.ops)
	c.meter.start()
	var pace <-chan time.Time
	if c.o.rate > 0 {
		t := time.NewTicker(time.Duration(float64(time.Second) / c.o.rate))
		defer t.Stop()
		pace = t.C
	}
	err := c.parallel(ops, func() error {
		if pace != nil {
			<-pace
		}
		s, err := c.dial()
		if err == nil {
			s.close()
		}
		return err
	})
	c.finish(ops, ops)
	if n := resumed.Load(); err == nil && c.o.resume && n != ops {
		err = fmt.Errorf("the server resumed %d of %d sessions", n, ops)
	}
	return err
}

// keepSession connects once, to have a session for all later handshakes.
func (c *client) keepSession() error {
	cache := &sessionCache{ClientSessionCache: tls.NewLRUClientSessionCache(1), come: make(chan struct{})}
	c.cfg.TLS.ClientSessionCache = cache
	s, err := c.dial()
	if err != nil {
		return err
	}
	defer s.close()
	select {
	case <-cache.come:
		return nil
	case <-time.After(dialTimeout):
		return fmt.Errorf("-resume: no session ticket came from %v", c.remote)
	}
}

// A sessionCache tells when it has a session.
type sessionCache struct {
	tls.ClientSessionCache
	once sync.Once
	come chan struct{} // closed then
}

// Put stores a session, or forgets one.
func (s *sessionCache) Put(key string, session *tls.ClientSessionState) {
	s.ClientSessionCache.Put(key, session)
	if session != nil {
		s.once.Do(func() { close(s.come) })
	}
}
