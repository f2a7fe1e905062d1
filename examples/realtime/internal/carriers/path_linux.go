package carriers

import (
	"context"
	"net"

	"github.com/lazoquic/lazo/internal/netns"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A tunnel is a path between two network namespaces. All IP packets of both kernels meet the same
// Link, those of TCP too.
type tunnel struct{ t *netrelay.Tunnel }

func newTunnel(seed uint64) (tcpPath, error) {
	t, err := netrelay.NewTunnel(netrelay.TunnelConfig{Seed: seed})
	if err != nil {
		return nil, err
	}
	return &tunnel{t}, nil
}

func (t *tunnel) listenUDP(cfg *loop.Config) (*loop.Group, string, error) {
	g, err := groupIn(t.t.Server, netrelay.ServerAddr4, cfg)
	if err != nil {
		return nil, "", err
	}
	return g, g.LocalAddr().String(), nil
}

func (t *tunnel) openUDP() (*loop.Group, error) {
	return groupIn(t.t.Client, netrelay.ClientAddr4, nil)
}

// groupIn returns a Group with a socket in a namespace.
func groupIn(n *netns.Namespace, addr string, cfg *loop.Config) (*loop.Group, error) {
	var s *udpio.Socket
	err := n.Do(func() (err error) {
		s, err = udpio.Listen("udp", addr+":0", nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	g, err := loop.New(cfg, s)
	if err != nil {
		s.Close()
	}
	return g, err
}

func (t *tunnel) listenTCP() (l net.Listener, err error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	err = t.t.Server.Do(func() (err error) {
		l, err = lc.Listen(context.Background(), "tcp", netrelay.ServerAddr4+":0")
		return err
	})
	return l, err
}

func (t *tunnel) dialTCP(ctx context.Context, addr string) (c net.Conn, err error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	err = t.t.Client.Do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

func (t *tunnel) setLink(l netrelay.Link) { t.t.SetLinks(l, l) }

func (t *tunnel) close() { t.t.Close() }
