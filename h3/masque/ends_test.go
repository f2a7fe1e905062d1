package masque

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// simulateProxy runs use in virtual time. The tunnel of use leads to a proxy that play plays.
// Everything that play gets ends with the test. srv is the server of the proxy.
func simulateProxy(t *testing.T, play func(srv *h3http.Server, s *h3http.Stream), use func(t *testing.T, c *Conn)) {
	t.Helper()
	conntest.ServerTLS() // outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		n := looptest.New(t, 1, conntest.Link{Delay: 10 * time.Millisecond})
		played := make(chan bool)
		srv := &h3http.Server{TLSConfig: conntest.ServerTLS(), Logger: slog.New(slog.DiscardHandler), ExtendedConnect: true}
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(played)
			w.Header().Set("Capsule-Protocol", "?1")
			s, err := h3http.TakeStream(w)
			require.NoError(t, err)
			defer s.Close()
			play(srv, s)
		})
		g, err := loop.New(nil, n.Listen("10.0.0.2:5000"))
		require.NoError(t, err)
		served := make(chan error, 1)
		backend := n.Listen("10.0.0.1:443")
		go func() { served <- srv.Serve(backend) }()
		client := &Client{Proxy: "https://10.0.0.1", Transport: &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: g.Dial}}
		c, err := client.Dial(t.Context(), "192.0.2.1:53")
		require.NoError(t, err)
		use(t, c)
		c.Close()
		<-played
		require.NoError(t, client.Transport.Close())
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		require.NoError(t, g.Close())
	})
}

// sendBoth sends n payloads as datagrams, and as many in capsules.
func sendBoth(t *testing.T, s *h3http.Stream, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, s.SendDatagram(t.Context(), payload(0, fmt.Appendf(nil, "d%d", i)...), 0))
		_, err := s.Write(capsule(dgram.CapsuleDatagram, payload(0, fmt.Appendf(nil, "c%d", i)...)))
		require.NoError(t, err)
	}
}

// requireBoth reads everything that sendBoth has sent. It returns the error that follows.
func requireBoth(t *testing.T, c *Conn, n int) error {
	t.Helper()
	next := map[byte]int{'d': 0, 'c': 0}
	b := make([]byte, 100)
	for range 2 * n {
		k, err := c.Read(b)
		require.NoError(t, err, "after %v", next)
		require.Equal(t, fmt.Sprintf("%c%d", b[0], next[b[0]]), string(b[:k]))
		next[b[0]]++
	}
	require.Equal(t, map[byte]int{'d': n, 'c': n}, next)
	_, err := c.Read(b)
	return err
}

// TestReadAfterConnectionClose: what came before the connection to the proxy ended can be read, by
// whichever way it came, and whether somebody waits for it or not.
func TestReadAfterConnectionClose(t *testing.T) {
	for _, wait := range []time.Duration{0, 2 * time.Second} {
		for round := range 20 {
			t.Run(fmt.Sprintf("after %v, round %d", wait, round), func(t *testing.T) {
				simulateProxy(t, func(srv *h3http.Server, s *h3http.Stream) {
					time.Sleep(time.Second)
					sendBoth(t, s, 25)
					synctest.Wait() // all is on its way, and the end right behind it
					go srv.Close()
					s.Read(make([]byte, 1))
				}, func(t *testing.T, c *Conn) {
					time.Sleep(wait)
					err := requireBoth(t, c, 25)
					var closed *conn.ApplicationError
					require.ErrorAs(t, err, &closed)
					_, err = c.Write([]byte("x"))
					require.ErrorAs(t, err, &closed)
				})
			})
		}
	}
}

// TestInboxEndsWithBothSources: and with the reason of the stream.
func TestInboxEndsWithBothSources(t *testing.T) {
	datagrams, stream := fmt.Errorf("datagrams"), fmt.Errorf("stream")
	for _, streamFirst := range []bool{false, true} {
		first, second := datagrams, stream
		if streamFirst {
			first, second = stream, datagrams
		}
		q := newInbox(func() {}, func(int) {})
		require.NoError(t, q.failure())
		q.end(first, streamFirst)
		require.Equal(t, first, q.failure(), "sending ends at the first end")
		_, err, ok := q.poll(nil)
		require.False(t, ok, "the other source may bring more: %v", err)
		q.push([]byte("x"))
		q.end(second, !streamFirst)
		b := make([]byte, 1)
		n, err, ok := q.poll(b)
		require.True(t, ok && n == 1 && err == nil)
		for range 2 {
			_, err, ok = q.poll(b)
			require.True(t, ok)
			require.Equal(t, stream, err)
		}
		q.close()
		_, err, _ = q.poll(b)
		require.Equal(t, net.ErrClosed, err)
	}
}

// TestProxyStopsReading: the tunnel goes on in the other direction.
// RFC 9298, Section 3.1 [6].
func TestProxyStopsReading(t *testing.T) {
	simulateProxy(t, func(_ *h3http.Server, s *h3http.Stream) {
		s.StopSending(h3.RequestCancelled)
		time.Sleep(time.Second)
		sendBoth(t, s, 5)
		require.NoError(t, s.CloseWrite())
		time.Sleep(time.Second)
	}, func(t *testing.T, c *Conn) {
		require.Equal(t, io.EOF, requireBoth(t, c, 5))
		_, err := c.Write([]byte("x"))
		require.Error(t, err)
	})
}

// TestProxyEndsTunnel: the client ends its direction too, and Read and Write say so.
func TestProxyEndsTunnel(t *testing.T) {
	simulateProxy(t, func(_ *h3http.Server, s *h3http.Stream) {
		sendBoth(t, s, 5)
		require.NoError(t, s.CloseWrite())
		_, err := s.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	}, func(t *testing.T, c *Conn) {
		require.Equal(t, io.EOF, requireBoth(t, c, 5))
		_, err := c.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestMalformedCapsulesOfProxy end the stream with the code of the RFC, and Read with the reason.
func TestMalformedCapsulesOfProxy(t *testing.T) {
	for name, test := range map[string]struct {
		b    []byte
		code h3.ErrorCode
	}{
		"cut short":        {[]byte{0, 10, 0}, h3.MessageError},
		"payload too long": {dgramHeader(maxPayload + 2), h3.DatagramError},
	} {
		t.Run(name, func(t *testing.T) {
			simulateProxy(t, func(_ *h3http.Server, s *h3http.Stream) {
				sendBoth(t, s, 5)
				s.Write(test.b)
				if test.code == h3.MessageError {
					s.CloseWrite()
				}
				_, err := s.Read(make([]byte, 1))
				var ended *conn.StreamError
				require.ErrorAs(t, err, &ended)
				require.Equal(t, test.code, h3.ErrorCode(ended.Code))
				if test.code != h3.MessageError {
					synctest.Wait() // the client has stopped this direction, too
					_, err = s.Write([]byte{0})
					require.ErrorAs(t, err, &ended)
					require.Equal(t, test.code, h3.ErrorCode(ended.Code))
				}
			}, func(t *testing.T, c *Conn) {
				err := requireBoth(t, c, 5)
				var malformed *h3.Error
				require.ErrorAs(t, err, &malformed)
				require.Equal(t, test.code, malformed.Code)
				_, err = c.Write([]byte("x"))
				require.ErrorAs(t, err, &malformed)
			})
		})
	}
}

// TestRelayEndsBehindPayloads: a proxy relays everything that its client sent before the end of the
// tunnel, whichever way it came, and whatever the end is.
func TestRelayEndsBehindPayloads(t *testing.T) {
	ends := map[string]struct {
		end  func(s *h3http.Stream) error
		code h3.ErrorCode // of the reset that answers; 0 if none does
	}{
		"CloseWrite": {(*h3http.Stream).CloseWrite, 0},
		"malformed capsule": {func(s *h3http.Stream) error {
			_, err := s.Write(dgramHeader(maxPayload + 2))
			return err
		}, h3.DatagramError},
	}
	for name, test := range ends {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			target := newEcho(t)
			const rounds, n = 20, 10
			for range rounds {
				s := p.raw(target)
				sendBoth(t, s, n)
				require.NoError(t, test.end(s))
				_, err := io.Copy(io.Discard, s) // until the proxy has ended it
				if test.code == 0 {
					require.NoError(t, err)
				} else {
					var ended *conn.StreamError
					require.ErrorAs(t, err, &ended)
					require.Equal(t, test.code, h3.ErrorCode(ended.Code))
				}
				require.NoError(t, s.Close())
			}
			require.Eventually(t, func() bool { return p.proxy.Stats().Tunnels == 0 }, soon, time.Millisecond)
			st := p.proxy.Stats()
			require.EqualValues(t, 2*n*rounds, st.Received)
			require.Zero(t, st.Dropped)
		})
	}
}

// TestRelayOfClientThatTakesNothing: a client that has ended its stream, and takes no more of the
// other direction, does not hold the relay.
func TestRelayOfClientThatTakesNothing(t *testing.T) {
	t.Parallel() // it takes seconds
	p := newPair(t, noDatagrams, func(p *pair) {
		p.proxy.IdleTimeout = -1
		p.server.QUICConfig = &conn.Config{UnsentBytes: 4096}
		p.client.Transport.QUICConfig = &conn.Config{InitialMaxStreamData: 2000, MaxStreamData: 2000}
	})
	s := p.raw(newEcho(t))
	for range 40 {
		_, err := s.Write(capsule(dgram.CapsuleDatagram, payload(0, make([]byte, 1000)...)))
		require.NoError(t, err)
	}
	// There are more answers than the client takes, because nobody reads them.
	require.Eventually(t, func() bool { return p.proxy.Stats().Sent == 40 }, soon, time.Millisecond)
	require.NoError(t, s.CloseWrite())
	require.Eventually(t, func() bool { return p.proxy.Stats().Tunnels == 0 }, soon, time.Millisecond)
}
