package h3http

import (
	"crypto/tls"
	"sync/atomic"

	"github.com/lazoquic/lazo/conn"
)

// A sessionCache stands between the cache of the user and one dial. It knows whether that dial
// tried to resume a session.
type sessionCache struct {
	tls.ClientSessionCache
	fresh   bool // the dial resumes no session
	offered atomic.Bool
}

// watchSessions puts a sessionCache in front of the cache of cfg. The caller owns cfg. With fresh,
// the dial uses neither a ticket nor early data, but keeps the sessions that it gets. watchSessions
// returns nil if there is no cache.
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
// complete. Another connection may succeed without the ticket. A server with broken tickets or
// early data would otherwise fail all requests.
func (c *clientConn) unresumed() bool { return c.resumes && !c.isConfirmed() && !c.alive() }
