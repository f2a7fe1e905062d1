package masque

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// soon bounds the time of what takes milliseconds on an idle machine.
const soon = time.Minute

// A pair is a proxy on loopback and a client of it.
type pair struct {
	t      testing.TB
	url    string
	server *h3http.Server
	proxy  *Proxy
	client *Client
}

// newPair lets the functions change both sides before they run. The proxy reaches loopback.
// RFC 9298, Section 2 [10].
func newPair(t testing.TB, change ...func(p *pair)) *pair {
	t.Helper()
	p := &pair{t: t, proxy: &Proxy{Allow: func(*http.Request, netip.AddrPort) bool { return true }}}
	p.server = &h3http.Server{Handler: p.proxy, Logger: slog.New(slog.DiscardHandler)}
	p.proxy.Configure(p.server)
	p.client = &Client{Transport: &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}}
	for _, f := range change {
		f(p)
	}
	p.url = serve(t, p.server)
	if p.client.Proxy == "" {
		p.client.Proxy = p.url
	}
	t.Cleanup(func() {
		p.client.Transport.Close()
		p.proxy.Close()
	})
	return p
}

// serve runs srv on loopback and returns its URL.
func serve(t testing.TB, srv *h3http.Server) string {
	t.Helper()
	srv.TLSConfig = conntest.ServerTLS()
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(t, err)
	t.Cleanup(func() {
		srv.Close()
		g.Close()
	})
	return "https://" + g.LocalAddr().String()
}

// noDatagrams keeps the peers of one side from sending QUIC datagrams.
func noDatagrams(p *pair) {
	p.server.H3Config = new(h3.Config)
}

// dial opens a tunnel.
func (p *pair) dial(target string) *Conn {
	p.t.Helper()
	c, err := p.client.Dial(p.t.Context(), target)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(soon)) // a test that fails ends
	return c
}

// newEcho returns the address of a UDP socket that sends back what it gets.
func newEcho(t testing.TB) string { return newEchoOn(t, "127.0.0.1:0") }

func newEchoOn(t testing.TB, addr string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", addr)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return c.LocalAddr().String()
}

// exchange sends b through c, and wants it back.
func exchange(t *testing.T, c *Conn, b []byte) {
	t.Helper()
	n, err := c.Write(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	got := make([]byte, maxPayload+1)
	n, err = c.Read(got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(b, got[:n]), "%d bytes came back as %d", len(b), n)
}

// newOrigin runs a server of random bytes and returns its URL. The path /7 has the bytes of seed 7.
func newOrigin(t *testing.T) string {
	t.Helper()
	return serve(t, &h3http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var seed uint64
		fmt.Sscanf(r.URL.Path, "/%d", &seed)
		w.Write(content(seed))
	})})
}

func content(seed uint64) []byte {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, 100_000*(seed+1))
	rand.NewChaCha8(key).Read(b)
	return b
}

// getThrough gets resources of origin. Each connection goes through a tunnel of its own.
func getThrough(t *testing.T, dial func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error), origin string, n uint64) {
	t.Helper()
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: dial}
	defer tr.Close()
	client := &http.Client{Transport: tr, Timeout: soon}
	results := make(chan error, n)
	for seed := range n {
		go func() {
			resp, err := client.Get(fmt.Sprintf("%s/%d", origin, seed))
			if err != nil {
				results <- err
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err == nil && sha256.Sum256(b) != sha256.Sum256(content(seed)) {
				err = fmt.Errorf("resource %d of %d bytes is not what it was", seed, len(b))
			}
			results <- err
		}()
	}
	for range n {
		require.NoError(t, <-results)
	}
}
