package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/udpio"
)

// AddedSockets are the sockets that a Loop has added to its Backend for paths. The paths of all
// connections from one interface share one socket, which is closed when the last of them has ended.
type addedSockets struct {
	backend PathBackend // nil if the Backend cannot have several

	mu      sync.Mutex
	sockets []*addedSocket
}

// init takes the first of backends that can have several sockets: a Backend that wraps another one
// need not know of them.
func (a *addedSockets) init(backends ...Backend) {
	for _, b := range backends {
		if p, ok := b.(PathBackend); ok {
			a.backend = p
			return
		}
	}
}

// An addedSocket is a socket at one interface.
type addedSocket struct {
	at    udpio.Interface // Name, Index and Addr
	local netip.AddrPort
	users int // paths, and calls that open one
}

// A place is what tells interfaces apart: the rest of an Interface is about its routes.
func place(at udpio.Interface) udpio.Interface {
	return udpio.Interface{Name: at.Name, Index: at.Index, Addr: at.Addr.Unmap()}
}

// take returns the socket at an interface, for one more user. It may make system calls.
func (a *addedSockets) take(at udpio.Interface) (*addedSocket, error) {
	at = place(at)
	if a.backend == nil {
		return nil, fmt.Errorf("loop: the Backend has one socket only: %w", errors.ErrUnsupported)
	}
	if !at.Addr.IsValid() {
		return nil, errors.New("loop: the address of the path is not valid")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sockets {
		if s.at == at {
			s.users++
			return s, nil
		}
	}
	local, err := a.backend.AddInterface(at)
	if err != nil {
		return nil, err
	}
	s := &addedSocket{at: at, local: local, users: 1}
	a.sockets = append(a.sockets, s)
	return s, nil
}

// lingerTime is how long a socket stays open after its last path. Packets that are on their way may
// then still be read.
const lingerTime = time.Second

// give takes back what take has returned. The last user of a socket makes it close, and nobody gets
// it any more: an interface that comes back may need a new one.
func (a *addedSockets) give(s *addedSocket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	for i, o := range a.sockets {
		if o == s {
			a.sockets = append(a.sockets[:i], a.sockets[i+1:]...)
			break
		}
	}
	local := s.local
	time.AfterFunc(lingerTime, func() { a.backend.RemoveLocal(local) })
}
