package udpio

import (
	"errors"
	"fmt"
)

// ListenGroup opens n sockets on one address, among which the kernel distributes what
// arrives: see [Socket.Steer]. Unless cfg.ReusePort says that the address is to be
// shared, it fails if any other socket has the address, of any process and any user,
// also if that other socket has SO_REUSEPORT. The error then matches
// syscall.EADDRINUSE, as that of Listen does. It matches [errors.ErrUnsupported] where
// there is no SO_REUSEPORT and n > 1.
//
// With cfg.ReusePort the sockets join those that are there.
func ListenGroup(network, address string, n int, cfg *Config) ([]*Socket, error) {
	if n < 1 {
		return nil, fmt.Errorf("udpio: a group of %d sockets", n)
	}
	c := cfg.withDefaults()
	// Without SO_REUSEPORT, the kernel binds the first socket only if the address is free, and
	// keeps others away until share. So two groups that are opened at the same time cannot both get
	// past this line.
	first, err := listenSocket(network, address, c, c.ReusePort)
	if err != nil {
		return nil, err
	}
	group := []*Socket{first}
	if n > 1 && !c.ReusePort {
		err = first.share()
	}
	address = first.LocalAddr().String() // from here on the port is known, if it was 0
	for len(group) < n && err == nil {
		var s *Socket
		if s, err = listenSocket(network, address, c, true); err == nil {
			group = append(group, s)
		}
	}
	if err != nil {
		for _, s := range group {
			s.Close()
		}
		return nil, err
	}
	return group, nil
}

// share lets other sockets bind to the address of s.
func (s *Socket) share() error {
	rc, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = rc.Control(func(fd uintptr) { optErr = setReusePort(fd) })
	if err = errors.Join(err, optErr); err != nil {
		return fmt.Errorf("udpio: share %v: %w", s.LocalAddr(), err)
	}
	return nil
}
