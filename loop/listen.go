package loop

import (
	"errors"
	"fmt"

	"github.com/lazoquic/lazo/udpio"
)

// Listen opens n sockets on one UDP address (SO_REUSEPORT), has the kernel choose
// among them by connection ID where it can, and calls New. If another socket has the
// address, of this process or any other, it fails with an error that matches
// syscall.EADDRINUSE.
//
// With Socket.ReusePort it shares the address with sockets that have that option too,
// of the same user. Then the kernel chooses among all of them by addresses alone, so a
// connection whose peer changes its address may reach a process that does not know it.
//
// The kernel knows one length of connection IDs in short headers, that of the first ID that the
// Endpoint.ConnIDs of Loop 0 issues. Where it cannot choose by ID, it chooses by addresses, and the
// Loops hand over what reaches the wrong one.
//
// A cfg that is not nil must have an Endpoint.Server, with a certificate. For a Group
// that only dials see Open; a nil cfg makes one, too.
func Listen(network, address string, n int, cfg *Config) (*Group, error) {
	if cfg != nil && cfg.Endpoint.Server == nil {
		return nil, errors.New("loop: Listen without Config.Endpoint.Server: for a Group that only dials, use Open")
	}
	return open(network, address, n, cfg)
}

// Open opens n sockets, as Listen does, for a Group that only dials: cfg has no
// Endpoint.Server. The address is mostly ":0". Where the kernel tells, ICMP messages end
// attempts to dial that lead nowhere: see [udpio.Config].ReceiveErrors.
func Open(network, address string, n int, cfg *Config) (*Group, error) {
	if cfg != nil && cfg.Endpoint.Server != nil {
		return nil, errors.New("loop: Open with Config.Endpoint.Server: for a server, use Listen")
	}
	return open(network, address, n, cfg)
}

func open(network, address string, n int, cfg *Config) (*Group, error) {
	if n < 1 {
		return nil, fmt.Errorf("loop: %d sockets", n)
	}
	base, err := complete(cfg)
	if err != nil {
		return nil, err
	}
	k, err := base.steer()
	if err != nil {
		return nil, err
	}
	sc := base.socketConfig()
	sockets, err := udpio.ListenGroup(network, address, n, sc)
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
	if n > 1 && !sc.ReusePort {
		if err := sockets[0].Steer(n, k, g.loops[0].shards.size); err != nil {
			base.Logger.Info("loop: the kernel does not steer", "err", err)
		}
	}
	g.start()
	return g, nil
}

// socketConfig returns the configuration of the sockets of cfg.
func (cfg *Config) socketConfig() *udpio.Config {
	var sc udpio.Config
	if cfg.Socket != nil {
		sc = *cfg.Socket
	}
	if sc.Logger == nil {
		sc.Logger = cfg.Logger
	}
	sc.ReceiveErrors = sc.ReceiveErrors || cfg.Endpoint.Server == nil
	return &sc
}
