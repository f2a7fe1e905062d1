package main

import (
	"crypto/tls"
	"fmt"
	"slices"
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
		if err := c.keepSessions(); err != nil {
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

// keepSessions connects until there is a session for each of the handshakes at a time. Each
// handshake takes one and gets another.
func (c *client) keepSessions() error {
	stock := &sessionStock{come: make(chan struct{}, c.o.concurrency), limit: 4 * c.o.concurrency}
	c.cfg.TLS.ClientSessionCache = stock
	for range c.o.concurrency {
		if err := c.addSession(stock); err != nil {
			return err
		}
	}
	stock.open()
	return nil
}

// addSession connects once, and waits for a session.
func (c *client) addSession(stock *sessionStock) error {
	s, err := c.dial()
	if err != nil {
		return err
	}
	defer s.close()
	select {
	case <-stock.come:
		return nil
	case <-time.After(dialTimeout):
		return fmt.Errorf("-resume: no session ticket came from %v", c.remote)
	}
}

// A sessionStock is a cache for one server. It gives each session once, as RFC 8446, Appendix C.4
// wants: servers that remember sessions, such as those of rustls, forget each when it is used. The
// last one stays, for handshakes whose ticket has not come yet.
type sessionStock struct {
	come  chan struct{} // gets a token with each session, unless it is full
	limit int           // of sessions

	mu       sync.Mutex
	isOpen   bool
	sessions []*tls.ClientSessionState // the newest last
}

// open lets Get give sessions from now on.
func (s *sessionStock) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isOpen = true
}

// Get takes the newest session.
func (s *sessionStock) Get(string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.sessions)
	if !s.isOpen || n == 0 {
		return nil, false
	}
	session := s.sessions[n-1]
	if n > 1 {
		s.sessions = s.sessions[:n-1]
	}
	return session, true
}

// Put adds a session. Where there are too many, the oldest one goes.
func (s *sessionStock) Put(_ string, session *tls.ClientSessionState) {
	if session == nil {
		return // of a handshake that failed: Get took it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) == s.limit {
		s.sessions = slices.Delete(s.sessions, 0, 1)
	}
	s.sessions = append(s.sessions, session)
	select {
	case s.come <- struct{}{}:
	default:
	}
}
