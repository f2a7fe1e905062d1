package quic_test

import (
	"context"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// An earlyServer answers each stream with what it got, and passes its connections on.
type earlyServer struct {
	t      *testing.T
	l      *quic.EarlyListener
	conns  chan *quic.Conn
	client *tls.Config
}

// patient is for handshakes on a busy machine.
var patient = &quic.Config{Allow0RTT: true, HandshakeIdleTimeout: time.Minute, MaxIdleTimeout: time.Minute}

func newEarlyServer(t *testing.T) *earlyServer {
	server, client := tlsConfigs(t)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	l, err := quic.ListenAddrEarly("127.0.0.1:0", server, patient)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	s := &earlyServer{t: t, l: l, conns: make(chan *quic.Conn, 10), client: client}
	go s.accept()
	return s
}

func (s *earlyServer) accept() {
	for {
		c, err := s.l.Accept(context.Background())
		if err != nil {
			return
		}
		s.conns <- c
		go func() {
			str, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			b, _ := io.ReadAll(str)
			str.Write(b)
			str.Close()
		}()
	}
}

// call dials, sends a word on a stream, and waits for the answer. It returns both sides.
func (s *earlyServer) call(word string) pair {
	s.t.Helper()
	c, err := quic.DialAddrEarly(within(s.t), s.l.Addr().String(), s.client, patient)
	check(s.t, err)
	s.t.Cleanup(func() { c.CloseWithError(0, "") })
	str, err := c.OpenStream()
	check(s.t, err)
	_, err = str.Write([]byte(word))
	check(s.t, err)
	check(s.t, str.Close())
	b, err := io.ReadAll(str)
	check(s.t, err)
	if string(b) != word {
		s.t.Fatalf("got %q", b)
	}
	return pair{client: c, server: <-s.conns}
}

// wantEarly checks whether the connection had early data.
func (p pair) wantEarly(t *testing.T, want bool) {
	t.Helper()
	<-p.client.HandshakeComplete()
	<-p.server.HandshakeComplete()
	for side, c := range map[string]*quic.Conn{"client": p.client, "server": p.server} {
		if got := c.ConnectionState().Used0RTT; got != want {
			t.Errorf("Used0RTT of the %s is %t", side, got)
		}
	}
}

// TestTicketBeforeClose: a server closes as soon as the client has its answer. The session ticket
// came before that, so the next connection has early data.
func TestTicketBeforeClose(t *testing.T) {
	s := newEarlyServer(t)
	for n := range 5 {
		p := s.call("hello")
		p.wantEarly(t, n > 0)
		p.server.CloseWithError(0, "")
		<-p.client.Context().Done()
	}
}

// A firstSession returns the first session that it was given for ever.
type firstSession struct{ tls.ClientSessionCache }

func (f firstSession) Put(key string, s *tls.ClientSessionState) {
	if _, ok := f.Get(key); !ok {
		f.ClientSessionCache.Put(key, s)
	}
}

// TestTicketServesAgain: as with quic-go, a client that was cut off before it got a new ticket, or
// dials several times at once, has early data with the ticket of the connection before.
func TestTicketServesAgain(t *testing.T) {
	s := newEarlyServer(t)
	s.client.ClientSessionCache = firstSession{s.client.ClientSessionCache}
	for n := range 4 {
		s.call("hello").wantEarly(t, n > 0)
	}
}
