//go:build !race

package loop_test

import (
	"crypto/tls"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A turnCounter is an Observer that counts turns.
type turnCounter struct {
	notebook
	at []int // the turn of each handshake's first step
}

// began notes that a handshake has its first step.
func (c *turnCounter) began() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, len(c.took))
}

// TestHandshakesGiveWay: many clients connect at once, and there is one core. The loop has turns
// between the steps of TLS, in which it serves connections that are established. The scheduler of
// Go mixes steps at times, so there are some 20 turns, and there would be 2. With the race detector
// it draws what comes next.
func TestHandshakesGiveWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const clients = 32
	turns := new(turnCounter)
	cfg := serverConfig(nil)
	cfg.Observe = func(int) loop.Observer { return turns }
	tc := cfg.Endpoint.Server.TLS.Clone()
	tc.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		turns.began()
		for start := time.Now(); time.Since(start) < time.Millisecond; {
			// a signature with RSA takes as long
		}
		return nil, nil
	}
	cfg.Endpoint.Server.TLS = tc
	// The time is real, so that steps take some.
	w := &world{T: t, net: looptest.New(t, 0, near)}
	var err error
	w.server, err = loop.New(cfg, w.net.Listen(serverAddr))
	require.NoError(t, err)
	defer w.server.Close()
	w.client, err = loop.New(nil, w.net.Listen(clientAddr))
	require.NoError(t, err)
	defer w.client.Close()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() { w.dialOnly(nil) })
	}
	all.Wait()
	turns.mu.Lock()
	defer turns.mu.Unlock()
	at := slices.Compact(slices.Clone(turns.at))
	if len(turns.at) != clients || len(at) < clients/4 {
		t.Errorf("%d handshakes began in %d turns: %v", len(turns.at), len(at), turns.at)
	}
}
