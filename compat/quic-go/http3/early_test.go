package http3_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A waitingCache tells when a session has come.
type waitingCache struct {
	tls.ClientSessionCache
	came chan struct{}
}

func (c *waitingCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	if s != nil {
		c.came <- struct{}{}
	}
}

// TestEarlyDataNeedsSettings: a server that has been set up anew takes early data of sessions from
// before only if it still has their settings (RFC 9114, Section 7.2.4.2). The sessions go on.
func TestEarlyDataNeedsSettings(t *testing.T) {
	const size, setting = 2000, 0x1234
	for _, tt := range []struct {
		name  string
		size  int
		value uint64 // of the setting; 0 for none
		early bool
	}{
		{"the same", size, 1, true},
		{"larger headers", size + 1, 1, true},
		{"the default", 0, 1, true},
		{"smaller headers", size - 1, 1, false},
		{"another value", size, 2, false},
		{"no value", size, 0, false},
	} {
		for _, chosen := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				tc := serverTLS(t)
				if chosen {
					own := tc.Clone()
					tc.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }
				}
				before := &http3.Server{TLSConfig: tc, MaxHeaderBytes: size, AdditionalSettings: map[uint64]uint64{setting: 1}}
				now := &http3.Server{TLSConfig: tc, MaxHeaderBytes: tt.size}
				if tt.value != 0 {
					now.AdditionalSettings = map[uint64]uint64{setting: tt.value}
				}
				cache := &waitingCache{tls.NewLRUClientSessionCache(1), make(chan struct{}, 10)}
				get(t, serve(t, before), cache)
				if state := get(t, serve(t, now), cache); state.Used0RTT != tt.early || !state.TLS.DidResume {
					t.Errorf("with GetConfigForClient %v: early data is taken %v, the session %v", chosen, state.Used0RTT, state.TLS.DidResume)
				}
			})
		}
	}
}

// get makes a request on a connection of its own, and returns the state of that when a session has
// come.
func get(t *testing.T, addr string, cache *waitingCache) quic.ConnectionState {
	t.Helper()
	c := clientTLS.Clone()
	c.ServerName, c.ClientSessionCache = "localhost", cache
	var conn *quic.Conn
	tr := &http3.Transport{TLSClientConfig: c, Dial: func(ctx context.Context, _ string, tc *tls.Config, cfg *quic.Config) (_ *quic.Conn, err error) {
		conn, err = quic.DialAddrEarly(ctx, addr, tc, cfg)
		return conn, err
	}}
	defer tr.Close()
	resp, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+addr))
	check(t, err)
	check(t, resp.Body.Close())
	<-cache.came
	return conn.ConnectionState()
}

// TestTooEarly: the caller of a request that went as early data sees status 425, and sends the
// request again itself.
func TestTooEarly(t *testing.T) {
	var requests atomic.Int32
	server := &http3.Server{TLSConfig: serverTLS(t), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) > 1 {
			w.WriteHeader(http.StatusTooEarly)
		}
	})}
	addr := serve(t, server)
	cache := &waitingCache{tls.NewLRUClientSessionCache(1), make(chan struct{}, 10)}
	get(t, addr, cache)
	c := clientTLS.Clone()
	c.ServerName, c.ClientSessionCache = "localhost", cache
	tr := &http3.Transport{TLSClientConfig: c}
	defer tr.Close()
	resp, err := tr.RoundTrip(request(t, http3.MethodGet0RTT, "https://"+addr))
	check(t, err)
	check(t, resp.Body.Close())
	if resp.StatusCode != http.StatusTooEarly || requests.Load() != 2 {
		t.Errorf("%s after %d requests", resp.Status, requests.Load())
	}
}
