// Package webtransport tests h3/webtransport against webtransport-go.
package webtransport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	foreign "github.com/quic-go/webtransport-go"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

const protocol = "interop"

// tlsConfigs returns the configurations of a server and of a client that trusts it.
func tlsConfigs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: pool}
}

// withTimeout ends with the test, or when it takes too long.
func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// serve runs a server of this module, which gives each session to f. It returns its address.
func serve(t *testing.T, f func(s *webtransport.Session)) (addr string, client *tls.Config) {
	t.Helper()
	server, client := tlsConfigs(t)
	up := &webtransport.Upgrader{Protocols: []string{protocol}}
	srv := &h3http.Server{TLSConfig: server}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, err := up.Upgrade(w, r); err == nil {
			go f(s)
		}
	})
	up.Configure(srv)
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g.LocalAddr().String(), client
}

// dialForeign opens a session with webtransport-go, on a connection that outlives it.
func dialForeign(t *testing.T, addr string, client *tls.Config) *foreign.Session {
	t.Helper()
	ctx := withTimeout(t)
	client.NextProtos = []string{http3.NextProtoH3}
	c, err := quic.DialAddr(ctx, addr, client, &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true})
	require.NoError(t, err)
	t.Cleanup(func() { c.CloseWithError(0x100, "") })
	tr := &foreign.Transport{ApplicationProtocols: []string{"other", protocol}}
	t.Cleanup(func() { tr.Close() })
	cc, err := tr.NewClientConn(c)
	require.NoError(t, err)
	_, s, err := cc.Dial(ctx, "https://"+addr+"/wt", nil)
	require.NoError(t, err)
	require.Equal(t, protocol, s.SessionState().ApplicationProtocol)
	return s
}

// serveForeign runs a server of webtransport-go, which gives each session to f. It returns its URL.
func serveForeign(t *testing.T, f func(s *foreign.Session)) (url string, client *tls.Config) {
	t.Helper()
	return runForeign(t, &foreign.Server{ApplicationProtocols: []string{protocol}}, f)
}

// runForeign is serveForeign for a server with settings of its own.
func runForeign(t *testing.T, srv *foreign.Server, f func(s *foreign.Session)) (url string, client *tls.Config) {
	t.Helper()
	server, client := tlsConfigs(t)
	srv.H3 = &http3.Server{TLSConfig: http3.ConfigureTLSConfig(server)}
	srv.H3.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, err := srv.Upgrade(w, r); err == nil {
			go f(s)
		}
	})
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(sock) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
		sock.Close()
	})
	return fmt.Sprintf("https://%v/wt", sock.LocalAddr()), client
}

// dial opens a session with this module.
func dial(t *testing.T, url string, client *tls.Config) *webtransport.Session {
	t.Helper()
	d := &webtransport.Dialer{TLSClientConfig: client, Protocols: []string{"other", protocol}}
	t.Cleanup(func() { d.Close() })
	s, _, err := d.Dial(withTimeout(t), url, nil)
	require.NoError(t, err)
	require.Equal(t, protocol, s.Protocol())
	return s
}

// echo sends back streams and datagrams.
func echo(s *webtransport.Session) {
	ctx := s.Context()
	go func() {
		for {
			in, err := s.AcceptStream(ctx, conn.Uni)
			if err != nil {
				return
			}
			out, err := s.OpenStream(ctx, conn.Uni)
			if err != nil {
				return
			}
			io.Copy(out, in)
			out.Close()
			in.Close()
		}
	}()
	go func() {
		b := make([]byte, 1500)
		for {
			n, err := s.ReceiveDatagram(ctx, b)
			if err != nil {
				return
			}
			s.SendDatagram(ctx, b[:n], 0)
		}
	}()
	for {
		st, err := s.AcceptStream(ctx, conn.Bidi)
		if err != nil {
			return
		}
		go func() {
			defer st.Close()
			_, err := io.Copy(st, st)
			if se, ok := errors.AsType[*webtransport.StreamError](err); ok {
				st.Reset(se.Code)
			}
		}()
	}
}

// echoForeign is echo for webtransport-go.
func echoForeign(s *foreign.Session) {
	ctx := s.Context()
	go func() {
		for {
			in, err := s.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			out, err := s.OpenUniStreamSync(ctx)
			if err != nil {
				return
			}
			io.Copy(out, in)
			out.Close()
		}
	}()
	go func() {
		for {
			b, err := s.ReceiveDatagram(ctx)
			if err != nil {
				return
			}
			s.SendDatagram(b)
		}
	}()
	for {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			_, err := io.Copy(st, st)
			if se, ok := errors.AsType[*foreign.StreamError](err); ok {
				st.CancelWrite(se.ErrorCode)
				return
			}
			st.Close()
		}()
	}
}

// exchange writes n bytes to w, closes it, and expects them from r.
func exchange(t *testing.T, w io.Writer, end func() error, r io.Reader, n int) {
	t.Helper()
	want := bytes.Repeat([]byte("0123456789abcdef"), n/16)
	sent := make(chan error, 1)
	go func() {
		_, err := w.Write(want)
		sent <- errors.Join(err, end())
	}()
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "%d bytes, want %d", len(got), len(want))
	require.NoError(t, <-sent)
}

// TestServer has webtransport-go as the client of this module's server.
func TestServer(t *testing.T) {
	addr, client := serve(t, echo)
	s := dialForeign(t, addr, client)
	ctx := withTimeout(t)
	for range 120 { // more than may be open at once
		st, err := s.OpenStreamSync(ctx)
		require.NoError(t, err)
		exchange(t, st, st.Close, st, 160)
	}
	st, err := s.OpenStreamSync(ctx)
	require.NoError(t, err)
	exchange(t, st, st.Close, st, 8<<20)
	out, err := s.OpenUniStreamSync(ctx)
	require.NoError(t, err)
	io.WriteString(out, "hello")
	require.NoError(t, out.Close())
	in, err := s.AcceptUniStream(ctx)
	require.NoError(t, err)
	b, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))
	for i := range 10 {
		require.NoError(t, s.SendDatagram(fmt.Append(nil, "datagram ", i)))
		b, err := s.ReceiveDatagram(ctx)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("datagram ", i), string(b))
	}
	for _, code := range []foreign.StreamErrorCode{0, 30, 1<<32 - 1} {
		st, err := s.OpenStreamSync(ctx)
		require.NoError(t, err)
		io.WriteString(st, "x")
		_, err = io.ReadFull(st, make([]byte, 1))
		require.NoError(t, err)
		st.CancelWrite(code)
		_, err = st.Read(make([]byte, 1))
		require.Equal(t, &foreign.StreamError{ErrorCode: code, Remote: true}, err)
	}
}

// TestClient has webtransport-go as the server of this module's client.
func TestClient(t *testing.T) {
	url, client := serveForeign(t, echoForeign)
	s := dial(t, url, client)
	ctx := withTimeout(t)
	for range 120 {
		st, err := s.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		exchange(t, st, st.CloseWrite, st, 160)
		require.NoError(t, st.Close())
	}
	st, err := s.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	exchange(t, st, st.CloseWrite, st, 8<<20)
	out, err := s.OpenStream(ctx, conn.Uni)
	require.NoError(t, err)
	io.WriteString(out, "hello")
	require.NoError(t, out.Close())
	in, err := s.AcceptStream(ctx, conn.Uni)
	require.NoError(t, err)
	b, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))
	for i := range 10 {
		require.NoError(t, s.SendDatagram(ctx, fmt.Append(nil, "datagram ", i), 0))
		b := make([]byte, 100)
		n, err := s.ReceiveDatagram(ctx, b)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("datagram ", i), string(b[:n]))
	}
	for _, code := range []uint32{0, 30, 1<<32 - 1} {
		st, err := s.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		io.WriteString(st, "x")
		_, err = io.ReadFull(st, make([]byte, 1))
		require.NoError(t, err)
		st.Reset(code)
		_, err = st.Read(make([]byte, 1))
		require.Equal(t, &webtransport.StreamError{Code: code, Remote: true}, err)
	}
}

// TestClose closes sessions from each side. Each implementation is the client once.
func TestClose(t *testing.T) {
	ours := func(t *testing.T, s *webtransport.Session, closes bool) {
		if closes {
			require.NoError(t, s.CloseWithError(42, "enough"))
			return
		}
		<-s.Context().Done()
		require.Equal(t, &webtransport.SessionError{Code: 42, Reason: "enough", Remote: true}, context.Cause(s.Context()))
	}
	theirs := func(t *testing.T, s *foreign.Session, closes bool) {
		if closes {
			require.NoError(t, s.CloseWithError(42, "enough"))
			return
		}
		<-s.Context().Done()
		_, err := s.AcceptStream(context.Background())
		require.Equal(t, &foreign.SessionError{ErrorCode: 42, Message: "enough", Remote: true}, err)
	}
	for _, closes := range []bool{true, false} {
		t.Run(fmt.Sprint("server of ours, closes ", closes), func(t *testing.T) {
			sessions := make(chan *webtransport.Session, 1)
			addr, client := serve(t, func(s *webtransport.Session) { sessions <- s })
			c := dialForeign(t, addr, client)
			s := <-sessions
			if closes {
				ours(t, s, true)
				theirs(t, c, false)
			} else {
				theirs(t, c, true)
				ours(t, s, false)
			}
		})
		t.Run(fmt.Sprint("client of ours, closes ", closes), func(t *testing.T) {
			sessions := make(chan *foreign.Session, 1)
			url, client := serveForeign(t, func(s *foreign.Session) { sessions <- s })
			c := dial(t, url, client)
			s := <-sessions
			if closes {
				ours(t, c, true)
				theirs(t, s, false)
			} else {
				theirs(t, s, true)
				ours(t, c, false)
			}
		})
	}
}
