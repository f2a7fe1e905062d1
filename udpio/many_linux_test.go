package udpio

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// mustListenMany opens a Socket of n ports, and returns their addresses.
func mustListenMany(t testing.TB, n int, cfg *Config) (*Socket, []netip.AddrPort) {
	s := mustListen(t, "udp4", "127.0.0.1:0", cfg)
	locals := []netip.AddrPort{s.LocalAddr()}
	for len(locals) < n {
		local, err := s.AddLocal("udp4", ":0")
		require.NoError(t, err)
		locals = append(locals, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), local.Port()))
	}
	return s, locals
}

// countReads counts the system calls that read from the ports of s. Nobody may read meanwhile.
func countReads(s *Socket) *atomic.Int64 {
	var calls atomic.Int64
	for _, p := range *s.driver.(*sockets).ports.Load() {
		recv := p.recv
		p.recv = func(fd uintptr) {
			calls.Add(1)
			recv(fd)
		}
	}
	return &calls
}

// With many sockets, a message costs no more system calls than with one, and leaves from the socket
// that it names.
func TestManySockets(t *testing.T) {
	s, locals := mustListenMany(t, 200, nil)
	peer := mustListen(t, "udp4", "127.0.0.1:0", nil)
	calls := countReads(s)
	for i, local := range locals {
		write(t, peer, Message{Buf: fmt.Append(nil, i), Remote: local})
		m := readOne(t, s)
		require.Equal(t, fmt.Sprint(i), string(m.Buf))
		require.Equal(t, local, m.Local)
		write(t, s, Message{Buf: m.Buf, Remote: m.Remote, Local: local})
		require.Equal(t, local, readOne(t, peer).Remote)
	}
	t.Logf("%d calls for %d messages", calls.Load(), len(locals))
	require.LessOrEqual(t, calls.Load(), int64(2*len(locals)))

	// those that are removed are not read, and those that stay are
	for _, local := range locals[1:150] {
		require.NoError(t, s.RemoveLocal(netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port())))
		write(t, s, Message{Buf: []byte("gone"), Remote: peer.LocalAddr(), Local: local})
	}
	for _, local := range append(locals[150:], locals[0]) {
		write(t, peer, Message{Buf: []byte("there"), Remote: local})
		m := readOne(t, s)
		require.Equal(t, local, m.Local)
		write(t, s, Message{Buf: []byte("back"), Remote: peer.LocalAddr(), Local: local})
		require.Equal(t, "back", string(readOne(t, peer).Buf))
	}
	requireNothing(t, s)
	requireNothing(t, peer)
}

// No socket of many starves, however much comes to the others.
func TestManySocketsStarve(t *testing.T) {
	s, locals := mustListenMany(t, 100, nil)
	peer := mustListen(t, "udp4", "127.0.0.1:0", nil)
	ms := newMessages(1)
	waits := make(map[netip.AddrPort]int)
	for range 50 * len(locals) {
		for _, local := range locals {
			if waits[local] == 0 {
				write(t, peer, Message{Buf: []byte("x"), Remote: local})
				waits[local] = 1
			}
		}
		n, err := s.ReadBatch(ms, soon())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		for local := range waits {
			waits[local]++
			require.Less(t, waits[local], 10*len(locals), "nobody reads from %v", local)
		}
		waits[ms[0].Local] = 0
	}
}

// What ICMP says reaches the reader of many sockets, too.
func TestManySocketsErrors(t *testing.T) {
	s, locals := mustListenMany(t, 50, &Config{ReceiveErrors: true})
	nobody := closedPort(t, netip.MustParseAddr("127.0.0.1"))
	ms := newMessages(4)
	for _, local := range locals {
		write(t, s, Message{Buf: []byte("to nobody"), Remote: nobody, Local: local})
		for n := 0; n == 0; {
			var err error
			n, err = s.ReadBatch(ms, soon())
			require.NoError(t, err)
		}
		require.ErrorIs(t, ms[0].Err, syscall.ECONNREFUSED)
	}
}

// A Socket of many that was full tells when there is room again.
func TestManySocketsRoom(t *testing.T) {
	s, locals := mustListenMany(t, 20, nil)
	p := s.driver.(*sockets).directory.Load().owner(locals[7])
	require.NotNil(t, p)
	s.driver.(*sockets).awaitRoom(p) // as after a short write
	n, err := s.ReadBatch(newMessages(1), soon())
	require.NoError(t, err)
	require.Zero(t, n)
	require.False(t, p.full.Load())
}

// The memory of a directory goes by the descriptors of the process, so a program with many Sockets
// of few ports has none.
func TestFewSocketsNeedNoDirectory(t *testing.T) {
	s, _ := mustListenMany(t, fewPorts, nil)
	d := &s.driver.(*sockets).directory
	require.True(t, d.Load() == nil)
	_, err := s.AddLocal("udp4", ":0")
	require.NoError(t, err)
	for _, p := range *s.driver.(*sockets).ports.Load() {
		require.True(t, (*d.Load().byFD.Load())[p.fd] == p)
		require.True(t, d.Load().owner(p.local) == p || p.local.Addr().IsUnspecified())
	}
}
