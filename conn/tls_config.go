package conn

import (
	"crypto/sha256"
	"crypto/tls"
	"time"
)

// A serverTLS holds the TLS configuration of a server. crypto/tls wants MinVersion 1.3 in it, and
// resumes sessions only if the ticket keys last longer than a connection: so outer has both. What
// the user changes must have effect: so each connection gets a fresh copy of the user's
// configuration.
type serverTLS struct {
	user  *tls.Config
	outer *tls.Config
}

func newServerTLS(user *tls.Config) *serverTLS {
	return &serverTLS{user: user, outer: &tls.Config{MinVersion: tls.VersionTLS13}}
}

// setKeys derives the keys of session tickets, which hold unless the user's configuration has some.
func (s *serverTLS) setKeys(keys [][32]byte) {
	derived := make([][32]byte, len(keys))
	for i, k := range keys {
		derived[i] = sha256.Sum256(append([]byte("lazo session ticket"), k[:]...))
	}
	s.outer.SetSessionTicketKeys(derived)
}

// config returns the configuration for a connection.
func (s *serverTLS) config(c *Conn) *tls.Config {
	now := func() time.Time { return c.tls.now }
	came := helloHook(c)
	cfg := s.outer.Clone()
	cfg.Time = now
	cfg.KeyLogWriter = s.user.KeyLogWriter
	// crypto/tls looks for these before it asks for another configuration.
	cfg.EncryptedClientHelloKeys = s.user.EncryptedClientHelloKeys
	cfg.GetEncryptedClientHelloKeys = s.user.GetEncryptedClientHelloKeys
	callbacksHear(cfg, came)
	cfg.GetConfigForClient = func(chi *tls.ClientHelloInfo) (*tls.Config, error) {
		user := s.user
		if user.GetConfigForClient != nil {
			came(chi)
			other, err := user.GetConfigForClient(chi)
			if err != nil {
				return nil, err
			}
			if other != nil {
				user = other
			}
		}
		inner := atLeast13(user, now)
		callbacksHear(inner, came)
		open := inner.UnwrapSession
		if open == nil {
			open = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
				if session, err := inner.DecryptTicket(ticket, cs); session != nil || err != nil {
					return session, err
				}
				return cfg.DecryptTicket(ticket, cs) // the user's configuration has no keys
			}
		}
		inner.UnwrapSession = sameVersion(c.versions.original, open)
		return inner, nil
	}
	return cfg
}

// helloHook returns what each ClientHello passes before a callback of the user sees it. The
// callbacks run on other goroutines, so it does not touch c.
func helloHook(c *Conn) func(*tls.ClientHelloInfo) {
	hook := c.e.cfg.ClientHello
	if hook == nil {
		return func(*tls.ClientHelloInfo) {}
	}
	local, remote := c.path.local, c.path.remote
	return func(chi *tls.ClientHelloInfo) { hook(chi, local, remote) }
}

// callbacksHear has came see each ClientHelloInfo before the callbacks of cfg, other than
// GetConfigForClient. crypto/tls makes one for each call.
func callbacksHear(cfg *tls.Config, came func(*tls.ClientHelloInfo)) {
	if get := cfg.GetCertificate; get != nil {
		cfg.GetCertificate = func(chi *tls.ClientHelloInfo) (*tls.Certificate, error) {
			came(chi)
			return get(chi)
		}
	}
	if get := cfg.GetEncryptedClientHelloKeys; get != nil {
		cfg.GetEncryptedClientHelloKeys = func(chi *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
			came(chi)
			return get(chi)
		}
	}
}

// atLeast13 returns a copy of cfg for QUIC (RFC 9001, Section 4.2 [1, 2]).
func atLeast13(cfg *tls.Config, now func() time.Time) *tls.Config {
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS13
	cfg.MaxVersion = 0
	if cfg.Time == nil {
		cfg.Time = now
	}
	return cfg
}

// clientTLS returns the configuration for a client connection. crypto/tls authenticates the server,
// unless the user turns that off (RFC 9001, Section 4.4 [1]).
func clientTLS(c *Conn) *tls.Config {
	cfg := atLeast13(c.cfg.TLS, func() time.Time { return c.tls.now })
	cfg.ServerName = c.serverName
	if c.sessions != nil {
		cfg.ClientSessionCache = c.sessions
	}
	return cfg
}
