package udpio

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/internal/require"
)

// copyOf returns a Socket on another descriptor of s, as another process would have it.
func copyOf(t *testing.T, s *Socket) *Socket {
	t.Helper()
	rc, err := s.SyscallConn()
	require.NoError(t, err)
	var f *os.File
	rc.Control(func(fd uintptr) {
		dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		require.NoError(t, err)
		f = os.NewFile(uintptr(dup), "udp")
	})
	other, err := FromFile(f, nil)
	require.NoError(t, err)
	t.Cleanup(func() { other.Close() })
	return other
}

// TestSetReading passes reading from one owner of a socket to another, and back. No datagram is
// lost, and both can write all the time.
func TestSetReading(t *testing.T) {
	first, err := Listen("udp4", "127.0.0.1:0", nil)
	require.NoError(t, err)
	defer first.Close()
	second := copyOf(t, first)
	require.Equal(t, first.LocalAddr(), second.LocalAddr())
	require.Equal(t, first.Caps(), second.Caps())
	peer, err := net.Dial("udp4", first.LocalAddr().String())
	require.NoError(t, err)
	defer peer.Close()
	require.NoError(t, second.SetReading(false))
	owners := []*Socket{first, second}
	ms := []Message{{Buf: make([]byte, 1<<16)}}
	for i := range 6 {
		reader, other := owners[i%2], owners[1-i%2]
		require.NoError(t, other.SetReading(false))
		peer.Write([]byte{byte(i)}) // before anybody reads
		n, err := other.ReadBatch(ms, time.Now().Add(20*time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, 0, n)
		require.NoError(t, reader.SetReading(true))
		n, err = reader.ReadBatch(ms, time.Now().Add(time.Minute))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, []byte{byte(i)}, ms[0].Buf)
		for _, s := range owners {
			n, err = s.WriteBatch([]Message{{Buf: []byte("to the peer"), Remote: ms[0].Remote}})
			require.NoError(t, err)
			require.Equal(t, 1, n)
			n, err = peer.Read(make([]byte, 100))
			require.NoError(t, err)
			require.Equal(t, len("to the peer"), n)
		}
		other.Wake() // it still ends the wait
		n, err = other.ReadBatch(ms, time.Time{})
		require.NoError(t, err)
		require.Equal(t, 0, n)
	}
}

// TestFromFileErrors: only bound UDP sockets will do.
func TestFromFileErrors(t *testing.T) {
	f, err := os.Open("/dev/null")
	require.NoError(t, err)
	_, err = FromFile(f, nil)
	require.ErrorContains(t, err, "udpio: socket of a file: ")
	require.ErrorIs(t, f.Close(), os.ErrClosed)
}
