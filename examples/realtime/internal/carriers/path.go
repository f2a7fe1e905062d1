package carriers

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop"
)

// A path is a bad network between a server and a client of this process.
type path interface {
	// listenUDP starts a server, and returns where clients find it.
	listenUDP(*loop.Config) (*loop.Group, string, error)
	openUDP() (*loop.Group, error) // of the client
	setLink(netrelay.Link)         // of both directions, from now on
	close()
}

// A tcpPath is a path for the kernel's TCP too.
type tcpPath interface {
	path
	listenTCP() (net.Listener, error)
	dialTCP(ctx context.Context, addr string) (net.Conn, error)
}

// newPath returns a path for TCP, or else one for UDP and an error that wraps ErrNoTCP.
func newPath(seed uint64) (path, error) {
	t, err := newTunnel(seed)
	if err == nil {
		return t, nil
	}
	return &relayed{seed: seed}, fmt.Errorf("%w: %w", ErrNoTCP, err)
}

// A relayed path is a relay of UDP datagrams. It needs no privileges.
type relayed struct {
	seed  uint64
	link  netrelay.Link
	relay *netrelay.Relay // nil before listenUDP
}

func (r *relayed) listenUDP(cfg *loop.Config) (*loop.Group, string, error) {
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, cfg)
	if err != nil {
		return nil, "", err
	}
	r.relay, err = netrelay.New(netrelay.Config{Server: g.LocalAddr(), Up: r.link, Down: r.link, Seed: r.seed})
	if err != nil {
		return nil, "", errors.Join(err, g.Close())
	}
	return g, r.relay.Addr().String(), nil
}

func (*relayed) openUDP() (*loop.Group, error) { return loop.Open("udp", "127.0.0.1:0", 1, nil) }

func (r *relayed) setLink(l netrelay.Link) {
	if r.link = l; r.relay != nil {
		r.relay.SetLinks(l, l)
	}
}

func (r *relayed) close() {
	if r.relay != nil {
		r.relay.Close()
	}
}
