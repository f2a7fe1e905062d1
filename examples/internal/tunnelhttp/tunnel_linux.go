package tunnelhttp

import (
	"context"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// Addr is where servers listen.
const Addr = netrelay.ServerAddr4 + ":443"

// ServeHTTP3 has srv serve on Addr, until its Close.
func ServeHTTP3(t *netrelay.Tunnel, srv *h3http.Server) error {
	var s *udpio.Socket
	err := t.Server.Do(func() (err error) {
		s, err = udpio.Listen("udp", Addr, nil)
		return err
	})
	if err == nil {
		go srv.Serve(s)
	}
	return err
}

// TCP is how the kernel sends.
type TCP struct {
	Congestion string // the kernel's name of the controller; "" for its default
	// at most so many bytes that are not sent yet wait in the socket (TCP_NOTSENT_LOWAT); 0 for as
	// many as the kernel takes
	Unsent int
}

// ServeHTTP2 has srv serve on Addr, until its Close. The TLSConfig of srv offers "h2".
func ServeHTTP2(t *netrelay.Tunnel, srv *http.Server, tcp TCP) error {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		_ = raw.Control(func(fd uintptr) { err = tcp.set(int(fd)) })
		return err
	}}
	config.SetMultipathTCP(false)
	var l net.Listener
	err := t.Server.Do(func() (err error) {
		l, err = config.Listen(context.Background(), "tcp", Addr)
		return err
	})
	if err == nil {
		go srv.ServeTLS(l, "", "")
	}
	return err
}

// set sets the options of a listener. Accepted sockets inherit them.
func (o *TCP) set(fd int) error {
	if o.Congestion != "" {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, o.Congestion); err != nil {
			return err
		}
	}
	if o.Unsent > 0 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.Unsent)
	}
	return nil
}

// DialHTTP3 has tr dial from the client's end. The caller closes the Group. The socket is the
// Group's.
func DialHTTP3(t *netrelay.Tunnel, tr *h3http.Transport) (*loop.Group, *udpio.Socket, error) {
	var s *udpio.Socket
	err := t.Client.Do(func() (err error) {
		s, err = udpio.Listen("udp", netrelay.ClientAddr4+":0", nil)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	g, err := loop.New(nil, s)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	tr.Dial = g.Dial
	return g, s, nil
}

// DialHTTP2 has tr dial from the client's end.
func DialHTTP2(t *netrelay.Tunnel, tr *http.Transport) {
	tr.DialContext = func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = t.Client.Do(func() error {
			c, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}
}
