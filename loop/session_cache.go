package loop

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/lazoquic/lazo/conn"
)

// Bounds of a SessionCache.
const (
	maxCachedServers = 256
	maxCachedItems   = 4 // for each server, of sessions and of tokens
	maxGivenItems    = 2 * maxCachedServers * maxCachedItems
)

// A SessionCache remembers servers for a client: TLS sessions, with the transport
// parameters and the settings of HTTP/3 that early data (0-RTT) needs, and the tokens of
// NEW_TOKEN frames, which spare the client a Retry. Set it as ClientSessionCache of
// [conn.Config.TLS], or of an h3http.Transport's TLSClientConfig, and as
// [conn.Config.Tokens]. With Save and Load it outlives the process.
//
// It forgets each session and token that it gives: using one again would link connections to each
// other, and a session may carry early data only once (RFC 8446, Appendix C.4; RFC 9000, Section
// 8.1.3). It holds at most 4 of each for a server, and 256 servers, of which those that were used
// last stay.
//
// The zero SessionCache is empty and ready to use, by any number of goroutines.
type SessionCache struct {
	mu      sync.Mutex
	content sessionCacheContent
	given   []itemSum // what Load must not bring back; the oldest first
}

// An itemSum is the SHA-256 of a session ticket or of a token.
type itemSum [sha256.Size]byte

// give notes that an item was given away, or is of no use.
func (c *SessionCache) give(item []byte) {
	c.given = slices.Delete(c.given, 0, max(0, len(c.given)-maxGivenItems+1))
	c.given = append(c.given, sha256.Sum256(item))
}

// sessionCacheContent is the content of the file, as JSON.
type sessionCacheContent struct {
	Sessions shelf[cachedSession] `json:"sessions"`
	Tokens   shelf[[]byte]        `json:"tokens"`
}

// A cachedSession holds the parts of a tls.ClientSessionState in encoded form, because a connection
// may change its ClientSessionState while it lasts.
type cachedSession struct {
	Ticket []byte `json:"ticket"`
	State  []byte `json:"state"`
}

var (
	_ tls.ClientSessionCache = (*SessionCache)(nil)
	_ conn.TokenCache        = (*SessionCache)(nil)
)

// Get is part of [tls.ClientSessionCache]. The newest session comes first.
func (c *SessionCache) Get(key string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	s, ok := c.content.Sessions.take(key)
	if ok {
		c.give(s.Ticket)
	}
	c.mu.Unlock()
	if !ok {
		return nil, false
	}
	state, err := tls.ParseSessionState(s.State)
	if err != nil {
		return nil, false
	}
	cs, err := tls.NewResumptionState(s.Ticket, state)
	return cs, err == nil
}

// Put is part of [tls.ClientSessionCache].
func (c *SessionCache) Put(key string, cs *tls.ClientSessionState) {
	if cs == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for s, ok := c.content.Sessions.take(key); ok; s, ok = c.content.Sessions.take(key) {
			c.give(s.Ticket)
		}
		return
	}
	ticket, state, err := cs.ResumptionState()
	if err != nil || state == nil {
		return
	}
	b, err := state.Bytes()
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.content.Sessions.put(key, cachedSession{ticket, b}, sameTicket)
}

// TakeToken is part of [conn.TokenCache]. The newest token comes first.
func (c *SessionCache) TakeToken(server string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	token, ok := c.content.Tokens.take(server)
	if ok {
		c.give(token)
	}
	return token
}

// PutToken is part of [conn.TokenCache].
func (c *SessionCache) PutToken(server string, token []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.content.Tokens.put(server, token, bytes.Equal)
}

// sameTicket reports whether two sessions are one: it may be given once.
func sameTicket(a, b cachedSession) bool { return bytes.Equal(a.Ticket, b.Ticket) }

// Save writes the cache to a file, in place of what was there. The file holds secrets
// of TLS sessions: only the user may read it.
func (c *SessionCache) Save(name string) error {
	c.mu.Lock()
	b, err := json.Marshal(&c.content)
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("loop: session cache: %w", err)
	}
	// CreateTemp gives the file mode 0600
	f, err := os.CreateTemp(filepath.Dir(name), ".sessions-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Load adds what Save wrote to a file, and the cache neither has nor has given away. It counts as
// older than what the cache has. The error matches [os.ErrNotExist] if there is no file.
func (c *SessionCache) Load(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var content sessionCacheContent
	if err := json.Unmarshal(b, &content); err != nil {
		return fmt.Errorf("loop: session cache in %s: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	given := make(map[itemSum]bool, len(c.given))
	for _, sum := range c.given {
		given[sum] = true
	}
	content.Sessions.drop(func(s cachedSession) bool { return given[sha256.Sum256(s.Ticket)] })
	content.Tokens.drop(func(token []byte) bool { return given[sha256.Sum256(token)] })
	c.content.Sessions.addOlder(content.Sessions, sameTicket)
	c.content.Tokens.addOlder(content.Tokens, bytes.Equal)
	return nil
}

// A shelf holds a few items for each of a few servers. The servers and the items of each are in the
// order in which they were used last. It is so small that a linear search is fast enough.
type shelf[T any] []shelfOf[T]

// A shelfOf holds the items of one server.
type shelfOf[T any] struct {
	Server string `json:"server"`
	Items  []T    `json:"items"`
}

func (s shelf[T]) find(server string) int {
	return slices.IndexFunc(s, func(o shelfOf[T]) bool { return o.Server == server })
}

// take removes the newest item of a server.
func (s *shelf[T]) take(server string) (item T, ok bool) {
	i := s.find(server)
	if i < 0 {
		return item, false
	}
	o := &(*s)[i]
	last := len(o.Items) - 1
	if last >= 0 {
		item, ok = o.Items[last], true
		o.Items = slices.Delete(o.Items, last, last+1)
	}
	if last <= 0 {
		s.remove(server)
	}
	return item, ok
}

// put adds an item. It takes the place of an old item that is the same, if there is one.
func (s *shelf[T]) put(server string, item T, same func(a, b T) bool) {
	o := shelfOf[T]{Server: server}
	if i := s.find(server); i >= 0 {
		o = (*s)[i]
		*s = slices.Delete(*s, i, i+1)
	}
	o.Items = append(slices.DeleteFunc(o.Items, func(old T) bool { return same(old, item) }), item)
	o.Items = slices.Delete(o.Items, 0, max(0, len(o.Items)-maxCachedItems))
	*s = append(*s, o)
	*s = slices.Delete(*s, 0, max(0, len(*s)-maxCachedServers))
}

func (s *shelf[T]) remove(server string) {
	if i := s.find(server); i >= 0 {
		*s = slices.Delete(*s, i, i+1)
	}
}

// drop drops the items for which f reports true.
func (s shelf[T]) drop(f func(T) bool) {
	for i := range s {
		s[i].Items = slices.DeleteFunc(s[i].Items, f)
	}
}

// addOlder adds the items of another shelf that are not on this one. They count as older than what
// is on this one, and so do their servers.
func (s *shelf[T]) addOlder(other shelf[T], same func(a, b T) bool) {
	var both shelf[T]
	for _, from := range []shelf[T]{other, *s} {
		for _, o := range from {
			for _, item := range o.Items {
				both.put(o.Server, item, same)
			}
		}
	}
	*s = both
}
