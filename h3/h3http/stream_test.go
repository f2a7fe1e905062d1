package h3http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// wrapped hides a ResponseWriter, as middleware does.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// connectRequest returns a request for extended CONNECT.
func (p *pair) connectRequest(path, protocol string) *http.Request {
	r := p.request("CONNECT", path, nil)
	r.Header[":protocol"] = []string{protocol}
	return r
}

// withConnect makes a server offer extended CONNECT.
func withConnect(p *pair) { p.srv.ExtendedConnect = true }

// echoStream serves extended CONNECT by an echo of bytes and datagrams.
func echoStream(ended chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(":protocol") != "echo" {
			http.Error(w, "echo only", http.StatusNotImplemented)
			return
		}
		w.Header().Set("X-Path", r.URL.Path)
		s, err := TakeStream(wrapped{w})
		if err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte("x")); err != http.ErrHijacked {
			panic(err)
		}
		go func() { // the handler returns, the stream lasts
			go func() {
				var b [2000]byte
				for {
					n, err := s.ReceiveDatagram(context.Background(), b[:])
					if err != nil {
						return
					}
					s.SendDatagram(context.Background(), b[:n], time.Second)
				}
			}()
			_, err := io.Copy(s, s)
			s.CloseWrite()
			s.Close()
			ended <- err
		}()
	})
}

func TestConnect(t *testing.T) {
	ended := make(chan error, 1)
	p := newPair(t, echoStream(ended), withConnect)
	s, resp, err := p.tr.Connect(p.connectRequest("/chat", "echo"))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "/chat", resp.Header.Get("X-Path"))
	require.Equal(t, ConnOf(resp.Request).RemoteAddr().String(), s.RemoteAddr().String())
	require.Equal(t, "udp", s.LocalAddr().Network())
	require.Equal(t, conn.StreamID(0), s.ID())

	go func() {
		io.Copy(s, newPattern(1, 3<<20))
		s.CloseWrite()
	}()
	want := newPattern(1, 3<<20)
	io.Copy(io.Discard, want)
	_, sum, err := hashOf(s)
	require.NoError(t, err)
	require.Equal(t, want.hash(), sum)
	require.NoError(t, <-ended)
	_, err = s.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, s.Close())
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)

	s, resp, err = p.tr.Connect(p.connectRequest("/", "other"))
	require.NoError(t, err)
	require.Nil(t, s)
	require.Equal(t, http.StatusNotImplemented, resp.StatusCode)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "echo only\n", string(b))
}

// TestConnectContext checks that the context of the request does not end the stream.
func TestConnectContext(t *testing.T) {
	ended := make(chan error, 1)
	p := newPair(t, echoStream(ended), withConnect)
	ctx, cancel := context.WithCancel(context.Background())
	s, _, err := p.tr.Connect(p.connectRequest("/", "echo").WithContext(ctx))
	require.NoError(t, err)
	cancel()
	b := make([]byte, 2)
	_, err = s.Write([]byte("hi"))
	require.NoError(t, err)
	_, err = io.ReadFull(s, b)
	require.NoError(t, err)

	require.NoError(t, s.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = s.Read(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, s.SetDeadline(time.Now().Add(-time.Second)))
	_, err = s.Write(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, s.SetDeadline(time.Time{}))
	_, err = s.Write([]byte("ok"))
	require.NoError(t, err)
	_, err = io.ReadFull(s, b)
	require.NoError(t, err)
	require.Equal(t, "ok", string(b))

	s.Cancel(h3.ErrorCode(77))
	requireStreamError(t, <-ended, 77)
	_, err = s.Write(b)
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestPlainConnect(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := TakeStream(w)
		if err != nil {
			panic(err)
		}
		defer s.Close()
		fmt.Fprint(s, r.Method, " ", r.Host, " ", r.RequestURI)
	}))
	r := p.request("CONNECT", "", nil)
	r.Host = "target.example:80"
	s, _, err := p.tr.Connect(r)
	require.NoError(t, err)
	b, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, "CONNECT target.example:80 target.example:80", string(b))
	require.NoError(t, s.Close())
}

// TestConnectRefused: a server offers extended CONNECT only if it is asked to. A browser would use
// the offer, and fail if the handler does not know it (golang/go#71128).
func TestConnectRefused(t *testing.T) {
	for name, change := range map[string]func(p *pair){
		"zero":     func(*pair) {},
		"H3Config": func(p *pair) { p.srv.H3Config = new(h3.Config) },
	} {
		p := newPair(t, echoStream(nil), change)
		_, _, err := p.tr.Connect(p.connectRequest("/", "echo"))
		require.ErrorIs(t, err, h3.ErrNoExtendedConnect, name)
	}
	_, err := TakeStream(wrapped{nil})
	require.ErrorIs(t, err, http.ErrNotSupported)
}

// TestConnectOffered asks for extended CONNECT in each possible way.
func TestConnectOffered(t *testing.T) {
	for name, change := range map[string]func(p *pair){
		"ExtendedConnect":             withConnect,
		"ExtendedConnect, H3Config":   func(p *pair) { p.srv.ExtendedConnect, p.srv.H3Config = true, new(h3.Config) },
		"ExtendedConnect of H3Config": func(p *pair) { p.srv.H3Config = &h3.Config{ExtendedConnect: true} },
	} {
		ended := make(chan error, 1)
		p := newPair(t, echoStream(ended), change)
		s, _, err := p.tr.Connect(p.connectRequest("/", "echo"))
		require.NoError(t, err, name)
		s.Close()
		<-ended
	}
}

// RFC 9297, Section 2.1.1 [1, 6].
func TestDatagrams(t *testing.T) {
	ended := make(chan error, 1)
	p := newPair(t, echoStream(ended), withConnect)
	s, _, err := p.tr.Connect(p.connectRequest("/", "echo"))
	require.NoError(t, err)
	size := s.MaxDatagramSize()
	require.Greater(t, size, 1000)
	require.ErrorIs(t, s.SendDatagram(context.Background(), make([]byte, 5000), 0), conn.ErrTooLarge)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b := make([]byte, size)
	for i := range 100 {
		msg := fmt.Sprint("datagram ", i, strings.Repeat(".", i))
		require.NoError(t, s.SendDatagram(ctx, []byte(msg), 0))
		n, err := s.ReceiveDatagram(ctx, b)
		require.NoError(t, err)
		require.Equal(t, msg, string(b[:n]))
	}
	require.NoError(t, s.SendDatagram(ctx, []byte("long"), time.Minute))
	n, err := s.ReceiveDatagram(ctx, b[:2])
	require.Equal(t, io.ErrShortBuffer, err)
	require.Equal(t, "lo", string(b[:n]))

	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err = s.ReceiveDatagram(short, b)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	waiting := make(chan error)
	go func() {
		_, err := s.ReceiveDatagram(ctx, make([]byte, 1))
		waiting <- err
	}()
	s.Close()
	require.ErrorIs(t, <-waiting, net.ErrClosed)
	require.ErrorIs(t, s.SendDatagram(ctx, b[:1], 0), net.ErrClosed)
	require.Eventually(t, func() bool { return s.MaxDatagramSize() == 0 }, time.Minute, time.Millisecond)
	require.ErrorIs(t, s.SendDatagram(ctx, b[:1], 0), net.ErrClosed)
	require.NoError(t, <-ended)
}

// TestDatagramsAfterClose: datagrams that have come are gone once the user has closed the stream.
// TestDatagramsOfAnySize: both sides state that they take frames of any size (RFC 9221, Section 3
// [5]).
func TestDatagramsOfAnySize(t *testing.T) {
	client, err := new(Transport).quicConfig("lazo.test")
	require.NoError(t, err)
	require.Equal(t, int64(65535), client.MaxDatagramFrameSize)
	require.Equal(t, int64(65535), new(Server).quicConfig(nil).MaxDatagramFrameSize)
}

func TestDatagramsAfterClose(t *testing.T) {
	ended := make(chan error, 1)
	p := newPair(t, echoStream(ended), withConnect)
	s, _, err := p.tr.Connect(p.connectRequest("/", "echo"))
	require.NoError(t, err)
	require.NoError(t, s.SendDatagram(t.Context(), []byte("hello"), 0))
	require.Eventually(t, func() bool { return s.DatagramStats().Received > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, s.Close())
	_, err = s.ReceiveDatagram(t.Context(), make([]byte, 10))
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, <-ended)
}

// TestDatagramFlood sends more than the queues hold.
func TestDatagramFlood(t *testing.T) {
	for _, policy := range []conn.DatagramPolicy{conn.DatagramWait, conn.DatagramDropOldest, conn.DatagramDropNewest} {
		ended := make(chan error, 1)
		p := newPair(t, echoStream(ended), withConnect, func(p *pair) { p.tr.QUICConfig = &conn.Config{DatagramPolicy: policy} })
		s, _, err := p.tr.Connect(p.connectRequest("/", "echo"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for i := range 2000 {
			require.NoError(t, s.SendDatagram(ctx, []byte{byte(i), byte(i >> 8)}, 0))
		}
		var b [10]byte
		n, err := s.ReceiveDatagram(ctx, b[:])
		require.NoError(t, err)
		require.Equal(t, 2, n)
		s.Close()
		<-ended
	}
}

// TestDatagramsWait sends more datagrams than a slow path takes.
func TestDatagramsWait(t *testing.T) {
	simulate(t, conntest.Link{Delay: 5 * time.Millisecond, Rate: 1e6}, func(t *testing.T, n *looptest.Network) {
		ended := make(chan error, 1)
		p := newSimPair(t, n, echoStream(ended), withConnect, func(p *pair) {
			p.tr.QUICConfig = &conn.Config{DatagramSendQueue: 8}
		})
		s, _, err := p.tr.Connect(p.connectRequest("/", "echo"))
		require.NoError(t, err)
		start := time.Now()
		msg := make([]byte, 1000)
		for range 500 {
			require.NoError(t, s.SendDatagram(t.Context(), msg, 0))
		}
		// Datagrams that are in no queue have left at the rate of the link.
		require.Greater(t, time.Since(start), time.Second)
		require.NoError(t, s.SetWriteDeadline(time.Now()))
		_, err = s.Write(msg)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		s.Close()
		<-ended
	})
}

func TestDatagramQueue(t *testing.T) {
	var q datagramQueue
	next, last := 0, 0
	for round := range 20 { // the ring grows with its front anywhere, and shrinks when it is empty
		for range 7 + 50*(round%7) {
			q.push(&datagram{b: make([]byte, last)})
			last++
		}
		for q.n > round%3 {
			require.Len(t, q.front().b, next)
			require.Len(t, q.pop().b, next)
			next++
		}
		require.Equal(t, last-next, q.n)
	}
	for q.n > 0 {
		q.pop()
	}
	require.Zero(t, q.bytes)
	require.LessOrEqual(t, len(q.slots), maxIdleSlots)
	d := new(datagram)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		q.push(d)
		q.pop()
	}))
}

// TestCancelDirections cancels one direction of a stream while the other goes on.
func TestCancelDirections(t *testing.T) {
	taken := make(chan *Stream, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := TakeStream(w)
		if err != nil {
			panic(err)
		}
		taken <- s
	}), withConnect)
	ends := func() (client, server *Stream) {
		s, _, err := p.tr.Connect(p.connectRequest("/", "x"))
		require.NoError(t, err)
		return s, <-taken
	}
	var b [4]byte
	transfer := func(from, to *Stream) {
		t.Helper()
		_, err := from.Write([]byte("data"))
		require.NoError(t, err)
		_, err = io.ReadFull(to, b[:])
		require.NoError(t, err)
	}
	client, server := ends()
	transfer(client, server)
	client.Reset(h3.ErrorCode(77))
	_, err := client.Write(b[:])
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = server.Read(b[:])
	requireStreamError(t, err, 77)
	transfer(server, client)
	server.Close()
	client.Close()

	client, server = ends()
	transfer(server, client)
	client.StopSending(h3.ErrorCode(78))
	_, err = client.Read(b[:])
	require.ErrorIs(t, err, net.ErrClosed)
	for err = nil; err == nil; {
		_, err = server.Write(b[:])
	}
	requireStreamError(t, err, 78)
	transfer(client, server)
	require.NoError(t, client.CloseWrite())
	client.Reset(h3.ErrorCode(79)) // too late
	_, err = server.Read(b[:])
	require.Equal(t, io.EOF, err)
	client.Close()
	server.Close()

	first, _ := ends()
	first.Cancel(h3.RequestCancelled)
	p.awaitIdle() // the streams are given back
}

// TestStreamOutlivesNothing checks what happens to a stream when its connection ends.
func TestStreamOutlivesNothing(t *testing.T) {
	p := newPair(t, echoStream(make(chan error, 1)), withConnect)
	s, resp, err := p.tr.Connect(p.connectRequest("/", "echo"))
	require.NoError(t, err)
	read := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		read <- err
	}()
	ConnOf(resp.Request).Close(5, "bye")
	_, ok := errors.AsType[*conn.ApplicationError](<-read)
	require.True(t, ok)
	_, err = s.ReceiveDatagram(context.Background(), nil)
	require.Error(t, err)
	require.Error(t, s.Close(), "what was written may be lost")
	require.Equal(t, 0, s.MaxDatagramSize())
}

func TestURLOfConnect(t *testing.T) {
	r := &http.Request{Method: "CONNECT", URL: &url.URL{Scheme: "https", Host: "proxy:1"}, Host: "a:80", Header: http.Header{}}
	fields, err := appendPseudo(nil, r, r.Host)
	require.NoError(t, err)
	require.Equal(t, []h3.Field{{Name: ":method", Value: "CONNECT"}, {Name: ":authority", Value: "a:80"}}, fields)
}

// TestUseOfClosedStream: who closed a stream and meant its sending direction is told of CloseWrite.
func TestUseOfClosedStream(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, echoStream(make(chan error, 1)), withConnect)
		s, _, err := p.tr.Connect(p.connectRequest("/", "echo"))
		require.NoError(t, err)
		_, err = s.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, s.CloseWrite())
		_, err = s.Write([]byte("x"))
		require.EqualError(t, err, "h3http: write after CloseWrite: use of closed network connection")
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "x", string(got))
		require.NoError(t, s.Close())
		_, read := s.Read(make([]byte, 1))
		_, write := s.Write([]byte("x"))
		for what, err := range map[string]error{"Read": read, "Write": write, "Close": s.Close()} {
			require.EqualError(t, err, "h3http: use of closed stream (Close ends both directions, CloseWrite only sending): use of closed network connection", what)
			require.ErrorIs(t, err, net.ErrClosed)
		}
	})
}
