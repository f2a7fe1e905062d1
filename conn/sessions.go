package conn

import (
	"cmp"
	"context"
	"crypto/tls"
	"slices"
	"strconv"
)

// What a client remembers of servers. Each session and token belongs to one version of QUIC (RFC
// 9369, Section 5).

// A TokenCache keeps the tokens that servers give to a client in NEW_TOKEN frames, for later
// connections (RFC 9000, Section 8.1.3). The string server stands for host, port and version of
// QUIC; its form has no other meaning. Calls come from inside Receive and Dial of any number of
// Endpoints, and must not block. See loop.SessionCache.
type TokenCache interface {
	// TakeToken removes a token of the server from the cache and returns it, nil if there is none.
	TakeToken(server string) []byte

	// PutToken adds a token, which becomes the cache's.
	PutToken(server string, token []byte)
}

// tokenKey names the server of a client connection to a TokenCache: where Dial found it, not where
// it prefers to be.
// RFC 9369, Section 5 [1]; RFC 9000, Section 8.1.3 [7].
func (c *Conn) tokenKey() string {
	return c.tokenServer + " " + strconv.FormatUint(uint64(c.version), 16)
}

// takeToken gives a client a token for its Initial packets: that of the Target, or one of the
// cache.
// RFC 9000, Section 8.1.3 [6, 9].
func (c *Conn) takeToken(tok []byte) {
	if c.cfg.Tokens != nil {
		name := cmp.Or(c.serverName, c.path.remote.Addr().String())
		c.tokenServer = name + " " + strconv.Itoa(int(c.path.remote.Port()))
	}
	if tok == nil && c.cfg.Tokens != nil {
		tok = c.cfg.Tokens.TakeToken(c.tokenKey())
		c.e.rec.bytes(tapeToken, tok)
	}
	if len(tok) <= maxPeerToken {
		c.token = append([]byte(nil), tok...)
	}
}

// A clientSessions stands between crypto/tls and the session cache of the user, for one handshake.
type clientSessions struct {
	tls.ClientSessionCache
	session *tls.ClientSessionState // to resume
	ctx     context.Context         // of the handshake
}

// newClientSessions looks up the session to resume. A connection that resumes one starts with its
// version.
// RFC 9369, Section 5 [1].
func newClientSessions(c *Conn) *clientSessions {
	cfg := c.cfg.TLS
	s := &clientSessions{ClientSessionCache: cfg.ClientSessionCache}
	if c.serverName == "" || cfg.SessionTicketsDisabled {
		return s
	}
	session, ok := cfg.ClientSessionCache.Get(c.serverName)
	if !ok || session == nil {
		return s
	}
	_, state, err := session.ResumptionState()
	if err != nil || state == nil {
		return s
	}
	if m, _, ok := findMemo(state); ok {
		if !slices.Contains(c.cfg.Versions, m.version) {
			return s
		}
		c.version = m.version
	}
	s.session = session
	return s
}

// Get returns the session that was looked up.
func (s *clientSessions) Get(string) (*tls.ClientSessionState, bool) {
	return s.session, s.session != nil
}

// Put stores a session. crypto/tls forgets the sessions of a server if a handshake with one of them
// does not complete. They may still be good if it was broken off because the network was down, the
// user gave up, or the server wants another version.
func (s *clientSessions) Put(key string, session *tls.ClientSessionState) {
	if session == nil && s.ctx.Err() != nil {
		if _, ok := context.Cause(s.ctx).(*TransportError); !ok {
			return
		}
	}
	s.ClientSessionCache.Put(key, session)
}

// An unwrapFunc opens the ticket of a client: see [tls.Config].UnwrapSession.
type unwrapFunc = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error)

// sameVersion makes open refuse the tickets of another version than the client began with.
// RFC 9369, Section 5 [2].
func sameVersion(version uint32, open unwrapFunc) unwrapFunc {
	return func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		session, err := open(ticket, cs)
		if session == nil || err != nil {
			return nil, err
		}
		if m, _, ok := findMemo(session); ok && m.version != version {
			return nil, nil
		}
		return session, nil
	}
}
