package udpio

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A strangeConn is a net.PacketConn of a user: it reads from a channel.
type strangeConn struct {
	net.PacketConn
	in    chan strangeRead
	local net.Addr
}

type strangeRead struct {
	b    string
	from net.Addr
	err  error
}

// strangeAddr is an address of a type of its own.
type strangeAddr string

func (a strangeAddr) Network() string { return "strange" }
func (a strangeAddr) String() string  { return string(a) }

func (c *strangeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	r, ok := <-c.in
	if !ok {
		return 0, nil, net.ErrClosed
	}
	return copy(b, r.b), r.from, r.err
}

func (c *strangeConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.in <- strangeRead{b: "echo " + string(b), from: to}
	return len(b), nil
}

func (c *strangeConn) LocalAddr() net.Addr         { return c.local }
func (c *strangeConn) SetDeadline(time.Time) error { return errors.ErrUnsupported }
func (c *strangeConn) Close() error                { close(c.in); return nil }

func wrapStrange(t *testing.T, local net.Addr) (*Socket, *strangeConn) {
	c := &strangeConn{in: make(chan strangeRead, 100), local: local}
	s, err := Wrap(c, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s, c
}

func TestWrapStrangeConn(t *testing.T) {
	s, c := wrapStrange(t, strangeAddr("[2001:db8::1]:443"))
	require.Equal(t, "[2001:db8::1]:443", s.LocalAddr().String())
	require.Equal(t, Caps{MaxSegments: 1, LocalAddr: true}, s.Caps())

	c.in <- strangeRead{b: "a", from: strangeAddr("192.0.2.1:7")}
	c.in <- strangeRead{b: "from nowhere", from: strangeAddr("pigeon")}
	c.in <- strangeRead{err: errors.New("passing")}
	c.in <- strangeRead{b: "from nowhere", from: nil}
	c.in <- strangeRead{b: "b", from: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 8}}
	got := readDatagrams(t, s, 2)
	require.Equal(t, Message{Buf: []byte("a"), Remote: netip.MustParseAddrPort("192.0.2.1:7"), Local: s.LocalAddr()}, got[0])
	require.Equal(t, "192.0.2.2:8", got[1].Remote.String())

	// A relay reaches addresses of other families too.
	write(t, s, Message{Buf: []byte("12345"), SegmentSize: 2, Remote: netip.MustParseAddrPort("192.0.2.9:1")})
	for i, m := range readDatagrams(t, s, 3) {
		require.Equal(t, "echo "+[]string{"12", "34", "5"}[i], string(m.Buf))
		require.Equal(t, "192.0.2.9:1", m.Remote.String())
	}

	s, _ = wrapStrange(t, strangeAddr("somewhere"))
	require.False(t, s.LocalAddr().IsValid())
	require.False(t, s.Caps().LocalAddr)
	s, _ = wrapStrange(t, nil)
	require.False(t, s.LocalAddr().IsValid())
}

// A conn that only fails is the end, in time, and with its error.
func TestWrapFailingConn(t *testing.T) {
	broken := errors.New("broken")
	s, c := wrapStrange(t, nil)
	for range cap(c.in) {
		c.in <- strangeRead{err: broken}
	}
	for range 2 {
		_, err := s.ReadBatch(newMessages(1), soon())
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, net.ErrClosed)
	}
	n, err := s.WriteBatch([]Message{{Buf: []byte("x")}})
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, err, broken)
	require.Zero(t, n)
	_, err = s.AddLocal("udp4", "127.0.0.1:0")
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, s.Close())
	_, err = s.ReadBatch(newMessages(1), soon())
	require.ErrorIs(t, err, net.ErrClosed)
}

// A conn that someone else closes is the end too.
func TestClosedUnderneath(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	s, err := Wrap(c, nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = s.ReadBatch(newMessages(1), soon())
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = s.WriteBatch([]Message{{Buf: []byte("x"), Remote: netip.MustParseAddrPort("127.0.0.1:9")}})
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, s.Close(), net.ErrClosed)
	_, err = Wrap(c, nil)
	require.Error(t, err)
}

// Deadlines that the conn brings along count no more.
func TestWrapForgetsDeadlines(t *testing.T) {
	for _, o := range openers()[1:3] {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(past))
		if o.name == "WrapPacketConn" {
			c = struct{ net.PacketConn }{c}
		}
		s, err := Wrap(c, nil)
		require.NoError(t, err)
		write(t, s, Message{Buf: []byte("x"), Remote: s.LocalAddr()})
		require.Equal(t, "x", string(readOne(t, s).Buf))
		require.NoError(t, s.Close())
	}
}
