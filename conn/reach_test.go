package conn_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A dialer is a client whose datagrams the test takes before the network does.
type dialer struct {
	ep     *conn.Endpoint
	c      *conn.Conn
	now    time.Time
	remote netip.AddrPort
	buf    [65536]byte
	err    error // of EventClosed
}

func newDialer(t *testing.T) *dialer {
	t.Helper()
	d := &dialer{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), remote: netip.MustParseAddrPort("10.0.0.1:443")}
	var err error
	d.ep, err = conn.NewEndpoint(&conn.EndpointConfig{Rand: conntest.Seed(t, 1)})
	require.NoError(t, err)
	d.c, err = d.ep.Dial(d.now, conn.Target{Remote: d.remote, ServerName: "lazo.test"}, conntest.ClientConfig())
	require.NoError(t, err)
	return d
}

// transmit returns the bursts that are to be sent, and copies of their bytes.
func (d *dialer) transmit() (bursts []conn.Burst, data [][]byte) {
	for {
		b, ok := d.ep.Transmit(d.now, d.buf[:], 1)
		if !ok {
			return bursts, data
		}
		bursts = append(bursts, b)
		data = append(data, append([]byte(nil), d.buf[:b.N]...))
	}
}

// ended reports whether the connection has ended, and with which error.
func (d *dialer) ended() bool {
	for ev, ok := d.ep.NextEvent(); ok; ev, ok = d.ep.NextEvent() {
		if ev.Kind == conn.EventClosed {
			d.err = ev.Err
		}
	}
	return d.err != nil
}

// pass lets time pass, and loses everything that is sent.
func (d *dialer) pass(until time.Duration) {
	for end := d.now.Add(until); ; {
		d.transmit()
		d.ended()
		next := d.ep.Timeout()
		if next.IsZero() || next.After(end) {
			d.now = end
			return
		}
		d.now = next
		d.ep.HandleTimeout(d.now)
	}
}

// A handshake of which nothing can be sent ends when that is known of every datagram.
func TestSendFailed(t *testing.T) {
	d := newDialer(t)
	bursts, _ := d.transmit()
	require.Greater(t, len(bursts), 1) // a post-quantum key share needs two datagrams
	for i, b := range bursts {
		require.False(t, d.ended(), "datagram %d", i)
		require.Same(t, d.c, b.Conn)
		d.ep.SendFailed(d.now, b, syscall.ENETUNREACH)
	}
	require.True(t, d.ended())
	var e *conn.UnreachableError
	require.ErrorAs(t, d.err, &e)
	require.Equal(t, d.remote, e.Remote)
	require.ErrorIs(t, d.err, syscall.ENETUNREACH)
	require.Equal(t, uint64(1), d.ep.Stats().Unreachable)
	require.Equal(t, 0, d.ep.Stats().Conns)
	d.ep.SendFailed(d.now, bursts[0], syscall.ENETUNREACH) // this is harmless
}

// If one datagram may have arrived the handshake goes on, and its timeout says what
// happened to others.
func TestSendFailedInPart(t *testing.T) {
	d := newDialer(t)
	bursts, _ := d.transmit()
	d.ep.SendFailed(d.now, bursts[0], syscall.EPERM)
	require.Equal(t, error(syscall.EPERM), d.c.SendError())
	d.pass(11 * time.Second)
	require.True(t, d.ended())
	require.ErrorIs(t, d.err, conn.ErrHandshakeTimeout)
	require.ErrorIs(t, d.err, syscall.EPERM)
	var timeout interface{ Timeout() bool }
	require.True(t, errors.As(d.err, &timeout) && timeout.Timeout())
	require.EqualError(t, d.err, "conn: handshake timeout (operation not permitted)")
}

// ICMP messages that quote what was sent end a handshake when they do so for every
// datagram. Those that do not show that their sender saw a datagram end nothing.
func TestUndelivered(t *testing.T) {
	refused := syscall.ECONNREFUSED
	d := newDialer(t)
	_, sent := d.transmit()
	forged := append([]byte(nil), sent[0]...)
	forged[7] ^= 1 // a byte of the destination connection ID
	other := netip.MustParseAddrPort("10.0.0.2:443")
	for range 100 {
		d.ep.Undelivered(d.now, conn.Datagram{Data: forged, Remote: d.remote}, refused)
		d.ep.Undelivered(d.now, conn.Datagram{Data: sent[0], Remote: other}, refused)
		d.ep.Undelivered(d.now, conn.Datagram{Data: nil, Remote: other}, refused)
	}
	require.NoError(t, d.c.SendError())
	// only the eight bytes of UDP were quoted
	d.ep.Undelivered(d.now, conn.Datagram{Remote: d.remote}, refused)
	require.Equal(t, error(refused), d.c.SendError())
	require.False(t, d.ended())
	for _, b := range sent {
		require.False(t, d.ended())
		d.ep.Undelivered(d.now, conn.Datagram{Data: b[:64], Remote: d.remote}, refused)
	}
	require.True(t, d.ended())
	require.ErrorIs(t, d.err, refused)
}

// Once the server has answered, failures end nothing: those of sending become part of an
// idle timeout's error if they are the last that was heard, and ICMP counts for nothing.
func TestSendFailedLater(t *testing.T) {
	for _, recovers := range []bool{false, true} {
		rnd := conntest.Seed(t, 1)
		n := conntest.New(t, 1)
		sc := conntest.ServerConfig()
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		var closed error
		client.OnEvent = func(_ time.Time, ev conn.Event) {
			if ev.Kind == conn.EventClosed {
				closed = ev.Err
			}
		}
		cfg := conntest.ClientConfig()
		cfg.MaxIdleTimeout = 5 * time.Second
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
		require.NoError(t, err)
		n.RunUntil(time.Second, c.HandshakeComplete)
		n.RunFor(time.Second)
		long := []byte{0xc0, 0, 0, 0, 1, 0, 0}
		client.Undelivered(n.Now(), conn.Datagram{Data: long, Remote: server.Addr}, syscall.ECONNREFUSED)
		client.Undelivered(n.Now(), conn.Datagram{Remote: server.Addr}, syscall.ECONNREFUSED)
		require.NoError(t, c.SendError())
		for range 100 {
			client.SendFailed(n.Now(), conn.Burst{N: 1200, SegmentSize: 1200, Remote: server.Addr, Conn: c}, syscall.ENETUNREACH)
		}
		probe := conn.Burst{N: 9000, SegmentSize: 9000, Remote: server.Addr, Conn: c}
		client.SendFailed(n.Now(), probe, syscall.EMSGSIZE) // of the path MTU
		require.Equal(t, error(syscall.ENETUNREACH), c.SendError())
		if recovers {
			s, err := c.OpenStream(conn.Uni)
			require.NoError(t, err)
			s.Write([]byte("the server acknowledges this"))
		}
		n.RunFor(20 * time.Second)
		require.ErrorIs(t, closed, conn.ErrIdleTimeout)
		require.Equal(t, !recovers, errors.Is(closed, syscall.ENETUNREACH))
	}
}
