package loop

import (
	"fmt"

	"github.com/lazoquic/lazo/udpio"
)

// Listen opens n sockets on one UDP address (SO_REUSEPORT), has the kernel choose
// among them by connection ID where it can, and calls New.
//
// The kernel knows one length of connection IDs in short headers, that of the first ID
// that the Endpoint.ConnIDs of Loop 0 issues. Where it cannot choose, it goes by addresses, and the
// Loops hand over what reaches the wrong one.
func Listen(network, address string, n int, cfg *Config) (*Group, error) {
	if n < 1 {
		return nil, fmt.Errorf("loop: Listen with %d sockets", n)
	}
	base, err := complete(cfg)
	if err != nil {
		return nil, err
	}
	k, err := drawSteer(base.Endpoint.Rand)
	if err != nil {
		return nil, err
	}
	sockets, err := openSockets(network, address, n, base)
	if err != nil {
		return nil, err
	}
	backends := make([]Backend, n)
	for i, s := range sockets {
		backends[i] = s
	}
	g, err := newGroup(base, k, backends)
	if err != nil {
		return nil, err
	}
	if n > 1 {
		if err := sockets[0].Steer(n, k, g.loops[0].shards.size); err != nil {
			base.Logger.Info("loop: the kernel does not steer", "err", err)
		}
	}
	g.start()
	return g, nil
}

// openSockets opens n sockets on one address.
func openSockets(network, address string, n int, cfg *Config) (sockets []*udpio.Socket, err error) {
	var sc udpio.Config
	if cfg.Socket != nil {
		sc = *cfg.Socket
	}
	if n > 1 {
		sc.ReusePort = true
	}
	if sc.Logger == nil {
		sc.Logger = cfg.Logger
	}
	for range n {
		s, err := udpio.Listen(network, address, &sc)
		if err != nil {
			for _, s := range sockets {
				s.Close()
			}
			return nil, err
		}
		sockets = append(sockets, s)
		address = s.LocalAddr().String() // the same port, if it was 0
	}
	return sockets, nil
}
