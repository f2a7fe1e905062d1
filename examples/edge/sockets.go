package main

import (
	"context"
	"log/slog"
	"net"
	"runtime"

	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/handover"
)

// sockets opens the sockets of an edge, or takes them over from the process before it.
type sockets struct {
	h *handover.Handover // nil for an edge that stands alone
}

// openSockets looks for a process to take over from, if there is a path to find it by.
func openSockets(ctx context.Context, path string, log *slog.Logger) (*sockets, error) {
	if path == "" {
		return new(sockets), nil
	}
	h, err := handover.Open(ctx, &handover.Config{Path: path, Logger: log})
	if err != nil {
		return nil, err
	}
	return &sockets{h}, nil
}

// listen opens a TCP listener.
func (s *sockets) listen(addr string) (net.Listener, error) {
	if s.h == nil {
		return net.Listen("tcp", addr)
	}
	return s.h.Listen("tcp", addr)
}

// group opens UDP sockets.
func (s *sockets) group(addr string, cfg *loop.Config) (*loop.Group, error) {
	if s.h == nil {
		return loop.Listen("udp", addr, runtime.GOMAXPROCS(0), cfg)
	}
	return s.h.Group("udp", addr, runtime.GOMAXPROCS(0), cfg)
}

// ready takes over.
func (s *sockets) ready(ctx context.Context) error {
	if s.h == nil {
		return nil
	}
	return s.h.Ready(ctx)
}

// superseded returns a channel that is closed when the next process has taken over. It is nil if
// there will be none.
func (s *sockets) superseded() <-chan struct{} {
	if s.h == nil {
		return nil
	}
	return s.h.Superseded()
}

// close comes after the last connection.
func (s *sockets) close() {
	if s.h != nil {
		s.h.Close()
	}
}
