// Command pulse is a service on a loop.Handler, and its client on the blocking tier, in one
// process. Every 10 ms the service sends each connection a datagram with the number of bytes that
// its streams have brought. At the end of a stream it sends that number, too.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// A pulse is the application of one connection. All of it runs on the loop's goroutine.
type pulse struct {
	c     *conn.Conn
	bytes uint64
}

func (p *pulse) HandleEvent(now time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventConnected:
		p.c.SetTimer(now)
	case conn.EventTimer:
		p.c.SendDatagram(p.report(), conn.DatagramOptions{})
		p.c.SetTimer(now.Add(10 * time.Millisecond))
	case conn.EventStreamReadable:
		p.read(ev.Stream)
	case conn.EventStreamReset, conn.EventStreamStopped:
		ev.Stream.Release()
	}
}

func (p *pulse) Flush(time.Time, *conn.Conn) {}

func (p *pulse) report() []byte { return binary.BigEndian.AppendUint64(nil, p.bytes) }

func (p *pulse) read(s *conn.Stream) {
	for {
		b, err := s.Peek(1)
		p.bytes += uint64(len(b))
		s.Discard(len(b))
		switch {
		case len(b) > 0:
		case errors.Is(err, conn.ErrWouldBlock):
			return
		default:
			s.Write(p.report())
			s.CloseWrite()
			s.Release()
			return
		}
	}
}

func main() {
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, &loop.Config{
		Endpoint: conn.EndpointConfig{Server: &conn.Config{
			TLS:                  &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"pulse"}},
			MaxDatagramFrameSize: 1200,
		}},
		NewHandler: func(_ *loop.Loop, c *conn.Conn) loop.Handler { return &pulse{c: c} },
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client(g.LocalAddr().String(), cert); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

func client(addr string, cert tls.Certificate) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	c, err := loop.Dial(ctx, addr, &conn.Config{
		TLS:                  &tls.Config{RootCAs: roots, NextProtos: []string{"pulse"}},
		MaxDatagramFrameSize: 1200,
	})
	if err != nil {
		return err
	}
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return err
	}
	const size = 1_000_000
	if _, err := s.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	end, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if len(end) != 8 || binary.BigEndian.Uint64(end) != size {
		return errors.New("the stream ended with something else")
	}
	b := make([]byte, 100)
	for pulses, total := 0, uint64(0); total < size; pulses++ {
		n, err := c.ReceiveDatagram(ctx, b)
		if err != nil {
			return err
		}
		total = binary.BigEndian.Uint64(b[:n])
	}
	log.Printf("the service counted %d bytes", size)
	return c.Close(0, "")
}
