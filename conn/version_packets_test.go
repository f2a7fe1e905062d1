package conn_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// A longSeen is a packet with a long header that was under way.
type longSeen struct {
	up      bool // the client sent it
	typ     uint8
	version uint32
}

// watchLong has seen called for each packet with a long header between client and server.
func (r *earlyRun) watchLong(server *conntest.Node, seen func(longSeen, wire.Long, []byte)) {
	watch := func(up bool) func(*conntest.Packet) bool {
		return func(p *conntest.Packet) bool {
			for b := p.Data; len(b) > 0; {
				h, ok := wire.ParseLong(b)
				if !ok {
					break
				}
				seen(longSeen{up, h.Type, h.Version}, h, b[:h.End])
				b = b[h.End:]
			}
			return true
		}
	}
	delay := 25 * time.Millisecond
	r.n.Connect(r.client, server, conntest.Link{Delay: delay, Filter: watch(true)}, conntest.Link{Delay: delay, Filter: watch(false)})
}

// TestVersionOfEachPacket: a server chooses version 2 for a client that began with version 1 and
// with early data. 0-RTT packets keep version 1. All that follows the choice has version 2, and
// what still says version 1 is dropped.
// RFC 9369, Section 4.1 [4, 5, 7, 8, 9]; RFC 9000, Section 5.2.1 [1].
func TestVersionOfEachPacket(t *testing.T) {
	cfg := conntest.ServerConfig()
	cfg.TLS.SetSessionTicketKeys([][32]byte{{1}})
	cfg.Enable0RTT, cfg.Versions = true, []uint32{v1, v2}
	r := newEarlyRun(t, cfg)
	r.connect("first").Close(0, "")

	cfg = conntest.ServerConfig()
	cfg.TLS.SetSessionTicketKeys([][32]byte{{1}})
	cfg.Enable0RTT, cfg.Versions = true, []uint32{v2, v1}
	r.server = r.n.Add("10.0.0.3:443", &conn.EndpointConfig{Server: cfg, Rand: conntest.Seed(t, 3)})
	r.server.OnEvent = r.serve
	var all []longSeen
	var handshake []byte // of the server, but with version 1
	var firstID []byte
	r.watchLong(r.server, func(s longSeen, h wire.Long, pkt []byte) {
		all = append(all, s)
		if firstID == nil {
			firstID = slices.Clone(h.DCID)
		}
		if !s.up && s.version == v1 { // it may acknowledge, before the ClientHello is whole
			require.EqualValues(t, wire.TypeInitial, s.typ)
			pkt := slices.Clone(pkt)
			_, rx := keys.Initial(v1, firstID)
			pnLen, pn, ok := rx.Unprotect(pkt, h.PNOff)
			require.True(t, ok)
			payload, ok := rx.Open(pkt, h.PNOff+pnLen, uint64(pn))
			require.True(t, ok)
			require.EqualValues(t, wire.FrameAck, payload[0])
			require.Less(t, len(payload), 10, "an ACK frame and nothing else: %x", payload)
		}
		if !s.up && s.typ == wire.TypeHandshake && handshake == nil {
			handshake = slices.Clone(pkt)
			copy(handshake[1:], []byte{0, 0, 0, 1})
			handshake[0] = handshake[0]&^0x30 | wire.TypeHandshake<<4
		}
	})
	c, err := r.client.Dial(r.n.Now(), conn.Target{Remote: r.server.Addr}, r.cfg)
	require.NoError(t, err)
	s, err := c.OpenStream(conn.Uni)
	require.NoError(t, err)
	s.Write([]byte("second"))
	s.CloseWrite()
	r.n.RunUntil(time.Second, c.HandshakeComplete)
	dropped := r.client.Stats().DroppedMalformed
	r.client.Receive(r.n.Now(), conn.Datagram{Data: handshake, Remote: r.server.Addr})
	require.Equal(t, dropped+1, r.client.Stats().DroppedMalformed)
	r.n.RunFor(time.Second)
	r.want("second", true)

	chosen := false // the client knows that the server chose version 2
	kinds := map[longSeen]int{}
	for _, s := range all {
		kinds[s]++
		if s.typ == wire.TypeHandshake {
			require.EqualValues(t, v2, s.version)
		}
		if s.up && s.typ == wire.TypeInitial && chosen {
			require.EqualValues(t, v2, s.version, "the client does not follow")
		}
		// It does after a handshake packet of its own, at the latest.
		chosen = chosen || s.up && s.version == v2
	}
	for s, want := range map[longSeen]bool{
		{true, wire.TypeInitial, v1}: true, {true, wire.Type0RTT, v1}: true, {true, wire.Type0RTT, v2}: false,
		{false, wire.TypeInitial, v2}:  true,
		{true, wire.TypeHandshake, v2}: true, {false, wire.TypeHandshake, v2}: true,
	} {
		require.Equal(t, want, kinds[s] > 0, "%+v: %d", s, kinds[s])
	}
}

// TestGreasedBit: once an endpoint knows that the peer takes packets with a cleared QUIC Bit, it
// clears the bit of some 1-RTT packets, and of none before.
// RFC 9287, Section 3.1 [1, 2, 3, 4, 5].
func TestGreasedBit(t *testing.T) {
	cfg := conntest.ServerConfig()
	cfg.Enable0RTT = true
	r := newEarlyRun(t, cfg)
	r.connect("first").Close(0, "")
	var short [2][2]int // by side and bit
	watch := func(side int) func(*conntest.Packet) bool {
		return func(p *conntest.Packet) bool {
			first := p.Data[0]
			bit := int(first >> 6 & 1)
			if wire.IsLong(first) {
				require.Equal(t, 1, bit, "a long header")
			} else {
				short[side][bit]++
			}
			return true
		}
	}
	delay := 25 * time.Millisecond
	r.n.Connect(r.client, r.server, conntest.Link{Delay: delay, Filter: watch(0)}, conntest.Link{Delay: delay, Filter: watch(1)})
	c := r.connect("second") // with early data, to a server that took such packets before
	r.want("second", true)
	for range 200 {
		s, err := c.OpenStream(conn.Uni)
		require.NoError(t, err)
		s.Write([]byte("x"))
		s.CloseWrite()
		r.n.RunFor(60 * time.Millisecond)
	}
	for side, n := range short {
		require.Greater(t, n[0], 30, "side %d: %v", side, n)
		require.Greater(t, n[1], 30, "side %d: %v", side, n)
	}
}

// TestRetryAndVersion: a Retry packet has the version that the client began with, and so has the
// Initial packet with its token. The server chooses another one behind that, and proves the Retry.
// RFC 9369, Section 4.1 [1, 2, 3].
func TestRetryAndVersion(t *testing.T) {
	cfg := conntest.ServerConfig()
	cfg.Versions = []uint32{v2, v1}
	r := newEarlyRun(t, conntest.ServerConfig())
	r.server = r.n.Add("10.0.0.3:443", &conn.EndpointConfig{Server: cfg, Rand: conntest.Seed(t, 3), Admit: func(in conn.AdmissionRequest) conn.Admission {
		if in.Token == conn.TokenNone {
			return conn.AdmissionRetry
		}
		return conn.AdmissionAccept
	}})
	r.server.OnEvent = r.serve
	retries, spoken := 0, false
	r.watchLong(r.server, func(s longSeen, h wire.Long, _ []byte) {
		switch {
		case !s.up && s.typ == wire.TypeRetry:
			retries++
			require.EqualValues(t, v1, s.version)
		case !s.up:
			spoken = true
		case !spoken:
			require.EqualValues(t, v1, s.version)
		}
	})
	c := r.connect("word")
	r.want("word", false)
	require.EqualValues(t, v2, c.Version())
	require.NotZero(t, retries)
}

// TestNoGreasedBit: with DisableGreaseBit neither side clears the QUIC Bit: this one does not, and
// it does not let its peer.
func TestNoGreasedBit(t *testing.T) {
	r := newEarlyRun(t, conntest.ServerConfig())
	r.cfg.DisableGreaseBit = true
	short := 0
	watch := func(p *conntest.Packet) bool {
		require.Equal(t, 1, int(p.Data[0]>>6&1))
		if !wire.IsLong(p.Data[0]) {
			short++
		}
		return true
	}
	delay := 25 * time.Millisecond
	r.n.Connect(r.client, r.server, conntest.Link{Delay: delay, Filter: watch}, conntest.Link{Delay: delay, Filter: watch})
	c := r.connect("some word")
	for range 100 {
		s, err := c.OpenStream(conn.Uni)
		require.NoError(t, err)
		s.Write([]byte("x"))
		s.CloseWrite()
		r.n.RunFor(60 * time.Millisecond)
	}
	require.Greater(t, short, 100)
}
