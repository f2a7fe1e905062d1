package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// serveTLS serves exchanges over TLS and TCP. Each has a connection of its own, because a request
// ends where its side of the connection does.
func (s *server) serveTLS(tc *tls.Config) (*service, error) {
	l, err := listenTCP(s.o.listen)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			go s.serveTLSConn(tls.Server(c, tc))
		}
	}()
	return &service{addr: addrOf(l), close: l.Close}, nil
}

func (s *server) serveTLSConn(c *tls.Conn) {
	defer s.connClosed()
	defer c.Close()
	bp := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(bp)
	b := bp[:]
	if _, err := io.ReadFull(c, b[:8]); err != nil {
		return
	}
	n := int64(binary.BigEndian.Uint64(b))
	got, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, b)
	if s.received.Add(8 + got); err != nil {
		return
	}
	for n > 0 {
		k, err := c.Write(zeros[:min(n, int64(len(zeros)))])
		if s.sent.Add(int64(k)); err != nil {
			return
		}
		n -= int64(k)
	}
	if c.CloseWrite() == nil {
		s.streams.Add(1)
	}
}

// A tlsSession does exchanges over TLS and TCP, each over a connection of its own.
type tlsSession struct {
	exchanges
	to netip.AddrPort
	tc *tls.Config
}

func dialTLS(to netip.AddrPort, tc *tls.Config) *tlsSession {
	s := &tlsSession{to: to, tc: tc}
	s.one, s.stop = s.connection, s.close
	return s
}

// connection does one exchange.
func (s *tlsSession) connection(b []byte, down, up int64) error {
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: s.tc}
	nc, err := d.Dial("tcp", s.to.String())
	if err != nil {
		return err
	}
	defer nc.Close()
	c := nc.(*tls.Conn)
	binary.BigEndian.PutUint64(b, uint64(down))
	if _, err := c.Write(b[:8]); err != nil {
		return err
	}
	for up > 0 {
		n, err := c.Write(zeros[:min(up, int64(len(zeros)))])
		if err != nil {
			return err
		}
		up -= int64(n)
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, b)
	if err == nil && n != down {
		err = errShort(down - n)
	}
	return err
}

func (s *tlsSession) flood(time.Duration) (int64, error) {
	return 0, errors.New("TLS has no datagrams")
}

func (s *tlsSession) stats() (st conn.Stats) { return st }

func (s *tlsSession) alive() bool { return true }

func (s *tlsSession) close() {}
