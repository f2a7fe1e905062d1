package webtransport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// benchSession returns a session with an echo on loopback sockets.
func benchSession(b *testing.B) *Session {
	b.Helper()
	up := new(Upgrader)
	srv := &h3http.Server{TLSConfig: conntest.ServerTLS()}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, err := up.Upgrade(w, r); err == nil {
			go echo(s)
		}
	})
	up.Configure(srv)
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(b, err)
	b.Cleanup(func() { g.Close() })
	d := &Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	b.Cleanup(func() { d.Close() })
	s, _, err := d.Dial(context.Background(), fmt.Sprintf("https://%v/", g.LocalAddr()), nil)
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	return s
}

// BenchmarkDatagram sends a datagram there and back, one at a time.
func BenchmarkDatagram(b *testing.B) {
	s := benchSession(b)
	ctx := context.Background()
	buf := make([]byte, 1000)
	for range b.N {
		require.NoError(b, s.SendDatagram(ctx, buf, 0))
		_, err := s.ReceiveDatagram(ctx, buf)
		require.NoError(b, err)
	}
}

// BenchmarkStream opens a stream for a small message there and back, one at a time.
func BenchmarkStream(b *testing.B) {
	s := benchSession(b)
	buf := make([]byte, 8)
	for range b.N {
		st, err := s.OpenStream(context.Background(), conn.Bidi)
		require.NoError(b, err)
		st.Write(buf)
		st.CloseWrite()
		_, err = io.ReadFull(st, buf)
		require.NoError(b, err)
		st.Close()
	}
}

// BenchmarkEcho sends bytes there and back on one stream.
func BenchmarkEcho(b *testing.B) {
	s := benchSession(b)
	st, err := s.OpenStream(context.Background(), conn.Bidi)
	require.NoError(b, err)
	defer st.Close()
	const size = 1 << 20
	b.SetBytes(size)
	go func() {
		block := make([]byte, size)
		for range b.N {
			st.Write(block)
		}
		st.CloseWrite()
	}()
	n, err := io.Copy(io.Discard, st)
	require.NoError(b, err)
	require.EqualValues(b, size*b.N, n)
}
