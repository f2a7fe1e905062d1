package soak

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// echoALPN names the protocol that sends streams and datagrams back.
const echoALPN = "echo"

// idleTimeout is how long what clients abandon stays.
const idleTimeout = 10 * time.Second

// A server speaks HTTP/3 and echo on two loops behind one address.
type server struct {
	g     *loop.Group
	web   *h3http.Server
	relay *netrelay.Relay
	addr  netip.AddrPort // behind the relay

	handshakes sync.RWMutex // held for reading while one lasts, for writing to rebind
}

func startServer(t *testing.T, seed uint64) *server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bytes/{n}", serveBytes)
	mux.HandleFunc("POST /echo", serveEcho)
	s := &server{web: &h3http.Server{
		Handler:    mux,
		TLSConfig:  conntest.ServerTLS(),
		QUICConfig: &conn.Config{MaxIdleTimeout: idleTimeout, MaxDatagramFrameSize: 65535},
	}}
	cfg := s.web.LoopConfig()
	both := *cfg.Endpoint.Server
	both.TLS = both.TLS.Clone()
	both.TLS.NextProtos = append(both.TLS.NextProtos, echoALPN)
	cfg.Endpoint.Server = &both
	newHandler := cfg.NewHandler
	cfg.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
		if c.TLS().NegotiatedProtocol == echoALPN {
			return nil // for Accept
		}
		return newHandler(l, c)
	}
	var err error
	s.g, err = loop.Listen("udp", "127.0.0.1:0", 2, cfg)
	require.NoError(t, err)
	bad := netrelay.Link{
		Delay: 2 * time.Millisecond, Loss: 0.01, Burst: 2, Duplicate: 0.005, Corrupt: 0.002, Reorder: 0.01,
	}
	s.relay, err = netrelay.New(netrelay.Config{Server: s.g.LocalAddr(), Up: bad, Down: bad, Seed: seed})
	require.NoError(t, err)
	s.addr = s.relay.Addr()
	go s.accept()
	return s
}

// undisturbed runs f, which makes a connection. Addresses are to stay while a
// handshake lasts (RFC 9000, Section 9).
func (s *server) undisturbed(f func() error) error {
	s.handshakes.RLock()
	defer s.handshakes.RUnlock()
	return f()
}

func (s *server) stop(t *testing.T) {
	require.NoError(t, s.web.Close())
	require.NoError(t, s.g.Close())
	s.relay.Close()
}

func (s *server) accept() {
	for {
		c, err := s.g.Accept(context.Background())
		if err != nil {
			return
		}
		go echoStreams(c)
		go echoDatagrams(c)
	}
}

func echoStreams(c *loop.Conn) {
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			if _, err := io.Copy(s, s); err != nil {
				s.Reset(1)
			}
		}()
	}
}

func echoDatagrams(c *loop.Conn) {
	b := make([]byte, 1500)
	for {
		n, err := c.ReceiveDatagram(context.Background(), b)
		if err == nil {
			err = c.SendDatagram(context.Background(), b[:n], 0)
		}
		if err != nil && !errors.Is(err, conn.ErrTooLarge) {
			return
		}
	}
}

// serveBytes sends as many bytes of the pattern as the path says.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	io.CopyN(w, new(pattern), int64(n))
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		http.NewResponseController(w).EnableFullDuplex()
	}
	if _, err := io.Copy(w, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// A pattern reads bytes by their offset, without end.
type pattern struct{ off int }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(p.off ^ p.off>>8 ^ p.off>>16)
		p.off++
	}
	return len(b), nil
}

// Write reports an error where b differs from the pattern.
func (p *pattern) Write(b []byte) (int, error) {
	var want [1]byte
	for i, c := range b {
		p.Read(want[:])
		if c != want[0] {
			return i, errors.New("soak: other bytes than were sent")
		}
	}
	return len(b), nil
}

func clientTLS() *tls.Config {
	cfg := conntest.ClientTLS()
	cfg.NextProtos = []string{echoALPN}
	return cfg
}
