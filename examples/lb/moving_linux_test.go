package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/websocket"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/rebind"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A mover is a client with one connection, whose address changes.
type mover struct {
	path   string // what it does
	host   *host
	fabric *fabric
	addrs  []string // those that it will have
	nat    *rebind.Socket
	group  *loop.Group
	conn   *loop.Conn
	in     io.Reader       // the body of the response
	out    io.Writer       // the body of the request
	ws     *websocket.Conn // in place of both
	server byte            // who answers
	seen   string          // the address that the server sees
}

// connect connects from the first of the addresses, and begins to do something.
func (f *fabric) connect(h *host, path string, addrs ...string) (*mover, error) {
	m := &mover{path: path, host: h, fabric: f, addrs: addrs}
	err := h.Do(func() error {
		s, err := udpio.Listen("udp", net.JoinHostPort(addrs[0], "0"), nil)
		m.nat = &rebind.Socket{Socket: s}
		return err
	})
	require.NoError(f.t, err)
	m.group, err = loop.New(nil, m.nat)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { m.group.Close() })
	t := &h3http.Transport{
		TLSClientConfig: conntest.ClientTLS(), Dial: m.dial,
		// who only receives must say something, or the server does not learn the new address
		QUICConfig: &conn.Config{KeepAlive: 100 * time.Millisecond, MaxStreamData: 64 << 10},
	}
	f.t.Cleanup(func() { t.Close() })
	resp, err := m.begin(t)
	if err != nil {
		return nil, err
	}
	m.server, m.seen = resp.Header.Get("Server")[0], resp.Header.Get("Seen")
	return m, nil
}

// dial connects once: a second connection would mean that the first was lost.
func (m *mover) dial(ctx context.Context, addr string, cfg *conn.Config) (c *loop.Conn, err error) {
	if m.conn != nil {
		return nil, errors.New("the connection was lost, and another one would take its place")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	m.conn, err = m.group.Dial(ctx, addr, cfg)
	return m.conn, err
}

// begin sends the request.
func (m *mover) begin(t *h3http.Transport) (resp *http.Response, err error) {
	r, err := http.NewRequestWithContext(m.fabric.t.Context(), "GET", "https://"+net.JoinHostPort(m.fabric.vip, "443")+m.path, nil)
	if err != nil {
		return nil, err
	}
	if m.path == socket {
		m.ws, resp, err = openWebSocket(t, r)
		return resp, err
	}
	if m.path == upload {
		pr, pw := io.Pipe()
		r.Method, r.Body, m.out = "POST", pr, pw
	}
	if resp, err = t.RoundTrip(r); err == nil {
		m.in = resp.Body
	}
	return resp, err
}

// part does one part of the work.
func (m *mover) part() error {
	if m.ws != nil {
		return m.message()
	}
	want := content()
	if m.path == upload {
		if _, err := m.out.Write(want); err != nil {
			return err
		}
		sum := sha256.Sum256(want)
		want = sum[:]
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(m.in, got); err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return errors.New("other bytes came back")
	}
	return nil
}

// message sends a message, and gets it back.
func (m *mover) message() error {
	const want = "a message"
	var got string
	if err := websocket.Message.Send(m.ws, want); err != nil {
		return err
	}
	if err := websocket.Message.Receive(m.ws, &got); err != nil {
		return err
	}
	if got != want {
		return errors.New("another message came back")
	}
	return nil
}

// move changes the address, as a NAT does that forgets: nothing reaches the old one any more.
func (m *mover) move(to string) error {
	from := m.addrs[0]
	m.addrs = m.addrs[1:]
	return m.host.Do(func() error {
		_, err := m.nat.Rebind(netip.MustParseAddr(to))
		m.fabric.route(from, nil)
		return err
	})
}

// work does all parts, and changes the address between them.
func (m *mover) work() error {
	for len(m.addrs) > 1 {
		if err := m.part(); err != nil {
			return fmt.Errorf("with %d changes to come: %w", len(m.addrs)-1, err)
		}
		if err := m.move(m.addrs[1]); err != nil {
			return err
		}
	}
	return m.part()
}
