package carriers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/loop"
)

// ALPN identifiers, by which the server knows what carries the snapshots.
const (
	overDatagrams = "lazo-ages-datagrams"
	overStream    = "lazo-ages-stream"
)

// serverName is in the certificates.
const serverName = "localhost"

// openQUIC opens the carriers of QUIC, a connection for each.
func (c *comparison) openQUIC(ctx context.Context, p path) error {
	tc, roots, err := certificate()
	if err != nil {
		return err
	}
	tc.NextProtos = []string{overDatagrams, overStream}
	server, addr, err := p.listenUDP(&loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: tc}}})
	if err != nil {
		return err
	}
	c.opened = append(c.opened, func() { server.Close() })
	go serveQUIC(server, c.begin)
	client, err := p.openUDP()
	if err != nil {
		return err
	}
	c.opened = append(c.opened, func() { client.Close() })
	dial := func(protocol string) (*loop.Conn, error) {
		return client.Dial(ctx, addr, &conn.Config{
			TLS:                  &tls.Config{RootCAs: roots, ServerName: serverName, NextProtos: []string{protocol}},
			MaxDatagramFrameSize: 1500,
		})
	}
	q, err := dial(overDatagrams)
	if err != nil {
		return err
	}
	c.carriers = append(c.carriers, datagrams(q))
	if q, err = dial(overStream); err != nil {
		return err
	}
	st, err := q.AcceptStream(ctx)
	if err != nil {
		return err
	}
	c.carriers = append(c.carriers, stream(st))
	return nil
}

// certificate returns a configuration for a server, and what its clients trust.
func certificate() (server *tls.Config, roots *x509.CertPool, err error) {
	cert, err := selfsigned.Certificate(serverName)
	if err != nil {
		return nil, nil, err
	}
	roots = x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, roots, nil
}

// serveQUIC sends snapshots on all connections of a server, until that closes.
func serveQUIC(server *loop.Group, begin time.Time) {
	for {
		c, err := server.Accept(context.Background())
		if err != nil {
			return
		}
		go sendQUIC(c, begin)
	}
}

// sendQUIC sends snapshots until the connection ends.
func sendQUIC(c *loop.Conn, begin time.Time) {
	ctx := c.Context()
	if c.TLS().NegotiatedProtocol == overDatagrams {
		// What cannot be sent before the next one would be old.
		send(ctx, begin, func(b []byte) error { return c.SendDatagram(ctx, b, world.Tick) })
		return
	}
	st, err := c.OpenStream(ctx, conn.Uni)
	if err != nil {
		return
	}
	send(ctx, begin, func(b []byte) error {
		_, err := st.Write(b)
		return err
	})
}

// datagrams returns the carrier of datagrams.
func datagrams(c *loop.Conn) *carrier {
	return &carrier{"datagrams", func(took func([]byte)) error {
		b := make([]byte, 1500)
		for {
			n, err := c.ReceiveDatagram(context.Background(), b)
			if err != nil {
				return err
			}
			if n == SnapshotLen {
				took(b[:n])
			}
		}
	}}
}

// stream returns the carrier that is one stream.
func stream(st *loop.Stream) *carrier {
	return &carrier{"one reliable stream", func(took func([]byte)) error {
		b := make([]byte, SnapshotLen)
		for {
			if _, err := io.ReadFull(st, b); err != nil {
				return err
			}
			took(b)
		}
	}}
}
