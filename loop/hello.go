package loop

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"github.com/lazoquic/lazo/internal/nostream"
)

// A helloHook is the type of [conn.EndpointConfig].ClientHello.
type helloHook = func(hello *tls.ClientHelloInfo, local, remote netip.AddrPort)

// withConn returns a hook that sets Conn, so that services can choose certificates and
// configurations by its addresses. The hook then calls next, which may be nil.
func withConn(next helloHook) helloHook {
	return func(hello *tls.ClientHelloInfo, local, remote netip.AddrPort) {
		hello.Conn = helloConn{nostream.Conn{Err: errHelloConn}, local, remote}
		if next != nil {
			next(hello, local, remote)
		}
	}
}

// A helloConn is the Conn of a [tls.ClientHelloInfo]. It has the addresses of a QUIC connection and
// carries no data.
type helloConn struct {
	nostream.Conn
	local, remote netip.AddrPort
}

var errHelloConn = errors.New("loop: ClientHelloInfo.Conn has the addresses of a QUIC connection and no byte stream")

func (c helloConn) LocalAddr() net.Addr  { return net.UDPAddrFromAddrPort(c.local) }
func (c helloConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.remote) }
