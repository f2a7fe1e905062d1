package loop

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/udpio"
)

// A Backend moves datagrams, with the contracts of [udpio.Socket], which is the
// default one. It may hold several sockets: Message.Local names which. Implement it
// to run on AF_XDP, io_uring, an overlay, or a test network; embed one to observe
// it. To run on a net.PacketConn, see [udpio.Wrap].
//
// The Loop that owns a Backend calls Wake from any goroutine, and everything else from
// its own. After Close it calls nothing but Wake and LocalAddr.
type Backend interface {
	ReadBatch(ms []udpio.Message, deadline time.Time) (n int, err error)
	WriteBatch(ms []udpio.Message) (n int, err error)
	Wake()
	Caps() udpio.Caps
	LocalAddr() netip.AddrPort
	Close() error
}

// A PathBackend is a Backend that can get more sockets while it is in use, with the contracts of
// [udpio.Socket]: see [Conn.AddPath]. Any goroutine may call its two methods.
type PathBackend interface {
	Backend
	AddInterface(at udpio.Interface) (local netip.AddrPort, err error)
	RemoveLocal(local netip.AddrPort) error
}

var _ PathBackend = (*udpio.Socket)(nil)
