package udpio

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// closedPort returns an address at which nobody listens, and nobody will during the test. The
// socket that has it is connected, and so closed to everybody but its peer.
func closedPort(t *testing.T, host netip.Addr) netip.AddrPort {
	t.Helper()
	discard := netip.AddrPortFrom(host, 9)
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 0)), net.UDPAddrFromAddrPort(discard))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// A message that reached nobody comes back with the reason, what was sent to others
// before it is known arrives, and so does everything that was received.
func TestReceiveErrors(t *testing.T) {
	for _, test := range []struct{ listen, host string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {"[::]:0", "127.0.0.1"}, {"[::]:0", "::1"},
	} {
		s := mustListen(t, "udp", test.listen, &Config{ReceiveErrors: true})
		peer := mustListen(t, "udp", netip.AddrPortFrom(netip.MustParseAddr(test.host), 0).String(), nil)
		nobody := closedPort(t, netip.MustParseAddr(test.host))

		ms := newMessages(8)
		refused, heard := 0, 0
		for range 50 {
			write(t, s, Message{Buf: []byte("to nobody"), Remote: nobody})
			write(t, s, Message{Buf: []byte("to the peer"), Remote: peer.LocalAddr()})
			m := readOne(t, peer)
			require.Equal(t, "to the peer", string(m.Buf))
			write(t, peer, Message{Buf: []byte("from the peer"), Remote: m.Remote})
			for got := false; !got; {
				n, err := s.ReadBatch(ms, soon())
				require.NoError(t, err)
				for i := range ms[:n] {
					switch m := &ms[i]; {
					case m.Err == nil:
						require.Equal(t, "from the peer", string(m.Buf))
						require.Equal(t, peer.LocalAddr(), m.Remote)
						heard, got = heard+1, true
					default:
						var e *ICMPError
						require.ErrorAs(t, m.Err, &e)
						require.Equal(t, ICMPError{Remote: nobody, From: nobody.Addr(), Err: syscall.ECONNREFUSED}, *e)
						require.ErrorIs(t, m.Err, syscall.ECONNREFUSED)
						require.Equal(t, "to nobody", string(m.Buf))
						require.Equal(t, nobody, m.Remote)
						refused++
					}
				}
			}
		}
		for refused < 50 { // the last may be there only now
			n, err := s.ReadBatch(ms, soon())
			require.NoError(t, err)
			for i := range ms[:n] {
				require.Error(t, ms[i].Err)
				refused++
			}
		}
		require.Equal(t, 50, heard)
		n, err := s.ReadBatch(ms, past)
		require.NoError(t, err)
		require.Zero(t, n, "more errors than messages")
	}
}

// Without ReceiveErrors nobody is told.
func TestNoErrorsReceived(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", nil)
	nobody := closedPort(t, netip.MustParseAddr("127.0.0.1"))
	ms := newMessages(2)
	for range 20 {
		write(t, s, Message{Buf: []byte("to nobody"), Remote: nobody})
		n, err := s.ReadBatch(ms, past)
		require.NoError(t, err)
		require.Zero(t, n)
	}
}

// What control messages say of errors is read with care.
func TestExtendedError(t *testing.T) {
	z := newZones()
	require.Nil(t, parseExtended(make([]byte, sizeofExtended-1), &z))
	local := make([]byte, sizeofExtended+28)
	local[4] = 1 // SO_EE_ORIGIN_LOCAL
	require.Nil(t, parseExtended(local, &z))
	var c control
	for n := range controlSize + 10 {
		require.Nil(t, c.extendedError(n, &z))
	}
}
