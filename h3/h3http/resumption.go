package h3http

import (
	"crypto/tls"
	"sync/atomic"

	"github.com/lazoquic/lazo/conn"
)

// A sessionCache stands between the cache of the user and one dial. It knows whether that
// tried to resume a session.
type sessionCache struct {
	tls.ClientSessionCache
	fresh   bool // resume none
	offered atomic.Bool
}

// watchSessions puts a sessionCache in front of that of cfg, which is the caller's own. With
// fresh there is neither a ticket nor early data; sessions that come are kept. It returns nil
// if there is no cache.
func watchSessions(cfg *conn.Config, fresh bool) *sessionCache {
	if cfg.TLS.ClientSessionCache == nil {
		return nil
	}
	s := &sessionCache{ClientSessionCache: cfg.TLS.ClientSessionCache, fresh: fresh}
	cfg.TLS.ClientSessionCache = s
	cfg.Enable0RTT = cfg.Enable0RTT && !fresh
	return s
}

// Get is part of [tls.ClientSessionCache].
func (s *sessionCache) Get(key string) (*tls.ClientSessionState, bool) {
	if s.fresh {
		return nil, false
	}
	session, ok := s.ClientSessionCache.Get(key)
	if ok && session != nil {
		s.offered.Store(true)
	}
	return session, ok
}

// resumes reports whether the dial tried to resume a session.
func (s *sessionCache) resumes() bool { return s != nil && s.offered.Load() }

// unresumed reports whether c tried to resume a session and ended before its handshake was
// complete. Without the ticket another connection may succeed: a server whose tickets or
// early data are broken would fail all requests otherwise.
func (c *clientConn) unresumed() bool { return c.resumes && !c.isConfirmed() && !c.alive() }
