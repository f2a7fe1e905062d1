package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/examples/internal/rebind"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestRole is the body of processes of other tests. Without roleEnv it does nothing.
func TestRole(t *testing.T) {
	role, parameter, _ := strings.Cut(os.Getenv(roleEnv), " ")
	var err error
	switch role {
	case "lb":
		err = run(t.Context(), []string{"-config", parameter}, os.Stdout, os.Stderr)
	case "server":
		err = serve(t.Context(), parameter[0])
	}
	require.NoError(t, err)
}

// serve is a server of two loops. Its keys are those of all servers.
func serve(ctx context.Context, id byte) error {
	key := [16]byte{5: 1}
	g, err := loop.Listen("udp", "0.0.0.0:443", 2, &loop.Config{
		Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig(), ResetKey: [32]byte{1}},
		Shard: func(_ int, cfg *loop.Config) {
			source, err := quiclb.NewSource(quiclb.Config{ID: 3, ServerID: []byte{10, id}, NonceLen: 6, Key: &key}, rand.Reader)
			if err != nil {
				panic(err)
			}
			cfg.Endpoint.ConnIDs = source
		},
	})
	if err != nil {
		return err
	}
	defer g.Close()
	fmt.Println("ready")
	for {
		c, err := g.Accept(ctx)
		if err != nil {
			return err
		}
		go func() {
			if s, err := c.AcceptStream(ctx); err == nil {
				answer(s, id, c.RemoteAddr())
			}
		}()
	}
}

// answer says who the server is and whom it sees, in a line. Then it does what the first byte of
// the stream says: send parts, take parts and acknowledge each, or send back what comes.
func answer(s *loop.Stream, id byte, remote netip.AddrPort) {
	fmt.Fprintf(s, "%c %v\n", id, remote)
	kind := make([]byte, 1)
	if _, err := io.ReadFull(s, kind); err != nil {
		return
	}
	part := content()
	var err error
	switch kind[0] {
	case download:
		for err == nil {
			_, err = s.Write(part)
		}
	case upload:
		for b := make([]byte, len(part)); err == nil; {
			if _, err = io.ReadFull(s, b); err == nil {
				sum := sha256.Sum256(b)
				_, err = s.Write(sum[:])
			}
		}
	default:
		io.Copy(s, s)
	}
}

// The kinds of what a client does.
const (
	download = 'd'
	upload   = 'u'
	echo     = 'e' // a long stream of messages both ways, as a WebSocket is
)

// content is one part of what is downloaded or uploaded.
func content() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 8<<10) }

// A mover is a client whose address changes.
type mover struct {
	kind   byte
	host   *host
	fabric *fabric
	addrs  []string // those that it will have
	nat    *rebind.Socket
	group  *loop.Group
	conn   *loop.Conn
	stream *loop.Stream
	server byte   // who answers
	seen   string // the address that the server sees
}

// connect connects from the first of the addresses.
func (f *fabric) connect(h *host, kind byte, addrs ...string) (*mover, error) {
	m := &mover{kind: kind, host: h, fabric: f, addrs: addrs}
	err := h.Do(func() error {
		s, err := udpio.Listen("udp", addrs[0]+":0", nil)
		m.nat = &rebind.Socket{Socket: s}
		return err
	})
	require.NoError(f.t, err)
	m.group, err = loop.New(nil, m.nat)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { m.group.Close() })
	cfg := conntest.ClientConfig()
	// who only receives must say something, or the server does not learn the new address
	cfg.KeepAlive, cfg.MaxStreamData = 100*time.Millisecond, 64<<10
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	if m.conn, err = m.group.Dial(ctx, vip+":443", cfg); err != nil {
		return nil, err
	}
	if m.stream, err = m.conn.OpenStream(ctx, conn.Bidi); err != nil {
		return nil, err
	}
	if _, err := m.stream.Write([]byte{kind}); err != nil {
		return nil, err
	}
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := m.stream.Read(b); err != nil {
			return nil, err
		}
		if b[0] == '\n' {
			break
		}
	}
	m.server, m.seen = line[0], string(line[2:])
	return m, nil
}

// part does one part of the work.
func (m *mover) part() error {
	want := content()
	if m.kind == echo {
		want = want[:100]
	}
	if m.kind != download {
		if _, err := m.stream.Write(want); err != nil {
			return err
		}
	}
	if m.kind == upload {
		sum := sha256.Sum256(want)
		want = sum[:]
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(m.stream, got); err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return errors.New("other bytes came back")
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
