package capture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/capture"
	"github.com/lazoquic/lazo/loop/looptest"
	"github.com/lazoquic/lazo/udpio"
)

// A block is a block of a pcapng file.
type block struct {
	typ  uint32
	body []byte
}

// blocks splits a capture into blocks. It fails if lengths do not agree.
func blocks(t *testing.T, b []byte) (list []block) {
	t.Helper()
	for len(b) > 0 {
		require.True(t, len(b) >= 12)
		n := binary.LittleEndian.Uint32(b[4:])
		require.True(t, n%4 == 0 && int(n) <= len(b), n)
		require.Equal(t, n, binary.LittleEndian.Uint32(b[n-4:]))
		list = append(list, block{binary.LittleEndian.Uint32(b), b[8 : n-4]})
		b = b[n:]
	}
	return list
}

// captured returns the configuration of a server whose loop is captured.
func captured(w *capture.Writer) *loop.Config {
	sc := conntest.ServerConfig()
	sc.TLS = sc.TLS.Clone()
	lc := &loop.Config{Endpoint: conn.EndpointConfig{Server: sc}}
	w.Attach(sc.TLS, lc)
	return lc
}

// listen runs a server whose loop is captured.
func listen(t *testing.T, address string, w *capture.Writer) *loop.Group {
	t.Helper()
	g, err := loop.Listen("udp", address, 1, captured(w))
	require.NoError(t, err)
	return g
}

// echo makes the server g send back the data of a client. The client belongs to the group clients,
// which may be nil.
func echo(t *testing.T, g, clients *loop.Group, data string) (server, client netip.AddrPort) {
	t.Helper()
	defer g.Close()
	ctx := t.Context()
	dial := loop.Dial
	if clients != nil {
		defer clients.Close()
		dial = clients.Dial
	}
	go func() {
		for {
			c, err := g.Accept(context.Background())
			if err != nil {
				return
			}
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			io.Copy(s, s)
			s.Close()
		}
	}()
	c, err := dial(ctx, g.LocalAddr().String(), conntest.ClientConfig())
	require.NoError(t, err)
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	_, err = io.WriteString(s, data)
	require.NoError(t, err)
	require.NoError(t, s.CloseWrite())
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, data, string(got))
	server, client = g.LocalAddr(), c.LocalAddr()
	c.Close(0, "")
	return server, client
}

func TestCapture(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			var file bytes.Buffer
			w := capture.New(&file)
			data := strings.Repeat("0123456789abcdef", 10_000)
			g := listen(t, address, w)
			require.NotZero(t, g.Stats().Socket.ReadBuffer, "the counters of the socket are there")
			server, client := echo(t, g, nil, data)
			require.NoError(t, w.Err())
			list := blocks(t, file.Bytes())
			require.Equal(t, uint32(0x0a0d0d0a), list[0].typ)
			require.Equal(t, uint32(1), list[1].typ)
			var secrets []string
			var in, out, bytesIn, bytesOut int
			for _, b := range list[2:] {
				switch b.typ {
				case 10:
					require.Equal(t, uint32(0x544c534b), binary.LittleEndian.Uint32(b.body))
					line := string(b.body[8:][:binary.LittleEndian.Uint32(b.body[4:])])
					secrets = append(secrets, strings.Fields(line)[0])
				case 6:
					n := binary.LittleEndian.Uint32(b.body[12:])
					from, to, payload := udp(t, b.body[20:][:n])
					flags := binary.LittleEndian.Uint32(b.body[20+(n+3)&^3+4:])
					if flags == 1 {
						require.Equal(t, [2]uint16{client.Port(), server.Port()}, [2]uint16{from, to})
						in, bytesIn = in+1, bytesIn+payload
					} else {
						require.Equal(t, uint32(2), flags)
						require.Equal(t, [2]uint16{server.Port(), client.Port()}, [2]uint16{from, to})
						out, bytesOut = out+1, bytesOut+payload
					}
				default:
					t.Fatalf("block of type %d", b.typ)
				}
			}
			for _, want := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
				"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
				require.Contains(t, secrets, want)
			}
			require.True(t, bytesIn > len(data) && bytesOut > len(data), bytesIn, bytesOut)
			require.True(t, in > 10 && out > 10, in, out)
		})
	}
}

// TestCaptureOfClient: a socket that is bound to no address shows the address that the kernel uses,
// from the first datagram on. Otherwise readers take the two ways of a connection for two
// connections.
func TestCaptureOfClient(t *testing.T) {
	var file bytes.Buffer
	w := capture.New(&file)
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()}})
	require.NoError(t, err)
	s, err := udpio.Listen("udp", ":0", nil)
	require.NoError(t, err)
	clients, err := loop.New(&loop.Config{WrapBackend: w.Wrap}, s)
	require.NoError(t, err)
	echo(t, g, clients, "hello")
	packets := 0
	for _, b := range blocks(t, file.Bytes())[2:] {
		if b.typ != 6 {
			continue
		}
		packets++
		addrs := b.body[20+12:][:8]
		require.Equal(t, []byte{127, 0, 0, 1, 127, 0, 0, 1}, addrs)
	}
	require.NotZero(t, packets)
}

// udp checks the headers of a packet and their checksums. It returns the ports and the length of
// the payload.
func udp(t *testing.T, p []byte) (from, to uint16, payload int) {
	t.Helper()
	head, addrs := 40, 8
	if p[0]>>4 == 4 {
		head, addrs = 20, 12
		require.Equal(t, uint16(0xffff), sum(p[:20]), "sum of the IP header")
		require.Equal(t, len(p), int(binary.BigEndian.Uint16(p[2:])))
	} else {
		require.Equal(t, len(p)-40, int(binary.BigEndian.Uint16(p[4:])))
	}
	u := p[head:]
	require.Equal(t, len(u), int(binary.BigEndian.Uint16(u[4:])))
	pseudo := append([]byte(nil), p[addrs:head]...)
	pseudo = append(pseudo, 0, 17)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(u)))
	require.Equal(t, uint16(0xffff), sum(append(pseudo, u...)), "sum of the datagram")
	return binary.BigEndian.Uint16(u), binary.BigEndian.Uint16(u[2:]), len(u) - 8
}

func sum(b []byte) uint16 {
	var s uint32
	for i, c := range b {
		s += uint32(c) << (8 * (1 - i%2))
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// TestSecretsComeFirst: on a network with a delay of 20 ms, all secrets of a handshake stand before
// its packets, as readers need them. The packets are in order.
func TestSecretsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		w := capture.New(&file)
		n := looptest.New(t, 1, conntest.Link{Delay: 10 * time.Millisecond})
		g, err := loop.New(captured(w), n.Listen("10.0.0.1:443"))
		require.NoError(t, err)
		clients, err := loop.New(nil, n.Listen("10.0.0.2:5000"))
		require.NoError(t, err)
		echo(t, g, clients, "hello")
		packets, last := 0, uint64(0)
		for _, b := range blocks(t, file.Bytes())[2:] {
			if b.typ == 10 {
				require.Zero(t, packets, "a secret stands behind a packet")
				continue
			}
			packets++
			at := uint64(binary.LittleEndian.Uint32(b.body[4:]))<<32 | uint64(binary.LittleEndian.Uint32(b.body[8:]))
			require.True(t, at >= last, "packets are out of order")
			last = at
		}
		require.NotZero(t, packets)
	})
}

// A full is a disk that is full.
type full struct{ after int }

var errFull = errors.New("no space left")

func (f *full) Write(b []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestFullDisk: connections do not notice that the capture cannot be written. Err returns the
// error.
func TestFullDisk(t *testing.T) {
	w := capture.New(&full{after: 3})
	echo(t, listen(t, "127.0.0.1:0", w), nil, "hello")
	require.ErrorIs(t, w.Err(), errFull)
	require.ErrorIs(t, w.Flush(), errFull)
}
