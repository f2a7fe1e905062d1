package quic

import (
	"container/list"
	"strings"
	"sync"

	"github.com/lazoquic/lazo/conn"
)

// A ClientToken is a token that a server gave to a client.
type ClientToken struct {
	data []byte
}

// A TokenStore keeps tokens for later connections.
type TokenStore interface {
	// Pop removes a token of key and returns it, or nil if there is none.
	Pop(key string) (token *ClientToken)

	// Put adds a token.
	Put(key string, token *ClientToken)
}

// NewLRUTokenStore returns a TokenStore for maxOrigins servers, with tokensPerOrigin tokens each. A
// new server takes the place of the one that was used longest ago.
func NewLRUTokenStore(maxOrigins, tokensPerOrigin int) TokenStore {
	return &lruTokenStore{
		origins: max(maxOrigins, 1), each: max(tokensPerOrigin, 1),
		byKey: make(map[string]*list.Element),
	}
}

// An lruTokenStore has a list of servers with their tokens. The server that was used last is the
// first.
type lruTokenStore struct {
	origins, each int

	mu    sync.Mutex
	order list.List // of *originTokens
	byKey map[string]*list.Element
}

// originTokens are the tokens of one server, the oldest first.
type originTokens struct {
	key    string
	tokens []*ClientToken
}

// Put is part of TokenStore. A new token takes the place of the oldest.
func (s *lruTokenStore) Put(key string, token *ClientToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	el := s.byKey[key]
	if el == nil {
		if s.order.Len() >= s.origins {
			last := s.order.Back()
			delete(s.byKey, last.Value.(*originTokens).key)
			s.order.Remove(last)
		}
		el = s.order.PushFront(&originTokens{key: key})
		s.byKey[key] = el
	}
	s.order.MoveToFront(el)
	o := el.Value.(*originTokens)
	if len(o.tokens) >= s.each {
		o.tokens = o.tokens[1:]
	}
	o.tokens = append(o.tokens, token)
}

// Pop is part of TokenStore. It returns the newest token.
func (s *lruTokenStore) Pop(key string) *ClientToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	el := s.byKey[key]
	if el == nil {
		return nil
	}
	s.order.MoveToFront(el)
	o := el.Value.(*originTokens)
	n := len(o.tokens) - 1
	t := o.tokens[n]
	if o.tokens = o.tokens[:n]; n == 0 {
		s.order.Remove(el)
		delete(s.byKey, key)
	}
	return t
}

// tokenCache is a TokenStore for package conn.
type tokenCache struct{ TokenStore }

var _ conn.TokenCache = tokenCache{}

// key returns the name or the IP address of a server, without its port and version.
func (tokenCache) key(server string) string {
	name, _, _ := strings.Cut(server, " ")
	return name
}

// TakeToken is part of conn.TokenCache.
func (c tokenCache) TakeToken(server string) []byte {
	if t := c.Pop(c.key(server)); t != nil {
		return t.data
	}
	return nil
}

// PutToken is part of conn.TokenCache.
func (c tokenCache) PutToken(server string, token []byte) {
	c.Put(c.key(server), &ClientToken{data: token})
}
