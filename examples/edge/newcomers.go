package main

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// newcomers are connections over TCP whose first request has not come yet. http.Server.Shutdown
// would drop that request, and clients do not repeat the first request of a connection.
type newcomers struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	empty chan struct{} // closed when there are none; nil if nobody waits
}

// note is the ConnState of an [http.Server].
func (n *newcomers) note(c net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if state == http.StateNew {
		if n.conns == nil {
			n.conns = make(map[net.Conn]struct{})
		}
		n.conns[c] = struct{}{}
		return
	}
	delete(n.conns, c)
	if len(n.conns) == 0 && n.empty != nil {
		close(n.empty)
		n.empty = nil
	}
}

// wait waits until there are no newcomers. The header timeout of the server bounds the wait.
func (n *newcomers) wait(ctx context.Context) {
	n.mu.Lock()
	if len(n.conns) == 0 {
		n.mu.Unlock()
		return
	}
	if n.empty == nil {
		n.empty = make(chan struct{})
	}
	empty := n.empty
	n.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
}
